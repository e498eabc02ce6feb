package main

import (
	"fmt"
	"time"

	"github.com/hearthfaas/hearth/internal/calls"
	"github.com/hearthfaas/hearth/internal/gateway"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/spf13/pflag"
)

// queueLimits holds the flags that limit what callers of one function can store in Redis.
type queueLimits struct {
	length        int
	bytes         string
	maxDelay      time.Duration
	callbackBytes string
	record        recordLimits
}

// recordLimits holds the flags of the record of calls.
type recordLimits struct {
	calls int64
	bytes string
	age   time.Duration
}

func (l *recordLimits) addFlags(f *pflag.FlagSet) {
	f.Int64Var(&l.calls, "record-calls", calls.DefaultCalls,
		"maximum queued calls that have ended to remember, oldest dropped first; 0 records no calls")
	f.StringVar(&l.bytes, "record-bytes", "64Mi", "maximum memory of Redis for them")
	f.DurationVar(&l.age, "record-age", calls.DefaultAge, "how long to remember them, at most 24h")
}

func (l recordLimits) check() error {
	if l.calls < 0 {
		return fmt.Errorf("--record-calls is %d, want at least 0", l.calls)
	}
	if _, err := hearth.ParseBytes(l.bytes); err != nil {
		return fmt.Errorf("--record-bytes: %w", err)
	}
	if l.age <= 0 || l.age > calls.DefaultAge {
		return fmt.Errorf("--record-age is %v, want a duration above 0 and at most %v", l.age,
			calls.DefaultAge)
	}
	return nil
}

// limit returns the limits of the record. Call check first.
func (l recordLimits) limit() redis.RecordLimit {
	n, _ := hearth.ParseBytes(l.bytes)
	return redis.RecordLimit{Calls: l.calls, Bytes: n, Age: l.age}
}

func (q *queueLimits) addFlags(f *pflag.FlagSet) {
	f.IntVar(&q.length, "queue-length", hearth.DefaultQueueLimit.Length,
		"maximum calls and callbacks queued for one function, with dead letters; more calls get 429")
	f.StringVar(&q.bytes, "queue-bytes", "256Mi",
		"maximum total size of these calls and callbacks, such as 64Mi or 1Gi")
	f.DurationVar(&q.maxDelay, "max-delay", gateway.DefaultMaxDelay,
		"maximum delay of a queued call (X-Delay, X-Deliver-At); longer delays get 400")
	q.record.addFlags(f)
	f.StringVar(&q.callbackBytes, "callback-bytes", defaultCallbackBytes,
		"maximum response size in a callback; a longer response is cut off and marked "+
			"X-Function-Truncated: true")
}

func (q queueLimits) check() error {
	if q.length < 1 {
		return fmt.Errorf("--queue-length is %d, want at least 1", q.length)
	}
	if _, err := hearth.ParseBytes(q.bytes); err != nil {
		return fmt.Errorf("--queue-bytes: %w", err)
	}
	if q.maxDelay < time.Second || q.maxDelay > maxMaxDelay {
		return fmt.Errorf("--max-delay is %v, want from 1s to %v", q.maxDelay, maxMaxDelay)
	}
	if err := q.record.check(); err != nil {
		return err
	}
	if n, err := hearth.ParseBytes(q.callbackBytes); err != nil || n > maxCallbackBytes {
		return fmt.Errorf("--callback-bytes is %q, want bytes such as 6Mi, at most 256Mi", q.callbackBytes)
	}
	return nil
}

const (
	defaultCallbackBytes = "6Mi"
	maxCallbackBytes     = 256 << 20 // a Redis value is at most 512 MB
	maxMaxDelay          = 366 * 24 * time.Hour
)

// callback returns the value of --callback-bytes, or 0 if it was not given. Call check first.
func (q queueLimits) callback() int64 {
	n, _ := hearth.ParseBytes(q.callbackBytes)
	return n
}

// limit returns the limits of a queue. Call check first.
func (q queueLimits) limit() hearth.QueueLimit {
	n, _ := hearth.ParseBytes(q.bytes)
	return hearth.QueueLimit{Length: q.length, Bytes: n}
}
