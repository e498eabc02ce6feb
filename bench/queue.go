package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/bench/testbed"
)

// queue is what the durable queue does, in one mode of durability.
type queue struct {
	Fsync    string    `json:"fsync"`
	Recorded bool      `json:"recorded"`           // calls are in the record of calls
	Accepted load      `json:"accepted"`           // while they are executed too
	During   float64   `json:"executed_meanwhile"` // a second, while they were accepted
	Executed float64   `json:"executed"`           // a second, once no more came
	Done     quantiles `json:"done"`               // from asking to the callback, at a rate that is no load
	Cost     cost      `json:"cost"`               // of a call, from asking to the end of its execution
	Call     float64   `json:"bytes_per_call"`

	Backlog  int     `json:"backlog"`         // entries that were put on a topic at once
	Bytes    float64 `json:"bytes_per_entry"` // of Redis's memory
	Deep     float64 `json:"deep_per_s"`      // executed, of the first tenth of the backlog
	Shallow  float64 `json:"shallow_per_s"`   // of the last
	DrainSec float64 `json:"drain_s"`
}

// topic is what echo subscribes to, and stream its stream.
const (
	topic  = "bench.work"
	stream = "{bench}.work"
)

// measureQueues measures the queue in each mode of durability, and without the record of calls.
func (c config) measureQueues(ctx context.Context, r *result) error {
	for _, mode := range []queue{
		{Fsync: "always", Recorded: true},
		{Fsync: "always"},
		{Fsync: "everysec", Recorded: true},
		{Fsync: "everysec"},
	} {
		c.bed.Fsync = mode.Fsync
		q, err := c.measureQueue(ctx, mode)
		if err != nil {
			return fmt.Errorf("fsync %s: %w", mode.Fsync, err)
		}
		r.Queues = append(r.Queues, q)
	}
	return nil
}

func (c config) measureQueue(ctx context.Context, mode queue) (q queue, err error) {
	q = mode
	flags := []string{"--callback-allow", "127.0.0.1", "--queue-length", "10000000", "--queue-bytes", "8Gi"}
	if !mode.Recorded {
		flags = append(flags, "--record-calls", "0")
	}
	h, err := c.bed.Up(ctx, "bench/stack.yml", "queue", flags)
	if err != nil {
		return q, err
	}
	defer h.Stop()
	if q.Done, err = doneWithin(ctx, h, 1000, 5*time.Millisecond); err != nil {
		return q, err
	}
	var accepted []load
	var left, during int
	var emptying, accepting time.Duration
	all := 0
	before, err := readUsed(ctx, h)
	if err != nil {
		return q, err
	}
	for range c.rounds {
		a, err := c.wrk(ctx, h.URL+"/async-function/echo", 5, 0)
		if err != nil {
			return q, err
		}
		accepted, all = append(accepted, a), all+a.requests
		if q.Call, err = bytesPerCall(ctx, h); err != nil {
			return q, err
		}
		n, err := h.Queued(ctx)
		if err != nil {
			return q, err
		}
		during, accepting = during+a.requests-n, accepting+a.took
		began := time.Now()
		if err := h.UntilEmpty(ctx); err != nil {
			return q, err
		}
		left, emptying = left+n, emptying+time.Since(began)
	}
	after, err := readUsed(ctx, h)
	if err != nil {
		return q, err
	}
	q.Cost = after.since(before, all)
	q.Accepted = median(accepted)
	q.During = float64(during) / accepting.Seconds()
	q.Executed = float64(left) / emptying.Seconds()
	return q, drainBacklog(ctx, h, c.backlog, &q)
}

// doneWithin makes calls with a callback, one each time that every has passed, and tells
// how long after a call its callback came.
func doneWithin(ctx context.Context, h *testbed.Hearth, calls int,
	every time.Duration) (took quantiles, err error) {
	fmt.Fprintf(os.Stderr, "%d calls, one every %v, with callbacks\n", calls, every)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return took, err
	}
	var mu sync.Mutex
	back := map[string]time.Time{} // call id -> when its callback came
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		back[r.Header.Get("X-Call-Id")] = time.Now()
	})}
	go func() { _ = server.Serve(l) }()
	defer func() { _ = server.Close() }()

	asked := map[string]time.Time{}
	failed := make(chan error, calls)
	var asking sync.WaitGroup
	tick := time.NewTicker(every)
	defer tick.Stop()
	for range calls {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return took, ctx.Err()
		}
		asking.Go(func() {
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, h.URL+"/async-function/echo",
				strings.NewReader("hello"))
			req.Header.Set("X-Callback-Url", "http://"+l.Addr().String())
			began := time.Now()
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				failed <- err
				return
			}
			_ = res.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			asked[res.Header.Get("X-Call-Id")] = began
		})
	}
	asking.Wait()
	if len(failed) > 0 {
		return took, <-failed
	}
	if err := h.UntilEmpty(ctx); err != nil {
		return took, err
	}
	mu.Lock()
	defer mu.Unlock()
	var all []time.Duration
	for id, at := range asked {
		came, ok := back[id]
		if !ok {
			return took, fmt.Errorf("the callback of %s never came", id)
		}
		all = append(all, came.Sub(at))
	}
	slices.Sort(all)
	return quantiles{P50: testbed.MS(testbed.Quantile(all, 50)),
		P99: testbed.MS(testbed.Quantile(all, 99))}, nil
}

