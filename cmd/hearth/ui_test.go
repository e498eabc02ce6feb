package main

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

func TestThePageShowsFunctionsAndQueuesAndNothingThatTheyPutInIt(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, adminAddress(t))
	n.deploy("probe")
	n.deploy("broken", func(d *types.FunctionDeployment) { d.EnvVars["FAIL_START"] = "<script>alert(1)</script>" })
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
