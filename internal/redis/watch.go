package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hearthfaas/hearth/chain"
	goredis "github.com/redis/go-redis/v9"
)

// A Watch waits for entries on many streams over one connection, so a function that sleeps costs none. One goroutine may
// Wait; any may Interrupt.
type Watch struct {
	client *Client
	block  time.Duration
	conn   *goredis.Conn
	id     atomic.Int64 // of the connection; 0 while there is none
}

// NewWatch makes one. It connects when it is first used.
func (c *Client) NewWatch() *Watch {
	w := &Watch{client: c, block: 30 * time.Second}
	if c.embedded {
		w.block = 20 * time.Millisecond // it cannot be interrupted
	}
	return w
}

// Wait returns when a stream has an entry behind the position given for it: those streams, and the id of the first such
// entry of each. It returns an empty map after half a minute, or when it is interrupted, or at once after it has connected.
func (w *Watch) Wait(ctx context.Context, positions map[string]string) (map[string]string, error) {
	if len(positions) == 0 {
		positions = map[string]string{"{hearth}:nothing": "0-0"}
	}
	block := w.block
	if w.conn == nil {
		block = time.Millisecond // to say that Redis is there, which may be what the caller waits for most
	}
	if err := w.connect(ctx); err != nil {
		return nil, err
	}
	streams, ids := make([]string, 0, 2*len(positions)), make([]string, 0, len(positions))
	for stream, id := range positions {
		streams, ids = append(streams, stream), append(ids, id)
	}
	got, err := w.conn.XRead(ctx, &goredis.XReadArgs{Streams: append(streams, ids...), Count: 1, Block: block}).Result()
	if errors.Is(err, goredis.Nil) {
		return nil, nil
	}
	if err != nil {
		w.Close()
		return nil, away("watch the queues", err)
	}
	fired := map[string]string{}
	for _, s := range got {
		if len(s.Messages) > 0 {
			fired[s.Stream] = s.Messages[0].ID
		}
	}
	return fired, nil
}

func (w *Watch) connect(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	conn := w.client.once.Conn()
	if !w.client.embedded {
		id, err := conn.ClientID(ctx).Result()
		if err != nil {
			_ = conn.Close()
			return away("watch the queues", err)
		}
		w.id.Store(id)
	}
	w.conn = conn
	return nil
}

// Close ends the connection. Only the goroutine that Waits may call it.
func (w *Watch) Close() {
	w.id.Store(0)
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
}

// Interrupt makes a Wait return, if one blocks at this moment.
func (w *Watch) Interrupt(ctx context.Context) {
	if id := w.id.Load(); id != 0 {
		_ = w.client.rdb.Do(ctx, "CLIENT", "UNBLOCK", id).Err()
	}
}

// Position is where a group has read to.
func (c *Client) Position(ctx context.Context, s chain.Subscription) (string, error) {
	groups, err := c.rdb.XInfoGroups(ctx, s.Stream).Result()
	if err != nil {
		return "", away("look at "+s.Stream, err)
	}
	for _, g := range groups {
		if g.Name == s.Group {
			return g.LastDeliveredID, nil
		}
	}
	return "", fmt.Errorf("%w: %s", ErrNoGroup, s)
}

// NotAfter tells whether stream id a is b, or before it. Ids are two numbers of up to 64 bits, joined by a dash.
func NotAfter(a, b string) bool {
	am, as := splitID(a)
	bm, bs := splitID(b)
	return am < bm || am == bm && as <= bs
}

func splitID(id string) (ms, seq uint64) {
	first, second, _ := strings.Cut(id, "-")
	ms, _ = strconv.ParseUint(first, 10, 64)
	seq, _ = strconv.ParseUint(second, 10, 64)
	return ms, seq
}
