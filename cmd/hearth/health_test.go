package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHealthOfAServingGateway(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	out, err := run(t, "health", "--gateway", n.url()+"/")
	require.NoError(t, err)
	require.Empty(t, out)
	n.end()
	_, err = run(t, "health", "--gateway", n.url())
	require.ErrorContains(t, err, "does not answer")
}

func TestHealthReportsTheReason(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{http.StatusServiceUnavailable: "shutting down",
		http.StatusNotFound: "404", http.StatusFound: "302"} {
		s := httptest.NewServer(http.RedirectHandler("/elsewhere", status))
		t.Cleanup(s.Close)
		_, err := run(t, "health", "--gateway", s.URL)
		require.ErrorContains(t, err, want)
	}
	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(secure.Close)
	_, err := run(t, "health", "--gateway", secure.URL)
	require.NoError(t, err, "a loopback address is not what its certificate is for")

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	_, err = run(t, "health", "--gateway", "http://"+silent.Addr().String())
	require.ErrorContains(t, err, "did not answer within 3s")
	_, err = run(t, "health", "--gateway", "ftp://nonsense")
	require.ErrorContains(t, err, "is not a gateway's address")
}
