package calls

import (
	"context"
	"math"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// A Journey is all that one call caused: the calls of one trace.
type Journey struct {
	TraceID string `json:"trace_id"`
	CallID  string `json:"call_id"` // of the first hop
	Hops    []Hop  `json:"hops"`    // oldest first
}

// A Hop is a call of a Journey.
type Hop struct {
	*Call
	Span     string    `json:"span"`   // "" while the call has not begun
	Parent   string    `json:"parent"` // the span that caused it; "" or unknown for the first hop
	Phases   Phases    `json:"phases"`
	Attempts []Attempt `json:"attempts"`
}

// Phases are the parts of a hop, in ms. A part that has not ended, or that nobody measured, is absent.
type Phases struct {
	QueueWait *float64 `json:"queue_wait_ms,omitempty"` // from its time until it was first taken
	ColdStart *float64 `json:"cold_start_ms,omitempty"` // of the last attempt: no replica was there
	Run       *float64 `json:"run_ms,omitempty"`        // of the last attempt, without the commit
	Commit    *float64 `json:"commit_ms,omitempty"`     // the function's commit
	HandOff   *float64 `json:"hand_off_ms,omitempty"`   // from its end until what it caused was queued
}

// Trace returns the journey with a trace id, or else with a call id.
//
// It returns an error of code NotFound if no call has it.
func (x *Index) Trace(ctx context.Context, id string) (Journey, error) {
	list, err := x.all(ctx, redis.LiveQuery{}, func(c *Call) bool { return c.TraceID == id })
	if err == nil && len(list) == 0 {
		list, err = x.all(ctx, redis.LiveQuery{CallID: id}, func(c *Call) bool { return c.CallID == id })
		if len(list) > 0 && list[0].TraceID != "" {
			return x.Trace(ctx, list[0].TraceID)
		}
	}
	if err != nil {
		return Journey{}, err
	}
	if len(list) == 0 {
		return Journey{}, hearth.Errorf(hearth.NotFound,
			"no recorded call has the trace or call id %.200q: it never existed, or its record was dropped",
			id)
	}
	j := Journey{TraceID: list[0].TraceID, CallID: list[0].CallID, Hops: make([]Hop, len(list))}
	for i, c := range list {
		j.Hops[i] = Hop{Call: c, Span: c.span, Parent: c.parent, Phases: c.phases(), Attempts: c.attempts()}
	}
	j.handOffs()
	return j, nil
}

func (c *Call) phases() (p Phases) {
	known := func(ms float64) *float64 {
		ms = math.Round(1000*ms) / 1000
		return &ms
	}
	if c.QueuedAt != nil {
		p.QueueWait = known(c.QueueWait)
	}
	if !c.Measured() {
		return p
	}
	p.ColdStart, p.Run = known(c.ColdStart), known(max(0, c.Run-c.commit))
	if c.commit > 0 {
		p.Commit = known(c.commit)
	}
	return p
}

// handOffs sets the part of each hop between its end and the last message that it caused.
func (j *Journey) handOffs() {
	bySpan := map[string]int{}
	for i, h := range j.Hops {
		if h.Span != "" {
			bySpan[h.Span] = i
		}
	}
	for _, h := range j.Hops {
		i, ok := bySpan[h.Parent]
		if !ok || h.QueuedAt == nil || j.Hops[i].EndedAt == nil || j.Hops[i].Kind == Sync {
			continue
		}
		ms := max(0, float64(h.QueuedAt.Sub(*j.Hops[i].EndedAt).Microseconds())/1000)
		if was := j.Hops[i].Phases.HandOff; was == nil || *was < ms {
			j.Hops[i].Phases.HandOff = &ms
		}
	}
}
