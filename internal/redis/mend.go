package redis

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// shared are the keys that all instances read, and the types that they have.
var shared = map[string]string{
	keyFunctions:     "hash",
	keySubscriptions: "hash",
	keyChanges:       "stream",
	keyEpoch:         "string",
	keyNamespaces:    "hash",
	keySecrets:       "hash",
	keyLeft:          "hash",
	keyRemoved:       "hash",
}

// asideOf is where a key goes that somebody has put in the place of one of the platform's.
func asideOf(key string) string { return fmt.Sprintf("%s:aside:%d", key, time.Now().UnixNano()) }

// Mend puts keys aside that have not the type which the platform wants there: nothing that anybody writes to
// Redis keeps an instance from starting.
func (c *Client) Mend(ctx context.Context) error {
	for key, kind := range shared {
		if err := c.putAside(ctx, key, kind); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) putAside(ctx context.Context, key, want string) error {
	is, err := c.rdb.Type(ctx, key).Result()
	if err != nil || is == want || is == "none" {
		return unavailable("look at "+key, err)
	}
	aside := asideOf(key)
	if err := c.rdb.Rename(ctx, key, aside).Err(); err != nil {
		return unavailable("put "+key+" aside", err)
	}
	c.Judge(KindKey, aside, fmt.Errorf(
		"it was in the place of %s, and is a %s: somebody other than Hearth has written it", key, is))
	return nil
}

// mended reports whether an error says that a key has the wrong type, and that it was put aside: try again.
func (c *Client) mended(ctx context.Context, err error, key, want string) bool {
	if err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		return false
	}
	if key == "" {
		return c.Mend(ctx) == nil
	}
	return c.putAside(ctx, key, want) == nil
}
