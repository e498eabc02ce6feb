package redis

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// SaveFunction keeps a function's spec.
func (c *Client) SaveFunction(ctx context.Context, f hearth.Function) error {
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("save function %s: %w", f.Name(), err)
	}
	return away("save function "+f.Service, c.rdb.HSet(ctx, keyFunctions, f.Name().String(), text).Err())
}

// DeleteFunction forgets a function's spec.
func (c *Client) DeleteFunction(ctx context.Context, n hearth.Name) error {
	return away("delete function "+n.Function, c.rdb.HDel(ctx, keyFunctions, n.String()).Err())
}

// Functions are all specs that are kept.
func (c *Client) Functions(ctx context.Context) ([]hearth.Function, error) {
	all, err := c.rdb.HGetAll(ctx, keyFunctions).Result()
	if err != nil {
		return nil, away("read the functions", err)
	}
	var functions []hearth.Function
	for name, text := range all {
		var f hearth.Function
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			return nil, fmt.Errorf("read function %s: %w", name, err)
		}
		functions = append(functions, f)
	}
	return functions, nil
}
