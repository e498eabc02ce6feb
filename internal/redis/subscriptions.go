package redis

import (
	"context"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain"
)

// Subscribe makes sure that a subscription's group is there, at the start of its stream. It must come before the function
// starts. lost is true if the group was made before and was gone: it is made anew, since a deployment asks for it, but
// messages that it had settled, and that wait for another group, are delivered again. Say so loudly.
func (c *Client) Subscribe(ctx context.Context, s chain.Subscription) (lost bool, err error) {
	known, err := c.rdb.HExists(ctx, keySubscriptions, subscriptionField(s)).Result()
	if err != nil {
		return false, away("subscribe to "+s.Stream, err)
	}
	err = c.rdb.XGroupCreateMkStream(ctx, s.Stream, s.Group, "0").Err()
	switch {
	case err != nil && strings.HasPrefix(err.Error(), "BUSYGROUP"):
		err = nil
	case err == nil:
		lost = known
	}
	if err != nil {
		return false, away("subscribe to "+s.Stream, err)
	}
	if known {
		return lost, nil
	}
	return lost, away("subscribe to "+s.Stream, c.rdb.HSet(ctx, keySubscriptions, subscriptionField(s), time.Now().UnixMilli()).Err())
}

// SubscribeAll is Subscribe for many, in two round trips.
func (c *Client) SubscribeAll(ctx context.Context, subs []chain.Subscription) (lost []chain.Subscription, err error) {
	if len(subs) == 0 {
		return nil, nil
	}
	fields := make([]string, len(subs))
	for i, s := range subs {
		fields[i] = subscriptionField(s)
	}
	known, err := c.rdb.HMGet(ctx, keySubscriptions, fields...).Result()
	if err != nil {
		return nil, away("subscribe", err)
	}
	pipe := c.rdb.Pipeline()
	for _, s := range subs {
		pipe.XGroupCreateMkStream(ctx, s.Stream, s.Group, "0")
	}
	made, _ := pipe.Exec(ctx) // each command has an error of its own
	note := []any{}
	for i, cmd := range made {
		switch err := cmd.Err(); {
		case err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP"):
			return nil, away("subscribe to "+subs[i].Stream, err)
		case err == nil && known[i] != nil:
			lost = append(lost, subs[i])
		}
		if known[i] == nil {
			note = append(note, fields[i], time.Now().UnixMilli())
		}
	}
	if len(note) > 0 {
		err = c.rdb.HSet(ctx, keySubscriptions, note...).Err()
	}
	return lost, away("subscribe", err)
}

// Unsubscribe removes a subscription, if nothing waits in its stream: then nothing is lost, and nothing happens again if
// the subscription is made anew. done is false if something waits. With force it is removed with all that it has.
func (c *Client) Unsubscribe(ctx context.Context, s chain.Subscription, force bool) (done bool, err error) {
	all := "0"
	if force {
		all = "1"
	}
	n, err := unsubscribeLua.Run(ctx, c.rdb, s.Keys(), s.Group, all).Int()
	if err != nil {
		return false, away("unsubscribe from "+s.Stream, err)
	}
	if n == 0 {
		return false, nil
	}
	return true, away("unsubscribe from "+s.Stream, c.rdb.HDel(ctx, keySubscriptions, subscriptionField(s)).Err())
}

// Subscriptions are all that were made and not removed.
func (c *Client) Subscriptions(ctx context.Context) ([]chain.Subscription, error) {
	fields, err := c.rdb.HKeys(ctx, keySubscriptions).Result()
	if err != nil {
		return nil, away("list subscriptions", err)
	}
	var subs []chain.Subscription
	for _, f := range fields {
		stream, group, ok := strings.Cut(f, " ")
		if ok {
			subs = append(subs, chain.Subscription{Stream: stream, Group: group})
		}
	}
	return subs, nil
}
