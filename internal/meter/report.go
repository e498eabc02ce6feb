package meter

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// A Query says what a report is about. Its zero value is all that is kept.
type Query struct {
	// whole hours that have a part of it; zero for the beginning of Retention, and for now
	From, To  time.Time
	Namespace string // "" for all
	Function  string // NAME.NAMESPACE; "" for all
	By        string // ByHour, ByDay or ByTotal; "" is ByTotal
}

// What a report has a row for, of each function.
const (
	ByHour  = "hour"
	ByDay   = "day" // in UTC
	ByTotal = "total"
)

// maxRows is how many rows a report may have.
const maxRows = 100_000

// A Report is what functions used in some time, and what it costs. It is what GET /system/usage answers.
type Report struct {
	From          time.Time `json:"from"`
	To            time.Time `json:"to"`
	By            string    `json:"by"`
	Prices        Prices    `json:"prices"`
	DefaultMemory int       `json:"default_memory_mb"` // what a function without a limit of memory counts as
	Rows          []Row     `json:"rows"`              // by time, and then by name
	Total         Row       `json:"total"`
}

// A Row is what one function used in some time.
type Row struct {
	Start    time.Time `json:"start"`
	Function string    `json:"function,omitempty"` // NAME.NAMESPACE, or Others

	Calls          uint64  `json:"calls"`
	BusySeconds    float64 `json:"busy_seconds"`    // that calls were in flight, together
	ReplicaSeconds float64 `json:"replica_seconds"` // that replicas lived, together
	// BusySeconds times the limit of memory, of 2^30 bytes
	GBSeconds        float64 `json:"gb_seconds"`
	ReplicaGBSeconds float64 `json:"replica_gb_seconds"`
	// some of that is of a function without a limit
	MemoryAssumed bool       `json:"memory_assumed,omitempty"`
	ColdStarts    ColdStarts `json:"cold_starts"`
	QueueWait     QueueWait  `json:"queue_wait"`
	Cost          Cost       `json:"cost"`
}

// ColdStarts are the calls that came when no replica took calls.
type ColdStarts struct {
	Count  uint64 `json:"count"`
	Failed uint64 `json:"failed"`           // of these, that got no replica
	P50    uint64 `json:"p50_ms,omitempty"` // for how long the others were held: up to an eighth too much
	P99    uint64 `json:"p99_ms,omitempty"`
}

// QueueWait is for how long queued calls lay on their queue before they were first taken.
type QueueWait struct {
	Count   uint64  `json:"count"`
	Mean    float64 `json:"mean_ms"`
	Longest uint64  `json:"max_ms"`
}

func (p Prices) row(start time.Time, function string, u Usage) Row {
	r := Row{
		Start:            start,
		Function:         function,
		Calls:            u.Calls,
		BusySeconds:      float64(u.Busy) / 1000,
		ReplicaSeconds:   float64(u.Replica) / 1000,
		GBSeconds:        GBSeconds(u.BusyMemory),
		ReplicaGBSeconds: GBSeconds(u.ReplicaMemory),
		MemoryAssumed:    u.Assumed,
		ColdStarts:       ColdStarts{u.ColdStarts, u.Denied, u.Cold.Quantile(.5), u.Cold.Quantile(.99)},
		QueueWait:        QueueWait{Count: u.Queued, Longest: u.LongestWait},
		Cost:             p.Cost(u),
	}
	if u.Queued > 0 {
		r.QueueWait.Mean = float64(u.Waited) / float64(u.Queued)
	}
	return r
}

// slot is what a row is of.
type slot struct {
	start    time.Time
	function string
}

