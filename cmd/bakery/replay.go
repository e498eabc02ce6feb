package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/spf13/cobra"
)

// replayConfig holds the flags of bakery replay.
type replayConfig struct {
	file      string
	day       string
	speed     float64
	shops     int
	seed      uint64
	items     string
	noRestock bool
	patience  time.Duration
	listen    string
	callback  string
	orders    string
}

func newReplay(c *counter) *cobra.Command {
	var r replayConfig
	cmd := &cobra.Command{
		Use:   "replay FILE",
		Short: "Replay a day of recorded sales",
		Long: `Replays one day of a till's records: CSV with the columns Date, Time,
Transaction and Item. A transaction is an order and a row is one piece. Orders
arrive at the recorded times, accelerated by --speed, as async calls with
callbacks. With --shops, every shop repeats each order up to 10 bakery minutes
later.

The gateway must reach the address of --listen. If its queue runs in a
container, as on faasd, use the address of the bridge: --listen 10.62.0.1:9001.
Hearth calls private addresses only if --callback-allow names them; make up
allows 127.0.0.1:9001, the default of --listen.

Items that are not on the menu are skipped and counted. The fridge is restocked
as needed. An order is refused if the bakery declines it, and failed if it gets
a connection error or a 5xx.

The exit code is 1 if an order was not served or the books do not balance.`,
		Example: `  bakery replay cmd/bakery/testdata/made-up-days.csv --speed 6000
  bakery replay sales.csv --day 2016-11-05 --speed 600 --shops 20 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.file = args[0]
			report, err := c.replay(cmd.Context(), r, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := c.print(cmd, report, func(out io.Writer) { report.show(out) }); err != nil {
				return err
			}
			if report.Served != report.Orders || !report.Audit.Balanced {
				return errors.New("not every order was served, or the books do not balance")
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.day, "day", "", "day to replay, such as 2016-11-05 (default the first)")
	f.Float64Var(&r.speed, "speed", 0,
		"how much faster than real time (default the bakery's BAKE_SPEED, usually 600)")
	f.IntVar(&r.shops, "shops", 1, "number of shops that repeat the day")
	f.Uint64Var(&r.seed, "seed", 1, "seed of the shops' random delays")
	f.StringVar(&r.items, "items", "",
		"JSON file that maps the till's items to cookies (default built in)")
	f.BoolVar(&r.noRestock, "no-restock", false, "do not restock the fridge")
	f.DurationVar(&r.patience, "patience", time.Minute,
		"how long to wait after the last order without any being served")
	f.StringVar(&r.listen, "listen", "127.0.0.1:9001",
		"address to receive callbacks on; the gateway's queue must reach it")
	f.StringVar(&r.orders, "orders", "",
		"CSV file to write each order's arrival and wait to")
	f.StringVar(&r.callback, "callback-url", "",
		"URL of the --listen address as the gateway sees it (default http://ADDRESS)")
	return cmd
}

// replay replays a day and writes its progress to progress.
func (c *counter) replay(ctx context.Context, cfg replayConfig, progress io.Writer) (*report, error) {
	if cfg.speed < 0 || cfg.shops < 1 {
		return nil, errors.New("--speed and --shops must be above 0")
	}
	menuOf, err := readItems(cfg.items)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(cfg.file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	day, err := readSales(f, cfg.day, menuOf)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.file, err)
	}
	menu, err := c.menu(ctx)
	if err != nil {
		return nil, err
	}
	if err := onMenu(menuOf, menu); err != nil {
		return nil, err
	}
	floor, err := c.floor(ctx)
	if err != nil {
		return nil, err
	}
	if cfg.speed == 0 {
		cfg.speed = floor.Speed
	}
	if cfg.speed != floor.Speed {
		_, _ = fmt.Fprintf(progress,
			"orders arrive at %g times real time, and the bakery bakes at %g times; bakery minutes refer "+
				"to the orders\n", cfg.speed, floor.Speed)
	}
	run, err := newRun(ctx, c, cfg, schedule(day.sales, cfg.shops, cfg.speed, cfg.seed), menu)
	if err != nil {
		return nil, err
	}
	defer run.close()
	ticker := newTicker(progress)
	if err := run.play(ctx, ticker.say); err != nil {
		return nil, err
	}
	ticker.end()
	report, err := run.report(ctx)
	if err != nil {
		return nil, err
	}
	if cfg.orders != "" {
		if err := run.writeOrders(cfg.orders); err != nil {
			return nil, fmt.Errorf("--orders: %w", err)
		}
	}
	report.Skipped.Items, report.Malformed = day.skipped, day.malformed
	for _, n := range day.skipped {
		report.Skipped.Pieces += n
	}
	return report, nil
}

// onMenu checks that the items map to cookies on the menu.
func onMenu(menuOf map[string]string, menu bakery.Menu) error {
	var unknown []string
	for _, item := range slices.Sorted(maps.Keys(menuOf)) {
		if !slices.ContainsFunc(menu.Bakes, func(b bakery.Recipe) bool { return b.Name == menuOf[item] }) {
			unknown = append(unknown, fmt.Sprintf("%s (for %s)", menuOf[item], item))
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("items: the bakery does not bake %s", strings.Join(unknown, ", "))
	}
	return nil
}

// ticker shows progress: in one line on a terminal, else in a line every few seconds.
type ticker struct {
	out  *terminal.Writer
	last time.Time
}

func newTicker(out io.Writer) *ticker { return &ticker{out: terminal.NewWriter(out, nil)} }

func (t *ticker) say(text string) {
	switch {
	case t.out.IsTerminal():
		t.out.Print("\r\x1b[K" + t.out.Sprintf("%s", text))
	case time.Since(t.last) >= 5*time.Second:
		_, _ = fmt.Fprintln(t.out, text)
		t.last = time.Now()
	}
}

func (t *ticker) end() {
	t.out.Control("\r\x1b[K")
}

// listenForCallbacks serves callbacks and returns the URL for the gateway.
func listenForCallbacks(cfg replayConfig, h http.HandlerFunc) (address string, stop func(), err error) {
	l, err := net.Listen("tcp", cfg.listen)
	if err != nil {
		return "", nil, fmt.Errorf("listen for callbacks: %w; choose another address with --listen that "+
			"the gateway's --callback-allow names", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }()
	address = cfg.callback
	if address == "" {
		address = "http://" + l.Addr().String()
	}
	if u, err := url.Parse(address); err != nil || u.Host == "" {
		_ = server.Close()
		return "", nil, fmt.Errorf("--callback-url is %q, want a URL", address)
	}
	return address, func() { _ = server.Close() }, nil
}