// drainBacklog puts entries on the topic, much faster than they can be executed, and sees how fast they go.
func drainBacklog(ctx context.Context, h *testbed.Hearth, entries int, q *queue) error {
	fmt.Fprintf(os.Stderr, "a backlog of %d\n", entries)
	before, err := redisMemory(ctx, h)
	if err != nil {
		return err
	}
	if err := fill(ctx, h, entries); err != nil {
		return err
	}
	filled := time.Now()
	left, err := length(ctx, h)
	if err != nil {
		return err
	}
	after, err := redisMemory(ctx, h)
	if err != nil {
		return err
	}
	q.Backlog, q.Bytes = left, float64(after-before)/float64(left)
	tenth := left / 10
	var deep, shallow time.Time
	for n := left; n > 0; {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		if n, err = length(ctx, h); err != nil {
			return err
		}
		if deep.IsZero() && n <= left-tenth {
			deep, q.Deep = time.Now(), float64(left-n)/time.Since(filled).Seconds()
		}
		if shallow.IsZero() && n <= tenth {
			shallow, tenth = time.Now(), n
		}
	}
	q.Shallow, q.DrainSec = float64(tenth)/time.Since(shallow).Seconds(), time.Since(filled).Seconds()
	return nil
}

// cli runs redis-cli on the private Redis.
func cli(ctx context.Context, h *testbed.Hearth, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "redis-cli", append([]string{"-s", h.Socket()}, args...)...)
	password, err := h.RedisPassword()
	cmd.Env, cmd.Err = append(os.Environ(), "REDISCLI_AUTH="+password), err
	return cmd
}

// bytesPerCall is what one queued call of echo takes in Redis, of those that
// wait now; 0 if there are too few to tell.
func bytesPerCall(ctx context.Context, h *testbed.Hearth) (float64, error) {
	const script = `return {redis.call('XLEN', KEYS[1]),
	redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', 0) or 0}`
	out, err := cli(ctx, h, "EVAL", script, "1", "{fn:echo.openfaas-fn}.calls").Output()
	if err != nil {
		return 0, fmt.Errorf("redis-cli EVAL: %w", err)
	}
	var calls, bytes float64
	if _, err := fmt.Sscan(string(out), &calls, &bytes); err != nil {
		return 0, fmt.Errorf("redis-cli EVAL: %q: %w", out, err)
	}
	if calls < 1000 {
		return 0, nil
	}
	return bytes / calls, nil
}

// fill puts entries on the topic.
func fill(ctx context.Context, h *testbed.Hearth, entries int) error {
	cmd := cli(ctx, h, "--pipe")
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	go func() {
		defer func() { _ = in.Close() }()
		w := bufio.NewWriterSize(in, 1<<20)
		for range entries {
			_, _ = fmt.Fprintf(w, "*5\r\n$4\r\nXADD\r\n$%d\r\n%s\r\n$1\r\n*\r\n$4\r\nbody\r\n$5\r\nhello\r\n",
				len(stream), stream)
		}
		_ = w.Flush()
	}()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("redis-cli --pipe: %w\n%s", err, out)
	}
	return nil
}

// length is how many entries the topic has.
func length(ctx context.Context, h *testbed.Hearth) (int, error) {
	out, err := cli(ctx, h, "XLEN", stream).Output()
	if err != nil {
		return 0, fmt.Errorf("redis-cli XLEN: %w", err)
	}
	return strconv.Atoi(strings.TrimSpace(string(out)))
}

// redisMemory is what Redis has allocated for data, in bytes.
func redisMemory(ctx context.Context, h *testbed.Hearth) (int, error) {
	out, err := cli(ctx, h, "INFO", "memory").Output()
	if err != nil {
		return 0, fmt.Errorf("redis-cli INFO: %w", err)
	}
	_, rest, _ := strings.Cut(string(out), "used_memory_dataset:")
	text, _, _ := strings.Cut(rest, "\r\n")
	return strconv.Atoi(text)
}
