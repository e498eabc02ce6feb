package router_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/hearth/hearthtest"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/stretchr/testify/require"
)

// busy is a replica whose calls end when they are let, and that knows how many it had at once.
type busy struct {
	hearth.Replica
	let  chan struct{}
	now  atomic.Int32
	most atomic.Int32
}

func newBusy(t *testing.T, id string) *busy {
	b := &busy{let: make(chan struct{})}
	b.Replica = serve(t, id, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then the server looks whether the caller is there
		n := b.now.Add(1)
		defer b.now.Add(-1)
		for {
			most := b.most.Load()
			if n <= most || b.most.CompareAndSwap(most, n) {
				break
			}
		}
		select {
		case <-b.let:
		case <-r.Context().Done():
		}
		_, _ = fmt.Fprint(w, id)
	})
	return b
}

// counted is a Recorder that counts.
type counted struct{ held, given, denied atomic.Int32 }

func (c *counted) Started()                   {}
func (c *counted) Held()                      { c.held.Add(1) }
func (c *counted) Given(time.Duration)        { c.given.Add(1) }
func (c *counted) Denied()                    { c.denied.Add(1) }
func (c *counted) Ended(int, time.Duration)   {}
func (c *counted) Removed(func() router.Load) {}
func (c *counted) Drained(router.Load)        {}

// shed is a call of somebody who waits for it.
func shed(ctx context.Context, r *router.Router) error {
	req := (&http.Request{
		Method: http.MethodPost,
		URL:    &url.URL{Path: "/"},
		Header: http.Header{},
	}).WithContext(ctx)
	res, err := r.Forward(oven, req, router.Open{Shed: true})
	if err == nil {
		err = res.Body.Close()
	}
	return err
}

func loadOf(r *router.Router) router.Load { l, _ := r.Load(oven); return l }

func TestFullReplicasAreWaitedForInOrder(t *testing.T) {
	t.Parallel()
	c := &counted{}
	r := router.New(router.Config{Recorder: func(hearth.Name) router.Recorder { return c }})
	r.Set(function(2, "max_inflight", "2"))
	one, two := newBusy(t, "one"), newBusy(t, "two")
	r.Update(oven, []hearth.Replica{one.Replica, two.Replica})
	var calls sync.WaitGroup
	ended := make(chan int, 10)
	for i := range 10 {
		calls.Go(func() {
			_, err := call(t.Context(), r, "x")
			if err != nil {
				t.Error(err)
			}
			ended <- i
		})
		eventually(t, func() bool { l := loadOf(r); return l.InFlight+l.Held == i+1 })
	}
	require.Equal(t, 4, loadOf(r).InFlight)
	require.Equal(t, 6, loadOf(r).Held)
	var order []int
	for range 10 { // one replica lets go at a time, so that who is next is known
		select {
		case one.let <- struct{}{}:
		case two.let <- struct{}{}:
		}
		order = append(order, <-ended)
	}
	calls.Wait()
	for at, i := range order[4:] {
		require.Less(t, i, at+4+4, "call %d was not overtaken by more than are in flight: %v", i, order)
	}
	require.EqualValues(t, 2, one.most.Load())
	require.EqualValues(t, 2, two.most.Load())
	require.Zero(t, c.held.Load(), "these are no cold starts")
	eventually(t, func() bool { l := loadOf(r); return l.InFlight == 0 && l.Held == 0 })
}

func TestHeldCallsAreServedInOrder(t *testing.T) {
	t.Parallel()
	r := router.New(router.Config{})
	r.Set(function(1, "max_inflight", "1"))
	one := newBusy(t, "one")
	r.Update(oven, []hearth.Replica{one.Replica})
	ended := make(chan int)
	leave := func() {}
	for i := range 8 {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if i == 3 {
			leave = cancel
		}
		go func() {
			if _, err := call(ctx, r, "x"); i != 3 {
				if err != nil {
					t.Error(err)
				}
				ended <- i
			}
		}()
		eventually(t, func() bool { l := loadOf(r); return l.InFlight+l.Held == i+1 })
	}
	leave()
	eventually(t, func() bool { return loadOf(r).Held == 6 })
	for _, i := range []int{0, 1, 2, 4, 5, 6, 7} {
		one.let <- struct{}{}
		require.Equal(t, i, <-ended)
	}
}

