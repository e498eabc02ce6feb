package logs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/logs"
	"github.com/stretchr/testify/require"
)

// printer is a replica that prints what a test says.
type printer struct {
	io.WriteCloser
	done chan struct{}
}

func newPrinter(l *logs.File, replica string) *printer {
	from, to := io.Pipe()
	p := &printer{to, make(chan struct{})}
	go func() {
		defer close(p.done)
		l.CopyLines(replica, "stdout", from, func(string) {})
	}()
	return p
}

func (p *printer) end() { _ = p.Close(); <-p.done }

// put prints lines, and waits until they are written.
func put(l *logs.File, replica string, lines ...string) {
	p := newPrinter(l, replica)
	_, _ = io.WriteString(p, strings.Join(lines, "\n")+"\n")
	p.end()
}

func read(t *testing.T, l *logs.File, q logs.Query) (texts []string) {
	t.Helper()
	require.NoError(t, l.Read(t.Context(), q, func(line logs.Line) error {
		texts = append(texts, line.Text)
		return nil
	}))
	return texts
}

func newLog(t *testing.T) (*logs.Dir, *logs.File) {
	d := &logs.Dir{Path: filepath.Join(t.TempDir(), "logs")}
	t.Cleanup(d.CloseAll)
	return d, d.File("probe.openfaas-fn")
}

func TestLogIsReadAsPrinted(t *testing.T) {
	t.Parallel()
	_, l := newLog(t)
	require.Empty(t, read(t, l, logs.Query{}), "nothing was printed yet")
	began := time.Now().UTC()
	put(l, "probe-1", "one", "", "  three words here ")
	put(l, "probe-2", "four")
	after := time.Now().UTC()
	for time.Now().UTC().Truncate(time.Microsecond).Equal(after.Truncate(time.Microsecond)) {
		// The clock of a line has microseconds.
	}
	middle := time.Now().UTC()
	put(l, "probe-1", "five")
	for name, c := range map[string]struct {
		q    logs.Query
		want []string
	}{
		"all":          {logs.Query{Tail: -1}, []string{"one", "", "  three words here ", "four", "five"}},
		"the last two": {logs.Query{Tail: 2}, []string{"four", "five"}},
		"more than all": {logs.Query{Tail: 100},
			[]string{"one", "", "  three words here ", "four", "five"}},
		"of one":          {logs.Query{Replica: "probe-2"}, []string{"four"}},
		"the last of one": {logs.Query{Replica: "probe-1", Tail: 2}, []string{"  three words here ", "five"}},
		"of nobody":       {logs.Query{Replica: "probe"}, nil},
		"since":           {logs.Query{Since: middle.Truncate(time.Microsecond)}, []string{"five"}},
		"since before":    {logs.Query{Since: began.Add(-time.Second), Tail: 1}, []string{"five"}},
		"since later":     {logs.Query{Since: time.Now().Add(time.Hour)}, nil},
	} {
		require.Equal(t, c.want, read(t, l, c.q), name)
	}
	require.NoError(t, l.Read(t.Context(), logs.Query{Tail: 1}, func(line logs.Line) error {
		require.Equal(t, "probe-1", line.Replica)
		require.Equal(t, "stdout", line.Stream)
		require.WithinRange(t, line.At, began.Truncate(time.Microsecond), time.Now())
		return nil
	}))
	stop := errors.New("enough")
	require.ErrorIs(t, l.Read(t.Context(), logs.Query{}, func(logs.Line) error { return stop }), stop)
}

// TestAFollowerMissesNothing: also over files that are put aside, and with readers that begin at any time.
func TestAFollowerMissesNothing(t *testing.T) {
	t.Parallel()
	d, l := newLog(t)
	const lines = 20_000 // of 2 KB each: two files are put aside, and what was put aside first is lost
	long := strings.Repeat("x", 2000)
	var reading sync.WaitGroup
	for range 3 {
		reading.Go(func() {
			next := 0
			err := l.Read(t.Context(), logs.Query{Follow: true}, func(line logs.Line) error {
				if want := fmt.Sprint(next, " ", long); line.Text != want {
					return fmt.Errorf("got %.20q, want %.20q", line.Text, want)
				}
				next++
				return nil
			})
			if err != nil || next != lines {
				t.Errorf("after %d lines: %v", next, err)
			}
		})
	}
	p := newPrinter(l, "probe-1")
	for i := range lines {
		_, err := fmt.Fprintln(p, i, long)
		require.NoError(t, err)
		if i%1000 == 999 { // no reader may be three files behind
			time.Sleep(time.Millisecond)
		}
	}
	p.end()
	d.Close("probe.openfaas-fn")
	reading.Wait()
	last := read(t, d.File("probe.openfaas-fn"), logs.Query{Tail: 1})
	require.Equal(t, []string{fmt.Sprint(lines-1, " ", long)}, last)
	info, err := os.Stat(filepath.Join(d.Path, "probe.openfaas-fn.log.1"))
	require.NoError(t, err, "one was put aside")
	require.Less(t, info.Size(), int64(17<<20))
}

