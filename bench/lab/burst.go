package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// A burst is ten times the usual orders at once, for a while. Each order is one
// tray, so that the ovens have to grow.
type burst struct {
	Rate         float64 // orders a second before and after
	Times        float64
	Starts, Ends time.Duration // of the burst
	Ended        time.Duration // of it all
	Plays        []*burstPlay
	Copies       int // of the monolith that has the ovens which the functions had at most
}

// A burstPlay is one bakery's.
type burstPlay struct {
	*play
	Steady float64 // ms: p99 of the orders before
	// after the burst's begin, from when on the p99 of each second is under twice that
	Back      time.Duration
	Recovered bool
}

// burstSpeed lets chocolate chip cookies bake in bakeSeconds instead of 12 minutes. A delay of another half
// second in the rush would double the steady wait, so the aim can be missed.
const (
	burstSpeed  = 1440
	bakeSeconds = 12 * 60. / burstSpeed
)

// tillSpeed is how fast the burst's file is played: its times are whole seconds, and so 1/60 s.
const tillSpeed = 60

func (l *lab) burst(ctx context.Context) (*burst, error) {
	b := &burst{
		Rate:   4,
		Times:  10,
		Starts: l.phase(30 * time.Second),
		Ends:   l.phase(45 * time.Second),
		Ended:  l.phase(60 * time.Second),
	}
	file := filepath.Join(l.bed.State, "burst.csv")
	if err := b.write(file, l.day.seed); err != nil {
		return nil, err
	}
	t := till{file: file, shops: 1, speed: tillSpeed, seed: l.day.seed}
	speed := fmt.Sprintf("BAKE_SPEED=%d", burstSpeed)
	for _, start := range []func() (string, *house, error){
		func() (string, *house, error) {
			h, err := l.onHearth(ctx, l.awake(), []string{"--scale-window", "3s"}, speed)
			return "functions, autoscaled", h, err
		},
		func() (string, *house, error) {
			h, err := l.asMonolith(ctx, 1, speed)
			return "monolith, one copy", h, err
		},
		func() (string, *house, error) {
			b.Copies = int(b.Plays[0].most("oven"))
			h, err := l.asMonolith(ctx, b.Copies, speed)
			return fmt.Sprintf("monolith, %d copies", b.Copies), h, err
		},
	} {
		name, h, err := start()
		if err != nil {
			return nil, err
		}
		p, err := l.play(ctx, h, t, b.Ended, false)
		h.stop()
		if err != nil {
			return nil, fmt.Errorf("burst: %s: %w", name, err)
		}
		p.Name = name
		one := &burstPlay{play: p, Steady: quantile(p.waits, b.Starts/4, b.Starts, 99)}
		one.Back, one.Recovered = backUnder(p.waits, b.Starts, b.Ends, 2*one.Steady)
		b.Plays = append(b.Plays, one)
		fmt.Fprintf(os.Stderr,
			"burst, %-24s steady p99 %.0f ms, back under twice that after %v (%v); ovens at most %.0f, of "+
				"others %.0f %.0f %.0f\n",
			name, one.Steady, one.Back, one.Recovered, p.most("oven"), p.most("cashier"),
			p.most("baker"), p.most("server"))
	}
	return b, nil
}

// awake is how functions scale that do not sleep.
func (l *lab) awake() map[string]change {
	changes := map[string]change{}
	for _, role := range roles {
		changes[role] = change{labels: map[string]string{"com.openfaas.scale.min": "1",
			"com.openfaas.scale.max": fmt.Sprint(plenty), "com.openfaas.scale.zero": "false"}}
	}
	return changes
}

// write writes the orders as a till has them: they come at random, at a rate.
func (b *burst) write(path string, seed uint64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	out := bufio.NewWriter(f)
	_, _ = fmt.Fprintln(out, "Date,Time,Transaction,Item")
	rnd := rand.New(rand.NewPCG(seed, 2))
	midnight := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for order, at := 0, time.Duration(0); at < b.Ended; order++ {
		when := midnight.Add(at * tillSpeed)
		for range 24 { // one tray
			_, _ = fmt.Fprintf(out, "%s,%d,Cookies\n", when.Format("2006-01-02,15:04:05"), order)
		}
		rate := b.Rate
		if at >= b.Starts && at < b.Ends {
			rate *= b.Times
		}
		at += time.Duration(rnd.ExpFloat64() / rate * float64(time.Second))
	}
	return out.Flush()
}
