package main

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

func TestConsoleEscapesFunctionsAndQueues(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, adminAddress(t))
	n.deploy("probe")
	n.deploy("broken", func(d *types.FunctionDeployment) {
		d.EnvVars["FAIL_START"] = "<script>alert(1)</script>"
	})
	page := func() string {
		login := base64.StdEncoding.EncodeToString([]byte(n.credentials.User + ":" + n.credentials.Password))
		_, text := n.doAt(n.adminURL(), http.MethodGet, "/ui/", "", "Authorization", "Basic "+login)
		return text
	}
	eventually(t, func() bool {
		return strings.Contains(page(), "cannot start: ") && strings.Contains(page(), "<td>ready")
	})
	text := page()
	require.Contains(t, text, "<td>probe</td><td>openfaas-fn</td>")
	require.Contains(t, text, "<td>probe:calls</td>")
	require.Contains(t, text, "&lt;script&gt;alert(1)")
	require.NotContains(t, text, "<script")
}

func TestConsoleCountsMessagesLikeHearthQueues(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, adminAddress(t))
	n.deploy("probe", func(d *types.FunctionDeployment) {
		d.Annotations = &map[string]string{"com.openfaas.retry.min_wait": "1h",
			"com.openfaas.retry.max_wait": "1h"}
	})
	// one waits for its retry, two are in flight
	for _, call := range []string{"?status=500", "?sleep=1m", "?sleep=1m"} {
		res, _ := n.do(http.MethodPost, "/async-function/probe"+call, "")
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	eventually(t, func() bool { q := n.oneQueue("probe"); return q.Due == 1 && q.Leased == 2 })
	login := base64.StdEncoding.EncodeToString([]byte(n.credentials.User + ":" + n.credentials.Password))
	_, text := n.doAt(n.adminURL(), http.MethodGet, "/ui/", "", "Authorization", "Basic "+login)
	row := func(first string) []string { // texts of the cells
		line := regexp.MustCompile(`<tr><t[hd]>` + first + `<.*`).FindString(text)
		return strings.FieldsFunc(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(line, "|"),
			func(r rune) bool { return r == '|' })
	}
	require.Equal(t, []string{"Queue", "Queued", "Retrying", "In flight", "Delayed", "Dead"}, row("Queue"))
	require.Equal(t, []string{"probe:calls", "1", "1", "2", "0", "0"}, row("probe:calls"))
}
