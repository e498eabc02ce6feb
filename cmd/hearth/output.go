package main

import (
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/serverlog"
)

// A console prints the progress of a command, one line per step, with colour on a terminal.
type console struct {
	out    *terminal.Writer
	builds progress
}

func newConsole(out io.Writer) *console { return &console{out: terminal.NewWriter(out, nil)} }

func (c *console) paint(colour, text string) terminal.Text { return c.out.Paint(colour, text) }

// step prints what was done and, if took is not zero, how long it took.
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

// say prints a line.
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

// openLog opens the log of a state directory: everything goes to a file, and records from consoleLevel on
// also to the console. The caller calls closeLog at the end.
func openLog(state string, level slog.Level, console io.Writer, consoleLevel slog.Level) (log *slog.Logger,
	closeLog func(), err error) {
	f, err := serverlog.Open(filepath.Join(state, "logs", "hearth.log"))
	if err != nil {
		return nil, nil, err
	}
	short := slog.NewTextHandler(console, &slog.HandlerOptions{Level: consoleLevel,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			// an attribute may have the same key
			if a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
				return slog.String("time", a.Value.Time().Format("15:04:05"))
			}
			return a
		}})
	limited := serverlog.Limit(slog.NewMultiHandler(slog.NewTextHandler(f,
		&slog.HandlerOptions{Level: level}), short))
	log = slog.New(limited)
	redis.LogTo(log)
	// libraries such as faas-provider print to it
	stdlog.SetFlags(0)
	stdlog.SetOutput(slog.NewLogLogger(log.Handler(), slog.LevelDebug).Writer())
	return log, func() { limited.Close(); _ = f.Close() }, nil
}

// removeEmptyLog removes the log of an instance that ended before it logged anything.
func removeEmptyLog(state string) {
	dir := filepath.Join(state, "logs")
	file := filepath.Join(dir, "hearth.log")
	if info, err := os.Stat(file); err == nil && info.Size() == 0 {
		_ = os.Remove(file)
		_ = os.Remove(dir) // it fails if functions have logs
	}
}

// table prints rows in columns. The first row has the headers.
func table(out io.Writer, rows [][]string) {
	terminal.Table{Rows: rows}.Print(out)
}
