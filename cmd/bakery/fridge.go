package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/cli"
	"github.com/spf13/cobra"
)

func newMenu(c *counter) *cobra.Command {
	return &cobra.Command{
		Use:     "menu",
		Short:   "Show the menu",
		Example: "  bakery menu",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := c.menu(cmd.Context())
			if err != nil {
				return err
			}
			return c.print(cmd, m, func(out io.Writer) {
				rows := [][]string{{"COOKIE", "NAME", "PRICE", "TRAY", "MINUTES"}}
				for _, b := range m.Bakes {
					rows = append(rows, []string{b.Name, b.Title, money(b.PriceCents), strconv.Itoa(b.Tray),
						strconv.Itoa(b.Minutes)})
				}
				table(out, rows)
			})
		},
	}
}

func (c *counter) menu(ctx context.Context) (bakery.Menu, error) {
	var m bakery.Menu
	_, err := c.do(ctx, call{function: "cashier", method: http.MethodGet,
		query: url.Values{"view": {"menu"}}}, &m)
	return m, err
}

func newDisplay(c *counter) *cobra.Command {
	return &cobra.Command{
		Use:     "display",
		Short:   "Show the cookies on display, which are sold at once",
		Example: "  bakery display",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			shelves, err := c.display(cmd.Context())
			if err != nil {
				return err
			}
			return c.print(cmd, shelves, func(out io.Writer) {
				if len(shelves) == 0 {
					_, _ = fmt.Fprintln(out, "the display is empty")
					return
				}
				rows := [][]string{{"COOKIE", "PIECES", "TRAYS"}}
				for _, s := range shelves {
					rows = append(rows, []string{s.Cookie, strconv.Itoa(s.Pieces),
						strings.Join(s.Trays, " ")})
				}
				table(out, rows)
			})
		},
	}
}

func (c *counter) display(ctx context.Context) ([]bakery.Shelf, error) {
	var seen struct {
		Display []bakery.Shelf `json:"display"`
	}
	_, err := c.do(ctx, call{function: "server", method: http.MethodGet,
		query: url.Values{"view": {"display"}}}, &seen)
	return seen.Display, err
}

func newFridge(c *counter) *cobra.Command {
	return &cobra.Command{
		Use:     "fridge",
		Short:   "Show the ingredients in the fridge",
		Example: "  bakery fridge",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := c.fridge(cmd.Context())
			if err != nil {
				return err
			}
			return c.print(cmd, f, func(out io.Writer) {
				rows := [][]string{{"INGREDIENT", "GRAMS", "RESTOCKED IN TOTAL"}}
				for _, name := range sortedKeys(f.Ingredients) {
					rows = append(rows, []string{name, strconv.Itoa(f.Ingredients[name]),
						strconv.Itoa(f.Restocked[name])})
				}
				table(out, rows)
				if f.Parked > 0 {
					_, _ = fmt.Fprintf(out, "%d trays wait for ingredients\n", f.Parked)
				}
			})
		},
	}
}

func (c *counter) fridge(ctx context.Context) (bakery.Fridge, error) {
	var f bakery.Fridge
	_, err := c.do(ctx, call{function: "baker", method: http.MethodGet,
		query: url.Values{"view": {"fridge"}}}, &f)
	return f, err
}

func sortedKeys(m map[string]int) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func newRestock(c *counter) *cobra.Command {
	var trays int
	var key string
	cmd := &cobra.Command{
		Use:   "restock [INGREDIENT=GRAMS...]",
		Short: "Put ingredients into the fridge",
		Long: `Puts ingredients into the fridge: those that are named, else enough for --trays
trays of every cookie on the menu.`,
		Example: "  bakery restock\n  bakery restock --trays 500\n  bakery restock flour=50000 butter=20000",
		RunE: func(cmd *cobra.Command, args []string) error {
			amounts := map[string]int{}
			for _, arg := range args {
				name, text, ok := strings.Cut(arg, "=")
				n, err := strconv.Atoi(text)
				if !ok || err != nil {
					return fmt.Errorf("%q: want INGREDIENT=GRAMS, such as flour=50000", arg)
				}
				amounts[name] = n
			}
			if len(args) == 0 && trays < 1 {
				return fmt.Errorf("--trays is %d, want a whole number above 0", trays)
			}
			if len(args) == 0 {
				m, err := c.menu(cmd.Context())
				if err != nil {
					return err
				}
				amounts = m.Stock(trays)
			}
			if key == "" {
				key = rand.Text()
			}
			done, err := c.restock(cmd.Context(), amounts, key)
			if err != nil {
				return err
			}
			return c.print(cmd, done, func(out io.Writer) {
				if done.Repeated {
					_, _ = fmt.Fprintln(out, "already restocked with this key; nothing changed")
					return
				}
				_, _ = fmt.Fprintf(out, "put %s into the fridge; %d waiting trays continue\n",
					cli.Count(len(amounts), "ingredient"), done.Woken)
			})
		},
	}
	cmd.Flags().IntVar(&trays, "trays", 100,
		"trays of every cookie to restock for, unless ingredients are named")
	cmd.Flags().StringVar(&key, "key", "", "Idempotency-Key: the same key restocks once (default random)")
	return cmd
}

func (c *counter) restock(ctx context.Context, amounts map[string]int, key string) (bakery.Restocked, error) {
	var done bakery.Restocked
	_, err := c.do(ctx, call{
		function: "baker",
		method:   http.MethodPost,
		query:    url.Values{"view": {"fridge"}},
		body:     map[string]any{"ingredients": amounts},
		header:   http.Header{"Idempotency-Key": {key}},
		manager:  true,
	}, &done)
	return done, err
}

func newOpen(c *counter) *cobra.Command {
	var trays int
	cmd := &cobra.Command{
		Use:     "open",
		Short:   "Stock a new bakery's fridge and print how to order",
		Example: "  bakery open",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := c.fridge(cmd.Context())
			if err != nil {
				return err
			}
			opened := struct {
				Gateway string `json:"gateway"`
				// trays of every cookie that the fridge was stocked for; 0 if it was stocked before
				Stocked int `json:"stocked"`
			}{Gateway: strings.TrimSuffix(c.gateway, "/")}
			if len(f.Restocked) == 0 {
				m, err := c.menu(cmd.Context())
				if err != nil {
					return err
				}
				if _, err := c.restock(cmd.Context(), m.Stock(trays), "opening day"); err != nil {
					return err
				}
				opened.Stocked = trays
			}
			return c.print(cmd, opened, func(out io.Writer) {
				if opened.Stocked > 0 {
					_, _ = fmt.Fprintf(out,
						"\nThe bakery is new: its fridge was stocked for %d trays of every cookie.\n",
						opened.Stocked)
				}
				_, _ = fmt.Fprintf(out, `
Open the shop in a browser, and the floor for the manager:
  %[1]s/function/storefront
  %[1]s/function/storefront?view=floor

Order cookies:
  curl -d '{"customer":"Ada","items":[{"cookie":"chocolate-chip","quantity":6}]}' \
    '%[1]s/function/cashier?wait=30s'

Show the menu:
  curl '%[1]s/function/cashier?view=menu'

The functions cashier, baker, oven, server and storefront are at %[1]s/function/NAME.

`, opened.Gateway)
			})
		},
	}
	cmd.Flags().IntVar(&trays, "trays", 200, "trays of every cookie to stock for")
	return cmd
}
