package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

func TestInvokeSendsABodyAndPrintsTheResponse(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	record := filepath.Join(t.TempDir(), "record")
	n.deploy("probe", func(d *types.FunctionDeployment) { d.EnvVars["RECORD"] = record })
	file := filepath.Join(t.TempDir(), "body")
	require.NoError(t, os.WriteFile(file, []byte("from a file"), 0o600))
	for _, c := range []struct {
		args         []string
		method, want string
	}{
		{nil, "POST", "from stdin"},
		{[]string{"--method", "get"}, "GET", ""},
		{[]string{"--data", "from argv"}, "POST", "from argv"},
		{[]string{"--data", ""}, "POST", ""},
		{[]string{"--file", file}, "POST", "from a file"},
		{[]string{"--file", "-"}, "POST", "from stdin"},
		{[]string{"-n", "openfaas-fn"}, "POST", "from stdin"},
	} {
		_, err := n.runWith("from stdin", append([]string{"invoke", "probe", "--header",
			"X-Order: 7"}, c.args...)...)
		require.NoError(t, err)
		text, err := os.ReadFile(record)
		require.NoError(t, err)
		var seen struct {
			Method string
			Header http.Header
			Body   []byte
		}
		require.NoError(t, json.Unmarshal(text, &seen), string(text))
		require.NoError(t, os.Remove(record))
		require.Equal(t, "7", seen.Header.Get("X-Order"))
		require.Empty(t, seen.Header.Get("Authorization"), "a function is not given the gateway's password")
		require.Equal(t, c.method, seen.Method)
		require.Equal(t, c.want, string(seen.Body))
	}
}

func TestInvokePrintsTheResponseOfAFailedCall(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	text, err := n.runWith("", "invoke", "probe", "--query", "status=404")
	require.EqualError(t, err, "probe answered 404 Not Found", "the function is there")
	require.NotEmpty(t, text)
	_, err = n.runWith("", "invoke", "probe", "--query", "status=500")
	require.EqualError(t, err, "probe answered 500 Internal Server Error")
	text, err = n.runWith("", "invoke", "probe", "--query", "status=302", "--include")
	require.NoError(t, err, "a redirect is an answer, and is not followed")
	require.Contains(t, text, "HTTP/1.1 302 Found")
	require.Contains(t, text, "X-Call-Id: ")
	_, err = n.runWith("", "invoke", "probe", "--header", "nonsense")
	require.ErrorContains(t, err, "want 'NAME: VALUE'")
	_, err = n.runWith("", "invoke", "probe", "--delay", "1m")
	require.ErrorContains(t, err, "need --async")
}

func TestAsyncInvokePrintsTheCallID(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	id, err := n.runWith("body", "invoke", "probe", "--async", "--delay", "1h", "--header",
		"X-Call-Id: in-an-hour")
	require.NoError(t, err)
	require.Equal(t, "in-an-hour\n", id)
	eventually(t, func() bool { return n.oneQueue("probe").Delayed == 1 })
	text, err := n.run("cancel", "in-an-hour")
	require.NoError(t, err)
	require.Equal(t, "cancelled 1 call\n", text)
	var queued struct {
		CallID   string `json:"call_id"`
		Function string
	}
	n.runJSON(&queued, "invoke", "probe", "--async", "-d", "x")
	require.NotEmpty(t, queued.CallID)
	require.Equal(t, "probe.openfaas-fn", queued.Function)
}
