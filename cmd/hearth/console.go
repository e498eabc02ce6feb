package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/hearthfaas/hearth/internal/redis"
	"golang.org/x/term"
)

// A console tells people how a command goes on, a line at a time, with colour only on a terminal.
type console struct {
	mu     sync.Mutex
	out    io.Writer
	colour bool
}

func newConsole(out io.Writer) *console {
	f, ok := out.(*os.File)
	return &console{out: out, colour: ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""}
}

func (c *console) paint(code, text string) string {
	if !c.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// step says what was done, and how long it took if that is worth saying.
func (c *console) step(what string, took time.Duration, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	time := ""
	if took > 0 {
		time = c.paint("2", "  "+seconds(took))
	}
	_, _ = fmt.Fprintf(c.out, "  %s %s%s\n", c.paint("36", fmt.Sprintf("%-8s", what)), fmt.Sprintf(format, args...), time)
}

// say prints a line as it is.
func (c *console) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = fmt.Fprintf(c.out, format+"\n", args...)
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
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush()
}
