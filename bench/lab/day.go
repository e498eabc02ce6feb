package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// A till is what bakery replay plays: a file, a day of it, and how fast.
type till struct {
	file  string
	day   string
	of    string // what the file is called
	shops int
	speed float64 // of the orders; the bakery's own may be another
	seed  uint64
}

// A play is what one bakery came to with one till's day.
type play struct {
	Name    string
	Kind    string
	Orders  int
	Served  int
	Refused int

	began time.Time // when the first order came
	// of the time that is accounted for; it is longer than the day if the bakery was not done by then
	length time.Duration
	waits  []wait
	trays  []tray

	samples []sample           // of replicas, from the first order on
	used    map[string]float64 // replica-seconds by role, in length
	sleeps  bool
	tail    map[string]float64 // replica-seconds by role, from then on until all slept; nil if it never does
	busy    map[string]float64 // seconds of calls by role, in length; nil of a monolith
	calls   map[string]float64
}

// sampleEvery is how often a house is looked at while a day is played.
const sampleEvery = 250 * time.Millisecond

// stockTrays is what the fridge is given before a day: more than it needs, as a
// replay that restocks would wake the baker.
const stockTrays = 5000

// play plays a day, and accounts for its whole length and a while thereafter, the same for all.
func (l *lab) play(ctx context.Context, h *house, t till, length time.Duration, sleeps bool) (*play, error) {
	if _, err := l.bakery(ctx, h, "restock", "--trays", fmt.Sprint(stockTrays)); err != nil {
		return nil, err
	}
	if sleeps {
		if err := untilAsleep(ctx, h); err != nil {
			return nil, err
		}
	}
	p := &play{sleeps: sleeps}
	before, err := h.look(ctx)
	if err != nil {
		return nil, err
	}
	p.samples = append(p.samples, before)
	looking, stop := context.WithCancel(ctx)
	var failed error
	var looks sync.WaitGroup
	looks.Go(func() { failed = p.watch(looking, h) })
	orders := filepath.Join(l.bed.State, "orders.csv")
	args := []string{"replay", t.file, "--listen", "127.0.0.1:0", "--shops", fmt.Sprint(t.shops), "--speed",
		fmt.Sprint(t.speed), "--seed", fmt.Sprint(t.seed), "--no-restock", "--json",
		"--orders", orders, "--patience", "20s"}
	if t.day != "" {
		args = append(args, "--day", t.day)
	}
	out, err := l.bakery(ctx, h, args...)
	var unserved *exec.ExitError
	// 1 with a report: some orders were not served, which is a result
	if err != nil && !(errors.As(err, &unserved) && len(out) > 0) {
		stop()
		looks.Wait()
		return nil, err
	}
	if err := json.Unmarshal(out, p); err != nil {
		stop()
		looks.Wait()
		return nil, fmt.Errorf("bakery replay: %w\n%s", err, out)
	}
	if err := p.readOrders(orders); err != nil {
		stop()
		looks.Wait()
		return nil, err
	}
	select {
	case <-time.After(time.Until(p.began.Add(length))):
	case <-ctx.Done():
	}
	stop()
	looks.Wait()
	after, err := h.look(ctx)
	if err = errors.Join(failed, err, ctx.Err()); err != nil {
		return nil, err
	}
	p.samples = append(p.samples, after)
	p.length = max(length, after.at.Sub(p.began))
	p.used, p.busy, p.calls = less(after.used, before.used), less(after.busy,
		before.busy), less(after.calls, before.calls)
	if p.trays, err = readTrays(ctx, h.socket); err != nil || !sleeps {
		return p, err
	}
	if err := untilAsleep(ctx, h); err != nil {
		return nil, err
	}
	asleep, err := h.look(ctx)
	p.tail = less(asleep.used, after.used)
	return p, err
}

// untilAsleep waits until no role has a replica.
func untilAsleep(ctx context.Context, h *house) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		s, err := h.look(ctx)
		if err != nil {
			return err
		}
		if all(s.replicas) == 0 {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errors.New("the functions do not go to sleep")
}

// watch takes samples until the context ends.
func (p *play) watch(ctx context.Context, h *house) error {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s, err := h.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		p.samples = append(p.samples, s)
	}
}

func less(after, before map[string]float64) map[string]float64 {
	d := map[string]float64{}
	for name, value := range after {
		d[name] = value - before[name]
	}
	return d
}

// readOrders reads what replay wrote of each order.
func (p *play) readOrders(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) < 2 {
		return fmt.Errorf("%s has no orders: %w", path, err)
	}
	for i, row := range rows[1:] {
		came, err := strconv.ParseInt(row[0], 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if i == 0 {
			p.began = time.UnixMilli(came)
		}
		w := wait{came: time.UnixMilli(came).Sub(p.began)}
		if ms, err := strconv.Atoi(row[1]); err == nil {
			w.waited, w.served = time.Duration(ms)*time.Millisecond, true
		}
		p.waits = append(p.waits, w)
	}
	return nil
}

// all is the sum over the roles.
func all(of map[string]float64) float64 {
	sum := 0.0
	for _, n := range of {
		sum += n
	}
	return sum
}

// most is the most replicas of a role that were seen.
func (p *play) most(role string) float64 {
	most := 0.0
	for _, s := range p.samples {
		most = max(most, s.replicas[role])
	}
	return most
}

func (p *play) quantile(percent int) float64 { return quantile(p.waits, 0, 1<<62, percent) }
