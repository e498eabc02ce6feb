package main

import (
	"fmt"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/spf13/pflag"
)

// queueLimits are the flags that bound the queue of one function.
type queueLimits struct {
	length int
	bytes  string
}

func (q *queueLimits) addFlags(f *pflag.FlagSet) {
	f.IntVar(&q.length, "queue-length", hearth.DefaultQueueLimit.Length, "most calls that the queue of one function may hold, dead letters among them; more are answered with 429")
	f.StringVar(&q.bytes, "queue-bytes", "256Mi", "most bytes that they may have together, such as 64Mi or 1Gi")
}

func (q queueLimits) check() error {
	if q.length < 1 {
		return fmt.Errorf("--queue-length is %d, want at least 1", q.length)
	}
	if _, err := hearth.ParseBytes(q.bytes); err != nil {
		return fmt.Errorf("--queue-bytes: %w", err)
	}
	return nil
}

// limit is what they say, once they were checked.
func (q queueLimits) limit() hearth.QueueLimit {
	n, _ := hearth.ParseBytes(q.bytes)
	return hearth.QueueLimit{Length: q.length, Bytes: n}
}
