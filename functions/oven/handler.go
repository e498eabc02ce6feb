// Package function is the oven: it bakes a tray of dough and hands it to the server. One replica is one oven;
// max_inflight is the number of its racks.
package function

import (
	"context"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/chain"
	handler "github.com/openfaas/templates-sdk/go-http"
)

func init() { bakery.MustConfigure() }

var oven = chain.Handle(bakery.TopicDough, bake) // decodes, calls bake, commits, answers

// Handle bakes a message of bakery.dough.
func Handle(r handler.Request) (handler.Response, error) { return oven(r) }

func bake(ctx context.Context, dough bakery.Dough) (chain.Commit, error) {
	if err := bakery.Bake(ctx, dough); err != nil {
		return chain.Commit{}, err // cancelled: nothing happened
	}
	return bakery.Baked(ctx, dough), nil // baked.lua's arguments, and one message on bakery.baked
}
