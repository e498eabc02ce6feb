package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// config is the configuration of a run.
type config struct {
	Seed     uint64
	Duration time.Duration // of the faults
	Settle   time.Duration // deadline afterwards
	Rate     float64       // calls a second
	Hearths  int
	Only     []kind // nil: all
	Soak     bool
	Race     bool
	Keep     string
	Progress io.Writer
}

// flags returns the flags that repeat a run.
func (c config) flags() string {
	text := fmt.Sprintf("-seed %d -duration %v -rate %g -hearths %d", c.Seed, c.Duration, c.Rate, c.Hearths)
	if c.Soak {
		text += " -soak"
	}
	if c.Only != nil {
		var names []string
		for _, k := range c.Only {
			names = append(names, k.name)
		}
		text += " -only " + strings.Join(names, ",")
	}
	return text
}

// run performs one run. An error means that the run failed; violations are in the report.
func run(ctx context.Context, c config, built string) (rep *report, err error) {
	if c.Hearths < 1 || c.Rate <= 0 || c.Duration <= 0 {
		return nil, errors.New("-hearths, -rate and -duration must be above 0")
	}
	if c.Soak && (c.Hearths < 2 || c.Only != nil) {
		return nil, errors.New("-soak needs -hearths 2 or more, since one is spared, and no -only")
	}
	of := c.Only
	if of == nil {
		of = kinds
	}
	if c.Hearths == 1 {
		of = slices.DeleteFunc(slices.Clone(of), func(k kind) bool { return k.peer })
	}
	say := func(format string, args ...any) {
		_, _ = fmt.Fprintf(c.Progress, "chaos: "+format+"\n", args...)
	}
	dir, err := os.MkdirTemp("", "hearth-chaos-")
	if err != nil {
		return nil, err
	}
	b := newBook()
	w := &world{cfg: c, b: b, built: built, dir: dir}
	defer func() {
		if left := w.stop(); len(left) > 0 {
			err = errors.Join(err, fmt.Errorf("left behind: %s", strings.Join(left, "; ")))
		}
		if c.Keep != "" && (err != nil || len(rep.Wrong) > 0) {
			err = errors.Join(err, w.keep(c.Keep))
		}
		_ = os.RemoveAll(dir)
	}()
	say("seed %d: starting Redis, hearth and the functions", c.Seed)
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	l, err := newLoad(ctx, w, b)
	if err != nil {
		return nil, err
	}
	defer l.close()
	l.restock(ctx, "opening day", 20)

	all, cancel := context.WithTimeout(ctx, c.Duration+c.Settle)
	defer cancel()
	asking, end := context.WithTimeout(all, c.Duration)
	defer end()
	began := time.Now()
	l.begin(all, asking)
	var samples []sample
	faults := schedule(c.Seed, c.Duration, of)
	if c.Soak {
		faults = soak(c.Seed, c.Duration)
		l.clients.Go(func() { samples = w.watchMemory(asking, began) })
	}
	w.inflict(asking, faults, func(what string) {
		n, taken, turned := b.counts()
		say("%5.1f s  %-30s %d asked, %d accepted, %d refused", time.Since(began).Seconds(),
			what, n, taken, turned)
	})
	<-asking.Done()
	ended := time.Now()
	say("end of the faults; waiting until everything settles")
	trays := 100 * int(1+c.Duration.Seconds()*c.Rate/100)
	for n := 0; trays > 0; n++ {
		l.restock(all, fmt.Sprint("closing time ", n), min(trays, mostRestocked))
		trays -= mostRestocked
	}
	l.clients.Wait()
	var said time.Time
	settled := w.untilSettled(all, func(busy string) {
		if time.Since(said) > 3*time.Second {
			said = time.Now()
			say("%5.1f s  %s", time.Since(ended).Seconds(), busy)
		}
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	took := time.Since(ended)
	w.takeovers.Wait()
	if settled != nil {
		b.fault("%v", settled)
	}
	checking, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	w.check(checking, l)
	rep = b.report(c, began, ended)
	rep.Settled, rep.Memory = took.Seconds(), samples
	return rep, nil
}

// keep saves the files of a failed run.
func (w *world) keep(to string) error {
	to = filepath.Join(to, fmt.Sprint("seed-", w.cfg.Seed))
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	calls, err := json.MarshalIndent(map[string]any{"calls": w.b.calls, "happened": w.b.happened,
		"wrong": w.b.wrong}, "", " ")
	if err != nil {
		return err
	}
	failed := os.WriteFile(filepath.Join(to, "calls.json"), calls, 0o600)
	for _, s := range append([]*server{w.redis, w.proxy}, w.hearthServers()...) {
		if s != nil {
			failed = errors.Join(failed, os.WriteFile(filepath.Join(to, s.name+".log"),
				[]byte(s.output()), 0o600))
		}
	}
	for _, name := range []string{"redis", "probe-says", "hearth1/logs", "hearth2/logs"} {
		if from := filepath.Join(w.dir, name); exists(from) {
			failed = errors.Join(failed, os.CopyFS(filepath.Join(to, name), os.DirFS(from)))
		}
	}
	return failed
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
