package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// Instances on a Redis Cluster.

// onCluster starts an instance that knows one node of the cluster.
func onCluster(t *testing.T, c *chaintest.RedisCluster, at *chaintest.Node) *testNode {
	t.Helper()
	return startTestNode(t, c, t.TempDir(), callbacksHere,
		func(cfg *nodeConfig) { cfg.RedisURL = "redis://" + at.Addr })
}

func TestInstancesOnARedisCluster(t *testing.T) {
	t.Parallel()
	c := chaintest.Cluster(t)
	a, b := onCluster(t, c, c.Nodes[0]), onCluster(t, c, c.Nodes[1])
	got := make(chan string, 100)
	listener := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r.Header.Get("X-Call-Id") + " " + string(body)
	}))
	defer listener.Close()
	names := []string{"one", "two", "three", "four", "five", "six"} // on all nodes
	want, seen := map[string]bool{}, map[string]bool{}
	for i, name := range names {
		a.deploy(name, onTopic("shop.opened, other.topic"))
		id := fmt.Sprint("call-", i)
		want[id+" hi"] = true
		res, text := a.do(http.MethodPost, "/async-function/"+name, "hi", "X-Callback-Url",
			listener.URL, "X-Call-Id", id)
		require.Equal(t, http.StatusAccepted, res.StatusCode, text)
	}
	eventually(t, func() bool {
		for len(got) > 0 {
			seen[<-got] = true
		}
		return len(seen) == len(want)
	})
	require.Equal(t, want, seen)
	for i := range 20 {
		a.put([]string{"{shop}.opened", "{other}.topic"}[i%2])
	}
	eventually(t, func() bool {
		return c.XLen(t.Context(), "{shop}.opened").Val() == 0 &&
			c.XLen(t.Context(), "{other}.topic").Val() == 0
	})
	eventually(t, func() bool { return len(b.registry.All()) == len(names) })
	for _, name := range names {
		res, _ := b.do(http.MethodPost, "/async-function/"+name+"?status=500", "x")
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	var dead []queue.DeadLetter
	eventually(t, func() bool {
		b.system(http.MethodGet, "/system/dead-letters", nil, &dead)
		return len(dead) == len(names)
	})
	var done map[string]int
	a.system(http.MethodPost, "/system/dead-letters/purge", map[string]any{"all": true}, &done)
	require.Equal(t, len(names), done["purged"])
	for _, name := range names {
		require.NoError(t, b.client.DeleteFunction(t.Context(), name, ""))
	}
	eventually(t, func() bool {
		var queues []queue.Queue
		a.system(http.MethodGet, "/system/queues", nil, &queues)
		return len(queues) == 0 && len(a.registry.All()) == 0
	})
}

// apart finds two function names: the first has its queue on the node, and the second has not.
func apart(t *testing.T, node func(key string) bool) (on, off string) {
	t.Helper()
	for i := 0; on == "" || off == ""; i++ {
		name := fmt.Sprint("f", i)
		if node("{fn:" + name + ".openfaas-fn}") {
			on = name
		} else {
			off = name
		}
	}
	return on, off
}

func TestDeadMasterStopsOnlyItsOwnQueues(t *testing.T) {
	t.Parallel()
	c := chaintest.OwnCluster(t, 0)
	home := c.MasterOf(t, "{hearth}")
	victim := c.Nodes[0]
	if victim == home {
		victim = c.Nodes[1]
	}
	n := onCluster(t, c, home)
	gone, here := apart(t, func(key string) bool { return c.MasterOf(t, key) == victim })
	for _, name := range []string{gone, here} {
		n.deploy(name)
		res, _ := n.do(http.MethodPost, "/async-function/"+name, "x")
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	calls := func(name string) int {
		f, err := n.client.GetFunction(t.Context(), name, "")
		require.NoError(t, err)
		return int(f.InvocationCount)
	}
	eventually(t, func() bool { return calls(gone) == 1 && calls(here) == 1 })
	victim.Kill()
	for range 5 {
		res, text := n.do(http.MethodPost, "/async-function/"+gone, "x")
		require.Equal(t, http.StatusServiceUnavailable, res.StatusCode, text)
		res, text = n.do(http.MethodPost, "/async-function/"+here, "x")
		require.Equal(t, http.StatusAccepted, res.StatusCode, text)
		res, text = n.do(http.MethodPost, "/function/"+gone, "x")
		require.Equal(t, http.StatusOK, res.StatusCode, text)
	}
	eventually(t, func() bool { return calls(here) == 6 && calls(gone) == 6 })
	victim.Start(t)
	eventually(t, func() bool {
		res, _ := n.do(http.MethodPost, "/async-function/"+gone, "x")
		return res.StatusCode == http.StatusAccepted
	})
	eventually(t, func() bool { return calls(gone) == 7 })
	// The dispatcher recovers by itself too, without the gateway's notification.
	before := calls(gone)
	require.NoError(t, c.XAdd(t.Context(), &redis.XAddArgs{Stream: "{fn:" + gone + ".openfaas-fn}.calls",
		Values: []string{"body", "by hand"}}).Err())
	eventually(t, func() bool { return calls(gone) == before+1 })
}

func TestReplicaTakesTheDeadMastersPlace(t *testing.T) {
	c := chaintest.OwnCluster(t, 1)
	home := c.MasterOf(t, "{hearth}")
	n := onCluster(t, c, home)
	name, _ := apart(t, func(key string) bool { return c.MasterOf(t, key) == home })
	n.deploy(name, onTopic("shop.opened"))
	res, _ := n.do(http.MethodPost, "/async-function/"+name, "x")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	calls := func() int {
		f, err := n.client.GetFunction(t.Context(), name, "")
		require.NoError(t, err)
		return int(f.InvocationCount)
	}
	eventually(t, func() bool { return calls() == 1 })
	home.Kill()
	eventually(t, func() bool {
		res, _ := n.do(http.MethodPost, "/async-function/"+name, "x")
		return res.StatusCode == http.StatusAccepted
	})
	eventually(t, func() bool { return calls() >= 2 })
	before := calls()
	eventually(t, func() bool {
		return c.XAdd(t.Context(), &redis.XAddArgs{Stream: "{fn:" + name + ".openfaas-fn}.calls",
			Values: []string{"body", "by hand"}}).Err() == nil
	})
	eventually(t, func() bool { return calls() >= before+1 })
	n.deploy("another")
	res, _ = n.do(http.MethodPost, "/function/another", "x")
	require.Equal(t, http.StatusOK, res.StatusCode)
}
