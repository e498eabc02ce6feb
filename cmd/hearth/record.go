package main

import (
	"fmt"

	"github.com/hearthfaas/hearth/internal/calls"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/tracing"
)

// openRecord makes what records calls, unless that is switched off.
func (n *node) openRecord() (err error) {
	limit := n.cfg.Queue.record.limit()
	if n.queue.RecordCalls(limit.Calls > 0); limit.Calls == 0 {
		return nil
	}
	if n.tracer == nil {
		n.tracer = tracing.IDsOnly()
	}
	n.syncCalls = &calls.Ring{Instance: n.instance}
	n.calls = calls.NewIndex(calls.Config{
		Redis: n.queue,
		Sync:  n.syncCalls,
		Limit: limit,
		Why:   n.whyQueued,
	})
	if n.details, err = calls.NewDetails(n.queue, n.cfg.Log); err != nil {
		return err
	}
	n.keeper, err = calls.NewKeeper(n.queue, limit, n.cfg.Log)
	return err
}

// whyQueued says why a function has no room for a queued call; "" if it should have.
func (n *node) whyQueued(name hearth.Name) string {
	f, ok := n.registry.Function(name)
	if !ok {
		return "The function is not deployed."
	}
	l, ok := n.router.Load(name)
	switch {
	case !ok:
		return ""
	case l.Failing != "":
		return "No replica can start; hearth describe shows why."
	case l.Available == 0:
		return "No replica is ready yet."
	case f.Concurrency > 0 && l.InFlight >= l.Available*f.Concurrency:
		return fmt.Sprintf("All %d slots of its replicas are busy.", l.Available*f.Concurrency)
	}
	return ""
}
