package redis

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

const (
	changeLease   = 15 * time.Second // on a function, while it is changed; it is renewed
	instanceLease = 6 * time.Second  // on an instance's name, while it runs; it is renewed
)

// A lease is a key that belongs to one holder as long as it renews it. Deliveries have leases of another
// kind, see Renew.
type lease struct {
	c                       *Client
	key, owner, token, note string
	length                  time.Duration
	stop                    context.CancelFunc
	ended                   chan struct{}
}

// A holder is who has a lease that another wants.
type holder struct {
	by, note string
	left     time.Duration
}

// take takes the lease, or renews it. If somebody else has it, it returns who.
func (l *lease) take(ctx context.Context) (*holder, error) {
	acquire := func() ([]any, error) {
		return acquireLua.Run(ctx, l.c.rdb, []string{l.key}, l.owner, l.token, l.note,
			l.length.Milliseconds()).Slice()
	}
	got, err := acquire()
	if l.c.mended(ctx, err, l.key, "string") {
		got, err = acquire()
	}
	if err != nil || len(got) == 0 {
		return nil, err
	}
	return &holder{got[0].(string), got[1].(string), time.Duration(got[2].(int64)) * time.Millisecond}, nil
}

// renew renews the lease until release. taken is called once if somebody else has it nevertheless.
func (l *lease) renew(taken func(holder)) {
	ctx, stop := context.WithCancel(context.Background())
	l.stop, l.ended = stop, make(chan struct{})
	go func() {
		defer close(l.ended)
		tick := time.NewTicker(l.length / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			once, cancel := context.WithTimeout(ctx, l.length/3)
			other, err := l.take(once)
			cancel()
			if err == nil && other != nil && taken != nil {
				taken(*other)
				taken = nil
			}
		}
	}()
}

// release ends the lease.
func (l *lease) release() {
	l.stop()
	<-l.ended
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = releaseLua.Run(ctx, l.c.rdb, []string{l.key}, l.owner, l.token).Err() // otherwise it runs out
}

// BeginChange lets one instance at a time change a function, and waits for the others. end must be called. An
// instance that dies meanwhile holds up the others until its lease runs out, and itself not at all.
func (c *Client) BeginChange(ctx context.Context, n hearth.Name, instance string) (end func(), err error) {
	l := &lease{
		c:      c,
		key:    keyChanging(n),
		owner:  instance,
		token:  rand.Text(),
		note:   "-",
		length: changeLease,
	}
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		other, err := l.take(ctx)
		if err != nil {
			return nil, unavailable("begin to change function "+n.Function, err)
		}
		if other == nil {
			l.renew(nil)
			return l.release, nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, hearth.Errorf(hearth.Unavailable,
				"function %s is being changed by another instance: try again", n.Function)
		}
	}
}

// ClaimInstance makes sure that no other instance has the same name. home says where the name is kept: a
// holder of the same home is an earlier run, and is replaced at once. note tells people who it is. Another
// holder has the time of one lease to show that it lives; waiting is called then. lost is called if another
// instance takes the name later, which it can when Redis was unavailable for long.
//
// It returns an error of code Conflict if another instance has the name.
func (c *Client) ClaimInstance(
	ctx context.Context, instance, home, note string, waiting func(), lost func(note string),
) (release func(), err error) {
	l := &lease{
		c:      c,
		key:    keyInstance(instance),
		owner:  home,
		token:  rand.Text(),
		note:   note,
		length: instanceLease,
	}
	var least time.Duration
	for {
		other, err := l.take(ctx)
		switch {
		case err != nil:
			return nil, unavailable("claim the name of this instance", err)
		case other == nil:
			l.renew(func(h holder) { lost(h.note) })
			return l.release, nil
		case least > 0 && other.left > least: // it was renewed
			return nil, hearth.Errorf(hearth.Conflict,
				"another instance on this Redis has the same name, %s: %s. "+
					"A state directory was copied with its file instance: stop that instance, or remove the "+
					"file here, and this one gets a name of its own",
				instance, other.note)
		case least == 0:
			waiting()
		}
		least = other.left
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("claim the name of this instance: %w", ctx.Err())
		}
	}
}
