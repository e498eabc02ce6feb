package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// inflict injects the faults of a schedule and returns when the last one has ended.
func (w *world) inflict(ctx context.Context, faults []fault, say func(string)) {
	began := time.Now()
	var under sync.WaitGroup
	things := map[string]*sync.Mutex{} // targets of faults
	for _, f := range faults {
		thing := things[f.on]
		if thing == nil {
			thing = &sync.Mutex{}
			things[f.on] = thing
		}
		wait(ctx, time.Until(began.Add(f.at)))
		if ctx.Err() != nil {
			break
		}
		under.Go(func() {
			thing.Lock() // the previous fault may take longer than planned
			defer thing.Unlock()
			h := happening{Kind: f.name, Begin: time.Now(), breaks: f.breaks}
			say(f.name)
			what, err := w.do(ctx, f)
			h.End, h.What = time.Now(), what
			switch {
			case errors.Is(err, errHung):
				h.breaks = true
				w.b.note("%v", err)
			case err != nil && ctx.Err() == nil:
				h.What, h.Skipped = err.Error(), true
			}
			w.b.mu.Lock()
			w.b.happened = append(w.b.happened, h)
			w.b.mu.Unlock()
		})
	}
	under.Wait()
	slices.SortFunc(w.b.happened, func(x, y happening) int { return x.Begin.Compare(y.Begin) })
}

// do injects one fault for its length and describes it.
func (w *world) do(ctx context.Context, f fault) (string, error) {
	r := f.rand()
	n := w.hearths[upTo(r, len(w.hearths))]
	if w.cfg.Soak && f.name == killHearth {
		n = w.hearths[1+upTo(r, len(w.hearths)-1)]
	}
	switch f.name {
	case killFunction:
		return w.killFunctions(ctx, n, f, r)
	case stopFunction:
		name, pid, err := someFunction(n, r)
		if err != nil {
			return "", err
		}
		return "a " + name, pause(ctx, pid, f.length)
	case killHearth, longKill:
		n.end(syscall.SIGKILL, f.length)
		died := time.Now()
		w.takeovers.Go(func() { w.watchTakeover(ctx, n, died, f.length) })
		wait(ctx, f.length)
		return n.name, nil
	case restartHearth:
		n.end(syscall.SIGTERM, 0)
		return n.name, nil
	case stopHearth, longStop:
		return n.name, pause(ctx, n.pid(), f.length)
	case killRedis:
		what := "at once"
		if upTo(r, 3) == 0 {
			what = "while it rewrote its file"
			_ = w.rdb.BgRewriteAOF(ctx).Err()
			wait(ctx, upTo(r, 100*ms))
		}
		w.redis.end(syscall.SIGKILL, f.length)
		wait(ctx, f.length)
		return what, nil
	case stopRedis:
		return "", pause(ctx, w.redis.pid(), f.length)
	case slowDisk:
		delay := 20*ms + upTo(r, 400*ms)
		syncs, err := slowSyncs(ctx, w.redis.pid(), f.length, delay)
		return fmt.Sprintf("%d syncs took %v more", syncs, delay), err
	case fullRedis:
		if err := w.rdb.ConfigSet(ctx, "maxmemory", "1mb").Err(); err != nil {
			return "", err
		}
		wait(ctx, f.length)
		return "", w.rdb.ConfigSet(context.WithoutCancel(ctx), "maxmemory", "0").Err()
	case cutHearth:
		return w.toHearth.cut(ctx, f.length, r)
	case lostHearth:
		return w.toHearth.lose(ctx, f.length, r)
	case slowHearth:
		return w.toHearth.slow(ctx, f.length, r)
	case cutFunction:
		return w.toFuncs.cut(ctx, f.length, r)
	case lostFunction:
		return w.toFuncs.lose(ctx, f.length, r)
	case slowFunction:
		return w.toFuncs.slow(ctx, f.length, r)
	case breakFunction:
		return w.breakFunction(ctx, f, r)
	case redeploy:
		return w.redeploy(ctx, n, f, r)
	case scale:
		return w.scale(ctx, n, f, r)
	case remove:
		return w.remove(ctx, n, f, r)
	case redrive:
		return "", w.redrive(ctx, n)
	}
	return "", errors.New("nobody knows how")
}

