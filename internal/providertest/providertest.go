// Package providertest is the conformance suite that every provider must pass. It calls replicas over HTTP,
// at the addresses that the provider tells, and does not know whether they are processes or containers.
package providertest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/hearth/hearthtest"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// A Setup makes a provider for a test.
type Setup struct {
	Provider hearth.Provider
	Image    string            // runs the probe
	Secrets  map[string]string // existing secrets with their values; at least two
	// How often the suite takes a function to zero and up again under load. Defaults to 100.
	Cycles int
}

// patience is how long a test waits for a condition.
const patience = 3 * time.Minute

// subject is a provider under test, with its last reports.
type subject struct {
	Setup
	t  *testing.T
	mu sync.Mutex
	at map[hearth.Name][]hearth.Replica // without those that are ending

	ending map[hearth.Name][]hearth.Replica
	failed chan string                         // why a rollout failed
	told   func(hearth.Name, []hearth.Replica) // called with each change of replicas, if set
}

// Run runs the suite. Each test has a setup of its own.
func Run(t *testing.T, setup func(t *testing.T) Setup) {
	for name, test := range map[string]func(*subject){
		"RunsAFunction":                             runsAFunction,
		"Scales":                                    scales,
		"RefusesWhatCannotRun":                      refuses,
		"GivesOnlyGrantedSecrets":                   grants,
		"StartsCrashedReplicasAgain":                restarts,
		"SaysWhyAFunctionCannotStart":               saysWhy,
		"ReplacesRevisionsWithoutAFailedCall":       replaces,
		"KeepsTheOldWhileTheNewCannotStart":         keepsOld,
		"LetsCallsEndBeforeRemoving":                drains,
		"TellsOfReplicasThatEndUntilTheyAreGone":    tellsOfEnding,
		"RunsAFunctionBesideOneOfItsNameThatDrains": appliesWhileDraining,
		"RemovingNothingIsNoError":                  removesNothing,
		"RollsBackWhatCannotGetReady":               rollsBack,
		"HasNothingToRollBackFromOrTo":              rollsBackNothing,
		"MeasuresWhatReplicasUse":                   measures,
		"StartsProcessesAlike":                      startsAlike,
		"EndsAReplicaOverItsMemoryLimit":            limitsMemory,
		"LimitsProcessorTime":                       limitsCPU,
		"TakesAReplicaThatIsNotReadyOutOfUse":       asksReady,
		"ReplacesAReplicaThatIsNotHealthy":          asksHealth,
		"NoCallFailsWhileItGoesToZeroAndUp":         cyclesWithoutFailure,
		"NoCallFailsOnABusyMachine":                 cyclesOnABusyMachine,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &subject{
				Setup:  setup(t),
				t:      t,
				at:     map[hearth.Name][]hearth.Replica{},
				ending: map[hearth.Name][]hearth.Replica{},
				failed: make(chan string, 100),
			}
			s.Provider.WatchRollouts(func(_ hearth.Name, why string) { s.failed <- why })
			s.Provider.Watch(func(n hearth.Name, replicas []hearth.Replica) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.at[n], s.ending[n] = nil, nil
				for _, r := range replicas {
					if r.Ending {
						s.ending[n] = append(s.ending[n], r)
					} else {
						s.at[n] = append(s.at[n], r)
					}
				}
				if s.told != nil {
					s.told(n, replicas)
				}
			})
			t.Cleanup(func() {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				require.NoError(t, s.Provider.Close(ctx))
			})
			test(s)
		})
	}
}

func (s *subject) function(replicas int, change ...func(*hearth.Function)) hearth.Function {
	f := hearth.Function{Replicas: replicas, Revision: "r1", DeployedAt: time.Now().UTC(),
		FunctionDeployment: types.FunctionDeployment{Service: "probe",
			Namespace: "openfaas-fn", Image: s.Image, EnvVars: map[string]string{"GREETING": "hello",
				"write_timeout": "5s"}}}
	for _, c := range change {
		c(&f)
	}
	return hearthtest.Parse(f)
}

func (s *subject) apply(f hearth.Function) {
	s.t.Helper()
	require.NoError(s.t, s.Provider.Apply(s.t.Context(), f))
}

func (s *subject) replicas() []hearth.Replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at[hearth.Name{Function: "probe", Namespace: "openfaas-fn"}]
}

