package redis

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	goredis "github.com/redis/go-redis/v9"
)

// entryID is the id of a stream's entry.
var entryID = regexp.MustCompile(`^\d{1,20}-\d{1,20}$`)

// Subscribe is SubscribeAll for one.
func (c *Client) Subscribe(ctx context.Context, s wire.Subscription) (lost bool, err error) {
	all, err := c.SubscribeAll(ctx, []wire.Subscription{s})
	return len(all) > 0, err
}

// SubscribeAll makes sure that subscriptions' groups are there: at the start of their streams, or where they
// were when they were removed. It must come before the function starts. lost are those whose group was made
// before and was gone: they are made anew, since a deployment asks for it, but messages that they had
// settled, and that wait for another group, are delivered again. Say so loudly. Where all groups are there
// nothing is written, so an instance can start while Redis is full, and empty it.
func (c *Client) SubscribeAll(
	ctx context.Context, subs []wire.Subscription,
) (lost []wire.Subscription, err error) {
	if len(subs) == 0 {
		return nil, nil
	}
	fields := make([]string, len(subs))
	for i, s := range subs {
		fields[i] = subscriptionField(s)
	}
	pipe := c.rdb.Pipeline()
	known, left := pipe.HMGet(ctx, keySubscriptions, fields...), pipe.HMGet(ctx, keyLeft, fields...)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unavailable("subscribe", err)
	}
	pipe = c.rdb.Pipeline()
	groups := make([]*goredis.XInfoGroupsCmd, len(subs))
	for i, s := range subs {
		groups[i] = pipe.XInfoGroups(ctx, s.Stream)
	}
	_, _ = pipe.Exec(ctx) // an error where there is no stream; others come again below
	pipe = c.rdb.Pipeline()
	made := make([]*goredis.StatusCmd, len(subs))
	for i, s := range subs {
		if slices.ContainsFunc(groups[i].Val(), func(g goredis.XInfoGroup) bool {
			return g.Name == s.Group
		}) {
			continue
		}
		start, ok := left.Val()[i].(string)
		if !ok || known.Val()[i] != nil || !entryID.MatchString(start) {
			start = "0"
		}
		made[i] = pipe.XGroupCreateMkStream(ctx, s.Stream, s.Group, start)
	}
	_, _ = pipe.Exec(ctx) // each command has an error of its own
	note := []any{}
	for i, cmd := range made {
		if cmd != nil {
			switch err := cmd.Err(); {
			case err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP"):
				return nil, unavailable("subscribe to "+subs[i].Stream, err)
			case err == nil && known.Val()[i] != nil:
				lost = append(lost, subs[i])
			}
		}
		if known.Val()[i] == nil {
			note = append(note, fields[i], time.Now().UnixMilli())
		}
	}
	if len(note) == 0 {
		return lost, nil
	}
	if err := c.rdb.HSet(ctx, keySubscriptions, note...).Err(); err != nil {
		return lost, unavailable("subscribe", err)
	}
	return lost, unavailable("subscribe", c.rdb.HDel(ctx, keyLeft, fields...).Err())
}

// Unsubscribe removes a subscription, if it has settled all that is on its stream. done is false if not. With
// force it is removed with all that it has. Its pause goes with it. How far it had read is noted, in case it
// is made again while another group still has messages that this one is done with.
func (c *Client) Unsubscribe(ctx context.Context, s wire.Subscription, force bool) (done bool, err error) {
	all := "0"
	if force {
		all = "1"
	}
	if last, err := c.Position(ctx, s); err == nil {
		if err := c.rdb.HSet(ctx, keyLeft, subscriptionField(s), last).Err(); err != nil {
			return false, unavailable("unsubscribe from "+s.Stream, err)
		}
	}
	keys, _ := counted(s)
	keys = append(keys, keyDetails(s), keyPaused(s), s.Record())
	n, err := unsubscribeLua.Run(ctx, c.rdb, keys, s.Group, all).Int()
	if err != nil {
		return false, unavailable("unsubscribe from "+s.Stream, err)
	}
	if n == 0 {
		return false, nil
	}
	if err := c.rdb.HDel(ctx, keySubscriptions, subscriptionField(s)).Err(); err != nil {
		return true, unavailable("unsubscribe from "+s.Stream, err)
	}
	if force || c.rdb.Exists(ctx, s.Stream).Val() == 0 { // then it begins anew
		return true, unavailable("unsubscribe from "+s.Stream,
			c.rdb.HDel(ctx, keyLeft, subscriptionField(s)).Err())
	}
	return true, nil
}

// Subscriptions are all that were made and not removed.
func (c *Client) Subscriptions(ctx context.Context) ([]wire.Subscription, error) {
	fields, err := c.rdb.HKeys(ctx, keySubscriptions).Result()
	if err != nil {
		return nil, unavailable("list subscriptions", err)
	}
	subs, bad := c.subscriptionsOf(fields)
	c.judgeAll(KindSubscription, bad)
	return subs, nil
}
