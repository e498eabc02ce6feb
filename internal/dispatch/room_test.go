package dispatch_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/stretchr/testify/require"
)

// A call that has an answer leaves its room to the next one, before Redis is told of it: but only so many do.
func TestCallsThatAreBeingSettledTakeNoRoomAndAreBounded(t *testing.T) {
	t.Parallel()
	settle := make(chan struct{})
	release := sync.OnceFunc(func() { close(settle) })
	defer release()
	r := newRig(t, chaintest.Redis(t), func(c *dispatch.Config) {
		// before a call with a callback is settled
		c.EnsureCallbacks = func(context.Context, hearth.Name, bool) error { <-settle; return nil }
	})
	back := httptest.NewServer(http.NotFoundHandler())
	defer back.Close()
	r.fns.room = 1
	r.subscribe()
	for range 100 {
		r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte("b"), Callback: back.URL}})
	}
	eventually(t, func() bool { return len(r.fns.seen()) == 64 })
	require.Never(t, func() bool { return len(r.fns.seen()) > 64 }, 50*time.Millisecond, 5*time.Millisecond)
	require.Equal(t, 64, r.depth(redis.CallsOf(oven)).Leased)
	require.Equal(t, 1, r.fns.most, "at once")
	release()
	eventually(t, func() bool {
		return len(r.fns.seen()) == 100 && r.depth(redis.CallsOf(oven)) == redis.Depth{}
	})
}