// await waits until the replicas meet a condition, and returns them.
func (s *subject) await(what string, condition func([]hearth.Replica) bool) []hearth.Replica {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		r := s.replicas()
		if condition(r) {
			return r
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("waited in vain for %s; replicas are %+v", what, r)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func ready(n int) func([]hearth.Replica) bool {
	return func(list []hearth.Replica) bool {
		for _, r := range list {
			if !r.Ready || !r.Accepting {
				return false
			}
		}
		return len(list) == n
	}
}

// Call calls a replica with a query, and returns the answer.
func Call(ctx context.Context, r hearth.Replica, query, body string) (string, error) {
	return call(ctx, r, query, strings.NewReader(body))
}

func call(ctx context.Context, r hearth.Replica, query string, body io.Reader) (string, error) {
	client := &http.Client{Timeout: patience,
		Transport: &http.Transport{DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				if path, ok := strings.CutPrefix(r.Address, "unix://"); ok {
					return (&net.Dialer{}).DialContext(ctx, "unix", path)
				}
				u, err := url.Parse(r.Address)
				if err != nil {
					return nil, err
				}
				return (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
			}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://probe/?"+query, body)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("answered %s: %s", res.Status, text)
	}
	return string(text), err
}

func (s *subject) ask(r hearth.Replica, query string) string {
	s.t.Helper()
	text, err := Call(s.t.Context(), r, query, "")
	require.NoError(s.t, err)
	return text
}

func runsAFunction(s *subject) {
	s.apply(s.function(1))
	r := s.await("one replica", ready(1))[0]
	text, err := Call(s.t.Context(), r, "", "the body")
	require.NoError(s.t, err)
	require.Equal(s.t, "the body", text)
	for name, want := range map[string]string{
		"GREETING":           "hello",
		"OPENFAAS_NAME":      "probe",
		"OPENFAAS_NAMESPACE": "openfaas-fn",
		"NOT_SET":            "",
	} {
		require.Equal(s.t, want, s.ask(r, "env="+name))
	}
	require.WithinDuration(s.t, time.Now(), r.Started, patience)
	require.NotEmpty(s.t, r.ID)
}

func scales(s *subject) {
	s.apply(s.function(0))
	require.Empty(s.t, s.replicas())
	s.apply(s.function(3))
	ids := map[string]bool{}
	for _, r := range s.await("three replicas", ready(3)) {
		ids[r.ID] = true
		require.NotEmpty(s.t, s.ask(r, "pid"))
	}
	require.Len(s.t, ids, 3)
	s.apply(s.function(1))
	s.await("one replica", ready(1))
	s.apply(s.function(0))
	s.await("none", ready(0))
	s.apply(s.function(2))
	s.await("two again", ready(2))
}

func refuses(s *subject) {
	err := s.Provider.Apply(s.t.Context(), s.function(1, func(f *hearth.Function) {
		f.Image = "nowhere/nothing:latest"
	}))
	require.Equal(s.t, hearth.Invalid, hearth.CodeOf(err), err)
	require.ErrorContains(s.t, err, "nowhere/nothing:latest")
	err = s.Provider.Apply(s.t.Context(), s.function(1, func(f *hearth.Function) {
		f.Secrets = []string{"no-such-secret"}
	}))
	require.Equal(s.t, hearth.Invalid, hearth.CodeOf(err), err)
	require.ErrorContains(s.t, err, "no-such-secret")
	require.Empty(s.t, s.replicas(), "nothing was started")

	s.apply(s.function(1))
	s.await("one replica", ready(1))
	err = s.Provider.Apply(s.t.Context(), s.function(1, func(f *hearth.Function) {
		f.Image, f.Revision = "nowhere/nothing:latest", "r2"
	}))
	require.Equal(s.t, hearth.Invalid, hearth.CodeOf(err), err)
	require.True(s.t, ready(1)(s.replicas()), "what runs goes on")
}

func grants(s *subject) {
	var granted, other string
	for name := range s.Secrets {
		granted, other = name, granted
	}
	s.apply(s.function(1, func(f *hearth.Function) { f.Secrets = []string{granted} }))
	r := s.await("one replica", ready(1))[0]
	require.Equal(s.t, s.Secrets[granted], s.ask(r, "secret="+granted))
	require.Equal(s.t, "none", s.ask(r, "secret="+other))
}

func restarts(s *subject) {
	s.apply(s.function(1))
	r := s.await("one replica", ready(1))[0]
	pid := s.ask(r, "pid")
	require.Zero(s.t, r.Restarts)
	require.Nil(s.t, r.LastExit)
	again := func(what string) hearth.Replica {
		_, err := Call(s.t.Context(), r, what, "")
		require.Error(s.t, err)
		r = s.await("a new process", func(list []hearth.Replica) bool {
			if !ready(1)(list) {
				return false
			}
			now, err := Call(s.t.Context(), list[0], "pid", "")
			return err == nil && (now != pid || list[0].ID != r.ID) && list[0].Restarts > r.Restarts
		})[0]
		pid = s.ask(r, "pid")
		return r
	}
	r = again("exit")
	require.Equal(s.t, 1, r.Restarts)
	require.Regexp(s.t, `exit (code|status) 7$`, r.LastExit.Reason, "the log of calls is no reason")
	r = again("panic=no+flour")
	require.Equal(s.t, 2, r.Restarts)
	require.Contains(s.t, r.LastExit.Reason, "panic: no flour")
	require.WithinDuration(s.t, time.Now(), r.LastExit.At, patience)
}

func saysWhy(s *subject) {
	s.apply(s.function(1, func(f *hearth.Function) { f.EnvVars["FAIL_START"] = "the oven is cold" }))
	r := s.await("a reason", func(list []hearth.Replica) bool {
		return len(list) == 1 && list[0].Failing != ""
	})[0]
	require.Contains(s.t, r.Failing, "the oven is cold")
	require.False(s.t, r.Accepting)
	require.False(s.t, r.Ready)
	s.apply(s.function(1, func(f *hearth.Function) { f.Revision = "r2" }))
	s.await("a replica of the next revision", func(list []hearth.Replica) bool {
		return ready(1)(list) && list[0].ID != r.ID
	})
}

// replaces updates a function again and again under load. A caller picks a replica as a router does, from the
// last report.
func replaces(s *subject) {
	s.apply(s.function(2))
	s.await("two replicas", ready(2))
	ctx, stop := context.WithCancel(s.t.Context())
	var callers sync.WaitGroup
	var mu sync.Mutex
	var failed []error
	calls := 0
	for range 4 {
		callers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				list := s.replicas()
				var pick *hearth.Replica
				for j := range list {
					if r := &list[(i+j)%len(list)]; r.Ready {
						pick = r
						break
					}
				}
				var err error
				if pick == nil {
					err = fmt.Errorf("no replica is ready of %+v", list)
				} else {
					_, err = Call(s.t.Context(), *pick, "sleep=5ms", "")
				}
				mu.Lock()
				calls++
				if err != nil {
					failed = append(failed, err)
				}
				mu.Unlock()
			}
		})
	}
	for i := range 5 {
		revision := fmt.Sprint("new", i)
		s.apply(s.function(2, func(f *hearth.Function) {
			f.Revision = revision
			f.EnvVars["GREETING"] = revision
		}))
		s.await("two replicas of "+revision, func(list []hearth.Replica) bool {
			if !ready(2)(list) {
				return false
			}
			for _, r := range list {
				if got, err := Call(s.t.Context(), r, "env=GREETING", ""); err != nil || got != revision {
					return false
				}
			}
			return true
		})
	}
	stop()
	callers.Wait()
	require.Empty(s.t, failed)
	require.Positive(s.t, calls)
}

