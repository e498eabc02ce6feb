package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A kind of fault.
type kind struct {
	name     string
	on       string // the target; one fault at a time for each
	min, max time.Duration
	long     bool // only in long runs
	peer     bool // only if there is another hearth
	breaks   bool // it breaks connections or responses of Redis: a refused call may run
}

const (
	killFunction  = "kill-function"
	stopFunction  = "stop-function"
	killHearth    = "kill-hearth"
	longKill      = "kill-hearth-beyond-lease"
	restartHearth = "restart-hearth"
	stopHearth    = "stop-hearth"
	longStop      = "stop-hearth-beyond-lease"
	killRedis     = "kill-redis"
	stopRedis     = "stop-redis"
	slowDisk      = "slow-disk"
	fullRedis     = "full-redis"
	cutHearth     = "cut-hearth-redis"
	lostHearth    = "lost-answers-hearth-redis"
	slowHearth    = "slow-hearth-redis"
	cutFunction   = "cut-functions-redis"
	lostFunction  = "lost-answers-functions-redis"
	slowFunction  = "slow-functions-redis"
	breakFunction = "break-function"
	redeploy      = "redeploy"
	scale         = "scale"
	remove        = "remove-function"
	redrive       = "redrive"
)

var kinds = []kind{
	{name: killFunction, on: "functions", min: 100 * ms, max: 500 * ms},
	{name: stopFunction, on: "functions", min: execTimeout + 200*ms, max: 2 * execTimeout},
	{name: killHearth, on: "hearth", min: 100 * ms, max: 1500 * ms, breaks: true},
	{name: longKill, on: "hearth", min: lease + 500*ms, max: lease + 3*time.Second, long: true,
		peer: true, breaks: true},
	{name: restartHearth, on: "hearth", min: 500 * ms, max: 1500 * ms, breaks: true},
	{name: stopHearth, on: "hearth", min: 500 * ms, max: 3 * time.Second, breaks: true},
	{name: longStop, on: "hearth", min: lease + 500*ms, max: lease + 3*time.Second, long: true, breaks: true},
	{name: killRedis, on: "redis", min: 50 * ms, max: 1500 * ms, breaks: true},
	{name: stopRedis, on: "redis", min: 500 * ms, max: 4 * time.Second, breaks: true},
	{name: slowDisk, on: "redis", min: time.Second, max: 3 * time.Second, breaks: true},
	{name: fullRedis, on: "redis", min: 500 * ms, max: 2 * time.Second},
	{name: cutHearth, on: "hearth link", min: 200 * ms, max: 1500 * ms, breaks: true},
	{name: lostHearth, on: "hearth link", min: 200 * ms, max: 2500 * ms, breaks: true},
	{name: slowHearth, on: "hearth link", min: 500 * ms, max: 2500 * ms, breaks: true},
	{name: cutFunction, on: "functions link", min: 200 * ms, max: 1500 * ms},
	{name: lostFunction, on: "functions link", min: 200 * ms, max: 2500 * ms},
	{name: slowFunction, on: "functions link", min: 500 * ms, max: 2500 * ms},
	{name: breakFunction, on: "mode", min: 500 * ms, max: 2500 * ms},
	{name: redeploy, on: "deployments", min: 200 * ms, max: time.Second},
	{name: scale, on: "deployments", min: 200 * ms, max: 1500 * ms},
	{name: remove, on: "deployments", min: 200 * ms, max: 2 * time.Second},
	{name: redrive, on: "dead letters", min: 50 * ms, max: 100 * ms},
}

const ms = time.Millisecond

func kindNames() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

func parseKinds(list string) ([]kind, error) {
	var some []kind
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-only: there is no fault %q, but %s", name,
				strings.Join(kindNames(), ", "))
		}
		some = append(some, kinds[i])
	}
	return some, nil
}

// A fault is an entry of the schedule.
type fault struct {
	kind
	at, length time.Duration // since the load began
	seed       uint64        // for its random choices
}

func (f fault) end() time.Duration { return f.at + f.length }

func (f fault) rand() *rand.Rand { return rand.New(rand.NewPCG(f.seed, 0)) }

// schedule returns the faults of a run in their order. Kinds are dealt like cards: none repeats before all
// have occurred. Faults of different targets may overlap.
func schedule(seed uint64, duration time.Duration, of []kind) []fault {
	r := rand.New(rand.NewPCG(seed, 1))
	var faults []fault
	var deck []kind
	free := map[string]time.Duration{} // the end of the last fault of each target
	for at := 500 * ms; ; {
		if len(deck) == 0 {
			for _, k := range of {
				if !k.long || duration >= 2*time.Minute {
					deck = append(deck, k)
				}
			}
			if len(deck) == 0 {
				return nil
			}
			r.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		k := deck[0]
		deck = deck[1:]
		f := fault{kind: k, at: max(at, free[k.on]), length: k.min + upTo(r, k.max-k.min+1), seed: r.Uint64()}
		if f.end() > duration {
			return faults
		}
		faults = append(faults, f)
		free[k.on] = f.end() + 100*ms
		if upTo(r, 100) < 40 { // the next begins during this one or right after it
			at = max(at, f.at) + upTo(r, f.length)
		} else {
			at = f.end() + upTo(r, 700*ms)
		}
	}
}

// A happening is a fault as it was injected.
type happening struct {
	Kind    string    `json:"kind"`
	Begin   time.Time `json:"begin"`
	End     time.Time `json:"end"`
	What    string    `json:"what"`
	Skipped bool      `json:"skipped,omitempty"` // not possible on this machine

	breaks bool
}

const calm = "none"

// during returns the kind of the last fault that began before a moment.
func during(all []happening, at time.Time) string {
	name := calm
	for _, h := range all { // sorted by Begin
		if h.Begin.After(at) {
			break
		}
		if !h.Skipped {
			name = h.Kind
		}
	}
	return name
}

// broken reports whether a connection may have broken in a span of time.
func broken(all []happening, from, to time.Time) bool {
	return slices.ContainsFunc(all, func(h happening) bool {
		return h.breaks && !h.Skipped && h.Begin.Before(to) && h.End.Add(reconnect).After(from)
	})
}

// blame returns the kind of fault that a pause belongs to: one that was active at its begin, else the first
// that began in it, else the last before it.
func blame(all []happening, from, to time.Time) string {
	first := ""
	for _, h := range slices.Backward(all) {
		if h.Skipped {
			continue
		}
		if !h.Begin.After(from) && h.End.After(from) {
			return h.Kind
		}
		if h.Begin.After(from) && h.Begin.Before(to) {
			first = h.Kind
		}
	}
	return cmp.Or(first, during(all, from))
}

// upTo returns a random number from 0 to n-1.
func upTo[T ~int | ~int64](r *rand.Rand, n T) T { return T(r.Int64N(int64(n))) }
