package redis

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

const (
	// instancePresence is for how long an instance counts as present after it has announced itself.
	instancePresence = 150 * time.Second
	maxInstanceText  = 1 << 10 // bytes of an announcement, which anybody with write access may have written
)

// An Instance is one that has announced itself lately.
type Instance struct {
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Seen    time.Time `json:"seen"`
}

// Announce says that an instance is present, for a few minutes, and forgets those that were present long ago.
func (c *Client) Announce(ctx context.Context, i Instance) error {
	text, err := json.Marshal(i)
	if err != nil {
		return err
	}
	if err := c.rdb.HSet(ctx, keyInstances, i.Name, text).Err(); err != nil {
		return unavailable("announce this instance", err)
	}
	all, err := c.announced(ctx)
	if err != nil {
		return err
	}
	for _, other := range all {
		if i.Seen.Sub(other.Seen) > time.Hour {
			err = c.Depart(ctx, other.Name)
		}
	}
	return err
}

// Depart says that an instance is not present any more.
func (c *Client) Depart(ctx context.Context, name string) error {
	return unavailable("forget an instance", c.rdb.HDel(ctx, keyInstances, name).Err())
}

// Instances returns those that are present, by name.
func (c *Client) Instances(ctx context.Context, now time.Time) ([]Instance, error) {
	all, err := c.announced(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(i Instance) bool { return now.Sub(i.Seen) > instancePresence }), nil
}

func (c *Client) announced(ctx context.Context) ([]Instance, error) {
	found, err := c.rdb.HGetAll(ctx, keyInstances).Result()
	if err != nil {
		return nil, unavailable("list instances", err)
	}
	list := []Instance{}
	for name, text := range found {
		var i Instance
		if len(text) <= maxInstanceText && json.Unmarshal([]byte(text), &i) == nil && i.Name == name {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b Instance) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}
