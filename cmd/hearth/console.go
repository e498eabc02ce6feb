package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/hearthfaas/hearth/internal/redis"
)

// A console tells people how a command goes on, a line at a time, with colour only on a terminal.
type console struct{ out *terminal.Writer }

func newConsole(out io.Writer) *console { return &console{terminal.NewWriter(out, nil)} }

func (c *console) paint(colour, text string) terminal.Text { return c.out.Paint(colour, text) }

// step says what was done, and how long it took if that is worth saying.
func (c *console) step(what string, took time.Duration, format string, args ...any) {
	var time terminal.Text
	if took > 0 {
		time = c.paint(terminal.Faint, "  "+seconds(took))
	}
	c.say("  %s %s%s", c.paint(terminal.Cyan, fmt.Sprintf("%-8s", what)), c.out.Sprintf(format, args...), time)
}

// say prints a line as it is.
func (c *console) say(format string, args ...any) {
	c.out.Print(c.out.Sprintf(format+"\n", args...))
}

func seconds(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// Begin and End implement build.Progress.
func (c *console) Begin(string) {}

func (c *console) End(function string, took time.Duration, err error) {
	if err == nil {
		c.step("build", took, "%s", function)
	}
}

// openLog makes the log of a state directory: all of it in a file, and what people should see on the console too.
func openLog(state string, level slog.Level, console io.Writer, consoleLevel slog.Level) (*slog.Logger, io.Closer, error) {
	path := filepath.Join(state, "logs", "hearth.log")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	short := slog.NewTextHandler(console, &slog.HandlerOptions{Level: consoleLevel, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime { // others may call what they log time, too
			return slog.String("time", a.Value.Time().Format("15:04:05"))
		}
		return a
	}})
	log := slog.New(slog.NewMultiHandler(slog.NewTextHandler(f, &slog.HandlerOptions{Level: level}), short))
	redis.LogTo(log)
	return log, f, nil
}

// table prints rows, the first of them the headers, in columns.
func table(out io.Writer, rows [][]string) {
	terminal.Table{Rows: rows}.Print(out)
}
