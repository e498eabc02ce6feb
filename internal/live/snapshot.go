package live

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/hearthfaas/hearth/internal/redis"
)

// A Function is what a function does now. Its replicas are those of this instance.
type Function struct {
	Name        string   `json:"name"`
	Namespace   string   `json:"namespace"`
	Replicas    int      `json:"replicas"`  // that it should have
	Available   int      `json:"available"` // ready ones
	Starting    int      `json:"starting"`  // not ready yet
	Busy        int      `json:"busy"`      // ready ones with calls
	Standby     int      `json:"standby"`
	InFlight    int      `json:"in_flight"` // calls in flight, or held until it has a replica
	Invocations uint64   `json:"invocations"`
	Topics      []string `json:"topics"`
	Emits       []string `json:"emits"`
	Failing     string   `json:"failing,omitempty"` // why it cannot start

	// Of all its queues together.
	Queued   int   `json:"queued"`
	Retrying int   `json:"retrying"`
	Dead     int   `json:"dead"`
	OldestMS int64 `json:"oldest_ms"`
}

// A Queue is a queue with its counters.
type Queue struct {
	queue.Queue
	// AcceptedTotal and DoneTotal count since the queue exists: messages that it got, and those that have
	// left it. They are missing where Redis does not count.
	AcceptedTotal *uint64 `json:"accepted_total,omitempty"`
	DoneTotal     *uint64 `json:"done_total,omitempty"`
}

// A Redis says whether Redis answers.
type Redis struct {
	Available bool      `json:"available"`
	Since     time.Time `json:"since"`
}

// An Instance is one that shares the Redis.
type Instance struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	UptimeS int64  `json:"uptime_s"`
}

// state is the part of a snapshot that makes it another one.
type state struct {
	Functions []Function `json:"functions"`
	Queues    []Queue    `json:"queues"`
	Ledger    *Ledger    `json:"ledger,omitempty"` // missing before the first measurement
	Redis     Redis      `json:"redis"`
}

// snapshot is what a watcher gets.
type snapshot struct {
	At        time.Time  `json:"at"`
	Instances []Instance `json:"instances"`
	state
}

func encode(at time.Time, s state, present []redis.Instance) []byte {
	list := make([]Instance, len(present))
	for i, p := range present {
		list[i] = Instance{p.Name, p.Version, int64(max(at.Sub(p.Started), 0).Seconds())}
	}
	text, err := json.Marshal(snapshot{at.UTC(), list, s})
	if err != nil { // a snapshot can always be encoded
		panic(err)
	}
	return text
}

// functionsOf returns what functions do, without their queues, by name.
func (l *Live) functionsOf() []Function {
	all := l.cfg.Functions()
	list := make([]Function, 0, len(all))
	for _, f := range all {
		load, _ := l.cfg.Load(f.Name())
		list = append(list, Function{
			Name:        f.Service,
			Namespace:   f.Namespace,
			Replicas:    f.Replicas,
			Available:   load.Available,
			Starting:    max(load.Known-load.Available, 0),
			Busy:        load.Busy,
			Standby:     l.cfg.Standby(f.Name()),
			InFlight:    load.InFlight + load.Held,
			Invocations: load.Calls,
			Topics:      notNil(f.Topics),
			Emits:       notNil(f.Emits),
			Failing:     load.Failing,
		})
	}
	slices.SortFunc(list, func(a, b Function) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Namespace, b.Namespace))
	})
	return list
}

// withQueues adds the messages of queues to their functions.
func withQueues(list []Function, queues []Queue) {
	at := make(map[string]int, len(list))
	for i, f := range list {
		at[hearth.Name{Function: f.Name, Namespace: f.Namespace}.String()] = i
	}
	for _, q := range queues {
		i, ok := at[q.Function]
		if !ok {
			continue
		}
		f := &list[i]
		f.Queued, f.Retrying, f.Dead = f.Queued+q.Queued, f.Retrying+q.Retrying, f.Dead+q.Dead
		f.OldestMS = max(f.OldestMS, int64(q.Oldest*1000))
	}
}

func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
