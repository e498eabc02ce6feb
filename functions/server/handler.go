// Package function is the server: it puts baked trays on display, and fills the orders that wait, oldest
// first.
package function

import (
	"context"
	"net/http"
	"net/url"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/wire"
	handler "github.com/openfaas/templates-sdk/go-http"
)

func init() { bakery.MustConfigure() }

const usage = "The server takes messages of bakery.baked. GET ?view=display shows what is on display."

var server = chain.Handle(bakery.TopicBaked, display)

// Handle displays a message of bakery.baked, or answers GET ?view=display.
func Handle(r handler.Request) (handler.Response, error) {
	if _, ok := wire.DeliveryOf(r.Header); ok {
		return server(r)
	}
	query, err := url.ParseQuery(r.QueryString)
	if err != nil || r.Method != http.MethodGet || query.Get("view") != "display" {
		return bakery.NothingHere(usage), nil
	}
	shelves, err := bakery.Display(r.Context())
	if err != nil {
		return bakery.Fail(err), nil
	}
	return bakery.Answer(http.StatusOK, map[string]any{"display": shelves}), nil
}

func display(ctx context.Context, tray bakery.Tray) (chain.Commit, error) {
	return bakery.Displayed(ctx, tray), nil
}
