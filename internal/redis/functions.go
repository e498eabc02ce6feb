package redis

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/internal/hearth"
	goredis "github.com/redis/go-redis/v9"
)

// SaveFunction keeps a function's spec, and tells all hearths that the instance by has done so.
func (c *Client) SaveFunction(ctx context.Context, f hearth.Function, by string) error {
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("save function %s: %w", f.Name(), err)
	}
	return away("save function "+f.Service, c.change(ctx, saveLua, "save", f.Name().String(), by, text).Err())
}

// SaveReplicas keeps how many replicas a function has, for the next start of a hearth; nobody is told. It does nothing if
// another spec was kept meanwhile.
func (c *Client) SaveReplicas(ctx context.Context, f hearth.Function) error {
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("save function %s: %w", f.Name(), err)
	}
	return away("save function "+f.Service, scaledLua.Run(ctx, c.rdb, []string{keyFunctions}, f.Name().String(), text, f.DeployedAt.Format(time.RFC3339Nano)).Err())
}

// DeleteFunction forgets a function's spec, and tells all hearths that the instance by has done so.
func (c *Client) DeleteFunction(ctx context.Context, n hearth.Name, by string) error {
	return away("delete function "+n.Function, c.change(ctx, tellLua, "delete", n.String(), by, "").Err())
}

// Tell tells all hearths to look at a function again, or, without a name, at all of their queues. It returns the id of that.
func (c *Client) Tell(ctx context.Context, n hearth.Name, by string) (id string, err error) {
	name := ""
	if n != (hearth.Name{}) {
		name = n.String()
	}
	id, err = c.change(ctx, tellLua, "tell", name, by, "").Text()
	return id, away("tell the other hearths", err)
}

func (c *Client) change(ctx context.Context, script *chain.Lua, what, name, by string, spec any) *goredis.Cmd {
	return script.Run(ctx, c.rdb, []string{keyFunctions, keyChanges}, what, name, by, spec)
}

// A View is what is deployed, at one moment.
type View struct {
	Last          string // the id of the last change
	Epoch         string // of Redis's memory; "" if it has none
	Functions     map[hearth.Name]hearth.Function
	Subscriptions []chain.Subscription
}

// Look is what is deployed. Changes behind its Last are not in it.
func (c *Client) Look(ctx context.Context) (View, error) { return c.look(ctx, "", "") }

// LookAt is what is deployed of one function, and its subscription of callbacks, if there is one.
func (c *Client) LookAt(ctx context.Context, n hearth.Name) (View, error) {
	return c.look(ctx, n.String(), subscriptionField(CallbacksOf(n)))
}

func (c *Client) look(ctx context.Context, name, callbacks string) (View, error) {
	got, err := lookLua.Run(ctx, c.rdb, []string{keyFunctions, keyChanges, keySubscriptions, keyEpoch}, name, callbacks).Slice()
	if err != nil {
		return View{}, away("read the functions", err)
	}
	v := View{Last: got[0].(string), Epoch: got[1].(string), Functions: map[hearth.Name]hearth.Function{}}
	specs, fields := got[2].([]any), got[3].([]any)
	for i := 0; i+1 < len(specs); i += 2 {
		var f hearth.Function
		if err := json.Unmarshal([]byte(specs[i+1].(string)), &f); err != nil {
			return v, fmt.Errorf("read function %s: %w", specs[i], err)
		}
		v.Functions[f.Name()] = f
	}
	for _, field := range fields {
		if stream, group, ok := strings.Cut(field.(string), " "); ok {
			v.Subscriptions = append(v.Subscriptions, chain.Subscription{Stream: stream, Group: group})
		}
	}
	return v, nil
}

// Epoch names what Redis has in its memory, for as long as it has it: with another one, or none, a View is of a Redis that has
// lost what was deployed.
func (c *Client) Epoch(ctx context.Context) (string, error) {
	epoch, err := c.rdb.Get(ctx, keyEpoch).Result()
	if !errors.Is(err, goredis.Nil) { // where it is there nothing is written: a hearth must start while Redis is full, to empty it
		return epoch, away("read the epoch", err)
	}
	if err := c.rdb.SetNX(ctx, keyEpoch, rand.Text(), 0).Err(); err != nil {
		return "", away("name the epoch", err)
	}
	epoch, err = c.rdb.Get(ctx, keyEpoch).Result()
	return epoch, away("read the epoch", err)
}

// A Change says that a function is another now, or is gone; or a secret. Without either it says that queues are to be looked at.
type Change struct {
	ID       string
	Function hearth.Name
	Secret   string // NAMESPACE/NAME
	By       string // the instance that changed it
}

// Changes are those behind an id, at most a thousand: older ones are forgotten, so what they say is a hint to look.
func (c *Client) Changes(ctx context.Context, after string) ([]Change, error) {
	found, err := c.rdb.XRange(ctx, keyChanges, "("+after, "+").Result()
	if err != nil {
		return nil, away("read the changes", err)
	}
	list := make([]Change, len(found))
	for i, m := range found {
		list[i].ID = m.ID
		list[i].By, _ = m.Values["by"].(string)
		list[i].Secret, _ = m.Values["secret"].(string)
		if text, _ := m.Values["function"].(string); text != "" {
			list[i].Function, _ = hearth.ParseName(text)
		}
	}
	return list, nil
}

// WatchChanges makes a Watch for AwaitChanges.
func (c *Client) WatchChanges() *Watch { return c.NewWatch(c.WatchKey(keyChanges)) }

// AwaitChanges returns the changes behind an id when there are any; none after half a minute, or when w is interrupted.
func (w *Watch) AwaitChanges(ctx context.Context, after string) ([]Change, error) {
	fired, err := w.Wait(ctx, map[string]string{keyChanges: after})
	if err != nil || len(fired) == 0 {
		return nil, err
	}
	return w.client.Changes(ctx, after)
}

// Noted tells whether a subscription was made and not removed.
func (c *Client) Noted(ctx context.Context, s chain.Subscription) (bool, error) {
	err := c.rdb.HGet(ctx, keySubscriptions, subscriptionField(s)).Err()
	if errors.Is(err, goredis.Nil) {
		return false, nil
	}
	return err == nil, away("look at "+s.Stream, err)
}
