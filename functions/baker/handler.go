// Package function is the baker: it takes a tray's ingredients from the fridge, mixes, and fills an oven. It
// also keeps the fridge.
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

const usage = "The baker takes messages of bakery.bake. GET ?view=fridge shows the fridge; " +
	"POST ?view=fridge restocks it, and DELETE ?tray=ID throws a tray away, " +
	"both with the manager-key as bearer token."

var baker = chain.Handle(bakery.TopicBake, mix)

// Handle mixes a message of bakery.bake, or serves the fridge.
func Handle(r handler.Request) (handler.Response, error) {
	if _, ok := wire.DeliveryOf(r.Header); ok {
		return baker(r)
	}
	query, err := url.ParseQuery(r.QueryString)
	switch {
	case err != nil:
		return bakery.NothingHere(usage), nil
	case r.Method == http.MethodGet && query.Get("view") == "fridge":
		return fridge(r.Context())
	case r.Method == http.MethodPost && query.Get("view") == "fridge":
		return bakery.ForManager(r, func(ctx context.Context) (handler.Response, error) {
			return restock(ctx, r.Body, r.Header.Get("Idempotency-Key"))
		})
	case r.Method == http.MethodDelete && query.Has("tray"):
		return bakery.ForManager(r, func(ctx context.Context) (handler.Response, error) {
			return spoil(ctx, query.Get("tray"))
		})
	}
	return bakery.NothingHere(usage), nil
}

func mix(ctx context.Context, asked bakery.Asked) (chain.Commit, error) {
	return bakery.Mixed(ctx, asked), nil
}

func fridge(ctx context.Context) (handler.Response, error) {
	f, err := bakery.LookIntoFridge(ctx)
	if err != nil {
		return bakery.Fail(err), nil
	}
	return bakery.Answer(http.StatusOK, f), nil
}

func restock(ctx context.Context, body []byte, key string) (handler.Response, error) {
	if len(body) > bakery.MaxBody {
		return bakery.TooLarge(len(body)), nil
	}
	amounts, err := bakery.ParseRestock(ctx, body)
	if err != nil {
		return bakery.Fail(err), nil
	}
	done, err := bakery.Restock(ctx, amounts, key)
	if err != nil {
		return bakery.Fail(err), nil
	}
	return bakery.Answer(http.StatusOK, done), nil
}

func spoil(ctx context.Context, tray string) (handler.Response, error) {
	thrown, err := bakery.Spoil(ctx, tray)
	switch {
	case err != nil:
		return bakery.Fail(err), nil
	case thrown.State == "":
		return chain.Problem{
			Status: http.StatusNotFound,
			Title:  "No such tray",
			Detail: "there is no tray " + tray,
		}.Response(), nil
	case !thrown.Changed:
		return chain.Problem{
			Status: http.StatusConflict,
			Title:  "Too late",
			Detail: "tray " + tray + " is " + thrown.State + " already",
		}.Response(), nil
	}
	return bakery.Answer(http.StatusOK, thrown), nil
}
