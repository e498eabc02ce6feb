package redis_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// TestCallsThatComeTogetherSucceedOrFailByThemselves: they are sent over one connection, but have nothing
// else in common.
func TestCallsThatComeTogetherSucceedOrFailByThemselves(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]func(testing.TB) goredis.UniversalClient{
		"redis":   func(t testing.TB) goredis.UniversalClient { return chaintest.Redis(t) },
		"cluster": func(t testing.TB) goredis.UniversalClient { return chaintest.Cluster(t) },
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); callsThatComeTogether(t, open(t, server(t))) })
	}
}

func callsThatComeTogether(t *testing.T, q queue) {
	var queued, full, same atomic.Int32
	var callers sync.WaitGroup
	for i := range 300 {
		callers.Go(func() {
			call := redis.Call{Entry: wire.Entry{Body: []byte("x"), CallID: fmt.Sprint(i)}}
			if i%10 == 0 {
				call.Key = "one key for all"
			}
			known, err := q.Enqueue(t.Context(), fn, call, hearth.QueueLimit{Length: 200, Bytes: 1 << 20})
			switch {
			case err == nil && known.Before:
				same.Add(1)
			case err == nil:
				queued.Add(1)
			case hearth.CodeOf(err) == hearth.Exhausted:
				full.Add(1)
			default:
				t.Errorf("call %d: %v", i, err)
			}
			if i == 100 {
				q.raw.ScriptFlush(t.Context()) // as if Redis had been started anew
			}
		})
	}
	callers.Wait()
	require.EqualValues(t, 200, queued.Load())
	require.EqualValues(t, 300, queued.Load()+same.Load()+full.Load())
	require.Equal(t, 200, q.depth().Waiting)
}