func TestSlowFollowerSlowsNobody(t *testing.T) {
	t.Parallel()
	_, l := newLog(t)
	put(l, "probe-1", "first")
	ctx, cancel := context.WithCancel(t.Context())
	got, stuck := make(chan string), make(chan error)
	go func() {
		stuck <- l.Read(ctx, logs.Query{Follow: true}, func(line logs.Line) error {
			select {
			case got <- line.Text:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	for i := range 1000 {
		put(l, "probe-1", fmt.Sprint(i)) // nobody takes from got
	}
	require.Equal(t, "first", <-got)
	require.Equal(t, "0", <-got)
	cancel()
	require.ErrorIs(t, <-stuck, context.Canceled)
}

func TestAFollowerEndsWithItsContextAndWithTheLog(t *testing.T) {
	t.Parallel()
	d, l := newLog(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- l.Read(ctx, logs.Query{Follow: true, Tail: 3}, func(logs.Line) error { return nil })
	}()
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	go func() {
		ended <- l.Read(t.Context(), logs.Query{Follow: true}, func(logs.Line) error { return nil })
	}()
	d.Close("probe.openfaas-fn")
	require.NoError(t, <-ended)
}

func TestSlowReaderSeesThatLinesAreMissing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines  int // of 60 KB each, while the reader is stuck
		missed bool
	}{"two files behind": {700, false}, "four files behind": {1300, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, l := newLog(t)
			put(l, "probe-1", "first")
			stuck, on, ended := make(chan struct{}), make(chan struct{}), make(chan error)
			var texts []string
			go func() {
				ended <- l.Read(t.Context(), logs.Query{Follow: true}, func(line logs.Line) error {
					if len(texts) == 0 {
						close(stuck)
						<-on
					}
					texts = append(texts, line.Text[:min(len(line.Text), 40)])
					return nil
				})
			}()
			<-stuck
			p := newPrinter(l, "probe-1")
			for i := range c.lines {
				_, err := fmt.Fprintf(p, "%040d%s\n", i, strings.Repeat("x", 60_000))
				require.NoError(t, err)
			}
			p.end()
			close(on)
			d.Close("probe.openfaas-fn")
			require.NoError(t, <-ended)
			require.Equal(t, fmt.Sprintf("%040d", c.lines-1), texts[len(texts)-1])
			gaps := 0
			for _, text := range texts {
				if strings.HasPrefix(text, "hearth: lines are missing") {
					gaps++
				}
			}
			if c.missed {
				require.Equal(t, 1, gaps)
			} else {
				require.Zero(t, gaps)
				require.Len(t, texts, 1+c.lines)
			}
		})
	}
}

func TestLineIsReadBeforeTheNextIsComplete(t *testing.T) {
	t.Parallel()
	_, l := newLog(t)
	p := newPrinter(l, "probe-1")
	defer p.end()
	got := make(chan string)
	go func() {
		_ = l.Read(t.Context(), logs.Query{Follow: true}, func(line logs.Line) error {
			got <- line.Text
			return nil
		})
	}()
	_, err := io.WriteString(p, "whole\nhal")
	require.NoError(t, err)
	require.Equal(t, "whole", <-got)
	_, err = io.WriteString(p, "f\n")
	require.NoError(t, err)
	require.Equal(t, "half", <-got)
}

func TestCutLineSpoilsNoOther(t *testing.T) {
	t.Parallel()
	d := &logs.Dir{Path: t.TempDir()}
	t.Cleanup(d.CloseAll)
	require.NoError(t, os.WriteFile(filepath.Join(d.Path, "probe.openfaas-fn.log"),
		[]byte("2026-01-02T15:04:05.000000Z probe-1 stdout whole\n2026-01-02T15:"), 0o600))
	l := d.File("probe.openfaas-fn")
	put(l, "probe-2", "next")
	require.Equal(t, []string{"whole", "next"}, read(t, l, logs.Query{}))
}
