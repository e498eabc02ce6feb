package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/cli"
	"github.com/spf13/cobra"
)

func newOrder(c *counter) *cobra.Command {
	var (
		customer, key string
		wait          time.Duration
	)
	cmd := &cobra.Command{
		Use:   "order COOKIE=QUANTITY...",
		Short: "Order cookies",
		Long: `Orders cookies. With --wait it waits until the order is served, by default for a
minute. The exit code is 3 if it is not served by then.`,
		Example: `  bakery order chocolate-chip=6 brownie=2 --wait
  bakery order scone=12 --customer Ada --wait=10s --json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			items, err := parseItems(args)
			if err != nil {
				return err
			}
			if key == "" {
				key = rand.Text()
			}
			o, err := c.order(cmd.Context(), map[string]any{"customer": customer, "items": items}, key, wait)
			if err != nil {
				return err
			}
			if err := c.print(cmd, o, func(out io.Writer) { showOrder(out, o) }); err != nil {
				return err
			}
			if wait > 0 && o.State != bakery.Served {
				return &cli.ExitError{Code: codeWaiting}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&customer, "customer", "guest", "name of the customer")
	cmd.Flags().StringVar(&key, "key", "", "Idempotency-Key: the same key makes one order (default random)")
	cmd.Flags().DurationVar(&wait, "wait", 0, "how long to wait until the order is served")
	cmd.Flags().Lookup("wait").NoOptDefVal = "1m"
	return cmd
}

func parseItems(args []string) ([]bakery.Wanted, error) {
	var items []bakery.Wanted
	for _, arg := range args {
		cookie, text, ok := strings.Cut(arg, "=")
		n, err := strconv.Atoi(text)
		if _, isWait := time.ParseDuration(arg); isWait == nil {
			return nil, fmt.Errorf("%q: want COOKIE=QUANTITY; to wait that long, use --wait=%s", arg, arg)
		}
		if !ok || err != nil || cookie == "" {
			return nil, fmt.Errorf("%q: want COOKIE=QUANTITY, such as chocolate-chip=6", arg)
		}
		items = append(items, bakery.Wanted{Cookie: cookie, Quantity: n})
	}
	return items, nil
}

// order places an order and waits for it, in turns of at most what the bakery allows.
func (c *counter) order(ctx context.Context, body any, key string, wait time.Duration) (bakery.Order, error) {
	const turn = 20 * time.Second
	deadline := time.Now().Add(wait)
	query := url.Values{}
	if wait > 0 {
		query.Set("wait", min(wait, turn).String())
	}
	var o bakery.Order
	if _, err := c.do(ctx, call{
		function: "cashier",
		method:   http.MethodPost,
		query:    query,
		body:     body,
		header:   http.Header{"Idempotency-Key": {key}},
	}, &o); err != nil {
		return o, err
	}
	for rest := time.Until(deadline); o.State == bakery.Baking ||
		o.State == bakery.ReadyTo; rest = time.Until(deadline) {
		if rest <= 0 {
			return o, nil
		}
		var now bakery.Order
		if _, err := c.do(ctx, call{function: "cashier", method: http.MethodGet,
			query: url.Values{"order": {o.ID}, "wait": {min(rest, turn).String()}}}, &now); err != nil {
			return o, err
		}
		// it returned early: the bakery has too many waiting clients
		if o = now; time.Until(deadline) > rest-200*time.Millisecond {
			if err := sleepUntil(ctx, time.Now().Add(200*time.Millisecond)); err != nil {
				return o, err
			}
		}
	}
	return o, nil
}

func showOrder(out io.Writer, o bakery.Order) {
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	line("order     %s", o.ID)
	state := o.State
	if o.ETASeconds != nil {
		if o.ETASeconds.Unknown {
			state += ", until the fridge is restocked"
		} else {
			state += fmt.Sprintf(", in about %d s", o.ETASeconds.Seconds)
		}
	}
	if o.Reason != "" {
		state += ": " + o.Reason
	}
	line("state     %s", state)
	for i, item := range o.Items {
		name := "          "
		if i == 0 {
			name = "items     "
		}
		line("%s%d × %s", name, item.Quantity, item.Cookie)
	}
	line("price     %s", money(o.PriceCents))
	at := func(stage string, t *time.Time) {
		switch {
		case t == nil:
		case t.Before(*o.Timeline.Ordered): // it was on display already
			line("%-9s %s  before", stage, t.Local().Format("15:04:05.000"))
		default:
			line("%-9s %s  %+.3f s", stage, t.Local().Format("15:04:05.000"),
				t.Sub(*o.Timeline.Ordered).Seconds())
		}
	}
	at("ordered", o.Timeline.Ordered)
	at("mixed", o.Timeline.Mixed)
	at("in oven", o.Timeline.InOven)
	at("baked", o.Timeline.Baked)
	at("display", o.Timeline.OnDisplay)
	at("served", o.Timeline.Served)
	at("ended", o.Timeline.Ended)
}

func money(cents int) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

func newCancel(c *counter) *cobra.Command {
	return &cobra.Command{
		Use:     "cancel ORDER",
		Short:   "Cancel an order that is not complete yet",
		Example: "  bakery cancel mfim4fpndptkxclolkqq2ppv",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var o bakery.Order
			if _, err := c.do(cmd.Context(), call{function: "cashier", method: http.MethodDelete,
				query: url.Values{"order": {args[0]}}}, &o); err != nil {
				return err
			}
			return c.print(cmd, o, func(out io.Writer) {
				_, _ = fmt.Fprintf(out,
					"order %s is %s\n", o.ID, o.State)
			})
		},
	}
}

func newOrders(c *counter) *cobra.Command {
	var limit int
	var all bool
	cmd := &cobra.Command{
		Use:   "orders [ORDER...]",
		Short: "List open orders, or show orders by id",
		Example: "  bakery orders\n  bakery orders --all --limit 20\n" +
			"  bakery orders mfim4fpndptkxclolkqq2ppv",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				var o bakery.Order
				if _, err := c.do(cmd.Context(), call{function: "cashier", method: http.MethodGet,
					query: url.Values{"order": {args[0]}}}, &o); err != nil {
					return err
				}
				return c.print(cmd, o, func(out io.Writer) { showOrder(out, o) })
			}
			ask := call{function: "cashier", method: http.MethodGet,
				query: url.Values{"view": {"orders"}, "limit": {strconv.Itoa(limit)},
					"ended": {strconv.FormatBool(all)}}, manager: true}
			if len(args) > 1 {
				ask.query, ask.manager = url.Values{"order": {strings.Join(args, ",")}}, false
			}
			var list struct {
				Orders []bakery.Order `json:"orders"`
			}
			if _, err := c.do(cmd.Context(), ask, &list); err != nil {
				return err
			}
			if err := c.print(cmd, list.Orders, func(out io.Writer) {
				showOrders(out,
					list.Orders)
			}); err != nil {
				return err
			}
			for _, id := range args {
				if !slices.ContainsFunc(list.Orders, func(o bakery.Order) bool { return o.ID == id }) {
					return fmt.Errorf("there is no order %s, or it has expired", id)
				}
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "maximum number to list")
	cmd.Flags().BoolVar(&all, "all", false, "list ended orders too")
	return cmd
}

func showOrders(out io.Writer, orders []bakery.Order) {
	if len(orders) == 0 {
		_, _ = fmt.Fprintln(out, "no orders")
		return
	}
	rows := [][]string{{"ORDER", "CUSTOMER", "STATE", "FILLED", "ORDERED", "ITEMS"}}
	for _, o := range orders {
		filled, wanted := 0, 0
		var items []string
		for _, i := range o.Items {
			filled, wanted = filled+i.Filled, wanted+i.Quantity
			items = append(items, fmt.Sprintf("%d %s", i.Quantity, i.Cookie))
		}
		rows = append(rows, []string{o.ID, o.Customer, o.State, fmt.Sprintf("%d/%d", filled, wanted),
			o.Timeline.Ordered.Local().Format("15:04:05"), strings.Join(items, ", ")})
	}
	table(out, rows)
}

func newSpoil(c *counter) *cobra.Command {
	return &cobra.Command{
		Use:     "spoil TRAY",
		Short:   "Throw a tray away; a replacement is baked if needed",
		Example: "  bakery spoil T1042",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var done bakery.Thrown
			if _, err := c.do(cmd.Context(), call{function: "baker", method: http.MethodDelete,
				query: url.Values{"tray": {args[0]}}, manager: true}, &done); err != nil {
				return err
			}
			return c.print(cmd, done, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "%d pieces of tray %s were thrown away; it is %s\n", done.Pieces,
					done.Tray, done.State)
			})
		},
	}
}

func newAudit(c *counter) *cobra.Command {
	return &cobra.Command{
		Use:   "audit",
		Short: "Check that the bakery's books balance",
		Long: `Checks the bakery's books on one snapshot: every ingredient, piece and order
must be accounted for exactly once. It prints differences, and then exits with
1.`,
		Example: "  bakery audit && echo all is well",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := c.audit(cmd.Context())
			if err != nil {
				return err
			}
			if err := c.print(cmd, a, func(out io.Writer) { showAudit(out, a) }); err != nil {
				return err
			}
			if !a.Balanced {
				return errors.New("the books do not balance")
			}
			return nil
		},
	}
}

func (c *counter) audit(ctx context.Context) (bakery.Audit, error) {
	var a bakery.Audit
	_, err := c.do(ctx, call{function: "cashier", method: http.MethodGet,
		query: url.Values{"view": {"audit"}}, manager: true}, &a)
	return a, err
}

func showAudit(out io.Writer, a bakery.Audit) {
	o, p := a.Orders, a.Pieces
	_, _ = fmt.Fprintf(out, "orders   %d placed = %d open + %d served + %d cancelled + %d refused\n",
		o.Placed, o.Open, o.Served, o.Cancelled, o.Refused)
	_, _ = fmt.Fprintf(out, "pieces   %d mixed = %d dough + %d in ovens + %d baked + %d on display + %d "+
		"reserved + %d handed over + %d spoiled\n",
		p.Mixed, p.Dough, p.InOven, p.Baked, p.OnDisplay, p.Reserved, p.Handed, p.Spoiled)
	var restocked, fridge, used int
	for _, i := range a.Ingredients {
		restocked, fridge, used = restocked+i.Restocked, fridge+i.Fridge, used+i.Used
	}
	_, _ = fmt.Fprintf(out, "grams    %d restocked = %d in the fridge + %d used, of %d ingredients\n",
		restocked, fridge, used, len(a.Ingredients))
	for _, d := range a.Differences {
		_, _ = fmt.Fprintf(out, "DIFFERS  %s\n", d)
	}
	if a.Balanced {
		_, _ = fmt.Fprintln(out, "the books balance")
	}
}