func TestWaitForAFullReplicaEnds(t *testing.T) {
	t.Parallel()
	c := &counted{}
	r := router.New(router.Config{Hold: 50 * time.Millisecond, MaxHeld: 2,
		Recorder: func(hearth.Name) router.Recorder {
			return c
		}})
	r.Set(function(1, "max_inflight", "1"))
	one := newBusy(t, "one")
	r.Update(oven, []hearth.Replica{one.Replica})
	first := make(chan error)
	go func() { first <- shed(t.Context(), r) }()
	eventually(t, func() bool { return one.now.Load() == 1 })
	err := shed(t.Context(), r)
	require.Equal(t, hearth.Exhausted, hearth.CodeOf(err), err)
	require.ErrorContains(t, err, "max_inflight")

	r = router.New(router.Config{MaxHeld: 2})
	r.Set(function(1, "max_inflight", "1"))
	two := newBusy(t, "two")
	r.Update(oven, []hearth.Replica{two.Replica})
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	for i := range 3 {
		calls.Go(func() { _ = shed(ctx, r) })
		eventually(t, func() bool { l := loadOf(r); return l.InFlight+l.Held == i+1 })
	}
	err = shed(t.Context(), r)
	require.Equal(t, hearth.Exhausted, hearth.CodeOf(err), err)
	require.ErrorContains(t, err, "2 calls wait")
	calls.Go(func() { _, _ = call(ctx, r, "") })
	eventually(t, func() bool { return loadOf(r).Held == 3 }) // a queued call is never turned away
	cancel()
	calls.Wait()
	require.Zero(t, c.held.Load()+c.denied.Load(), "these are no cold starts")
	close(one.let)
	require.NoError(t, <-first)
}

// TestColdStartsAreCounted, and those who find a replica that is full are none.
func TestColdStartsAreCounted(t *testing.T) {
	t.Parallel()
	c := &counted{}
	woken := make(chan struct{})
	r := router.New(router.Config{Recorder: func(hearth.Name) router.Recorder {
		return c
	}, Wake: func(hearth.Name) { close(woken) }})
	r.Set(function(0, "max_inflight", "2"))
	one, two := newBusy(t, "one"), newBusy(t, "two")
	var calls sync.WaitGroup
	begin := func() {
		calls.Go(func() {
			if _, err := call(t.Context(), r, "x"); err != nil {
				t.Error(err)
			}
		})
	}
	for range 3 {
		begin()
	}
	<-woken
	eventually(t, func() bool { return loadOf(r).Held == 3 })
	r.Set(function(1, "max_inflight", "2"))
	r.Update(oven, []hearth.Replica{one.Replica})
	eventually(t, func() bool {
		l := loadOf(r)
		return l.InFlight == 2 && l.Held == 1 && c.given.Load() == 2
	})
	begin()
	eventually(t, func() bool { return loadOf(r).Held == 2 })
	starting := two.Replica
	starting.Ready = false
	r.Update(oven, []hearth.Replica{one.Replica, starting})
	require.Equal(t, 2, loadOf(r).Held, "one that is ready may be free before one that starts")
	r.Update(oven, []hearth.Replica{one.Replica, two.Replica})
	eventually(t, func() bool { return two.now.Load() == 2 })
	require.Zero(t, loadOf(r).Held)
	close(one.let)
	close(two.let)
	calls.Wait()
	require.EqualValues(t, 3, c.held.Load())
	require.EqualValues(t, 3, c.given.Load())
	require.Zero(t, c.denied.Load())
}

