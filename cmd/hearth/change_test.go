package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/openfaas/faas-provider/types"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// Functions during changes, and calls that are cut off.

func (n *testNode) queuesOf(function string) []queue.Queue {
	n.t.Helper()
	var list, own []queue.Queue
	require.Equal(n.t, http.StatusOK, n.system(http.MethodGet, "/system/queues", nil, &list))
	for _, q := range list {
		if q.Function == function+".openfaas-fn" {
			own = append(own, q)
		}
	}
	return own
}

func onTopic(topic string) func(*types.FunctionDeployment) {
	return func(d *types.FunctionDeployment) { (*d.Annotations)["topic"] = topic }
}

func (n *testNode) put(stream string) {
	n.t.Helper()
	require.NoError(n.t, n.raw.XAdd(n.t.Context(),
		&redis.XAddArgs{Stream: stream, Values: []string{"body", "x"}}).Err())
}

func TestCallSurvivesRemovalDuringItsUpload(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	body, more := io.Pipe()
	answered := make(chan int, 1)
	go func() {
		res, err := http.Post(n.url()+"/async-function/probe", "text/plain", body)
		if err == nil {
			answered <- res.StatusCode
			_ = res.Body.Close()
		}
	}()
	_, err := more.Write([]byte("half"))
	require.NoError(t, err)
	require.NoError(t, n.client.DeleteFunction(t.Context(), "probe", ""))
	require.NoError(t, more.Close())
	require.Equal(t, http.StatusNotFound, <-answered, "nobody would deliver it")
	require.Zero(t, n.raw.Exists(t.Context(), "{fn:probe.openfaas-fn}.calls").Val())
}

// TestHalfClosedCallGetsNoFalseSuccess: a 2xx means that the work is done.
func TestHalfClosedCallGetsNoFalseSuccess(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	u, err := url.Parse(n.url())
	require.NoError(t, err)
	accepted := 0
	for i := range 50 {
		for _, path := range []string{"/function/probe?sleep=20ms", "/async-function/probe"} {
			c, err := net.Dial("tcp", u.Host)
			require.NoError(t, err)
			_, err = fmt.Fprintf(c,
				"POST %s HTTP/1.1\r\nHost: x\r\nX-Call-Id: %d\r\nContent-Length: 2\r\nConnection: close\r\n"+
					"\r\nhi", path, i)
			require.NoError(t, err)
			require.NoError(t, c.(*net.TCPConn).CloseWrite())
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err == nil {
				text, _ := io.ReadAll(res.Body)
				require.True(t, res.StatusCode == http.StatusAccepted || string(text) == "hi", "%s: %s %q",
					path, res.Status, text)
				if res.StatusCode == http.StatusAccepted {
					accepted++
				}
			}
			_ = c.Close()
		}
	}
	eventually(t, func() bool { return n.queuesOf("probe")[0].Waiting+n.queuesOf("probe")[0].Leased == 0 })
	t.Logf("%d of 50 were accepted", accepted)
}

func TestPathIsForwardedUnchanged(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	for _, path := range []string{"/a//b", "/https://x.y/z", "/a/../b", "/a%2F%2Fb", "//a", "/a%20b//c?x=1"} {
		client := &http.Client{CheckRedirect: func(*http.Request,
			[]*http.Request) error {
			return http.ErrUseLastResponse
		}}
		res, err := client.Post(n.url()+"/function/probe"+path, "text/plain", strings.NewReader("hello"))
		require.NoError(t, err)
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		require.Equal(t, http.StatusOK, res.StatusCode, path)
		require.Equal(t, "hello", string(text))
	}
}

// TestRemovedSubscriberBlocksNoMessage: the topic then belongs to the other subscriber alone. Deployed again,
// it receives no message that it had settled.
func TestRemovedSubscriberBlocksNoMessage(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("quick", onTopic("shop.opened"))
	n.deploy("slow", onTopic("shop.opened"),
		func(d *types.FunctionDeployment) { (*d.Annotations)["com.openfaas.retry.min_wait"] = "1h" })
	calls := func(function string) float64 {
		var f types.FunctionStatus
		n.system(http.MethodGet, "/system/function/"+function, nil, &f)
		return f.InvocationCount
	}
	require.NoError(t, n.client.ScaleFunction(t.Context(), "slow", "", 0))
	n.put("{shop}.opened")
	eventually(t, func() bool { return calls("quick") == 1 && calls("slow") == 1 })
	eventually(t, func() bool { return n.raw.XLen(t.Context(), "{shop}.opened").Val() == 0 })

	// slow cannot process one message; quick has settled it.
	require.NoError(t, n.raw.XAdd(t.Context(), &redis.XAddArgs{Stream: "{shop}.opened",
		Values: []string{"body", "x", "query", "status=500&only=slow"}}).Err())
	eventually(t, func() bool { return calls("quick") == 2 && calls("slow") == 2 })
	eventually(t, func() bool { return len(n.queuesOf("slow")) == 2 && n.queuesOf("slow")[1].Due == 1 })
	if n.raw.XLen(t.Context(), "{shop}.opened").Val() == 0 {
		t.Fatal("the probe does not fail for slow alone")
	}
	require.NoError(t, n.client.DeleteFunction(t.Context(), "quick", ""))
	require.Empty(t, n.queuesOf("quick"), "it is gone")
	for range 20 {
		n.put("{shop}.opened")
	}
	eventually(t, func() bool { return calls("slow") == 22 })
	eventually(t, func() bool { return n.raw.XLen(t.Context(), "{shop}.opened").Val() == 1 })

	n.deploy("quick", onTopic("shop.opened"))
	n.put("{shop}.opened")
	eventually(t, func() bool { return calls("quick") == 1 })
	eventually(t, func() bool { return calls("slow") == 23 })
	require.EqualValues(t, 1, calls("quick"), "only the new one")
}
