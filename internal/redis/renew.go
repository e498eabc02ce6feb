package redis

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	goredis "github.com/redis/go-redis/v9"
)

// maxRenewed is how many leases one script renews: it must not hold others up.
const maxRenewed = 256

// Leases are those of one subscription that a holder has.
type Leases struct {
	Of         wire.Subscription
	Length     time.Duration // from the renewal on
	Deliveries []Delivery
}

// A Renewal is what became of one lease.
type Renewal int

// The outcomes of a renewal.
const (
	Lost    Renewal = -1 // another holder has taken the delivery, or it was given back
	Gone    Renewal = 0  // the entry was settled or cancelled
	Renewed Renewal = 1
)

// Renew extends leases, also those that have run out, as long as nobody else has taken the delivery. It sends
// all scripts at once, one for each subscription. It returns a list for each of them, in the same order: one
// Renewal for each delivery, or nil if Redis did not answer for all of the subscription.
func (c *Client) Renew(ctx context.Context, all []Leases) (renewals [][]Renewal, err error) {
	type part struct {
		of   int // index in all
		keys []string
		args []any
		cmd  *goredis.Cmd
	}
	var parts []*part
	for i, l := range all {
		for some := range slices.Chunk(l.Deliveries, maxRenewed) {
			args := []any{l.Of.Group, l.Length.Milliseconds()}
			for _, d := range some {
				args = append(args, d.ID, d.Token)
			}
			parts = append(parts, &part{of: i, keys: l.Of.Keys(), args: args})
		}
	}
	if len(parts) > 1 {
		pipe := c.rdb.Pipeline()
		for _, p := range parts {
			p.cmd = renewLua.Run(ctx, pipe, p.keys, p.args...)
		}
		_, _ = pipe.Exec(ctx) // each script has an error of its own
	}
	renewals = make([][]Renewal, len(all))
	failed := make([]bool, len(all))
	for _, p := range parts {
		if p.cmd == nil || goredis.HasErrorPrefix(p.cmd.Err(), "NOSCRIPT") { // Redis was started since
			p.cmd = renewLua.Run(ctx, c.rdb, p.keys, p.args...)
		}
		results, failure := p.cmd.Int64Slice()
		if failure != nil {
			err = errors.Join(err, unavailable("renew leases of "+all[p.of].Of.Stream, failure))
			failed[p.of] = true
		}
		for _, r := range results {
			renewals[p.of] = append(renewals[p.of], Renewal(r))
		}
	}
	for i := range renewals {
		if failed[i] {
			renewals[i] = nil
		}
	}
	return renewals, err
}
