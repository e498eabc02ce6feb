package dispatch_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/stretchr/testify/require"
)

// Many rounds, since each has but one moment in which a queue is looked at while a call in it fails.
func TestRetryComesAlsoWhenItsQueueWasLookedAtMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t))
	r.fns.answer = always(500)
	r.subscribe()
	calls := redis.CallsOf(oven)
	for round := range 200 {
		r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte("b"), CallID: fmt.Sprint(round)}})
		for range 3 {
			r.d.Notify(oven, calls)
		}
		eventually(t, func() bool { return r.depth(calls) == redis.Depth{Dead: round + 1} })
	}
	require.Len(t, r.fns.seen(), 3*200)
}

func TestBacklogIsWhatThereIsNoRoomFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t))
	goOn := make(chan struct{})
	r.fns.answer = func(hearth.Name, *http.Request, string) (int, http.Header, string, error) {
		<-goOn
		return http.StatusOK, nil, "", nil
	}
	r.subscribe()
	for i := range 8 {
		r.enqueue(redis.Call{Entry: wire.Entry{CallID: fmt.Sprint(i)}})
	}
	calls := redis.CallsOf(oven)
	r.d.Notify(oven, calls)
	eventually(t, func() bool { return r.depth(calls) == redis.Depth{Leased: 8} })
	r.enqueue(redis.Call{Entry: wire.Entry{CallID: "one more"}})
	r.d.Notify(oven, calls)
	eventually(t, func() bool { return slices.Equal(r.d.Backlog(oven), []wire.Subscription{calls}) })
	require.Empty(t, r.d.Backlog(hearth.Name{Function: "nobody", Namespace: "n"}))
	close(goOn)
	r.settled(calls)
	require.Empty(t, r.d.Backlog(oven))
}