// check fills in what a query leaves out.
func (q *Query) check(now time.Time) error {
	q.By = cmp.Or(q.By, ByTotal)
	if q.By != ByHour && q.By != ByDay && q.By != ByTotal {
		return hearth.Errorf(hearth.Invalid, "by is %.20q, want hour, day or total", q.By)
	}
	if q.To.IsZero() {
		q.To = now.Add(1) // the hour that has just begun is one
	}
	oldest := dayOf(now.Add(-Retention))
	if q.From.IsZero() || q.From.Before(oldest) {
		q.From = oldest
	}
	if !q.From.Before(q.To) {
		return hearth.Errorf(hearth.Invalid, "from is %s, which is not before %s",
			q.From.UTC().Format(time.RFC3339), q.To.UTC().Format(time.RFC3339))
	}
	q.From = q.From.UTC().Truncate(time.Hour)
	end := q.To.UTC().Truncate(time.Hour)
	if end.Before(q.To) {
		end = end.Add(time.Hour)
	}
	q.To = end
	return nil
}

// means reports whether a function is meant. Others are of all namespaces.
func (q Query) means(function string) bool {
	_, namespace, _ := strings.Cut(function, ".")
	return (q.Function == "" || q.Function == function) && (q.Namespace == "" || q.Namespace == namespace)
}

// Report is what functions used, on all instances: on this one up to now, on
// others as far as they have written it.
//
// It returns an error of code Invalid if the query makes no sense or would have too
// many rows, and Unavailable if Redis is unavailable.
func (m *Meter) Report(ctx context.Context, q Query) (Report, error) {
	now := m.cfg.Now().UTC()
	if err := q.check(now); err != nil {
		return Report{}, err
	}
	m.look()
	m.books.io.Lock() // nothing goes from memory to Redis meanwhile
	defer m.books.io.Unlock()
	found := map[slot]*Usage{}
	last := min(q.To.Unix(), now.Add(24*time.Hour).Unix()) // a clock may have gone back
	for day := dayOf(q.From); day.Unix() < last; day = day.Add(24 * time.Hour) {
		if err := m.books.each(ctx, day, func(function string, hours *hoursOfDay) {
			if q.means(function) {
				q.collect(found, day, function, hours)
			}
		}); err != nil {
			return Report{}, err
		}
		if len(found) > maxRows {
			return Report{}, hearth.Errorf(hearth.Invalid,
				"that is more than %d rows: ask for a shorter time, one function, or by day", maxRows)
		}
	}
	r := Report{
		From:          q.From,
		To:            q.To,
		By:            q.By,
		Prices:        m.cfg.Prices,
		DefaultMemory: DefaultMemory,
		Rows:          []Row{},
	}
	var total Usage
	for _, s := range slices.SortedFunc(maps.Keys(found), func(a, b slot) int {
		return cmp.Or(a.start.Compare(b.start), strings.Compare(a.function, b.function))
	}) {
		r.Rows = append(r.Rows, m.cfg.Prices.row(s.start, s.function, *found[s]))
		total.Add(*found[s])
	}
	r.Total = m.cfg.Prices.row(q.From, "", total)
	return r, nil
}

// collect adds a function's hours of a day to the rows that they are in.
func (q Query) collect(found map[slot]*Usage, day time.Time, function string, hours *hoursOfDay) {
	for hour, u := range hours {
		at := day.Add(time.Duration(hour) * time.Hour)
		if u == nil || at.Before(q.From) || !at.Before(q.To) {
			continue
		}
		s := slot{at, function}
		switch q.By {
		case ByDay:
			s.start = day
		case ByTotal:
			s.start = q.From
		}
		if found[s] == nil {
			found[s] = &Usage{}
		}
		found[s].Add(*u)
	}
}

// each meets what was used on a day, by function and hearth: this one's as it is in memory, if it is there.
// b.io is held. meet must not keep what it is given.
func (b *books) each(ctx context.Context, day time.Time,
	meet func(function string, hours *hoursOfDay)) error {
	if err := b.read(ctx, day); err != nil {
		return err
	}
	kept, err := b.cfg.Queue.Usage(ctx, day)
	if err != nil {
		return err
	}
	b.mu.Lock()
	d := b.days[day]
	kept = slices.DeleteFunc(kept, func(u redis.Used) bool {
		return d != nil &&
			u.Instance == b.cfg.Instance
	})
	if d != nil {
		for name, r := range d.records {
			meet(name, &r.hours)
		}
	}
	b.mu.Unlock()
	for _, u := range kept {
		hours := b.decode(day, u)
		meet(u.Function, &hours)
	}
	return nil
}