// TestScaledToZeroWhileCallsWait: those who wait for a full replica that ends now want another.
func TestScaledToZeroWhileCallsWait(t *testing.T) {
	t.Parallel()
	one, two := newBusy(t, "one"), newBusy(t, "two")
	var r *router.Router
	r = router.New(router.Config{Wake: func(n hearth.Name) {
		r.Set(function(1, "max_inflight", "1"))
		r.Update(n, []hearth.Replica{two.Replica})
	}})
	r.Set(function(1, "max_inflight", "1"))
	r.Update(oven, []hearth.Replica{one.Replica})
	var calls sync.WaitGroup
	for range 2 {
		calls.Go(func() {
			if _, err := call(t.Context(), r, "x"); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, func() bool { return loadOf(r).Held == 1 })
	r.Set(function(0, "max_inflight", "1"))
	eventually(t, func() bool { return two.now.Load() == 1 })
	close(one.let)
	close(two.let)
	calls.Wait()
}

// TestFullReplicasAreNotLeftForOneThatRefuses, until its time as the last choice is over; then it takes who
// waits.
func TestFullReplicasAreNotLeftForOneThatRefuses(t *testing.T) {
	t.Parallel()
	r := router.New(router.Config{})
	r.Set(function(2, "max_inflight", "1"))
	one := newBusy(t, "one")
	path := filepath.Join(t.TempDir(), "late")
	late := hearth.Replica{ID: "late", Address: "unix://" + path, Accepting: true, Ready: true}
	r.Update(oven, []hearth.Replica{late, one.Replica})
	var calls sync.WaitGroup
	for range 2 {
		calls.Go(func() {
			if _, err := call(t.Context(), r, "x"); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, func() bool { return one.now.Load() == 1 && loadOf(r).Held == 1 })
	serveAt(t, path, answers("late"))
	eventually(t, func() bool { return loadOf(r).Held == 0 })
	require.EqualValues(t, 1, one.now.Load())
	close(one.let)
	calls.Wait()
}

// TestAbandonedCallStillFillsItsReplica: a caller leaves, the replica goes on, and refuses the next
// call, which is made again when it can be.
func TestAbandonedCallStillFillsItsReplica(t *testing.T) {
	tests := map[string]struct {
		leave  bool
		header string
		status int
	}{
		"a caller has left":          {true, wire.HeaderInternal, http.StatusOK},
		"nobody has left":            {false, wire.HeaderInternal, http.StatusTooManyRequests},
		"the function's own refusal": {true, "X-Other", http.StatusTooManyRequests},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := router.New(router.Config{})
			r.Set(function(1, "max_inflight", "1"))
			var n atomic.Int32
			began := make(chan struct{})
			r.Update(oven, []hearth.Replica{serve(t, "one", func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // only then the server looks whether the caller is there
				switch n.Add(1) {
				case 1:
					if close(began); tt.leave {
						<-r.Context().Done()
					}
				case 2, 3:
					w.Header().Set(tt.header, "faas-middleware")
					w.WriteHeader(http.StatusTooManyRequests)
				}
			})})
			ctx, cancel := context.WithCancel(t.Context())
			if tt.leave {
				go func() { <-began; cancel() }()
			}
			_, err := call(ctx, r, "x")
			require.Equal(t, tt.leave, err != nil)
			cancel()
			req := (&http.Request{
				Method: http.MethodPost,
				URL:    &url.URL{Path: "/"},
				Header: http.Header{},
			}).WithContext(t.Context())
			res, err := r.RoundTrip(oven, req)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, tt.status, res.StatusCode)
			eventually(t, func() bool { return loadOf(r).InFlight == 0 })
		})
	}
}

func TestAheadIsCalledAtMostOnceASecond(t *testing.T) {
	t.Parallel()
	var told atomic.Int32
	r := router.New(router.Config{Ahead: func(hearth.Name) { told.Add(1) }})
	f := function(1)
	r.Set(f)
	one := serve(t, "one", answers("one"))
	r.Update(oven, []hearth.Replica{one})
	for range 10 {
		_, err := call(t.Context(), r, "")
		require.NoError(t, err)
	}
	require.Zero(t, told.Load(), "it emits nothing")
	f.Annotations = &map[string]string{"com.hearth.emits": "bakery.baked"}
	r.Set(hearthtest.Parse(f))
	began, calls := time.Now(), 0
	eventually(t, func() bool {
		_, err := call(t.Context(), r, "")
		calls++
		return err != nil || told.Load() == 2
	})
	require.GreaterOrEqual(t, time.Since(began), time.Second)
	require.Greater(t, calls, 2)
}

// TestManyCallsComeAndLeave while replicas come and go: whoever stays is answered, and nothing is left over.
func TestManyCallsComeAndLeave(t *testing.T) {
	t.Parallel()
	r := router.New(router.Config{})
	r.Set(function(3, "max_inflight", "3"))
	var replicas [3]*busy
	for i := range replicas {
		replicas[i] = newBusy(t, fmt.Sprint(i))
		close(replicas[i].let)
	}
	done := make(chan struct{})
	var changes, calls sync.WaitGroup
	changes.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			var list []hearth.Replica
			for _, b := range replicas[:i%4] {
				list = append(list, b.Replica)
			}
			r.Update(oven, list)
			r.Load(oven)
		}
	})
	var ok atomic.Int32
	for range 30 {
		calls.Go(func() {
			for range 50 {
				ctx, cancel := context.WithCancel(t.Context())
				if rand.N(5) == 0 {
					timer := time.AfterFunc(rand.N(time.Millisecond), cancel)
					defer timer.Stop()
				}
				_, err := call(ctx, r, "x")
				switch {
				case err == nil:
					ok.Add(1)
				case ctx.Err() == nil:
					t.Error(err)
				}
				cancel()
			}
		})
	}
	calls.Wait()
	close(done)
	changes.Wait()
	require.Positive(t, ok.Load())
	eventually(t, func() bool { l := loadOf(r); return l.InFlight == 0 && l.Held == 0 })
	before := loadOf(r)
	r.Update(oven, nil)
	after := loadOf(r)
	require.Equal(t, before.BusyTime, after.BusyTime)
	require.Equal(t, before.LoadTime, after.LoadTime)
}
