// Package function is the cashier: it takes orders, tells how they are, and gives the cookies to the
// customer.
package function

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/wire"
	handler "github.com/openfaas/templates-sdk/go-http"
)

func init() { bakery.MustConfigure() }

const (
	usage = "POST an order; GET ?order=ID looks at it (&trays=true: with the trays that it waits for), " +
		"DELETE ?order=ID cancels it; " +
		"GET ?view=menu shows the menu. GET ?view=orders, ?view=floor and ?view=audit are for the manager. " +
		"The cashier takes messages of bakery.ready."

	maxIDs = 100 // orders that one call may look at
)

var managerViews = []string{"orders", "floor", "audit"}

var cashier = chain.Handle(bakery.TopicReady, serve)

// Handle serves a message of bakery.ready, or a customer's call.
func Handle(r handler.Request) (handler.Response, error) {
	if _, ok := wire.DeliveryOf(r.Header); ok {
		return cashier(r)
	}
	query, err := url.ParseQuery(r.QueryString)
	if err != nil {
		return bakery.BadQuery("", "is not a query string: %v", err), nil
	}
	switch {
	case r.Method == http.MethodPost && !query.Has("view"):
		return order(r, query)
	case r.Method == http.MethodGet && query.Has("order"):
		return look(r.Context(), query)
	case r.Method == http.MethodDelete && query.Has("order"):
		return cancel(r.Context(), query.Get("order"))
	case r.Method == http.MethodGet && query.Get("view") == "menu":
		return bakery.Answer(http.StatusOK, bakery.PostedMenu(r.Context())), nil
	case r.Method == http.MethodGet && slices.Contains(managerViews, query.Get("view")):
		return bakery.ForManager(r, func(ctx context.Context) (handler.Response, error) {
			return view(ctx, query)
		})
	}
	return bakery.NothingHere(usage), nil
}

func serve(ctx context.Context, ready bakery.Ready) (chain.Commit, error) {
	return bakery.HandedOver(ctx, ready), nil
}

// order answers 200 and the served order when the display has it all, else 202 and where to look for it.
func order(r handler.Request, query url.Values) (handler.Response, error) {
	if len(r.Body) > bakery.MaxBody {
		return bakery.TooLarge(len(r.Body)), nil
	}
	wait, bad := waitOf(query)
	if bad != nil {
		return *bad, nil
	}
	request, err := bakery.ParseOrder(r.Body, bakery.MenuOf(r.Context()))
	if err != nil {
		return bakery.Fail(err), nil
	}
	o, err := bakery.Place(chain.WithCaller(r.Context(), r.Header), request,
		bakery.Key{Idempotency: r.Header.Get("Idempotency-Key"), CallID: r.Header.Get(wire.HeaderCallID)})
	if err != nil {
		return bakery.Fail(err), nil
	}
	// else it is placed all the same, and that must be said
	if now, err := bakery.AwaitEnd(r.Context(), o, wait); err == nil {
		o = now
	}
	return state(o), nil
}

// look answers with one order, or with a list if it is asked for several, with commas between.
func look(ctx context.Context, query url.Values) (handler.Response, error) {
	ids := strings.Split(query.Get("order"), ",")
	if len(ids) > maxIDs {
		return bakery.BadQuery("order", "names %d orders, want at most %d", len(ids), maxIDs), nil
	}
	wait, bad := waitOf(query)
	if bad != nil {
		return *bad, nil
	}
	find := bakery.Find
	if query.Get("trays") == "true" {
		find = bakery.Track
	}
	found, err := find(ctx, ids...)
	if err != nil {
		return bakery.Fail(err), nil
	}
	if len(ids) > 1 {
		return bakery.Answer(http.StatusOK, map[string]any{"orders": found}), nil
	}
	if len(found) == 0 {
		return bakery.Fail(bakery.ErrNoOrder), nil
	}
	o, err := bakery.AwaitEnd(ctx, found[0], wait)
	if err != nil {
		return bakery.Fail(err), nil
	}
	if wait > 0 && query.Get("trays") == "true" { // they moved on meanwhile
		if found, err = bakery.Track(ctx, o.ID); err == nil && len(found) > 0 {
			o = found[0]
		}
	}
	return bakery.Answer(http.StatusOK, o), nil
}

func cancel(ctx context.Context, id string) (handler.Response, error) {
	state, cancelled, err := bakery.Cancel(ctx, id)
	switch {
	case err != nil:
		return bakery.Fail(err), nil
	case !cancelled && state != bakery.Cancelled:
		return chain.Problem{
			Status: http.StatusConflict,
			Title:  "Too late",
			Detail: "the order is " + state + " already",
		}.Response(), nil
	}
	found, err := bakery.Find(ctx, id)
	if err != nil || len(found) == 0 {
		return bakery.Answer(http.StatusOK, map[string]string{"id": id, "state": state}), nil
	}
	return bakery.Answer(http.StatusOK, found[0]), nil
}

// view is what only the manager may see.
func view(ctx context.Context, query url.Values) (handler.Response, error) {
	var (
		seen any
		err  error
	)
	switch query.Get("view") {
	case "orders":
		limit := 100
		if text := query.Get("limit"); text != "" {
			if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > 10_000 {
				return bakery.BadQuery("limit", "is %q, want a whole number from 1 to 10000", text), nil
			}
		}
		var orders []bakery.Order
		orders, err = bakery.Orders(ctx, limit, query.Get("ended") == "true")
		seen = map[string]any{"orders": orders}
	case "floor":
		seen, err = bakery.Look(ctx)
	case "audit":
		seen, err = bakery.TakeAudit(ctx)
	}
	if err != nil {
		return bakery.Fail(err), nil
	}
	return bakery.Answer(http.StatusOK, seen), nil
}

// state is the answer to an order: 200 if it has ended, else 202 and where to look for it.
func state(o bakery.Order) handler.Response {
	status := http.StatusAccepted
	if o.ETASeconds == nil && o.State != bakery.ReadyTo {
		status = http.StatusOK
	}
	r := bakery.Answer(status, o)
	r.Header.Set("Location", "/function/cashier?order="+o.ID)
	return r
}

// waitOf reads ?wait=30s. bad is the answer if it is no duration.
func waitOf(query url.Values) (wait time.Duration, bad *handler.Response) {
	text := query.Get("wait")
	if text == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 {
		r := bakery.BadQuery("wait", "is %q, want a duration such as 30s", text)
		return 0, &r
	}
	return wait, nil
}
