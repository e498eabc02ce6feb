package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// issue creates a self-signed certificate for names and addresses, and its key.
func issue(t *testing.T, serial int64, names ...string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{
		SerialNumber:          big.NewInt(serial),
		Subject:               pkix.Name{CommonName: "hearth"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// place replaces a file, as certbot does.
func place(t *testing.T, path string, text []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", text, 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

// withTLS serves with a new certificate and returns its files.
func withTLS(t *testing.T, names ...string) (change func(*nodeConfig), certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "fullchain.pem"), filepath.Join(dir, "privkey.pem")
	cert, key := issue(t, 1, names...)
	place(t, certFile, cert)
	place(t, keyFile, key)
	return func(cfg *nodeConfig) {
		var err error
		cfg.TLS, err = loadCertificate(certFile, keyFile, cfg.Log)
		require.NoError(t, err)
	}, certFile, keyFile
}

// trusting is a client that trusts the certificates of a file.
func trusting(t *testing.T, certFile string, http2 bool) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	text, err := os.ReadFile(certFile)
	require.NoError(t, err)
	require.True(t, roots.AppendCertsFromPEM(text))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: http2}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

func TestTLSWithBothVersionsOfHTTP(t *testing.T) {
	t.Parallel()
	change, certFile, _ := withTLS(t, "127.0.0.1")
	n := newTestNode(t, change)
	require.Contains(t, n.url(), "https://127.0.0.1:")
	n.deploy("probe")
	large := strings.Repeat("dough", 1<<20)
	for version, http2 := range map[int]bool{1: false, 2: true} {
		client := trusting(t, certFile, http2)
		for _, body := range []string{"hello", large} {
			res, err := client.Post(n.url()+"/function/probe", "text/plain", strings.NewReader(body))
			require.NoError(t, err)
			text, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, http.StatusOK, res.StatusCode)
			require.Equal(t, version, res.ProtoMajor)
			require.Equal(t, len(body), len(text))
		}
		res, err := client.Post(n.url()+"/async-function/probe", "", strings.NewReader("x"))
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	_, err := run(t, "health", "--gateway", n.url())
	require.NoError(t, err)
	_, err = run(t, "queues", "--gateway", n.url(), "--state", n.cfg.State)
	require.ErrorContains(t, err, "SSL_CERT_FILE")

	old := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	_, err = tls.Dial("tcp", n.cfg.Listener.Addr().String(), old)
	require.ErrorContains(t, err, "protocol version")
	res, err := http.Get("http://" + n.cfg.Listener.Addr().String() + "/healthz")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
}

func TestTLSRenewalNeedsNoRestart(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	change, certFile, keyFile := withTLS(t, "127.0.0.1")
	n := newTestNode(t, func(c *nodeConfig) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) }, change)
	serial := func() int64 {
		c, err := tls.Dial("tcp", n.cfg.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		require.NoError(t, err)
		defer func() { _ = c.Close() }()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	require.EqualValues(t, 1, serial())
	cert, key := issue(t, 2, "127.0.0.1")
	place(t, certFile, cert)
	require.EqualValues(t, 1, serial(), "half of a renewal: the pair before goes on")
	require.EqualValues(t, 1, serial())
	place(t, keyFile, key)
	require.EqualValues(t, 2, serial())
	require.NoError(t, os.Remove(keyFile))
	require.EqualValues(t, 2, serial(), "a file that is gone ends nothing")
	place(t, certFile, []byte("rubbish"))
	require.EqualValues(t, 2, serial())
	cert, key = issue(t, 3, "127.0.0.1")
	place(t, certFile, cert)
	place(t, keyFile, key)
	require.EqualValues(t, 3, serial())
	n.end()
	require.Equal(t, 1, strings.Count(log.String(), "do not match"), "logged once")
}

func TestTLSUsesTheNameOfTheCertificate(t *testing.T) {
	t.Parallel()
	change, _, _ := withTLS(t, "*.example.com", "functions.example.com")
	n := newTestNode(t, change)
	_, port, err := net.SplitHostPort(n.cfg.Listener.Addr().String())
	require.NoError(t, err)
	require.Equal(t, "https://functions.example.com:"+port, n.url())
	n.deploy("probe") // hearth's own client needs no DNS
	change, _, _ = withTLS(t, "*.example.com")
	n = newTestNode(t, change)
	require.Equal(t, "https://"+n.cfg.Listener.Addr().String(), n.url())
}

func TestUnusableTLSFilesAreErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := issue(t, 1, "127.0.0.1")
	_, other := issue(t, 2, "127.0.0.1")
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, text, 0o600))
		return path
	}
	good, goodKey := file("good.pem", cert), file("good.key", key)
	for want, pair := range map[string][2]string{
		"--tls-cert: open":  {filepath.Join(dir, "nothing"), goodKey},
		"--tls-key: open":   {good, filepath.Join(dir, "nothing")},
		"no certificate in": {goodKey, goodKey},
		"no private key in": {good, good},
		"do not match":      {good, file("other.key", other)},
		"has a passphrase": {good, file("locked.key",
			pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}))},
		"good.pem and --tls-key /": {good, file("broken.key",
			pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}))},
	} {
		_, err := loadCertificate(pair[0], pair[1], slog.New(slog.DiscardHandler))
		require.ErrorContains(t, err, want)
	}
	c := serveConfig{providerConfig: providerConfig{Provider: "process"}, Listen: "127.0.0.1:0",
		Fsync: "always", TLSCert: good}
	require.ErrorContains(t, c.check(), "must be used together")
}
