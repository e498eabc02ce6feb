package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

func (n *testNode) login() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(n.credentials.User+":"+n.credentials.Password))
}

func TestAdminAddressServesNoFunctions(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, adminAddress(t))
	n.deploy("probe")
	for _, tt := range []struct {
		method, path string
		header       []string
		status       int
	}{
		{"GET", "/ui/", nil, 404},
		{"GET", "/ui/", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"GET", "/system/functions", []string{"Authorization", n.login(), "Sec-Fetch-Site", "none"}, 200},
		{"GET", "/system/functions", []string{"Authorization", n.login(), "Sec-Fetch-Site",
			"same-site"}, 403},
		{"GET", "/system/functions", nil, 401},
		{"GET", "/system/functions", []string{"Authorization", n.login(),
			"Service-Worker-Navigation-Preload", "true"}, 403},
		{"GET", "/system/functions", []string{"Authorization", n.login(), "Service-Worker", "script"}, 403},
		{"GET", "/system/functions", []string{"Authorization", n.login(), "Sec-Fetch-Site",
			"same-origin"}, 200},
		{"GET", "/system/functions", []string{"Authorization", n.login(), "Origin", n.url()}, 403},
		{"GET", "/system/functions", []string{"Authorization", n.login(), "Origin", n.adminURL()}, 200},
		{"GET", "/system/functions", []string{"Authorization", n.login(), "Host", "rebind.example"}, 403},
		{"GET", "/metrics", []string{"Host", "rebind.example"}, 403},
		{"GET", "/metrics", nil, 200},
		{"GET", "/healthz", []string{"Host", "rebind.example"}, 200},
		{"PATCH", "/system/functions", nil, 405},
		{"POST", "/function/probe", nil, 404},
		{"POST", "/async-function/probe", nil, 404},
		{"DELETE", "/async-function/some-call", nil, 401},
		{"DELETE", "/async-function/some-call", []string{"Authorization", n.login()}, 404},
		{"GET", "/nothing", nil, 404},
	} {
		res, text := n.doAt(n.adminURL(), tt.method, tt.path, "", tt.header...)
		require.Equal(t, tt.status, res.StatusCode, "%s %s %v: %s", tt.method, tt.path, tt.header, text)
		require.Contains(t, res.Header.Get("Content-Security-Policy"), "sandbox", tt.path)
		require.Equal(t, "same-origin", res.Header.Get("Cross-Origin-Opener-Policy"), tt.path)
		require.Equal(t, "DENY", res.Header.Get("X-Frame-Options"), tt.path)
		require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"), tt.path)
	}
}

func TestAdminOnlyKeepsTheAPIOffTheGateway(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, adminAddress(t), func(c *nodeConfig) { c.Admin.Only = true })
	for _, path := range []string{"/system/functions", "/system/info", "/metrics"} {
		res, text := n.do(http.MethodGet, path, "", "Authorization", n.login())
		require.Equal(t, http.StatusNotFound, res.StatusCode, path)
		require.Contains(t, text, n.adminURL()+path)
	}
	res, _ := n.do(http.MethodDelete, "/async-function/some-call", "", "Authorization", n.login())
	require.Equal(t, http.StatusNotFound, res.StatusCode)

	lock, err := lockState(n.cfg.State) // as hearth up and serve do
	require.NoError(t, err)
	defer lock.release()
	require.NoError(t, lock.say(holder{Address: n.cfg.Listener.Addr().String(), API: n.apiURL()}))
	_, err = run(t, "list", "--gateway", n.url(), "--state", n.cfg.State)
	require.NoError(t, err, "the command finds the API")
	_, err = run(t, "list", "--gateway", n.url(), "--state", t.TempDir(), "--password-file",
		filepath.Join(n.cfg.State, "basic-auth-password"))
	require.ErrorContains(t, err, "admin address", "without the state directory it cannot")
}

func TestStateDirectoryNamesTheAPIOfItsInstance(t *testing.T) {
	t.Parallel()
	for gateway, same := range map[string]bool{"http://127.0.0.1:8080": true, "http://localhost:8080": true,
		"https://[::1]:8080/":   true,
		"http://127.0.0.1:9090": false, "http://10.0.0.1:8080": false, "http://hearth.example:8080": false,
		"http://127.0.0.1": false} {
		u, err := url.Parse(gateway)
		require.NoError(t, err)
		require.Equal(t, same, sameEndpoint(u, "127.0.0.1:8080"), gateway)
	}
}

