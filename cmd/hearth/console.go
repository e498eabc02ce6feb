package main

import (
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/serverlog"
)

// A console tells people how a command goes on, a line at a time, with colour only on a terminal.
type console struct {
	out    *terminal.Writer
	builds progress
}

func newConsole(out io.Writer) *console { return &console{out: terminal.NewWriter(out, nil)} }

func (c *console) paint(colour, text string) terminal.Text { return c.out.Paint(colour, text) }

// step says what was done, and how long it took if that is worth saying.
func (c *console) step(what string, took time.Duration, format string, args ...any) {
	c.clearProgress()
	c.out.Print(c.line(what, took, format, args...) + "\n")
}

func (c *console) line(what string, took time.Duration, format string, args ...any) terminal.Text {
	var time terminal.Text
	if took > 0 {
		time = c.paint(terminal.Faint, "  "+seconds(took))
	}
	return c.out.Sprintf("  %s %s%s", c.paint(terminal.Cyan, fmt.Sprintf("%-8s", what)),
		c.out.Sprintf(format, args...), time)
}

// say prints a line as it is.
func (c *console) say(format string, args ...any) {
	c.clearProgress()
	c.out.Print(c.out.Sprintf(format+"\n", args...))
}

func seconds(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// openLog opens the log of a state directory. Everything goes to a file, and messages for people
// also to the console. Call close at the end.
func openLog(state string, level slog.Level, console io.Writer, consoleLevel slog.Level) (log *slog.Logger,
	close func(), err error) {
	f, err := serverlog.Open(filepath.Join(state, "logs", "hearth.log"))
	if err != nil {
		return nil, nil, err
	}
	short := slog.NewTextHandler(console, &slog.HandlerOptions{Level: consoleLevel,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			// others may call what they log time, too
			if a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
				return slog.String("time", a.Value.Time().Format("15:04:05"))
			}
			return a
		}})
	limited := serverlog.Limit(slog.NewMultiHandler(slog.NewTextHandler(f,
		&slog.HandlerOptions{Level: level}), short))
	log = slog.New(limited)
	redis.LogTo(log)
	// libraries that print, such as faas-provider's log handler, are of interest to us alone
	stdlog.SetFlags(0)
	stdlog.SetOutput(slog.NewLogLogger(log.Handler(), slog.LevelDebug).Writer())
	return log, func() { limited.Close(); _ = f.Close() }, nil
}

// table prints rows, the first of them the headers, in columns.
func table(out io.Writer, rows [][]string) {
	terminal.Table{Rows: rows}.Print(out)
}
