package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openfaas/faas-provider/types"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// TestFunctionsAtZeroCostNoConnectionAndLittleMemory is not parallel: it measures this process and its Redis.
func TestFunctionsAtZeroCostNoConnectionAndLittleMemory(t *testing.T) {
	const functions, most = 1000, 20_000 // bytes of each, in hearth and in Redis together
	if _, err := exec.LookPath("redis-server"); err != nil || os.Getenv("REDIS_URL") != "" {
		t.Skip("needs a Redis of its own: the memory of one that others use too, or of the in-memory one, " +
			"says nothing")
	}
	n := newTestNode(t)
	asleep := func(d *types.FunctionDeployment) {
		d.Labels = &map[string]string{"com.openfaas.scale.min": "0"}
		d.Annotations = &map[string]string{"topic": "asleep." + d.Service}
	}
	n.deploy("first", asleep)
	n.wake(t, "first")
	require.NoError(t, n.client.ScaleFunction(t.Context(), "first", "", 0))
	eventually(t, func() bool { return n.available("first") == 0 })

	connections, heap, kept, goroutines := clients(t, n.raw), heapInUse(), usedMemory(t,
		n.raw), runtime.NumGoroutine()
	for i := range functions {
		n.deploy(fmt.Sprintf("f%d", i), asleep)
	}
	var here, there int
	fits := func() bool { // a look at all queues, which may be in progress, takes more for a moment
		here, there = (heapInUse()-heap)/functions, (usedMemory(t, n.raw)-kept)/functions
		return here+there < most
	}
	require.Eventually(t, fits, time.Minute, time.Second, "a function asleep costs too much")
	t.Logf("a function asleep costs %d bytes: %d here, and %d in Redis", here+there, here, there)
	require.Less(t, clients(t, n.raw)-connections, functions/5,
		"connections: the pools may have grown, but not by one for each")
	require.Less(t, runtime.NumGoroutine()-goroutines, functions/5, "goroutines")

	n.wake(t, "f999") // they do work
	require.NoError(t, n.raw.XAdd(t.Context(), &redis.XAddArgs{Stream: "{asleep}.f500",
		Values: []string{"body", "good morning"}}).Err())
	eventually(t, func() bool {
		return n.available("f500") == 1 &&
			n.raw.XLen(t.Context(), "{asleep}.f500").Val() == 0
	})
}

func (n *testNode) wake(t *testing.T, function string) {
	t.Helper()
	res, text := n.do(http.MethodPost, "/function/"+function, "good morning")
	require.Equal(t, http.StatusOK, res.StatusCode, text)
	require.Equal(t, "good morning", text)
}

func heapInUse() int {
	runtime.GC()
	runtime.GC() // run finalizers first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

func info(t *testing.T, rdb redis.UniversalClient, section, field string) int {
	t.Helper()
	text, err := rdb.Info(t.Context(), section).Result()
	require.NoError(t, err)
	for line := range strings.SplitSeq(text, "\r\n") {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.Atoi(value)
			require.NoError(t, err)
			return n
		}
	}
	t.Fatalf("INFO %s has no %s", section, field)
	return 0
}

func clients(t *testing.T, rdb redis.UniversalClient) int {
	return info(t, rdb, "clients", "connected_clients")
}
func usedMemory(t *testing.T, rdb redis.UniversalClient) int {
	return info(t, rdb, "memory", "used_memory")
}