// TestFunctionsNeverReceiveTheOperatorsPassword sends it by mistake, in every form, in sync and queued calls.
func TestFunctionsNeverReceiveTheOperatorsPassword(t *testing.T) {
	t.Parallel()
	recorded := filepath.Join(t.TempDir(), "record")
	n := newTestNode(t)
	n.deploy("probe", func(d *types.FunctionDeployment) { d.EnvVars["RECORD"] = recorded })
	plain := n.credentials.User + ":" + n.credentials.Password
	sent := 0
	for _, form := range []string{
		n.login(),
		strings.Replace(n.login(), "Basic", "bASIC", 1),
		strings.Replace(n.login(), " ", "   ", 1),
		strings.TrimRight(n.login(), "="),
		"Bearer " + n.credentials.Password,
		"bearer " + n.credentials.Password,
		"Token " + n.credentials.Password,
		n.credentials.Password,
		"Basic " + base64.StdEncoding.EncodeToString([]byte("typo:"+n.credentials.Password)),
		"Bearer " + base64.RawURLEncoding.EncodeToString([]byte(plain)),
	} {
		for _, kind := range []string{"/function/", "/async-function/"} {
			for _, own := range []string{"", "Bearer its-own"} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
					n.url()+kind+"probe", nil)
				require.NoError(t, err)
				req.Header["Authorization"] = []string{form}
				if own != "" {
					req.Header["Authorization"] = []string{form, own}
				}
				req.Header.Set("X-Own", own)
				res, err := n.self.Do(req)
				require.NoError(t, err)
				_ = res.Body.Close()
				require.Less(t, res.StatusCode, 300)
				sent++
			}
		}
	}
	for _, h := range recordedHeaders(t, recorded, sent) {
		require.Equal(t, h.Get("X-Own"), strings.Join(h["Authorization"], ", "))
	}
}

// recordedHeaders waits until the probe has recorded so many calls, and returns their headers.
func recordedHeaders(t *testing.T, path string, calls int) []http.Header {
	t.Helper()
	var text []byte
	eventually(t, func() bool {
		text, _ = os.ReadFile(path)
		return bytes.Count(text,
			[]byte("\n")) == calls
	})
	var list []http.Header
	for line := range bytes.Lines(text) {
		var call struct{ Header http.Header }
		require.NoError(t, json.Unmarshal(line, &call))
		list = append(list, call.Header)
	}
	return list
}

// TestFetchInNodeCountsAsAProgram uses Node if it is installed. TestExchanges has the headers that it sends.
func TestFetchInNodeCountsAsAProgram(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("there is no Node here")
	}
	n := newTestNode(t, adminAddress(t))
	n.deploy("probe")
	for _, base := range []string{n.url(), n.adminURL()} {
		script := `const requests = [
				["/system/functions", "GET"],
				["/system/scale-function/probe", "POST", "{\"replicas\":1}"],
			]
			for (const [path, method, body] of requests) {
				const headers = {authorization: process.argv[2]}
				const r = await fetch(process.argv[1] + path, {method, body, headers})
				console.log(r.status)
			}`
		out, err := exec.Command(node, "--input-type=module", "-e", script, base, n.login()).CombinedOutput()
		require.NoError(t, err, string(out))
		require.Equal(t, "200\n202\n", string(out))
	}
}

func TestAdminFlagsAreValidated(t *testing.T) {
	t.Parallel()
	c := serveConfig{providerConfig: providerConfig{Provider: "process"},
		Listen: "127.0.0.1:0", Fsync: "always"}
	c.Admin.Only = true
	require.ErrorContains(t, c.check(), "--admin-only-there needs --admin-listen")
	c.Admin.Listen = "8082"
	require.ErrorContains(t, c.check(), "--admin-listen is \"8082\"")
	c.Admin.Listen, c.NoAuth = "0.0.0.0:8082", true
	require.ErrorContains(t, c.check(), "--admin-listen is 0.0.0.0:8082")

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	_, err = run(t, "serve", "--state", t.TempDir(), "--listen", "127.0.0.1:0", "--console", "off",
		"--admin-listen", taken.Addr().String())
	require.ErrorContains(t, err, "choose another address with --admin-listen")
	var own adminConfig
	own.own("hearth.office.example:8080", "127.0.0.1:8081", "[::1]:1", ":8080")
	require.Contains(t, own.Hosts, "hearth.office.example")
}
