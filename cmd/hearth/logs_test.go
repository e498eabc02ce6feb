package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	wire "github.com/openfaas/faas-provider/logs"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

func TestLogsOverREST(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	n.deploy("other")
	for _, text := range []string{"one", "two", "three"} {
		res, _ := n.do(http.MethodPost, "/function/probe?print="+text, "")
		require.Equal(t, http.StatusOK, res.StatusCode)
	}
	texts := func(query string) (texts []string, status int) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			n.url()+"/system/logs?"+query, nil)
		require.NoError(t, err)
		req.SetBasicAuth(n.credentials.User, n.credentials.Password)
		res, err := n.self.Do(req)
		require.NoError(t, err)
		defer func() { _ = res.Body.Close() }()
		if res.StatusCode != http.StatusOK {
			return nil, res.StatusCode
		}
		require.Equal(t, "application/x-ndjson", res.Header.Get("Content-Type"))
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			var m wire.Message
			require.NoError(t, json.Unmarshal(lines.Bytes(), &m))
			require.Equal(t, "probe", m.Name)
			require.Equal(t, "openfaas-fn", m.Namespace)
			require.Contains(t, m.Instance, "probe-")
			require.WithinDuration(t, time.Now(), m.Timestamp, time.Minute)
			texts = append(texts, m.Text)
		}
		return texts, res.StatusCode
	}
	printed := func() (own []string) { // without the watchdog's request lines
		all, _ := texts("name=probe")
		return slices.DeleteFunc(all, func(s string) bool {
			return strings.Contains(s, " POST / ") ||
				!slices.Contains([]string{"one\n", "two\n", "three\n"}, s)
		})
	}
	eventually(t, func() bool { return len(printed()) == 3 })
	require.Equal(t, []string{"one\n", "two\n", "three\n"}, printed())
	for query, want := range map[string]int{
		"name=probe&tail=2": 2, "name=probe&tail=9&tail=1": 1,
		"name=probe&tail=3&namespace=openfaas-fn&follow=no": 3, "name=probe&instance=nobody": 0,
		"name=probe&since=2999-01-01T00:00:00Z":                                          0,
		"name=probe&tail=0&since=2999-01-01T00:00:00Z&since=2000-01-01T00:00:00Z&tail=1": 1,
	} {
		got, status := texts(query)
		require.Equal(t, http.StatusOK, status, query)
		require.Len(t, got, want, query)
	}
	for query, want := range map[string]int{"name=nobody": 404, "name=probe&namespace=other": 404, "": 422,
		"name=probe&tail=x": 422, "name=probe&since=yesterday": 422} {
		_, status := texts(query)
		require.Equal(t, want, status, query)
	}
	res, _ := n.do(http.MethodGet, "/system/logs?name=probe", "")
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)

	since := time.Now().Add(-time.Hour)
	lines, err := n.client.GetLogs(t.Context(), "probe", "", true, 1, &since)
	require.NoError(t, err)
	<-lines
	_, _ = n.do(http.MethodPost, "/function/probe?print=four", "")
	for text := ""; text != "four\n"; text = (<-lines).Text { // as it arrives
	}

	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, n.node.close(ctx))
	n.closed = true
	require.Less(t, time.Since(began), 45*time.Second, "who follows does not keep hearth from ending")
	for range lines { // until the response ends
	}
}

func TestLogsStayInTheirNamespace(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	require.Less(t, n.system(http.MethodPost, "/system/namespace/",
		types.FunctionNamespace{Name: "shop"}, nil), 300)
	n.deploy("probe", func(d *types.FunctionDeployment) { d.Namespace = "shop" })
	_, _ = n.do(http.MethodPost, "/function/probe.shop?print=hush", "")
	_, _ = n.do(http.MethodPost, "/function/probe?print=loud", "")
	for namespace, want := range map[string]string{"": "loud\n", "shop": "hush\n"} {
		eventually(t, func() bool {
			lines, err := n.client.GetLogs(t.Context(), "probe", namespace, false, 0, nil)
			require.NoError(t, err)
			var got []string
			for l := range lines {
				got = append(got, l.Text)
			}
			require.NotContains(t, got, map[string]string{"": "hush\n", "shop": "loud\n"}[namespace])
			return slices.Contains(got, want)
		})
	}
}
