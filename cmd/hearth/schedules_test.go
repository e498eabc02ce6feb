package main

import (
	"net/http"
	"testing"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/cron"
	"github.com/stretchr/testify/require"
)

func TestScheduleIsPausedResumedAndRunByHand(t *testing.T) {
	t.Parallel()
	raw := chaintest.Redis(t)
	n, probe := startTestNode(t, raw, t.TempDir()), newClocked(t)
	n.deploy("probe", probe.spec("@every 1s"))
	n.deploy("plain")
	eventually(t, func() bool { return len(probe.calls(t)) >= 1 })
	text, err := n.run("schedules", "pause", "probe")
	require.NoError(t, err)
	require.Equal(t, "paused the schedule of probe: @every 1s\n", text)
	other := startTestNode(t, raw, t.TempDir()) // it starts with a schedule that is paused
	var list []cron.Schedule
	for _, node := range []*testNode{n, other} {
		node.runJSON(&list, "schedules")
		require.Len(t, list, 1)
		require.True(t, list[0].Paused)
		require.Empty(t, list[0].Next)
		require.NotNil(t, list[0].Last)
	}
	text, err = n.run("schedules", "list")
	require.NoError(t, err)
	require.Regexp(t, `probe +@every 1s +paused +\d`, text)
	eventually(t, func() bool { return n.oneQueue("probe").Queued+n.oneQueue("probe").InFlight == 0 })
	before := len(probe.calls(t))
	last := list[0].Last.At // not the pointer, which the next list overwrites

	var ran ranNow
	other.runJSON(&ran, "schedules", "run", "probe")
	eventually(t, func() bool { return len(probe.calls(t)) == before+1 })
	n.runJSON(&list, "schedules", "list")
	require.Equal(t, ran.CallID, list[0].Last.CallID)
	require.True(t, list[0].Last.At.After(last))
	require.True(t, list[0].Paused)
	require.Len(t, probe.calls(t), before+1, "no tick was queued meanwhile")
	eventually(t, func() bool {
		n.runJSON(&list, "schedules", "list")
		return list[0].Last.State == "succeeded"
	})

	var resumed cron.Schedule
	require.Equal(t, http.StatusOK, other.system(http.MethodPost, "/system/schedules/resume",
		map[string]string{"function": "probe"}, &resumed))
	require.False(t, resumed.Paused)
	eventually(t, func() bool { return len(probe.calls(t)) >= before+3 })

	_, err = n.run("schedules", "run", "plain")
	require.ErrorContains(t, err, "the function plain has no schedule")
	_, err = n.run("schedules", "pause", "prob")
	require.ErrorContains(t, err, "probe", "it suggests what may be meant")
	for body, want := range map[string]int{
		`{"function":"nobody"}`:                  http.StatusNotFound,
		`{}`:                                     http.StatusBadRequest,
		`{"function":"probe","when":"tomorrow"}`: http.StatusBadRequest,
	} {
		for _, what := range []string{"run", "pause", "resume"} {
			res, text := n.operator(http.MethodPost, "/system/schedules/"+what, body)
			require.Equal(t, want, res.StatusCode, "%s of %s: %s", what, body, text)
		}
	}
	res, _ := n.operator(http.MethodGet, "/system/schedules?functoin=probe", "")
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
}
