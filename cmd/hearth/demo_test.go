package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// visitor is somebody who has logged in to a node's console.
type visitor struct {
	n     *testNode
	token string
}

func (n *testNode) visit(role string) visitor {
	n.t.Helper()
	link, _, err := n.consoleLink(role)
	require.NoError(n.t, err)
	_, login, _ := strings.Cut(link, "#login=")
	v := visitor{n: n}
	status, text := v.do(http.MethodPost, "/session", map[string]string{"login": login})
	require.Equal(n.t, http.StatusOK, status, text)
	var s struct {
		Token string `json:"token"`
	}
	require.NoError(n.t, json.Unmarshal([]byte(text), &s))
	v.token = s.Token
	return v
}

func (v visitor) do(method, path string, in any) (status int, body string) {
	v.n.t.Helper()
	text, err := json.Marshal(in)
	require.NoError(v.n.t, err)
	address := v.n.consoleURL() + path
	req, err := http.NewRequestWithContext(v.n.t.Context(), method, address, bytes.NewReader(text))
	require.NoError(v.n.t, err)
	if v.token != "" {
		req.Header.Set("Authorization", "Bearer "+v.token)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(v.n.t, err)
	answer, err := io.ReadAll(res.Body)
	require.NoError(v.n.t, err)
	require.NoError(v.n.t, res.Body.Close())
	return res.StatusCode, string(answer)
}

func withConsole(t *testing.T) func(*nodeConfig) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return func(c *nodeConfig) { c.ConsoleListener = l }
}

func TestADemonstrationOffersFaults(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, withConsole(t), func(c *nodeConfig) {
		c.Demo = demoConfig{On: true, Audit: "echo balanced; exit 3"}
	})
	n.deploy("probe")
	operator, viewer := n.visit("operator"), n.visit("viewer")
	status, text := viewer.do(http.MethodPost, "/demo/faults", map[string]string{"fault": "kill-instance"})
	require.Equal(t, http.StatusForbidden, status, text)
	status, text = visitor{n: n}.do(http.MethodGet, "/demo", nil)
	require.Equal(t, http.StatusUnauthorized, status, text)

	status, text = operator.do(http.MethodGet, "/demo", nil)
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"audit": true, "faults":
		["deploy-crashing", "kill-fleet", "kill-instance", "kill-replica", "slow-redis"]}`, text)
	status, text = operator.do(http.MethodPost, "/demo/audit", nil)
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"ok": false, "text": "balanced"}`, text)

	fault := func(name string) (int, string) {
		in := map[string]string{"fault": name, "function": "probe"}
		return operator.do(http.MethodPost, "/demo/faults", in)
	}
	status, text = fault("burn-down")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, text, "kill-replica")
	status, text = fault("slow-redis")
	require.Equal(t, http.StatusOK, status, text)
	eventually(t, func() bool { status, text = fault("kill-replica"); return status == http.StatusOK })
	require.Contains(t, text, "One replica of probe was killed.")
	eventually(t, func() bool { // it is started again
		res, _ := n.do(http.MethodPost, "/function/probe", "")
		return res.StatusCode == http.StatusOK
	})
	status, text = fault("deploy-crashing")
	require.Equal(t, http.StatusOK, status, text)
	eventually(t, func() bool { // and is rolled back
		var f struct {
			Rollback json.RawMessage `json:"rollback"`
		}
		status := n.system(http.MethodGet, "/system/function/probe", nil, &f)
		return status == http.StatusOK && len(f.Rollback) > 2
	})
	res, _ := n.do(http.MethodPost, "/function/probe", "")
	require.Equal(t, http.StatusOK, res.StatusCode)
}

func TestOnlyADemonstrationOffersFaults(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, withConsole(t))
	operator := n.visit("operator")
	for _, path := range []string{"/demo/faults", "/demo/audit"} {
		status, _ := operator.do(http.MethodPost, path, map[string]string{"fault": "kill-instance"})
		require.Equal(t, http.StatusNotFound, status)
	}
	_, text := operator.do(http.MethodGet, "/session", nil)
	require.Contains(t, text, `"demo":false`)
}
