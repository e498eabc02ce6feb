package live

import (
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/stretchr/testify/require"
)

func total(added, length, recorded int) redis.Total {
	return redis.Total{Added: uint64(added), Length: length, Groups: 1, Recorded: uint64(recorded)}
}

func TestLedgerAddsUp(t *testing.T) {
	t.Parallel()
	one := []queue.Queue{{}}
	two := func(d redis.Total) redis.Total { d.Groups = 2; return d }
	for name, tt := range map[string]struct {
		measured      []redis.Total
		dead          int
		ledger        Ledger
		lost, doubled int
	}{
		"what was there counts": {[]redis.Total{total(7, 3, 4)}, 1,
			Ledger{Accepted: 3, Dead: 1, Waiting: 2}, 0, 0},
		"messages come and end": {[]redis.Total{total(0, 0, 0), total(5, 2, 3)}, 0,
			Ledger{Accepted: 5, Done: 3, Waiting: 2}, 0, 0},
		"one left without an end": {[]redis.Total{total(5, 5, 0), total(5, 3, 1)}, 0,
			Ledger{Accepted: 5, Done: 1, Waiting: 3}, 1, 0},
		"one ended twice": {[]redis.Total{total(5, 5, 0), total(5, 4, 2)}, 0,
			Ledger{Accepted: 5, Done: 2, Waiting: 4}, 0, 1},
		"the record was removed": {[]redis.Total{total(5, 5, 9), total(6, 4, 0), total(6, 3, 1)}, 0,
			Ledger{Accepted: 6, Done: 3, Waiting: 3}, 0, 0},
		"the stream was removed when it was empty": {[]redis.Total{total(5, 0, 5), total(2, 1, 6)}, 0,
			Ledger{Accepted: 1, Waiting: 1}, 0, 0},
		"the stream was removed with its messages": {[]redis.Total{total(5, 2, 3), total(1, 1, 3)}, 0,
			Ledger{Accepted: 3, Waiting: 1}, 2, 0},
		"several groups share the stream": {[]redis.Total{two(total(0, 0, 0)), two(total(5, 4, 3))}, 0,
			Ledger{Accepted: 5, Done: 1, Waiting: 4}, 0, 0},
	} {
		b := books{recorded: true}
		for _, m := range tt.measured {
			b.add(one, []redis.Total{m}, time.Now())
		}
		got := b.ledger(tt.dead)
		require.Equal(t, tt.lost, *got.Lost, name)
		require.Equal(t, tt.doubled, *got.Doubled, name)
		require.Equal(t, got.Accepted, got.Done+got.Waiting+got.Dead+*got.Lost-*got.Doubled, name)
		tt.ledger.Lost, tt.ledger.Doubled, tt.ledger.Since = got.Lost, got.Doubled, got.Since
		require.Equal(t, tt.ledger, got, name)
	}
}

func TestLedgerKnowsOfNoLossWithoutTheRecord(t *testing.T) {
	t.Parallel()
	var b books
	b.add([]queue.Queue{{}}, []redis.Total{total(0, 0, 0)}, time.Now())
	b.add([]queue.Queue{{}}, []redis.Total{total(5, 2, 0)}, time.Now())
	got := b.ledger(0)
	require.Nil(t, got.Lost)
	require.Nil(t, got.Doubled)
	require.Equal(t, 3, got.Done)
}

func TestLedgerFindsMessagesThatRedisHasLost(t *testing.T) {
	t.Parallel()
	b := books{recorded: true}
	one := []queue.Queue{{}}
	b.add(one, []redis.Total{total(5, 3, 2)}, time.Now())
	b.add(nil, nil, time.Now()) // Redis has lost its data
	require.Zero(t, *b.ledger(0).Lost)
	b.add(one, []redis.Total{total(0, 0, 0)}, time.Now()) // and the queue is there again
	got := b.ledger(0)
	require.Equal(t, 3, *got.Lost)
	require.Equal(t, got.Accepted, got.Done+*got.Lost)
}
