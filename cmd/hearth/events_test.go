package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/openfaas/faas-provider/types"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// A seen snapshot is what the tests look at of a server-sent one.
type seenSnapshot struct {
	Functions []struct {
		Name                              string
		Replicas, Available, Queued, Dead int
		Invocations                       int
		Topics, Emits                     []string
		InFlight                          int `json:"in_flight"`
	}
	Queues []struct {
		Queue         string
		AcceptedTotal int `json:"accepted_total"`
		DoneTotal     int `json:"done_total"`
	}
	Ledger struct {
		Accepted, Done, Dead, Waiting int
		Lost, Doubled                 *int
	}
	Redis     struct{ Available bool }
	Instances []struct{ Name, Version string }
}

// follow watches the events of an address until the test ends, and returns the last snapshot.
func (n *testNode) follow(base, authorization string) (last func() seenSnapshot) {
	n.t.Helper()
	ctx, cancel := context.WithCancel(n.t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/system/events", nil)
	require.NoError(n.t, err)
	req.Header.Set("Authorization", authorization)
	req.Header.Set("Accept", "text/event-stream")
	res, err := n.self.Do(req)
	require.NoError(n.t, err)
	require.Equal(n.t, http.StatusOK, res.StatusCode)
	require.Equal(n.t, "text/event-stream", res.Header.Get("Content-Type"))
	var mu sync.Mutex
	var got seenSnapshot
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			text, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			var s seenSnapshot
			if json.Unmarshal([]byte(text), &s) == nil {
				mu.Lock()
				got = s
				mu.Unlock()
			}
		}
	}()
	n.t.Cleanup(func() { cancel(); _ = res.Body.Close(); <-done })
	return func() seenSnapshot {
		mu.Lock()
		defer mu.Unlock()
		return got
	}
}

func TestEventsShowWhatFunctionsAndQueuesDo(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, consoleAddress(t))
	n.deploy("probe", func(d *types.FunctionDeployment) {
		(*d.Annotations)["topic"] = "shop.bake"
		(*d.Annotations)["com.hearth.emits"] = "shop.baked"
	})
	eventually(t, func() bool { return n.available("probe") == 1 })
	for _, last := range []func() seenSnapshot{
		n.follow(n.url(), n.login()), n.follow(n.consoleURL(), n.logIn("viewer")),
	} {
		eventually(t, func() bool { return len(last().Functions) == 1 && len(last().Instances) == 1 })
		f := last().Functions[0]
		require.Equal(t, "probe", f.Name)
		require.Equal(t, 1, f.Available)
		require.Equal(t, []string{"shop.bake"}, f.Topics)
		require.Equal(t, []string{"shop.baked"}, f.Emits)
		require.True(t, last().Redis.Available)
		before := last().Ledger.Accepted
		for range 5 {
			res, _ := n.do(http.MethodPost, "/async-function/probe", "")
			require.Equal(t, http.StatusAccepted, res.StatusCode)
		}
		eventually(t, func() bool {
			s := last()
			return s.Ledger.Accepted == before+5 && s.Ledger.Done == before+5 && s.Ledger.Waiting == 0
		})
		for _, q := range last().Queues {
			if q.Queue == "probe:calls" {
				require.Equal(t, before+5, q.AcceptedTotal)
				require.Equal(t, q.AcceptedTotal, q.DoneTotal)
			}
		}
	}
}

// TestLedgerFindsWhatIsLostAndDoubled does to Redis what nobody should.
func TestLedgerFindsWhatIsLostAndDoubled(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	last := n.follow(n.url(), n.login())
	balances := func(accepted, lost, doubled int) {
		t.Helper()
		eventually(t, func() bool {
			l := last().Ledger
			return l.Accepted == accepted && l.Waiting == 0 && l.Lost != nil && *l.Lost == lost &&
				*l.Doubled == doubled
		})
	}
	for range 3 {
		res, _ := n.do(http.MethodPost, "/async-function/probe", "")
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	balances(3, 0, 0)
	pause := map[string]string{"queue": "probe:calls"}
	require.Equal(t, 200, n.system(http.MethodPost, "/system/queues/pause", pause, nil))
	res, _ := n.do(http.MethodPost, "/async-function/probe", "")
	calls := redis.CallsOf(hearth.Name{Function: "probe", Namespace: hearth.DefaultNamespace})
	require.NoError(t, n.raw.XDel(t.Context(), calls.Stream, res.Header.Get("X-Message-Id")).Err())
	balances(4, 1, 0)
	require.NoError(t, n.raw.XAdd(t.Context(), &goredis.XAddArgs{
		Stream: calls.Record(),
		Values: []string{"i", "1-0", "r", "{}", "f", ""},
	}).Err())
	balances(4, 0, 0) // the end that was missing
	require.NoError(t, n.raw.XAdd(t.Context(), &goredis.XAddArgs{
		Stream: calls.Record(),
		Values: []string{"i", "1-0", "r", "{}", "f", ""},
	}).Err())
	balances(4, 0, 1)
}

func TestHistoryHasScalingAndRevisions(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	eventually(t, func() bool { return n.available("probe") == 1 })
	require.Equal(t, 202, n.system(http.MethodPost, "/system/scale-function/probe",
		map[string]int{"replicas": 2}, nil))
	var h struct {
		StepS   int `json:"step_s"`
		Points  []any
		Scaling []struct {
			From, To int
			Reason   string
			At       time.Time
		}
		Revisions []struct {
			Revision, SHA, Image string
			Current              bool
		}
	}
	require.Equal(t, 200, n.system(http.MethodGet, "/system/history/probe?span=24h", nil, &h))
	require.Equal(t, 300, h.StepS)
	require.Equal(t, "by hand", h.Scaling[0].Reason)
	require.Equal(t, 1, h.Scaling[0].From)
	require.Equal(t, 2, h.Scaling[0].To)
	require.Len(t, h.Revisions, 1)
	require.True(t, h.Revisions[0].Current)
	require.Equal(t, 400, n.system(http.MethodGet, "/system/history/probe?span=1y", nil, nil))
	require.Equal(t, 404, n.system(http.MethodGet, "/system/history/nobody", nil, nil))
}
