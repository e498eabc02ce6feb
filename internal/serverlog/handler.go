package serverlog

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	maxText   = 1024 // bytes of a text in a record
	window    = 10 * time.Second
	mostAlike = 20   // similar warnings or errors that are logged in a window
	maxKinds  = 1000 // kinds by function or queue; further kinds are by message only
)

// A Limiter is a slog.Handler that clips long texts. Of similar warnings and errors it passes on the first
// few in 10 s, and then how many it left out. Records are similar if their level, message, function and queue
// are the same.
type Limiter struct {
	next slog.Handler
	*counts
	of string // the function and queue among the attributes of a logger
}

// counts are shared by all handlers of one log.
type counts struct {
	window time.Duration

	mu     sync.Mutex
	kinds  map[string]*kind
	closed bool
}

// A kind counts similar records in one window.
type kind struct {
	first   slog.Record
	next    slog.Handler // of the last record that was left out
	seen    int
	leftOut int
	end     *time.Timer
}

// Limit wraps a handler. Close logs what was left out.
func Limit(next slog.Handler) *Limiter {
	return &Limiter{next: next, counts: &counts{window: window, kinds: map[string]*kind{}}}
}

// Enabled implements slog.Handler.
func (l *Limiter) Enabled(ctx context.Context, level slog.Level) bool {
	return l.next.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (l *Limiter) WithAttrs(attrs []slog.Attr) slog.Handler {
	clipped := make([]slog.Attr, len(attrs))
	of := l.of
	for i, a := range attrs {
		clipped[i] = clip(a)
		of += subject(a)
	}
	return &Limiter{l.next.WithAttrs(clipped), l.counts, of}
}

// WithGroup implements slog.Handler.
func (l *Limiter) WithGroup(name string) slog.Handler {
	return &Limiter{l.next.WithGroup(name), l.counts, l.of}
}

// Handle implements slog.Handler.
func (l *Limiter) Handle(ctx context.Context, r slog.Record) error {
	of := l.of
	clipped := slog.NewRecord(r.Time, r.Level, clipText(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		of += subject(a)
		clipped.AddAttrs(clip(a))
		return true
	})
	if r.Level >= slog.LevelWarn && l.leaveOut(clipped, of) {
		return nil
	}
	return l.next.Handle(ctx, clipped)
}

// leaveOut counts a record, and reports whether there were enough like it.
func (l *Limiter) leaveOut(r slog.Record, of string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	key := r.Level.String() + r.Message + of
	k := l.kinds[key]
	if k == nil && len(l.kinds) >= maxKinds {
		key = r.Level.String() + r.Message
		k = l.kinds[key]
	}
	if k == nil {
		k = &kind{first: r}
		k.end = time.AfterFunc(l.window, func() { l.finish(key, k) })
		l.kinds[key] = k
	}
	k.seen++
	if k.seen <= mostAlike {
		return false
	}
	k.leftOut++
	k.next = l.next
	return true
}

// finish ends a kind's window.
func (c *counts) finish(key string, k *kind) {
	c.mu.Lock()
	if c.kinds[key] == k {
		delete(c.kinds, key)
	}
	leftOut := k.leftOut
	k.leftOut = 0
	c.mu.Unlock()
	if leftOut == 0 {
		return
	}
	r := slog.NewRecord(time.Now(), k.first.Level, "left out similar messages", 0)
	r.AddAttrs(slog.String("message", k.first.Message), slog.Int("count", leftOut))
	k.first.Attrs(func(a slog.Attr) bool {
		if subject(a) != "" {
			r.AddAttrs(a)
		}
		return true
	})
	_ = k.next.Handle(context.Background(), r)
}

// Close logs what was left out so far. All later records are passed on.
func (c *counts) Close() {
	c.mu.Lock()
	c.closed = true
	kinds := c.kinds
	c.kinds = nil
	c.mu.Unlock()
	for key, k := range kinds {
		k.end.Stop()
		c.finish(key, k)
	}
}

// subject returns an attribute's part of the kind of a record.
func subject(a slog.Attr) string {
	if a.Key == "function" || a.Key == "queue" {
		return " " + clipText(a.Value.String())
	}
	return ""
}

// clip shortens the texts of an attribute.
func clip(a slog.Attr) slog.Attr {
	a.Value = a.Value.Resolve()
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(clipText(a.Value.String()))
	case slog.KindAny:
		if text := fmt.Sprintf("%+v", a.Value.Any()); len(text) > maxText {
			a.Value = slog.StringValue(clipText(text))
		}
	case slog.KindGroup:
		group := make([]slog.Attr, len(a.Value.Group()))
		for i, inner := range a.Value.Group() {
			group[i] = clip(inner)
		}
		a.Value = slog.GroupValue(group...)
	}
	return a
}

// clipText keeps the beginning of a long text, and says how long it was.
func clipText(s string) string {
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return fmt.Sprintf("%s… (%d bytes)", s[:end], len(s))
}
