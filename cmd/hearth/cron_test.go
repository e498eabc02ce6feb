package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// clocked is the probe with a schedule, at zero replicas, and the file to which it appends its calls.
type clocked string

func newClocked(t *testing.T) clocked { return clocked(filepath.Join(t.TempDir(), "calls")) }

func (c clocked) spec(schedule string) func(*types.FunctionDeployment) {
	return func(d *types.FunctionDeployment) {
		(*d.Labels)["com.openfaas.scale.min"] = "0"
		(*d.Annotations)["topic"], (*d.Annotations)["schedule"] = "cron-function, other.topic", schedule
		d.EnvVars["RECORD"] = string(c)
	}
}

type call struct {
	Method string      `json:"method"`
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

// calls returns the calls so far by their ticks.
func (c clocked) calls(t *testing.T) map[string]call {
	t.Helper()
	f, err := os.Open(string(c))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	calls := map[string]call{}
	for d := json.NewDecoder(f); ; {
		var got call
		// the file is being written
		if err := d.Decode(&got); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return calls
		} else if err != nil {
			t.Fatal(err)
		}
		when := got.Header.Get("X-Schedule-Time")
		if was, ok := calls[when]; ok {
			require.Equal(t, was.Header.Get("X-Message-Id"), got.Header.Get("X-Message-Id"),
				"%s was fired twice", when)
		}
		calls[when] = got
	}
}

const cronKey = "{fn:probe.openfaas-fn}:cron"

func TestScheduleStartsAFunctionFromZero(t *testing.T) {
	t.Parallel()
	n, probe := newTestNode(t), newClocked(t)
	n.deploy("probe", probe.spec("@every 1s"))
	eventually(t, func() bool { return len(probe.calls(t)) >= 2 })
	for when, c := range probe.calls(t) {
		at, err := time.Parse("2006-01-02T15:04:05Z", when)
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), at, time.Minute)
		require.Equal(t, http.MethodPost, c.Method)
		require.Empty(t, c.Body)
		require.Equal(t, []string{"cron-function"}, c.Header["X-Topic"])
		require.Equal(t, []string{"hearth"}, c.Header["X-Connector"])
		require.Equal(t, []string{"1"}, c.Header["X-Attempt"])
		require.NotEmpty(t, c.Header.Get("X-Call-Id"))
	}
	series := n.scrape()
	require.GreaterOrEqual(t, series[`hearth_cron_fired_total{function_name="probe.openfaas-fn"}`], 2.0)
	require.InDelta(t, float64(time.Now().Unix()),
		series[`hearth_cron_next_timestamp_seconds{function_name="probe.openfaas-fn"}`], 60)

	require.NoError(t, n.client.DeleteFunction(t.Context(), "probe", ""))
	require.Zero(t, n.raw.Exists(t.Context(), cronKey).Val())
	require.Empty(t, n.cron.States())
}

func TestFailedScheduledInvocationBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	n, probe := newTestNode(t), newClocked(t)
	n.deploy("probe", probe.spec("@every 1s"),
		func(d *types.FunctionDeployment) { d.EnvVars["RECORD"] = "/nowhere/at/all" })
	var list []struct {
		Queue    string `json:"queue"`
		Attempts int    `json:"attempts"`
	}
	eventually(t, func() bool {
		n.system(http.MethodGet, "/system/dead-letters?function=probe", nil, &list)
		return len(list) > 0
	})
	require.Equal(t, "probe:calls", list[0].Queue)
	require.Equal(t, 2, list[0].Attempts)
}

func TestMissedTickRunsOnceAfterARestart(t *testing.T) {
	t.Parallel()
	raw, state, probe := chaintest.Redis(t), t.TempDir(), newClocked(t)
	n := startTestNode(t, raw, state)
	n.deploy("probe", probe.spec("@yearly"))
	year := time.Now().UTC().Year()
	name := hearth.Name{Function: "probe", Namespace: hearth.DefaultNamespace}
	f, _ := n.registry.Function(name)
	long := time.Date(year-3, 1, 1, 0, 0, 0, 0, time.UTC) // pretend that it was stopped for years
	require.NoError(t, n.queue.ForgetSchedule(t.Context(), name))
	_, err := n.queue.KeepSchedule(t.Context(), name, "@yearly", f.CreatedAt, long, redis.Cursor{})
	require.NoError(t, err)
	n.end()
	for range 2 {
		n = startTestNode(t, raw, state)
		d := types.FunctionDeployment{
			Service:     "probe",
			Image:       probeImage,
			EnvVars:     map[string]string{},
			Labels:      &map[string]string{},
			Annotations: &map[string]string{},
		}
		probe.spec("@yearly")(&d)
		_, err := n.client.Update(t.Context(), d) // as hearth up does
		require.NoError(t, err)
		eventually(t, func() bool {
			return len(probe.calls(t)) == 1 && n.cron.States()[0].Next.Year() == year+1 &&
				raw.XLen(t.Context(), "{fn:probe.openfaas-fn}.calls").Val() == 0
		})
		require.Contains(t, probe.calls(t), fmt.Sprintf("%d-01-01T00:00:00Z", year))
		n.end()
	}
	var cursor redis.Cursor
	require.NoError(t, json.Unmarshal([]byte(raw.Get(t.Context(), cronKey).Val()), &cursor))
	require.Equal(t, time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC), cursor.Done())
}

func TestTwoInstancesRunEachTickOnce(t *testing.T) {
	t.Parallel()
	raw, probe := chaintest.Redis(t), newClocked(t)
	var logs lockedBuffer
	logged := func(c *nodeConfig) { c.Log = slog.New(slog.NewTextHandler(&logs, nil)) }
	one := startTestNode(t, raw, t.TempDir(), logged)
	one.deploy("probe", probe.spec("@every 1s"))
	two := startTestNode(t, raw, t.TempDir(), logged)
	require.Len(t, two.cron.States(), 1)
	eventually(t, func() bool { return len(probe.calls(t)) >= 4 })
	require.NoError(t, one.cron.Stop(t.Context()))
	eventually(t, func() bool { return two.cron.States()[0].Fired >= 2 })
	require.NoError(t, two.cron.Stop(t.Context()))
	fired := one.cron.States()[0].Fired + two.cron.States()[0].Fired
	eventually(t, func() bool { return len(probe.calls(t)) == fired })
	require.Equal(t, fired, strings.Count(logs.String(), "queued scheduled invocation"),
		"each is said once, by whoever was first")
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
