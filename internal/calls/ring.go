package calls

import (
	"strconv"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// ringSize is how many sync calls one instance remembers.
const ringSize = 10_000

// A SyncCall is a sync call that has ended.
type SyncCall struct {
	Name           hearth.Name
	CallID         string
	Trace, Parent  string // traceparents
	Method, Path   string
	Status         int
	Broken         bool // there was no whole answer
	Replica        string
	Started, Ended time.Time
	Cold           float64 // ms
}

// A Ring remembers the last sync calls of an instance. The zero Ring is ready to use.
type Ring struct {
	Instance string

	mu   sync.Mutex
	list []SyncCall // of ringSize at most; the oldest is at next
	next int
	seen uint64 // calls, in all
}

// Add remembers a call, and forgets the oldest if there are too many.
func (r *Ring) Add(c SyncCall) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen++
	if len(r.list) < ringSize {
		r.list = append(r.list, c)
		return
	}
	r.list[r.next] = c
	r.next = (r.next + 1) % ringSize
}

// each calls visit with each call, the newest first.
func (r *Ring) each(visit func(*Call)) {
	r.mu.Lock()
	list := make([]SyncCall, 0, len(r.list))
	list = append(append(list, r.list[r.next:]...), r.list[:r.next]...)
	seen := r.seen
	r.mu.Unlock()
	for i := len(list) - 1; i >= 0; i-- {
		number := seen - uint64(len(list)-1-i)
		visit(list[i].call(r.Instance + "/" + strconv.FormatUint(number, 10)))
	}
}

func (s SyncCall) call(id string) *Call {
	c := &Call{
		ID:        id,
		CallID:    s.CallID,
		Kind:      Sync,
		Function:  s.Name.Function,
		Namespace: s.Name.Namespace,
		State:     Succeeded,
		Status:    s.Status,
		Method:    s.Method,
		Path:      s.Path,
		StartedAt: at(s.Started.UnixMilli()),
		EndedAt:   at(s.Ended.UnixMilli()),
		ColdStart: s.Cold,
		Run:       max(0, float64(s.Ended.Sub(s.Started).Microseconds())/1000-s.Cold),
		Attempt:   1,
		Replica:   s.Replica,
		name:      s.Name,
	}
	c.TraceID, c.span = traceOf(s.Trace)
	_, c.parent = traceOf(s.Parent)
	if s.Broken {
		c.State, c.Reason = Failed, "the caller left, or the answer broke off"
	} else if s.Status >= 400 {
		c.State = Failed
	}
	return c
}
