package dispatch_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/stretchr/testify/require"
)

// TestLastFailureIsKeptUntilTheMessageIsDone.
func TestLastFailureIsKeptUntilTheMessageIsDone(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Mini(t))
	var calls atomic.Int32
	second, goOn := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(goOn) })
	t.Cleanup(release)
	r.fns.answer = func(hearth.Name, *http.Request, string) (int, http.Header, string, error) {
		if calls.Add(1) == 1 {
			return 500, http.Header{"Content-Type": {chain.ContentType}}, `{"detail":"the oven is cold"}`, nil
		}
		close(second)
		<-goOn
		return 200, nil, "", nil
	}
	s := r.subscribe()[0].Subscription
	require.Nil(t, r.d.LastFailure(s))
	r.enqueue(redis.Call{})
	<-second
	f := r.d.LastFailure(s)
	require.NotNil(t, f)
	require.Equal(t, 1, f.Attempt)
	require.Contains(t, f.Reason, "the oven is cold")
	require.Equal(t, f, r.d.LastFailureOf(oven))
	release()
	r.settled(s)
	eventually(t, func() bool { return r.d.LastFailure(s) == nil && r.d.LastFailureOf(oven) == nil })
}
