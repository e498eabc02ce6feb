package process_test

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/child"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/hearth/hearthtest"
	"github.com/hearthfaas/hearth/internal/logs"
	"github.com/hearthfaas/hearth/internal/process"
	"github.com/hearthfaas/hearth/internal/providertest"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/hearthfaas/hearth/internal/secrets"
	"github.com/stretchr/testify/require"
)

func setup(t *testing.T) (providertest.Setup, string) {
	state := t.TempDir()
	images, store := process.Images{Dir: filepath.Join(state, "images")},
		secrets.Files{Dir: filepath.Join(state, "secrets")}
	require.NoError(t, images.Put(t.Context(), "test/probe:latest", providertest.Probe(t)))
	values := map[string]string{}
	for _, name := range []string{"one", "two"} {
		values[name] = rand.Text()
		require.NoError(t, store.Put("openfaas-fn", name, []byte(values[name])))
	}
	p, err := process.New(process.Config{
		State:   state,
		Images:  images,
		Secrets: store,
		Logs:    &logs.Dir{Path: filepath.Join(state, "logs")},
		Log:     slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return providertest.Setup{Provider: p, Image: "test/probe:latest", Secrets: values}, state
}

func TestConformance(t *testing.T) {
	providertest.Run(t, func(t *testing.T) providertest.Setup { s, _ := setup(t); return s })
}

func function(image string, replicas int) hearth.Function {
	f := hearth.Function{Replicas: replicas, Revision: "r"}
	f.Service, f.Namespace, f.Image, f.EnvVars = "probe", "openfaas-fn", image,
		map[string]string{"write_timeout": "1s"}
	return hearthtest.Parse(f)
}

func awaitReady(t *testing.T, p hearth.Provider, f hearth.Function) hearth.Replica {
	t.Helper()
	told := make(chan hearth.Replica, 100)
	p.Watch(func(_ hearth.Name, list []hearth.Replica) {
		for _, r := range list {
			if r.Ready {
				told <- r
			}
		}
	})
	require.NoError(t, p.Apply(t.Context(), f))
	select {
	case r := <-told:
		return r
	case <-time.After(time.Minute):
		t.Fatal("no replica got ready")
		return hearth.Replica{}
	}
}

func TestOutputIsCapturedLineByLine(t *testing.T) {
	t.Parallel()
	s, state := setup(t)
	awaitReady(t, s.Provider, function(s.Image, 1))
	logged := func() string {
		text, _ := os.ReadFile(filepath.Join(state, "logs", "probe.openfaas-fn.log"))
		return string(text)
	}
	replica := awaitReady(t, s.Provider, function(s.Image, 1))
	for _, text := range []string{"first", "second", strings.Repeat("x", 100_000)} {
		require.NoError(t, post(t, replica, "print="+text))
	}
	require.Eventually(t, func() bool {
		return strings.Contains(logged(), " stdout second\n")
	}, time.Minute, time.Millisecond)
	require.Eventually(t, func() bool {
		return strings.Count(logged(), "x") == 100_000
	}, time.Minute, time.Millisecond, "long lines are cut, not lost")
	for line := range strings.Lines(logged()) {
		require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z probe-1 (stdout|stderr) .*\n$`, line)
	}
	require.NoError(t, s.Provider.Close(t.Context()))
	require.NoDirExists(t, filepath.Join(state, "run"), "no socket or temporary file is left")
}

func TestProcessesOfAnEarlierRunAreEnded(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	orphan := exec.Command("sleep", "600")
	orphan.Env = []string{child.Marker + "=" + state}
	require.NoError(t, orphan.Start())
	require.NoError(t, os.MkdirAll(filepath.Join(state, "run", "7.tmp"), 0o700))
	p, err := process.New(process.Config{
		State: state,
		Logs:  &logs.Dir{Path: filepath.Join(state, "logs")},
		Log:   slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	defer func() { _ = p.Close(context.Background()) }()
	require.ErrorContains(t, orphan.Wait(), "killed")
	require.NoDirExists(t, filepath.Join(state, "run", "7.tmp"))
}

func TestAnImageWithoutATagIsTheLatest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	images := process.Images{Dir: filepath.Join(dir, "images")}
	path := filepath.Join(dir, "binary")
	require.NoError(t, os.WriteFile(path, []byte("x"), 0o700))
	for _, ref := range []string{"echo", "registry:5000/a/echo"} {
		require.NoError(t, images.Put(t.Context(), ref+":latest", path))
		untagged, err := images.Find(ref)
		require.NoError(t, err)
		tagged, err := images.Find(ref + ":latest")
		require.NoError(t, err)
		require.Equal(t, tagged, untagged)
		_, err = images.Find(ref + ":v1")
		require.Error(t, err)
	}
}

func TestImagesAreReplacedAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	images := process.Images{Dir: filepath.Join(dir, "images")}
	put := func(content string) process.Image {
		path := filepath.Join(dir, "binary")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o700))
		require.NoError(t, images.Put(t.Context(), "a/b:c", path))
		image, err := images.Find("a/b:c")
		require.NoError(t, err)
		return image
	}
	_, err := images.Find("a/b:c")
	require.Equal(t, hearth.Invalid, hearth.CodeOf(err))
	one := put("one")
	require.Equal(t, one, put("one"))
	two := put("two")
	require.NotEqual(t, one.Digest, two.Digest)
	found, err := images.Find("a/b:c")
	require.NoError(t, err)
	require.Equal(t, two, found)
	require.FileExists(t, one.Path, "a replica of it may crash, and start again")
	images.Prune()
	require.NoFileExists(t, one.Path)
	require.FileExists(t, two.Path)
}

func TestStartThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	s, state := setup(t)
	awaitReady(t, s.Provider, function(s.Image, 1))
	require.NoError(t, os.Rename(filepath.Join(state, "run"), filepath.Join(state, "away")))
	require.Error(t, s.Provider.Apply(t.Context(), function(s.Image, 3)),
		"there is no place for their sockets")
	other := function(s.Image, 1)
	other.Service = "other"
	require.Error(t, s.Provider.Apply(t.Context(), other))
	require.NoError(t, os.Rename(filepath.Join(state, "away"), filepath.Join(state, "run")))
	require.NoError(t, s.Provider.Apply(t.Context(), function(s.Image, 1)), "it goes on as before")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, s.Provider.Close(ctx))
	require.NoError(t, ctx.Err())
}

func TestCloseEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	f := function(s.Image, 1)
	f.EnvVars = map[string]string{"write_timeout": "1h", "exec_timeout": "1h"}
	f = hearthtest.Parse(f)
	r := awaitReady(t, s.Provider, f)
	go func() { _ = post(t, r, "sleep=1h") }()
	f.Replicas = 0
	require.NoError(t, s.Provider.Apply(t.Context(), f), "it is ending")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Provider.Close(ctx) }()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(time.Minute):
		t.Fatal("it waits for a call that takes an hour")
	}
}

func TestRevisionThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	images := process.Images{Dir: filepath.Join(state, "images")}
	require.NoError(t, images.Put(t.Context(), "test/probe:latest", providertest.Probe(t)))
	hangs := filepath.Join(t.TempDir(), "hangs")
	require.NoError(t, os.WriteFile(hangs, []byte("#!/bin/sh\nexec sleep 600\n"), 0o700))
	require.NoError(t, images.Put(t.Context(), "test/hangs:latest", hangs))
	p, err := process.New(process.Config{
		State:         state,
		Images:        images,
		Secrets:       secrets.Files{Dir: t.TempDir()},
		Logs:          &logs.Dir{Path: filepath.Join(state, "logs")},
		Log:           slog.New(slog.DiscardHandler),
		RolloutWithin: 300 * time.Millisecond,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close(context.Background())) })
	failed := make(chan string, 1)
	p.WatchRollouts(func(_ hearth.Name, why string) { failed <- why })
	f := function("test/probe:latest", 1)
	awaitReady(t, p, f)
	f.Image, f.Revision, f.DeployedAt = "test/hangs:latest", "r2", time.Now()
	require.NoError(t, p.Apply(t.Context(), f))
	require.Equal(t, "it was not ready after 300ms", <-failed)
	_, ok := p.Rollback(f.Name(), time.Now())
	require.True(t, ok)
}

// TestUnacceptedCallsGoToAnotherReplica: the process hangs, and is ended with calls in its
// socket.
func TestUnacceptedCallsGoToAnotherReplica(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	images := process.Images{Dir: filepath.Join(state, "images")}
	require.NoError(t, images.Put(t.Context(), "test/probe:latest", providertest.Probe(t)))
	hangs := filepath.Join(t.TempDir(), "hangs")
	require.NoError(t, os.WriteFile(hangs, []byte("#!/bin/sh\nexec sleep 600\n"), 0o700))
	require.NoError(t, images.Put(t.Context(), "test/hangs:latest", hangs))
	p, err := process.New(process.Config{
		State:   state,
		Images:  images,
		Secrets: secrets.Files{Dir: t.TempDir()},
		Logs:    &logs.Dir{Path: filepath.Join(state, "logs")},
		Log:     slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close(context.Background())) })
	r := router.New(router.Config{Hold: time.Minute})
	p.Watch(r.Update)
	apply := func(f hearth.Function) {
		r.Set(f)
		require.NoError(t, p.Apply(t.Context(), f))
	}
	load := func() router.Load { l, _ := r.Load(function("", 0).Name()); return l }
	f := function("test/hangs:latest", 1)
	f.EnvVars["exec_timeout"] = "1m"
	f = hearthtest.Parse(f)
	apply(f)
	var calls sync.WaitGroup
	for range 5 {
		calls.Go(func() {
			req := &http.Request{
				Method:        http.MethodPost,
				URL:           &url.URL{Path: "/"},
				Header:        http.Header{},
				Body:          io.NopCloser(strings.NewReader("dough")),
				ContentLength: 5,
			}
			res, err := r.RoundTrip(f.Name(), req.WithContext(context.Background()))
			if err != nil {
				t.Error(err)
				return
			}
			body, err := io.ReadAll(res.Body)
			if string(body) != "dough" {
				t.Error(string(body), err)
			}
			_ = res.Body.Close()
		})
	}
	require.Eventually(t, func() bool { return load().InFlight == 5 }, 30*time.Second, time.Millisecond)
	f.Replicas = 0
	apply(f)
	require.Eventually(t, func() bool {
		return load().Held == 5
	}, 30*time.Second, time.Millisecond, "they have come back")
	f.Image, f.Revision, f.Replicas, f.DeployedAt = "test/probe:latest", "r2", 1, time.Now()
	apply(f)
	calls.Wait()
}

// TestPanicIsReportedWithItsPlace in the project's source, though the binary was built with -trimpath.
func TestPanicIsReportedWithItsPlace(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	r := router.New(router.Config{})
	f := function(s.Image, 1)
	r.Set(f)
	s.Provider.Watch(r.Update)
	require.NoError(t, s.Provider.Apply(t.Context(), f))
	t.Cleanup(func() { require.NoError(t, s.Provider.Close(context.Background())) })
	req := &http.Request{
		Method: http.MethodPost,
		URL:    &url.URL{Path: "/", RawQuery: "panic=no+flour"},
		Header: http.Header{},
	}
	_, err := r.RoundTrip(f.Name(), req.WithContext(t.Context()))
	require.Equal(t, hearth.BadGateway, hearth.CodeOf(err), err)
	load := func() router.Load { l, _ := r.Load(f.Name()); return l }
	require.Eventually(t, func() bool {
		return load().Restarts == 1 && load().Available == 1
	}, 30*time.Second, time.Millisecond)
	require.Regexp(t, `^exit status 2: panic: no flour, at functions/probe/handler.go:\d+$`,
		load().LastExit.Reason)
	require.Empty(t, load().Failing, "it starts again at once")
}

// TestReplicaWithAnEndlessCallIsReplaced, and the next call waits for the new one.
func TestReplicaWithAnEndlessCallIsReplaced(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	r := router.New(router.Config{})
	f := function(s.Image, 1)
	f.EnvVars["exec_timeout"], f.EnvVars["exec_grace"] = "2s", "100ms"
	f = hearthtest.Parse(f)
	r.Set(f)
	s.Provider.Watch(r.Update)
	require.NoError(t, s.Provider.Apply(t.Context(), f))
	t.Cleanup(func() { require.NoError(t, s.Provider.Close(context.Background())) })
	call := func(query string) (int, error) {
		req := &http.Request{
			Method: http.MethodPost,
			URL:    &url.URL{Path: "/", RawQuery: query},
			Header: http.Header{},
		}
		res, err := r.RoundTrip(f.Name(), req.WithContext(t.Context()))
		if err != nil {
			return 0, err
		}
		return res.StatusCode, res.Body.Close()
	}
	status, err := call("sleep=1h")
	require.NoError(t, err)
	require.Equal(t, http.StatusGatewayTimeout, status)
	load := func() router.Load { l, _ := r.Load(f.Name()); return l }
	require.Eventually(t, func() bool {
		return load().Restarts == 1 && load().Available == 1
	}, 30*time.Second, time.Millisecond)
	require.Contains(t, load().LastExit.Reason, "a call did not end within 100ms after its exec_timeout, 2s")
	status, err = call("")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
}
