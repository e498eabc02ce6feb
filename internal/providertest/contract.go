package providertest

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// startsAlike: a function starts with the same environment, arguments, umask, signals and time zone with each
// provider, and can write to the same places.
func startsAlike(s *subject) {
	s.apply(s.function(1, func(f *hearth.Function) {
		f.EnvProcess = "cat --number"
		f.EnvVars["EMPTY"], f.EnvVars["SPACED OUT"], f.EnvVars["TEXT"] = "", "x", "a=b \"c\"\n'd' ä $HOME"
		f.EnvVars["secret_mount_path"] = "/nowhere"
		f.Limits = &types.FunctionResources{Memory: "100Mi"}
	}))
	r := s.await("one replica", ready(1))[0]
	for name, want := range map[string]string{
		"EMPTY":              "true ",
		"SPACED OUT":         "true x",
		"TEXT":               "true a=b \"c\"\n'd' ä $HOME",
		"NOT_SET":            "false ",
		"fprocess":           "true cat --number",
		"OPENFAAS_NAME":      "true probe",
		"OPENFAAS_NAMESPACE": "true openfaas-fn",
		"GOMEMLIMIT": "true " +
			strconv.Itoa(100<<20/10*9),
	} {
		require.Equal(s.t, want, s.ask(r, "lookup="+strings.ReplaceAll(name, " ", "+")), name)
	}
	require.NotEqual(s.t, "true /nowhere", s.ask(r, "lookup=secret_mount_path"),
		"else it would not find its secrets")
	want := "arguments 0\nabsolute true\numask 022\nzone UTC\ntemporary true\n"
	if runtime.GOOS == "linux" {
		want += "SigBlk term false\nSigIgn term false\n"
	}
	require.Equal(s.t, want, s.ask(r, "process"))

	s.apply(s.function(1, func(f *hearth.Function) { f.Revision = "r2"; f.EnvVars["TZ"] = "Etc/GMT-9" }))
	r = s.await("one of the next revision", func(list []hearth.Replica) bool {
		return ready(1)(list) && strings.HasPrefix(list[0].Revision, "r2")
	})[0]
	require.Equal(s.t, "true Etc/GMT-9", s.ask(r, "lookup=TZ"), "a zone of its own")
}

// limitsMemory applies where the provider says that it enforces the limit.
func limitsMemory(s *subject) {
	if s.Provider.Capabilities().Memory == "" {
		s.t.Skip(s.Provider.Capabilities().Unlimited)
	}
	failing := make(chan string, 1000)
	s.told = func(_ hearth.Name, list []hearth.Replica) {
		for _, r := range list {
			if r.Failing != "" {
				failing <- r.Failing
			}
		}
	}
	s.apply(s.function(1, func(f *hearth.Function) { f.Limits = &types.FunctionResources{Memory: "64Mi"} }))
	var last string
	for range 2 { // the reason is reported after the second crash in a row
		r := s.await("a process", func(list []hearth.Replica) bool {
			return ready(1)(list) && fmt.Sprint(list[0].ID, list[0].Started) != last
		})[0]
		last = fmt.Sprint(r.ID, r.Started)
		_, err := Call(s.t.Context(), r, "hog=16", "")
		require.NoError(s.t, err, "within its limit")
		_, err = Call(s.t.Context(), r, "hog=512", "")
		require.Error(s.t, err)
	}
	select {
	case why := <-failing:
		require.Contains(s.t, why, "exceeded its memory limit of 64 MiB")
	case <-time.After(patience):
		require.Fail(s.t, "nobody told why it ended")
	}
}

// limitsCPU: a replica with a limit of a tenth of a core uses no more.
func limitsCPU(s *subject) {
	if s.Provider.Capabilities().CPU == "" || runtime.GOOS != "linux" {
		s.t.Skip(s.Provider.Capabilities().Unlimited)
	}
	s.apply(s.function(1, func(f *hearth.Function) { f.Limits = &types.FunctionResources{CPU: "100m"} }))
	r := s.await("one replica", ready(1))[0]
	used, err := strconv.Atoi(s.ask(r, "work=2s"))
	require.NoError(s.t, err)
	require.Positive(s.t, used)
	require.Less(s.t, used, 600,
		"milliseconds of the processor in two seconds: 200, and one that is granted beforehand")
}

// asksReady: the path of com.openfaas.ready.http is probed again and again.
func asksReady(s *subject) {
	s.apply(s.function(1, func(f *hearth.Function) {
		f.Annotations = &map[string]string{
			"com.openfaas.ready.http.path":           "/ready?unless=busy",
			"com.openfaas.ready.http.periodSeconds":  "20ms",
			"com.openfaas.ready.http.timeoutSeconds": "10s",
		}
	}))
	r := s.await("one replica", ready(1))[0]
	pid := s.ask(r, "pid")
	s.ask(r, "toggle=busy")
	s.await("it to be out of use", func(list []hearth.Replica) bool {
		return len(list) == 1 && !list[0].Ready && !list[0].Accepting
	})
	s.ask(r, "toggle=busy")
	again := s.await("it to be back", ready(1))[0]
	require.Equal(s.t, pid, s.ask(again, "pid"), "the same process")
}

// asksHealth: a replica that fails the probe of com.openfaas.health.http is replaced.
func asksHealth(s *subject) {
	s.apply(s.function(1, func(f *hearth.Function) {
		f.Annotations = &map[string]string{
			"com.openfaas.health.http.path":             "/live?unless=sick",
			"com.openfaas.health.http.periodSeconds":    "20ms",
			"com.openfaas.health.http.timeoutSeconds":   "10s",
			"com.openfaas.health.http.failureThreshold": "2",
			"com.openfaas.ready.http.path":              "/_/ready",
		}
	}))
	r := s.await("one replica", ready(1))[0]
	s.ask(r, "toggle=sick")
	s.await("another process", func(list []hearth.Replica) bool {
		return ready(1)(list) && fmt.Sprint(list[0].ID, list[0].Started) != fmt.Sprint(r.ID, r.Started)
	})
}
