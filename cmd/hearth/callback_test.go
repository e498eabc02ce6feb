package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/stretchr/testify/require"
)

// called is a server on loopback that records its callbacks.
type called struct {
	*httptest.Server
	got chan *http.Request
}

func newCalled(t *testing.T, answer http.HandlerFunc) called {
	t.Helper()
	c := called{got: make(chan *http.Request, 10)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.got <- r
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// deadCallbacks waits until the probe has the given number of dead callbacks and returns them.
func (n *testNode) deadCallbacks(count int) []queue.DeadLetter {
	n.t.Helper()
	var list []queue.DeadLetter
	eventually(n.t, func() bool {
		n.system(http.MethodGet, "/system/dead-letters?queue=probe:callbacks", nil, &list)
		return len(list) == count
	})
	return list
}

// ended waits until the probe's callbacks are done, and requires that none is dead.
func (n *testNode) ended() {
	n.t.Helper()
	eventually(n.t, func() bool {
		var queues []queue.Queue
		n.system(http.MethodGet, "/system/queues?function=probe", nil, &queues)
		for _, q := range queues {
			require.Zero(n.t, q.Dead, q.Name)
			if q.Waiting+q.Leased+q.Due+q.Delayed > 0 {
				return false
			}
		}
		return len(queues) > 0
	})
}

func (n *testNode) callWithCallback(to string) {
	n.t.Helper()
	res, text := n.do(http.MethodPost, "/async-function/probe", "body", "X-Callback-Url", to)
	require.Equal(n.t, http.StatusAccepted, res.StatusCode, text)
}

func TestCallbackToAPrivateAddressNeedsPermission(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	c := newCalled(t, nil)
	port := c.URL[strings.LastIndexByte(c.URL, ':'):]
	for i, to := range []string{c.URL + "/by-address", "http://localhost" + port + "/by-name"} {
		n.callWithCallback(to)
		letter := n.deadCallbacks(i + 1)[i]
		require.Contains(t, letter.Reason, "127.0.0.1"+port)
		require.Contains(t, letter.Reason, "--callback-allow 127.0.0.1"+port)
		require.Equal(t, 1, letter.Attempts)
	}
	require.Empty(t, c.got)

	n = newTestNode(t, callbacksHere)
	n.deploy("probe")
	n.callWithCallback(c.URL + "/allowed")
	require.Equal(t, "/allowed", (<-c.got).URL.Path)
	n.ended()
}

func TestCallbackHostIsAllowedByName(t *testing.T) {
	t.Parallel()
	c := newCalled(t, nil)
	port := c.URL[strings.LastIndexByte(c.URL, ':'):]
	n := newTestNode(t, func(cfg *nodeConfig) { require.NoError(t, cfg.CallbackAllow.Set("localhost"+port)) })
	n.deploy("probe")
	n.callWithCallback("http://localhost" + port + "/by-name")
	require.Equal(t, "/by-name", (<-c.got).URL.Path)
	n.ended()
	n.callWithCallback(c.URL)
	n.deadCallbacks(1)
}

func TestCallbackToMetadataServicesIsRefused(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, func(cfg *nodeConfig) { require.NoError(t, cfg.CallbackAllow.Set("0.0.0.0/0,::/0")) })
	n.deploy("probe")
	for _, to := range []string{"http://169.254.169.254/", "http://[::ffff:a9fe:a9fe]:80/",
		"http://[64:ff9b::a9fe:a9fe]/", "http://0.0.0.0/", "https://[fd00:ec2::254]/"} {
		res, text := n.do(http.MethodPost, "/async-function/probe", "", "X-Callback-Url", to)
		require.Equal(t, http.StatusBadRequest, res.StatusCode, to)
		require.Equal(t, chain.ContentType, res.Header.Get("Content-Type"))
		require.Contains(t, text, "X-Callback-Url")
		require.Contains(t, text, "never")
	}
}

func TestCallbackFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	inner := newCalled(t, nil)
	outer := newCalled(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, inner.URL, http.StatusTemporaryRedirect)
	})
	n := newTestNode(t, callbacksHere)
	n.deploy("probe")
	n.callWithCallback(outer.URL)
	<-outer.got
	n.ended()
	require.Empty(t, inner.got)
}

func TestCallbackMayCallAFunctionOfThisInstance(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	n.deploy("next")
	n.callWithCallback(n.url() + "/function/next")
	n.ended()
	n.callWithCallback(n.url() + "/async-function/next")
	eventually(t, func() bool {
		f, err := n.client.GetFunction(t.Context(), "next", "")
		require.NoError(t, err)
		return f.InvocationCount == 2
	})
	n.ended()
	n.callWithCallback(n.url() + "/system/functions")
	require.Contains(t, n.deadCallbacks(1)[0].Reason, "not allowed",
		"functions are, and the management API is not")
}

func TestCallbackPasswordIsUsedAndNeverShown(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var log bytes.Buffer
	n := newTestNode(t, callbacksHere, func(cfg *nodeConfig) {
		cfg.Log = slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return log.Write(p)
		}), &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	n.deploy("probe")
	c := newCalled(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	with := func(path string) string {
		return strings.Replace(c.URL, "http://",
			"http://ada:s3cret@", 1) + path
	}
	n.callWithCallback(with("/yes"))
	user, password, _ := (<-c.got).BasicAuth()
	require.Equal(t, []string{"ada", "s3cret"}, []string{user, password})
	n.ended()
	n.callWithCallback(with("/no"))                  // dead because of its response,
	n.callWithCallback("http://ada:s3cret@10.0.0.1") // by us,
	res, _ := n.do(http.MethodPost, "/async-function/probe", "", "X-Callback-Url",
		"http://ada:s3cret@169.254.169.254/")
	require.Equal(t, http.StatusBadRequest, res.StatusCode) // and refused by the gateway

	for _, letter := range n.deadCallbacks(2) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			n.url()+"/system/dead-letters/probe:callbacks/"+letter.ID, nil)
		require.NoError(t, err)
		req.SetBasicAuth(n.credentials.User, n.credentials.Password)
		res, err := n.self.Do(req)
		require.NoError(t, err)
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		require.NoError(t, err)
		require.Contains(t, string(text), "http://ada:")
		require.NotContains(t, string(text), "s3cret")
	}
	eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Count(log.String(), "became a dead letter") == 2
	})
	mu.Lock()
	defer mu.Unlock()
	require.Contains(t, log.String(), "queue=probe:callbacks")
	require.NotContains(t, log.String(), "s3cret")
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
