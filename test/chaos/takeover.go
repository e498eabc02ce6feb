package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/redis/go-redis/v9"
)

// A takeover is one delivery that an instance held when it was killed, and that was delivered again.
type takeover struct {
	took      time.Duration // from the death; if the same instance did it, from its restart
	restarted bool          // the same instance did it
}

// A leased is a delivery that a dead instance held.
type leased struct {
	sub   wire.Subscription
	id    string
	token string
}

// watchTakeover waits until everything that a killed instance held is delivered again, or was settled all the
// same. died is when it was killed, and away for how long it is not started again.
func (w *world) watchTakeover(ctx context.Context, n *node, died time.Time, away time.Duration) {
	// beyond the time of the faults
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	name, err := os.ReadFile(filepath.Join(n.state, "instance"))
	if err != nil {
		w.b.note("the deliveries of %s are not known: %v", n.name, err)
		return
	}
	prefix := strings.TrimSpace(string(name)) + ":"
	var held []leased
	for {
		if held, err = w.leasedBy(ctx, prefix); err == nil {
			break
		}
		if wait(ctx, 5*ms); ctx.Err() != nil {
			return
		}
	}
	for len(held) > 0 && ctx.Err() == nil {
		wait(ctx, 10*ms)
		held = slices.DeleteFunc(held, func(l leased) bool {
			text, err := w.rdb.HGet(ctx, l.sub.Keys()[4], l.id).Result()
			token := newest(text)
			switch {
			// still, or Redis does not answer
			case err == nil && token == l.token, err != nil && !errors.Is(err, redis.Nil):
				return false
			case token != "": // else it was settled: the function had committed
				t := takeover{took: time.Since(died), restarted: strings.HasPrefix(token, prefix)}
				if t.restarted {
					t.took -= away
				}
				w.b.mu.Lock()
				w.b.takeovers = append(w.b.takeovers, t)
				w.b.mu.Unlock()
			}
			return true
		})
	}
}

// leasedBy returns the leases of an instance, whose tokens begin with the prefix.
func (w *world) leasedBy(ctx context.Context, prefix string) (held []leased, err error) {
	subs, err := w.rdb.HKeys(ctx, "{hearth}:subscriptions").Result()
	if err != nil {
		return nil, err
	}
	for _, text := range subs {
		stream, group, _ := strings.Cut(text, " ")
		sub := wire.Subscription{Stream: stream, Group: group}
		ids, err := w.rdb.ZRange(ctx, sub.Keys()[1], 0, -1).Result()
		if err != nil {
			return nil, err
		}
		if len(ids) == 0 {
			continue
		}
		notes, err := w.rdb.HMGet(ctx, sub.Keys()[4], ids...).Result()
		if err != nil {
			return nil, err
		}
		for i, note := range notes {
			text, _ := note.(string)
			if token := newest(text); strings.HasPrefix(token, prefix) {
				held = append(held, leased{sub: sub, id: ids[i], token: token})
			}
		}
	}
	return held, nil
}

// newest is the newest token in a note about deliveries, "ATTEMPTS SINCE TOKEN TOKEN ...".
func newest(note string) string {
	words := strings.Fields(note)
	if len(words) < 3 {
		return ""
	}
	return words[2]
}

// A takeoverRow is how long some takeovers took.
type takeoverRow struct {
	Deliveries int     `json:"deliveries"`
	P50        float64 `json:"p50_s"`
	P99        float64 `json:"p99_s"`
	Longest    float64 `json:"longest_s"`
}

// takeoverTimes counts those of restarted instances, or those of other ones.
func takeoverTimes(all []takeover, restarted bool) (r takeoverRow) {
	var took []time.Duration
	for _, t := range all {
		if t.restarted == restarted {
			took = append(took, t.took)
		}
	}
	if len(took) == 0 {
		return r
	}
	slices.Sort(took)
	at := func(percent int) float64 {
		return took[max(0, (len(took)*percent+99)/100-1)].Round(10 * ms).Seconds()
	}
	return takeoverRow{Deliveries: len(took), P50: at(50), P99: at(99), Longest: at(100)}
}

func (r takeoverRow) String() string {
	if r.Deliveries == 0 {
		return "no deliveries"
	}
	return fmt.Sprintf("%d deliveries, p50 %.2f s, p99 %.2f s, longest %.2f s", r.Deliveries,
		r.P50, r.P99, r.Longest)
}
