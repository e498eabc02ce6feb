package dispatch

import (
	"strconv"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/calls"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/hearthfaas/hearth/internal/tracing"
)

// entryOf returns what the record of calls keeps of a delivery whose call begins now. e has the traceparent
// that the message came with.
func entryOf(del redis.Delivery, e wire.Entry, span *tracing.Span) calls.Entry {
	entry := calls.Entry{
		CallID:    e.CallID,
		Trace:     span.Traceparent(""),
		Parent:    e.Traceparent,
		Method:    e.Method,
		Path:      e.Path,
		Attempt:   del.Attempt,
		Taken:     del.Since.UnixMilli(),
		Started:   time.Now().UnixMilli(),
		Scheduled: e.Header.Get(wire.HeaderTopic) == wire.TopicCron,
	}
	if !e.DeliverAt.IsZero() {
		entry.DeliverAt = e.DeliverAt.UnixMilli()
	}
	return entry
}

// answered adds what is known when the call is over.
func answered(entry *calls.Entry, f hearth.Function, e wire.Entry, got answer) {
	entry.Status = got.status
	entry.Replica = got.header.Get(router.HeaderReplica)
	entry.Took = float64(got.took.Microseconds()) / 1000
	entry.Cold, _ = strconv.ParseFloat(got.header.Get(router.HeaderColdStart), 64)
	entry.Commit, _ = strconv.ParseFloat(got.header.Get(wire.HeaderCommitTime), 64)
	if f.RecordBodies {
		entry.Bodies = calls.BodiesOf(e, got.body)
	}
}

// recorded returns a delivery with what the script that settles it adds to the record.
func (d *Dispatcher) recorded(del redis.Delivery, entry calls.Entry) redis.Delivery {
	if d.cfg.Details != nil {
		del.Record = entry.Text()
	}
	return del
}
