package main

import (
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/live"
	"github.com/hearthfaas/hearth/internal/queue"
)

// watch makes what shows the operator what is going on.
func (n *node) watch(queues *queue.Admin) {
	standby := func(hearth.Name) int { return 0 }
	if sleeper, ok := optional[hearth.Sleeper](n.provider); ok {
		standby = sleeper.Standby
	}
	n.live = live.New(live.Config{
		Functions: n.registry.All,
		Load:      n.router.Load,
		Standby:   standby,
		Queues:    queues.List,
		Redis:     n.queue,
		Recorded:  n.cfg.Queue.record.limit().Calls > 0,
		Instance:  n.instance,
		Version:   versionText(),
		Log:       n.cfg.Log,
	})
}
