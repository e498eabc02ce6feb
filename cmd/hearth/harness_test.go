package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/calls"
	"github.com/hearthfaas/hearth/internal/providertest"
	"github.com/openfaas/faas-provider/types"
	sdk "github.com/openfaas/go-sdk"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// testNode is a complete instance, with the probe as its only image.
type testNode struct {
	*node
	t      *testing.T
	raw    redis.UniversalClient
	client *sdk.Client
	closed bool
}

const probeImage = "test/probe:latest"

func newTestNode(t *testing.T, change ...func(*nodeConfig)) *testNode {
	t.Helper()
	return startTestNode(t, chaintest.Redis(t), t.TempDir(), change...)
}

func startTestNode(t *testing.T, raw redis.UniversalClient, state string,
	change ...func(*nodeConfig)) *testNode {
	t.Helper()
	shareKey(t, state, chaintest.URL(raw))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg := nodeConfig{State: state, RedisURL: chaintest.URL(raw), Listener: l,
		Log: slog.New(slog.DiscardHandler)}
	cfg.Queue.record = recordLimits{calls: calls.DefaultCalls, bytes: "64Mi", age: calls.DefaultAge}
	for _, c := range change {
		c(&cfg)
	}
	n, err := startNode(t.Context(), cfg)
	require.NoError(t, err)
	tn := &testNode{node: n, t: t, raw: raw}
	t.Cleanup(tn.end)
	require.NoError(t, processImages(state).Put(t.Context(), probeImage, providertest.Probe(t)))
	tn.client = tn.clientFor(n.credentials.User, n.credentials.Password)
	return tn
}

// shareKey gives all instances on one Redis the same secret-key, as an operator must.
func shareKey(t *testing.T, state, redis string) {
	t.Helper()
	path := filepath.Join(state, "secret-key")
	if _, err := os.Stat(path); err == nil {
		return
	}
	key := sha256.Sum256([]byte("the key of the hearths on " + redis))
	require.NoError(t, os.WriteFile(path, []byte(base64.StdEncoding.EncodeToString(key[:])+"\n"), 0o600))
}

func (n *testNode) end() {
	if n.closed {
		return
	}
	n.closed = true
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(n.t, n.close(ctx))
}

func (n *testNode) clientFor(user, password string) *sdk.Client {
	u, err := url.Parse(n.url())
	require.NoError(n.t, err)
	return sdk.NewClient(u, &sdk.BasicAuth{Username: user, Password: password},
		&http.Client{Transport: n.self.Transport, Timeout: time.Minute})
}

// callbacksHere allows callbacks to the test's servers.
func callbacksHere(c *nodeConfig) {
	if err := c.CallbackAllow.Set("127.0.0.1"); err != nil {
		panic(err)
	}
}

// deploy deploys the probe, after the given changes.
func (n *testNode) deploy(name string, change ...func(*types.FunctionDeployment)) {
	n.t.Helper()
	d := types.FunctionDeployment{
		Service: name,
		Image:   probeImage,
		EnvVars: map[string]string{"write_timeout": "5s"},
		Labels:  &map[string]string{},
		Annotations: &map[string]string{"com.openfaas.retry.min_wait": "5ms",
			"com.openfaas.retry.max_wait": "10ms", "com.openfaas.retry.attempts": "2"},
	}
	for _, c := range change {
		c(&d)
	}
	status, err := n.client.Deploy(n.t.Context(), d)
	require.NoError(n.t, err)
	require.Equal(n.t, http.StatusAccepted, status)
}

func (n *testNode) available(name string) uint64 {
	n.t.Helper()
	f, err := n.client.GetFunction(n.t.Context(), name, "")
	require.NoError(n.t, err)
	return f.AvailableReplicas
}

// do sends a request to the gateway. headers alternates names and values.
func (n *testNode) do(method, path, body string, headers ...string) (*http.Response, string) {
	n.t.Helper()
	return n.doAt(n.url(), method, path, body, headers...)
}

// doAt is do for another address.
func (n *testNode) doAt(base, method, path, body string, headers ...string) (*http.Response, string) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), method, base+path, strings.NewReader(body))
	require.NoError(n.t, err)
	for i := 0; i < len(headers); i += 2 {
		if req.Header.Set(headers[i], headers[i+1]); headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}
	res, err := n.self.Do(req)
	require.NoError(n.t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(n.t, err)
	return res, string(text)
}

// system calls the management API, with JSON in both directions.
func (n *testNode) system(method, path string, in, out any) int {
	n.t.Helper()
	text, err := json.Marshal(in)
	require.NoError(n.t, err)
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.url()+path, bytes.NewReader(text))
	require.NoError(n.t, err)
	req.SetBasicAuth(n.credentials.User, n.credentials.Password)
	res, err := n.self.Do(req)
	require.NoError(n.t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(n.t, err)
	if out != nil {
		require.NoError(n.t, json.Unmarshal(body, out), string(body))
	}
	return res.StatusCode
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, time.Minute, 2*time.Millisecond)
}
