package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/spf13/cobra"
)

// floorWidth is the width of the screen without a terminal.
const floorWidth = 80

func newFloor(c *counter) *cobra.Command {
	var every time.Duration
	var once bool
	cmd := &cobra.Command{
		Use:   "floor",
		Short: "Watch the bakery: orders, trays, ovens, fridge and display",
		Long: `Shows the whole bakery on one live screen until Ctrl-C. Without a terminal, or
with --once, it prints the screen once. With --json it prints a line for each
refresh.`,
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
					if err := cli.WriteJSONLine(out, floor); err != nil {
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
					_, _ = fmt.Fprint(out, drawFloor(floor, floorWidth))
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
	cmd.Flags().DurationVar(&every, "every", 500*time.Millisecond, "how often to refresh")
	cmd.Flags().BoolVar(&once, "once", false, "print the screen once")
	return cmd
}

func (c *counter) floor(ctx context.Context) (bakery.Floor, error) {
	var f bakery.Floor
	_, err := c.do(ctx, call{function: "cashier", method: http.MethodGet,
		query: url.Values{"view": {"floor"}}, manager: true}, &f)
	return f, err
}

// screen draws text on a cleared terminal, cut to its size.
func screen(text string, width, height int) terminal.Text {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	var b strings.Builder
	b.WriteString("\x1b[H")
	for i, text := range lines[:max(0, min(len(lines), height-1))] {
		if i > 0 {
			b.WriteString("\r\n")
		}
		if r := []rune(text); len(r) > width {
			text = string(r[:width])
		}
		b.WriteString(text + "\x1b[K")
	}
	b.WriteString("\x1b[J")
	return terminal.Text(b.String())
}

// drawFloor draws the bakery as text of the given width.
func drawFloor(f bakery.Floor, width int) string {
	var b strings.Builder
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	o, t := f.Orders, f.Trays
	line("THE BAKERY  %s", time.UnixMilli(f.Now).Format("15:04:05"))
	line("")
	b.WriteString(cells("orders", width, o, bakery.Baking, bakery.ReadyTo, bakery.Served,
		bakery.Cancelled, bakery.Refused))
	b.WriteString(cells("trays", width, t, "asked", "parked", "mixed", "in_oven", "baked", "on_display",
		"sold", "withdrawn", "spoiled"))
	line("")
	line("OVENS    %d at work, %s in use", f.Ovens, cli.Count(len(f.Racks), "rack"))
	for _, r := range f.Racks {
		line("  %-7s %-18s %s %4.1f of %.1f s", r.Tray, terminal.Shorten(r.Cookie, 18),
			bar(float64(r.SinceMS), float64(r.NeedsMS), 20), float64(r.SinceMS)/1000, float64(r.NeedsMS)/1000)
	}
	line("")
	line("DISPLAY")
	var shelves []string
	for _, s := range f.Display {
		shelves = append(shelves, fmt.Sprintf("%s %d", s.Cookie, s.Pieces))
	}
	b.WriteString(flow(shelves, width))
	line("MISSING")
	var missing []string
	for _, name := range sortedKeys(f.Missing) {
		missing = append(missing, fmt.Sprintf("%s %d", name, f.Missing[name]))
	}
	b.WriteString(flow(missing, width))
	line("FRIDGE   kg")
	var stock []string
	names := sortedKeys(f.Fridge)
	slices.SortStableFunc(names, func(a, b string) int { return f.Fridge[a] - f.Fridge[b] })
	for _, name := range names {
		stock = append(stock, fmt.Sprintf("%s %.1f", name, float64(f.Fridge[name])/1000))
	}
	b.WriteString(flow(stock, width))
	return b.String()
}

// cells prints numbers by state, in columns that do not move when the numbers change.
func cells(title string, width int, numbers map[string]int, states ...string) string {
	const first, cell = 7, 18
	var b strings.Builder
	perLine := max(1, (width-first)/cell)
	for i, state := range states {
		switch {
		case i == 0:
			_, _ = fmt.Fprintf(&b, "%-*s", first, title)
		case i%perLine == 0:
			_, _ = fmt.Fprintf(&b, "\n%-*s", first, "")
		}
		_, _ = fmt.Fprintf(&b, "%6d %-*s", numbers[state], cell-7, strings.ReplaceAll(state, "_", " "))
	}
	return strings.ReplaceAll(b.String(), " \n", "\n") + "\n"
}

// bar draws a gauge with the given number of cells.
func bar(value, full float64, cells int) string {
	n := 0
	if full > 0 {
		n = min(cells, int(value/full*float64(cells)))
	}
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", cells-n) + "]"
}

// flow lays words out in lines of the given width.
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
