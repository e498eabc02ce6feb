package dispatch_test

import (
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth/hearthtest"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// TestMessageThatIsNeverCommittedIsBuried: an asynchronous gateway says 202 to all, so it is the leases that
// are counted.
func TestMessageThatIsNeverCommittedIsBuried(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t), func(c *dispatch.Config) { c.CommitWait = 15 * time.Millisecond })
	r.fns.answer = always(202)
	r.spec.EnvVars = map[string]string{"exec_timeout": "10ms"}
	r.spec = hearthtest.Parse(r.spec)
	sub := dispatch.Subscription{
		Subscription: redis.TopicOf(oven, "bakery.dough"),
		Topic:        "bakery.dough",
		LeaveAck:     true,
	}
	_, err := r.queue.Subscribe(t.Context(), sub.Subscription)
	require.NoError(t, err)
	r.d.Set(r.spec, []dispatch.Subscription{sub})
	require.NoError(t,
		r.raw.XAdd(t.Context(),
			&goredis.XAddArgs{Stream: sub.Stream, Values: []string{"body", "poison"}}).Err())
	eventually(t, func() bool { return r.depth(sub.Subscription) == redis.Depth{Dead: 1} })
	require.Len(t, r.fns.seen(), 3, "as often as its policy says")
	letters := r.letters(sub.Subscription)
	last := letters[0].Failures[len(letters[0].Failures)-1]
	require.Contains(t, last.Reason, "did not commit in time")
	require.Equal(t, letters[0].Attempts, last.Attempt, "the look that buried it was no attempt")
}
