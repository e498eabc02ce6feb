package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
)

const (
	soakEvery   = 10 * time.Second // a kill
	sampleEvery = 10 * time.Second // of the memory
)

// soak is the schedule of a soak: it kills something every 10 seconds, but never the
// first instance, whose memory it records.
func soak(seed uint64, duration time.Duration) []fault {
	r := rand.New(rand.NewPCG(seed, 2))
	deal := []string{killFunction, killHearth, killFunction, killRedis}
	var faults []fault
	for i, at := 0, soakEvery; at < duration; i, at = i+1, at+soakEvery {
		name := deal[i%len(deal)]
		k := kinds[slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })]
		faults = append(faults, fault{kind: k, at: at, length: k.min + upTo(r, k.max-k.min+1),
			seed: r.Uint64()})
	}
	return faults
}

// A sample has the memory in use at a time.
type sample struct {
	At     float64 `json:"at_s"`         // since the load began
	Hearth int64   `json:"hearth_bytes"` // resident memory of the first instance
	// all that Redis has allocated; ended orders and the keys of calls are kept for a day
	Redis  int64 `json:"redis_bytes"`
	Queues int64 `json:"queues_bytes"` // of that, streams and subscriptions
	Orders int64 `json:"orders"`       // ended, which Redis keeps for a day
}

// watchMemory takes samples until ctx ends.
func (w *world) watchMemory(ctx context.Context, began time.Time) (samples []sample) {
	for {
		wait(ctx, sampleEvery)
		if ctx.Err() != nil {
			return samples
		}
		if s, err := w.sample(ctx); err == nil { // Redis may be unavailable
			s.At = time.Since(began).Round(ms).Seconds()
			samples = append(samples, s)
		}
	}
}

func (w *world) sample(ctx context.Context) (s sample, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.hearths[0].pid()))
	if err != nil {
		return s, err
	}
	s.Hearth = field(status, "VmRSS:") << 10
	info, err := w.rdb.Info(ctx, "memory").Bytes()
	if err != nil {
		return s, err
	}
	s.Redis = field(info, "used_memory:")
	if s.Orders, err = w.rdb.HLen(ctx, "{bakery}:orders:past").Result(); err != nil {
		return s, err
	}
	subs, err := w.rdb.HKeys(ctx, "{hearth}:subscriptions").Result()
	if err != nil {
		return s, err
	}
	counted := map[string]bool{}
	for _, text := range subs {
		stream, group, _ := strings.Cut(text, " ")
		keys := wire.Subscription{Stream: stream, Group: group}.Keys()
		for _, key := range keys {
			if !counted[key] {
				counted[key] = true
				n, _ := w.rdb.MemoryUsage(ctx, key, 0).Result() // 0 for a missing key
				s.Queues += n
			}
		}
	}
	return s, nil
}

// field returns the number after a name in a list of the kernel's or of Redis.
func field(list []byte, name string) int64 {
	_, rest, _ := bytes.Cut(list, []byte(name))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	words := bytes.Fields(line)
	if len(words) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(string(words[0]), 10, 64)
	return n
}

// memory summarises the samples: a line for each sixth of the time, with the maximum in it.
func memory(samples []sample) (lines []string) {
	const parts = 6
	for i := range parts {
		part := samples[i*len(samples)/parts : (i+1)*len(samples)/parts]
		if len(part) == 0 {
			continue
		}
		var most sample
		for _, s := range part {
			most = sample{s.At, max(most.Hearth, s.Hearth), max(most.Redis, s.Redis),
				max(most.Queues, s.Queues), max(most.Orders, s.Orders)}
		}
		const mb = 1 << 20
		lines = append(lines, fmt.Sprintf("until %5.0f s: hearth %.1f MB, queues %.2f MB, all of Redis %.1f "+
			"MB, with %d orders", most.At, float64(most.Hearth)/mb, float64(most.Queues)/mb,
			float64(most.Redis)/mb, most.Orders))
	}
	return lines
}