func keepsOld(s *subject) {
	s.apply(s.function(1))
	old := s.await("one replica", ready(1))[0]
	s.apply(s.function(1, func(f *hearth.Function) { f.Revision = "r2"; f.EnvVars["FAIL_START"] = "no" }))
	s.await("the old one beside one that fails", func(list []hearth.Replica) bool {
		var kept, failing bool
		for _, r := range list {
			kept = kept || r.ID == old.ID && r.Ready
			failing = failing || r.Failing != ""
		}
		return kept && failing
	})
	require.Equal(s.t, "hello", s.ask(old, "env=GREETING"))
	s.apply(s.function(1, func(f *hearth.Function) { f.Revision = "r3" }))
	s.await("the third", func(list []hearth.Replica) bool { return ready(1)(list) && list[0].ID != old.ID })
}

func drains(s *subject) {
	f := s.function(1, oneCallAtOnce)
	s.apply(f)
	r := s.await("one replica", ready(1))[0]
	open := s.keepBusy(r)
	gone := s.Provider.Remove(f.Name())
	open.End()
	s.awaitGone(gone)
	open.RequireAnswered(s.t)
	require.Empty(s.t, s.replicas())
	_, err := Call(s.t.Context(), r, "", "")
	require.Error(s.t, err)
}

func removesNothing(s *subject) {
	s.awaitGone(s.Provider.Remove(hearth.Name{Function: "nobody", Namespace: "openfaas-fn"}))
}