// killFunctions kills replicas for a while: one, or each that starts.
func (w *world) killFunctions(ctx context.Context, n *node, f fault, r *rand.Rand) (string, error) {
	name, pid, err := someFunction(n, r)
	if err != nil {
		return "", err
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	killed := 1
	if upTo(r, 2) == 0 {
		return "a " + name, nil
	}
	for end := time.Now().Add(f.length); time.Now().Before(end) && ctx.Err() == nil; wait(ctx, 10*ms) {
		for _, pid := range functions(n)[name] {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			killed++
		}
	}
	return fmt.Sprintf("%s, %d times", name, killed), nil
}

// pause stops a process and resumes it.
func pause(ctx context.Context, pid int, d time.Duration) error {
	if pid == 0 {
		return errors.New("it does not run")
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	wait(ctx, d)
	return syscall.Kill(pid, syscall.SIGCONT)
}

// functions returns the processes of an instance's functions by name.
func functions(n *node) map[string][]int {
	found := map[string][]int{}
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(text, []byte("HEARTH_STATE="+n.state+"\x00")) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		for variable := range strings.SplitSeq(string(text), "\x00") {
			if name, ok := strings.CutPrefix(variable, "OPENFAAS_NAME="); ok {
				found[name] = append(found[name], pid)
			}
		}
	}
	return found
}

func someFunction(n *node, r *rand.Rand) (name string, pid int, err error) {
	all := functions(n)
	if len(all) == 0 {
		return "", 0, errors.New("no function runs, or this system has no /proc")
	}
	name = pick(r, slices.Sorted(maps.Keys(all)))
	return name, pick(r, all[name]), nil
}

func pick[T any](r *rand.Rand, list []T) T { return list[upTo(r, len(list))] }

// breakFunction makes the probes fail, each in some way.
func (w *world) breakFunction(ctx context.Context, f fault, r *rand.Rand) (what string, err error) {
	for _, name := range []string{"probe", "tally"} {
		mode := pick(r, []string{"fail", "hang", "exit", "huge"})
		path := filepath.Join(w.funcDir(), name+".mode")
		if err := os.WriteFile(path, []byte(mode), 0o600); err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, os.Remove(path)) }()
		what += name + " was told to " + mode + "; "
	}
	wait(ctx, f.length)
	return strings.TrimSuffix(what, "; "), nil
}

// redeploy updates a function, which replaces its replicas.
func (w *world) redeploy(ctx context.Context, n *node, f fault, r *rand.Rand) (string, error) {
	name := pick(r, slices.Sorted(maps.Keys(w.deployed)))
	d := w.deployed[name]
	d.EnvVars = maps.Clone(d.EnvVars)
	d.EnvVars["REVISION"] = fmt.Sprint(r.Uint64())
	var err error
	// retry, as an operator would while the gateway is unavailable
	for end := time.Now().Add(f.length); ; wait(ctx, 50*ms) {
		if err = w.system(ctx, n, http.MethodPut, "/system/functions", d, nil); err == nil ||
			time.Now().After(end) {
			break
		}
	}
	return name, err
}

// scale gives a function another number of replicas for a while, perhaps none.
func (w *world) scale(ctx context.Context, n *node, f fault, r *rand.Rand) (string, error) {
	name, replicas := pick(r, slices.Sorted(maps.Keys(w.deployed))), upTo(r, 4)
	set := func(ctx context.Context, replicas int) error {
		return w.system(ctx, n, http.MethodPost, "/system/scale-function/"+name,
			map[string]any{"serviceName": name, "replicas": replicas}, nil)
	}
	if err := set(ctx, replicas); err != nil {
		return "", err
	}
	wait(ctx, f.length)
	what := fmt.Sprintf("%s to %d", name, replicas)
	if replicas > 0 { // calls start a function from zero
		_ = set(context.WithoutCancel(ctx), 1+upTo(r, 2))
	}
	return what, nil
}

// remove removes a function that has queued calls and deploys it again after a while.
func (w *world) remove(ctx context.Context, n *node, f fault, r *rand.Rand) (string, error) {
	name := pick(r, slices.Sorted(maps.Keys(w.deployed)))
	ctx = context.WithoutCancel(ctx)
	// it may be removed nevertheless
	failed := w.system(ctx, n, http.MethodDelete, "/system/functions",
		map[string]string{"functionName": name}, nil)
	wait(ctx, f.length)
	what := name
	if failed != nil {
		what += ": " + failed.Error()
	}
	return what, eventually(ctx, time.Minute, name+" is deployed again", func(ctx context.Context) error {
		err := w.system(ctx, n, http.MethodPost, "/system/functions", w.deployed[name], nil)
		if err != nil && strings.Contains(err.Error(), "409 Conflict") {
			return nil
		}
		return err
	})
}

// redrive counts the dead letters and redrives them.
func (w *world) redrive(ctx context.Context, n *node) error {
	var letters []struct {
		Queue, ID, Reason string
		Buried            time.Time
	}
	if err := w.command(ctx, n, &letters, "hearth", "dead", "list", "--limit", "1000"); err != nil {
		return err
	}
	var done struct{ Redriven int }
	if len(letters) > 0 {
		if err := w.command(ctx, n, &done, "hearth", "dead", "redrive", "--all"); err != nil {
			return err
		}
	}
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	for _, l := range letters {
		name := fmt.Sprint(l.Queue, " ", l.ID, " ", l.Buried.UnixMilli())
		if !w.b.seen[name] {
			w.b.seen[name], w.b.buried = true, append(w.b.buried, l.Buried)
		}
		if strings.Contains(l.Reason, "not retried") && !strings.Contains(w.b.deadText(), l.Reason) {
			w.b.notes = append(w.b.notes, fmt.Sprintf("dead letter %s of %s: %s", l.ID, l.Queue, l.Reason))
		}
	}
	w.b.redriven += done.Redriven
	return nil
}

// deadText returns the notes so far. The caller holds b.mu.
func (b *book) deadText() string { return strings.Join(b.notes, "\n") }
