package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	goredis "github.com/redis/go-redis/v9"
)

// A Watch waits for entries on many streams over one connection, so a function that sleeps costs none. In a
// cluster the streams of one Watch must have one tag, as one connection reaches only keys of one slot. One
// goroutine may Wait; any may Interrupt.
type Watch struct {
	client *Client
	key    string // in a cluster, of the slot that is watched
	block  time.Duration
	conn   *goredis.Conn
	at     *goredis.Client // the Watch's own client of the connection's node; nil if it uses the shared one
	now    atomic.Pointer[blocked]
}

// blocked is a connection that can be unblocked.
type blocked struct {
	id  int64
	rdb goredis.UniversalClient // of the same server
}

// WatchKey returns which Watch a stream needs: streams of one WatchKey can share one.
func (c *Client) WatchKey(stream string) string {
	if c.cluster == nil {
		return ""
	}
	return wire.Tag(stream)
}

// NewWatch makes a Watch for the streams of a WatchKey. Where all streams have the same, the caller may split
// them by keys of its own. It connects when it is first used.
func (c *Client) NewWatch(key string) *Watch {
	w := &Watch{client: c, key: key, block: 30 * time.Second}
	if c.embedded {
		w.block = 20 * time.Millisecond // it cannot be interrupted
	}
	return w
}

// Wait waits until a stream has an entry behind its position. It returns those streams with the id of the
// first such entry. It returns an empty map after half a minute, when it is interrupted, and at once after it
// has connected.
func (w *Watch) Wait(ctx context.Context, positions map[string]string) (map[string]string, error) {
	if len(positions) == 0 {
		positions = map[string]string{"{" + cmp.Or(w.key, "hearth") + "}:nothing": "0-0"}
	}
	block := w.block
	if w.conn == nil {
		block = time.Millisecond // the caller may be waiting for Redis to answer again
	}
	if err := w.connect(ctx); err != nil {
		return nil, err
	}
	streams, ids := make([]string, 0, 2*len(positions)), make([]string, 0, len(positions))
	for stream, id := range positions {
		streams, ids = append(streams, stream), append(ids, id)
	}
	got, err := w.conn.XRead(ctx,
		&goredis.XReadArgs{Streams: append(streams, ids...), Count: 1, Block: block}).Result()
	if errors.Is(err, goredis.Nil) {
		return nil, nil
	}
	if err != nil {
		w.Close()
		return nil, unavailable("watch the queues", err)
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
	single, control := w.client.single, w.client.rdb
	if w.client.cluster != nil {
		node, err := w.client.cluster.MasterForKey(ctx, "{"+w.key+"}")
		if err != nil {
			return unavailable("watch the queues", err)
		}
		opt := *node.Options()
		opt.PoolSize, opt.MaxRetries = 2, -1 // one connection that blocks, and one that unblocks it
		w.at = goredis.NewClient(&opt)
		single, control = w.at, w.at
	} else if w.key != "" { // one of many, which would use up the shared connections
		opt := *single.Options()
		opt.PoolSize = 1
		w.at = goredis.NewClient(&opt)
		single = w.at
	}
	conn := single.Conn()
	w.conn = conn
	if !w.client.embedded {
		id, err := conn.ClientID(ctx).Result()
		if err != nil {
			w.Close()
			return unavailable("watch the queues", err)
		}
		w.now.Store(&blocked{id, control})
	}
	return nil
}

// Close closes the connection. Only the goroutine that Waits may call it.
func (w *Watch) Close() {
	w.now.Store(nil)
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
	if w.at != nil {
		_ = w.at.Close()
		w.at = nil
		if w.client.cluster != nil {
			w.client.cluster.ReloadState(context.Background()) // the slot may be another node's now
		}
	}
}

// Interrupt makes a Wait return if one blocks at this moment.
func (w *Watch) Interrupt(ctx context.Context) {
	if b := w.now.Load(); b != nil {
		_ = b.rdb.Do(ctx, "CLIENT", "UNBLOCK", b.id).Err()
	}
}

// Position returns the id up to which a group has read.
func (c *Client) Position(ctx context.Context, s wire.Subscription) (string, error) {
	groups, err := c.rdb.XInfoGroups(ctx, s.Stream).Result()
	if err != nil {
		return "", unavailable("look at "+s.Stream, err)
	}
	for _, g := range groups {
		if g.Name == s.Group {
			return g.LastDeliveredID, nil
		}
	}
	return "", fmt.Errorf("%w: %s", ErrNoGroup, s)
}

// NotAfter reports whether stream id a is b or before b. An id is two numbers of up to 64 bits, joined by a
// dash.
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
