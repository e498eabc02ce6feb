package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/openfaas/faas-provider/types"
	goredis "github.com/redis/go-redis/v9"
)

// A Revision is a spec that a function has had.
type Revision struct {
	Revision   string                   `json:"revision"` // hearth.Function's
	DeployedAt time.Time                `json:"deployedAt"`
	Spec       types.FunctionDeployment `json:"spec"`
}

// revisions is the form of the record.
type revisions struct {
	Revisions []Revision `json:"revisions"`
}

// Revisions returns those that are kept of a function, the newest first. A record that is not used counts as
// none; see BadRecords.
func (c *Client) Revisions(ctx context.Context, n hearth.Name) ([]Revision, error) {
	text, err := c.rdb.HGet(ctx, keyRevisions, n.String()).Result()
	if errors.Is(err, goredis.Nil) {
		c.Judge(KindRevisions, n.String(), nil)
		return nil, nil
	}
	if err != nil {
		return nil, unavailable("read the revisions of "+n.Function, err)
	}
	var kept revisions
	object, err := c.records.Key.OpenJSON(keyRevisions, n.String(), []byte(text))
	if err == nil {
		err = json.Unmarshal(object, &kept)
	}
	c.Judge(KindRevisions, n.String(), err)
	return kept.Revisions, nil
}

// SaveRevisions keeps the revisions of a function, the newest first.
func (c *Client) SaveRevisions(ctx context.Context, n hearth.Name, list []Revision) error {
	if c.records.Key.IsZero() {
		return fmt.Errorf("save the revisions of %s: %w", n, errNoKey)
	}
	text, err := json.Marshal(revisions{list})
	if err != nil {
		return err
	}
	err = c.rdb.HSet(ctx, keyRevisions, n.String(),
		c.records.Key.SignJSON(keyRevisions, n.String(), text)).Err()
	if err == nil {
		c.Judge(KindRevisions, n.String(), nil)
	}
	return unavailable("save the revisions of "+n.Function, err)
}

// ForgetRevisions removes the revisions of a function.
func (c *Client) ForgetRevisions(ctx context.Context, n hearth.Name) error {
	err := c.rdb.HDel(ctx, keyRevisions, n.String()).Err()
	if err == nil {
		c.Judge(KindRevisions, n.String(), nil)
	}
	return unavailable("forget the revisions of "+n.Function, err)
}
