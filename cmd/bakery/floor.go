package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/spf13/cobra"
)

func newFloor(c *counter) *cobra.Command {
	var every time.Duration
	var once bool
	cmd := &cobra.Command{
		Use:   "floor",
		Short: "Watch the bakery: orders, trays, racks, fridge and display",
		Long: `Shows the whole bakery in one live screen. Ctrl-C ends it. Without a terminal, or with --once, it prints the screen once;
with --json, a line each time.`,
		Example: "  bakery floor\n  bakery floor --once --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := terminal.NewWriter(cmd.OutOrStdout(), nil)
			live := out.IsTerminal()
			if live && !c.json && !once {
				out.Control("\x1b[?1049h\x1b[?25l") // another screen, without a cursor
				defer out.Control("\x1b[?25h\x1b[?1049l")
			}
			for {
				floor, err := c.floor(cmd.Context())
				switch {
				case err != nil && (once || !live):
					if cmd.Context().Err() != nil {
						return nil
					}
					return err
				case c.json:
					if err := json.NewEncoder(out).Encode(floor); err != nil {
						return err
					}
				case live && !once:
					width, height := out.Size()
					text := ""
					if err != nil {
						text = "the bakery does not answer: " + err.Error()
					} else {
						text = drawFloor(floor, width)
					}
					out.Print(screen(string(out.Sprintf("%s", text)), width, height))
				default:
					_, _ = fmt.Fprint(out, drawFloor(floor, 100))
				}
				if once || !live && !c.json {
					return nil
				}
				if sleepUntil(cmd.Context(), time.Now().Add(every)) != nil {
					return nil
				}
			}
		},
	}
	cmd.Flags().DurationVar(&every, "every", 500*time.Millisecond, "how often to look")
	cmd.Flags().BoolVar(&once, "once", false, "print the screen once")
	return cmd
}

func (c *counter) floor(ctx context.Context) (bakery.Floor, error) {
	var f bakery.Floor
	_, err := c.do(ctx, call{function: "cashier", method: http.MethodGet, query: url.Values{"view": {"floor"}}, manager: true}, &f)
	return f, err
}

// screen is text on a cleared terminal, cut to its size.
func screen(text string, width, height int) terminal.Text {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	var b strings.Builder
	b.WriteString("\x1b[H")
	for i, line := range lines[:max(0, min(len(lines), height-1))] {
		if i > 0 {
			b.WriteString("\r\n")
		}
		if r := []rune(line); len(r) > width {
			line = string(r[:width])
		}
		b.WriteString(line + "\x1b[K")
	}
	b.WriteString("\x1b[J")
	return terminal.Text(b.String())
}

// drawFloor is the bakery as text of a width.
func drawFloor(f bakery.Floor, width int) string {
	var b strings.Builder
	print := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	o, t := f.Orders, f.Trays
	print("THE BAKERY  %s", time.UnixMilli(f.Now).Format("15:04:05"))
	print("")
	print("orders   %5d baking  %5d ready  %7d served  %5d cancelled  %5d refused", o[bakery.Baking], o[bakery.ReadyTo], o[bakery.Served], o[bakery.Cancelled], o[bakery.Refused])
	print("trays    %5d asked   %5d parked %7d mixed   %5d in ovens   %5d baked    %5d on display", t["asked"], t["parked"], t["mixed"], t["in_oven"], t["baked"], t["on_display"])
	print("         %5d sold    %5d withdrawn  %3d spoiled", t["sold"], t["withdrawn"], t["spoiled"])
	print("")
	print("RACKS    %d in use", len(f.Racks))
	for _, r := range f.Racks {
		print("  %-7s %-18s %s %4.1f of %.1f s", r.Tray, r.Cookie, bar(float64(r.SinceMS), float64(r.NeedsMS), 20), float64(r.SinceMS)/1000, float64(r.NeedsMS)/1000)
	}
	print("")
	print("DISPLAY")
	var shelves []string
	for _, s := range f.Display {
		shelves = append(shelves, fmt.Sprintf("%s %d", s.Cookie, s.Pieces))
	}
	b.WriteString(flow(shelves, width))
	print("MISSING")
	var missing []string
	for _, name := range sortedKeys(f.Missing) {
		missing = append(missing, fmt.Sprintf("%s %d", name, f.Missing[name]))
	}
	b.WriteString(flow(missing, width))
	print("FRIDGE   kg")
	var stock []string
	names := sortedKeys(f.Fridge)
	slices.SortStableFunc(names, func(a, b string) int { return f.Fridge[a] - f.Fridge[b] })
	for _, name := range names {
		stock = append(stock, fmt.Sprintf("%s %.1f", name, float64(f.Fridge[name])/1000))
	}
	b.WriteString(flow(stock, width))
	return b.String()
}

// bar is a gauge of so many cells.
func bar(value, full float64, cells int) string {
	n := 0
	if full > 0 {
		n = min(cells, int(value/full*float64(cells)))
	}
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", cells-n) + "]"
}

// flow lays words out in lines of a width.
func flow(words []string, width int) string {
	if len(words) == 0 {
		return "  nothing\n\n"
	}
	var b strings.Builder
	column := 0
	for i, w := range words {
		n := len([]rune(w)) + 3
		if i > 0 && column+n > width {
			b.WriteString("\n")
			column = 0
		}
		if column == 0 {
			b.WriteString("  ")
			column = 2
		}
		b.WriteString(w + "   ")
		column += n
	}
	return strings.TrimRight(b.String(), " ") + "\n\n"
}
