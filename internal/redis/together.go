package redis

import (
	"context"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	goredis "github.com/redis/go-redis/v9"
)

const (
	maxTogether = 64 // scripts of one batch: Redis answers none before it has run all that it has read
	maxSenders  = 2  // batches at once: while one waits for the disk, the next is being read
)

// A together sends scripts of several callers at once, over one connection: those that come while a batch is
// sent go with the next. One that comes alone does not wait. Each succeeds or fails by itself, and none is
// ever sent twice.
type together struct {
	client scripts // one that never repeats

	mu      sync.Mutex
	waiting []*job
	senders int
}

// A job is one caller's script.
type job struct {
	ctx  context.Context
	lua  *wire.Lua
	keys []string
	args []any
	cmd  *goredis.Cmd
	done chan struct{}
}

// together returns the sender of a key's scripts. In a cluster there is one for each hash tag, so that a
// server which is unavailable holds up no scripts of another.
func (c *Client) together(key string) *together {
	tag := c.WatchKey(key)
	if t, ok := c.accepting.Load(tag); ok {
		return t.(*together)
	}
	t, _ := c.accepting.LoadOrStore(tag, &together{client: c.once})
	return t.(*together)
}

// run runs a script with others. It returns when Redis has answered, or ctx has ended: then the script may
// still run.
func (t *together) run(ctx context.Context, lua *wire.Lua, keys []string, args []any) *goredis.Cmd {
	j := &job{ctx: ctx, lua: lua, keys: keys, args: args, done: make(chan struct{})}
	t.mu.Lock()
	t.waiting = append(t.waiting, j)
	start := t.senders < maxSenders
	if start {
		t.senders++
	}
	t.mu.Unlock()
	if start {
		go t.send()
	}
	select {
	case <-j.done:
		return j.cmd
	case <-ctx.Done():
		cmd := goredis.NewCmd(ctx)
		cmd.SetErr(ctx.Err())
		return cmd
	}
}

// send sends waiting scripts until there are none.
func (t *together) send() {
	for {
		t.mu.Lock()
		n := min(len(t.waiting), maxTogether)
		if n == 0 {
			t.senders--
			t.mu.Unlock()
			return
		}
		jobs := t.waiting[:n:n]
		t.waiting = t.waiting[n:]
		t.mu.Unlock()
		t.sendAll(jobs)
	}
}

func (t *together) sendAll(jobs []*job) {
	if len(jobs) == 1 {
		j := jobs[0]
		j.cmd = j.lua.Run(j.ctx, t.client, j.keys, j.args...)
		close(j.done)
		return
	}
	deadline := time.Time{} // the latest of all; the callers came within a moment
	for _, j := range jobs {
		if at, ok := j.ctx.Deadline(); ok && at.After(deadline) {
			deadline = at
		}
	}
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if !deadline.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, deadline)
	}
	defer cancel()
	pipe := t.client.Pipeline()
	for _, j := range jobs {
		j.cmd = j.lua.Run(ctx, pipe, j.keys, j.args...)
	}
	_, _ = pipe.Exec(ctx) // each has an error of its own
	for _, j := range jobs {
		if goredis.HasErrorPrefix(j.cmd.Err(), "NOSCRIPT") { // it did not run, as Redis has restarted
			j.cmd = j.lua.Run(ctx, t.client, j.keys, j.args...)
		}
		close(j.done)
	}
}
