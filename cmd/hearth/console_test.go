package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// consoleAddress gives a node a console.
func consoleAddress(t *testing.T) func(*nodeConfig) {
	return func(c *nodeConfig) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		c.ConsoleListener = l
	}
}

// logIn begins a session and returns its Authorization header. The link is the gateway's.
func (n *testNode) logIn(role string) string {
	n.t.Helper()
	var link consoleLogin
	require.Equal(n.t, http.StatusOK, n.system(http.MethodPost, "/system/console/login",
		map[string]string{"role": role}, &link))
	require.Equal(n.t, role, link.Role)
	token, ok := strings.CutPrefix(link.URL, n.consoleURL()+"/#login=")
	require.True(n.t, ok, link.URL)
	res, text := n.doAt(n.consoleURL(), http.MethodPost, "/session", `{"login": "`+token+`"}`)
	require.Equal(n.t, http.StatusOK, res.StatusCode, text)
	var session struct{ Token string }
	require.NoError(n.t, json.Unmarshal([]byte(text), &session))
	return "Bearer " + session.Token
}

// mutating returns all requests of the management API that change something, by the gateway's source.
func mutating(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../internal/gateway/*.go")
	require.NoError(t, err)
	routes := []string{"DELETE /async-function/some-call", "POST /invoke", "POST /system/dead-letters/edit",
		"POST /system/namespace/",
		"DELETE /system/namespace/x"}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`"((?:POST|PUT|PATCH|DELETE) /system/[^"]*)"`).
			FindAllStringSubmatch(string(text), -1) {
			routes = append(routes, strings.NewReplacer("{name}", "probe").Replace(m[1]))
		}
	}
	require.Greater(t, len(routes), 25)
	require.NotContains(t, strings.Join(routes, " "), "{")
	return routes
}

func TestConsoleHasTheManagementAPIForItsRoles(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, consoleAddress(t))
	n.deploy("probe")
	operator, viewer := n.logIn("operator"), n.logIn("viewer")
	for _, token := range []string{operator, viewer} {
		for _, path := range []string{"/system/functions", "/system/function/probe", "/system/queues",
			"/system/dead-letters", "/system/info", "/system/namespaces", "/system/usage",
			"/system/records"} {
			res, text := n.doAt(n.consoleURL(), http.MethodGet, path, "", "Authorization", token)
			require.Equal(t, http.StatusOK, res.StatusCode, "%s: %s", path, text)
			require.Equal(t, "application/json", res.Header.Get("Content-Type"))
		}
	}
	for _, route := range mutating(t) {
		method, path, _ := strings.Cut(route, " ")
		res, text := n.doAt(n.consoleURL(), method, path, "{}", "Authorization", viewer)
		require.Equal(t, http.StatusForbidden, res.StatusCode, "%s: %s", route, text)
		res, _ = n.doAt(n.consoleURL(), method, path, "{}", "Authorization", operator)
		require.NotContains(t, []int{401, 403, 405}, res.StatusCode, route)
		res, _ = n.doAt(n.consoleURL(), method, path, "{}", "Authorization", n.login())
		require.Equal(t, http.StatusUnauthorized, res.StatusCode, "%s with the password", route)
	}
	for token, status := range map[string]int{viewer: 403, operator: 200} {
		res, _ := n.doAt(n.consoleURL(), http.MethodGet, "/system/secrets", "", "Authorization", token)
		require.Equal(t, status, res.StatusCode)
	}
	res, _ := n.doAt(n.consoleURL(), http.MethodPost, "/system/scale-function/probe", `{"replicas": 2}`,
		"Authorization", operator)
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	eventually(t, func() bool { return n.available("probe") == 2 })

	for _, path := range []string{"/function/probe", "/metrics", "/healthz", "/ui/"} {
		res, _ := n.doAt(n.consoleURL(), http.MethodGet, path, "", "Authorization", operator)
		require.Equal(t, http.StatusNotFound, res.StatusCode, path)
	}
	res, _ = n.doAt(n.consoleURL(), http.MethodPost, "/async-function/probe", "", "Authorization", operator)
	require.Equal(t, http.StatusNotFound, res.StatusCode)
	_, text := n.do(http.MethodGet, "/ui/", "")
	require.Contains(t, text, n.consoleURL())
}

func TestConsoleInvokesWithinTheLimitsOfCallers(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, consoleAddress(t))
	n.deploy("probe", func(d *types.FunctionDeployment) {
		(*d.Annotations)["com.hearth.rate"] = "3/h"
	})
	operator := n.logIn("operator")
	invoke := func(in map[string]any) (out struct {
		Status  int
		Headers http.Header
		Body    string
	}) {
		text, err := json.Marshal(in)
		require.NoError(t, err)
		res, answer := n.doAt(n.consoleURL(), http.MethodPost, "/invoke", string(text), "Authorization",
			operator)
		require.Equal(t, http.StatusOK, res.StatusCode, answer)
		require.NoError(t, json.Unmarshal([]byte(answer), &out))
		return out
	}
	out := invoke(map[string]any{"function": "probe", "query": "status=418", "body": "dough"})
	require.Equal(t, http.StatusTeapot, out.Status)
	require.NotEmpty(t, out.Headers["X-Call-Id"])
	out = invoke(map[string]any{"function": "probe", "async": true})
	require.Equal(t, http.StatusAccepted, out.Status)
	require.Equal(t, []string{"queued"}, out.Headers["X-Call-State"])
	require.Equal(t, 404, invoke(map[string]any{"function": "nobody"}).Status)
	require.Equal(t, 200, invoke(map[string]any{"function": "probe"}).Status)
	require.Equal(t, 429, invoke(map[string]any{"function": "probe"}).Status)
	res, _ := n.do(http.MethodGet, "/function/probe", "")
	require.Equal(t, 429, res.StatusCode, "it is one caller")
}

func TestConsoleCommandPrintsALink(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, consoleAddress(t))
	out, err := run(t, "console", "--gateway", n.url(), "--state", n.cfg.State)
	require.NoError(t, err)
	require.Regexp(t, `^`+n.consoleURL()+`/#login=[A-Z2-7]{26}\n$`, out)
	out, err = run(t, "console", "--viewer", "--json", "--gateway", n.url(), "--state", n.cfg.State)
	require.NoError(t, err)
	var link consoleLogin
	require.NoError(t, json.Unmarshal([]byte(out), &link))
	require.Equal(t, "viewer", link.Role)
	require.False(t, link.Expires.IsZero())

	bare := newTestNode(t)
	_, err = run(t, "console", "--gateway", bare.url(), "--state", bare.cfg.State)
	require.ErrorContains(t, err, "start it with --console")
	status := n.system(http.MethodPost, "/system/console/login", map[string]string{"role": "admin"}, nil)
	require.Equal(t, http.StatusBadRequest, status)
}

func TestBrowserIsGivenAFileAndNotTheLink(t *testing.T) {
	t.Parallel()
	c := &client{state: t.TempDir()}
	for range 2 {
		path, err := c.linkFile("http://127.0.0.1:8081/#login=X&Y")
		require.NoError(t, err)
		require.Equal(t, filepath.Join(c.state, "console.html"), path)
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode())
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Contains(t, string(text), `url=http://127.0.0.1:8081/#login=X&amp;Y"`)
	}
}

func TestATakenConsoleAddressIsAnErrorOnlyIfItWasChosen(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	var text bytes.Buffer
	chosen := false
	c := consoleConfig{Listen: taken.Addr().String(), given: func() bool { return chosen }}
	l, err := c.listen(newConsole(&text))
	require.NoError(t, err)
	require.NotEqual(t, taken.Addr().String(), l.Addr().String())
	require.Contains(t, text.String(), "is in use by")
	require.Contains(t, text.String(), l.Addr().String())
	require.NoError(t, l.Close())

	chosen = true
	_, err = c.listen(newConsole(io.Discard))
	require.ErrorContains(t, err, "choose another address with --console")
	for _, off := range []string{"", "off"} {
		c.Listen = off
		l, err := c.listen(newConsole(io.Discard))
		require.NoError(t, err)
		require.Nil(t, l)
		require.NoError(t, c.check(true))
	}
	c.Listen = "0.0.0.0:8081"
	require.ErrorContains(t, c.check(true), "--console is 0.0.0.0:8081")
}
