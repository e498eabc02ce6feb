package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	goredis "github.com/redis/go-redis/v9"
)

// SaveFunction keeps a function's spec, and tells all instances that the instance by has done so.
func (c *Client) SaveFunction(ctx context.Context, f hearth.Function, by string) error {
	text, err := c.signFunction(f)
	if err != nil {
		return fmt.Errorf("save function %s: %w", f.Name(), err)
	}
	err = c.change(ctx, saveLua, "save", f.Name().String(), by, text).Err()
	if c.mended(ctx, err, "", "") {
		err = c.change(ctx, saveLua, "save", f.Name().String(), by, text).Err()
	}
	if err == nil {
		c.saw(f.Name(), f.Generation)
		c.Judge(KindFunction, f.Name().String(), nil)
	}
	return unavailable("save function "+f.Service, err)
}

// SaveReplicas keeps how many replicas a function has, for the next start of an instance; nobody is told. It
// does nothing if another spec was kept meanwhile.
func (c *Client) SaveReplicas(ctx context.Context, f hearth.Function) error {
	text, err := c.signFunction(f)
	if err != nil {
		return fmt.Errorf("save function %s: %w", f.Name(), err)
	}
	return unavailable("save function "+f.Service,
		scaledLua.Run(ctx, c.rdb, []string{keyFunctions}, f.Name().String(), text,
			f.DeployedAt.Format(time.RFC3339Nano)).Err())
}

// DeleteFunction forgets a function's spec, and tells all instances that the instance by has done so. Its
// subscriptions are noted as left until LeftBehind says otherwise, or it is saved again.
func (c *Client) DeleteFunction(
	ctx context.Context, n hearth.Name, subs []wire.Subscription, by string,
) error {
	err := c.change(ctx, tellLua, "delete", n.String(), by, streamsOf(subs)).Err()
	if err == nil {
		c.RecordRemoved(n)
		c.Judge(KindFunction, n.String(), nil)
	}
	return unavailable("delete function "+n.Function, err)
}

func streamsOf(subs []wire.Subscription) string {
	streams := make([]string, len(subs))
	for i, s := range subs {
		streams[i] = s.Stream
	}
	return strings.Join(streams, " ")
}

// LeftBehind notes which subscriptions a removed function still has. Whoever calls it must have begun the
// function's change.
func (c *Client) LeftBehind(ctx context.Context, n hearth.Name, subs []wire.Subscription) error {
	if len(subs) == 0 {
		return unavailable("forget function "+n.Function, c.rdb.HDel(ctx, keyRemoved, n.String()).Err())
	}
	return unavailable("note what "+n.Function+" has left",
		c.rdb.HSet(ctx, keyRemoved, n.String(), streamsOf(subs)).Err())
}

// Removed are the functions that were removed and may have left subscriptions. What is no subscription of the
// function is left out.
func (c *Client) Removed(ctx context.Context) (map[hearth.Name][]wire.Subscription, error) {
	found, err := c.rdb.HGetAll(ctx, keyRemoved).Result()
	if err != nil {
		return nil, unavailable("read what removed functions have left", err)
	}
	all := map[hearth.Name][]wire.Subscription{}
	for name, streams := range found {
		n, err := hearth.ParseName(name)
		if err != nil {
			continue
		}
		for _, stream := range strings.Fields(streams) {
			s := wire.Subscription{Stream: stream, Group: groupOf(n)}
			if _, topic := wire.Topic(stream); topic || s == CallsOf(n) || s == CallbacksOf(n) {
				all[n] = append(all[n], s)
			}
		}
	}
	return all, nil
}

// Tell tells all instances to look at a function again, or, without a name, at all of their queues. It
// returns the id of that.
func (c *Client) Tell(ctx context.Context, n hearth.Name, by string) (id string, err error) {
	name := ""
	if n != (hearth.Name{}) {
		name = n.String()
	}
	id, err = c.change(ctx, tellLua, "tell", name, by, "").Text()
	return id, unavailable("tell the other instances", err)
}

func (c *Client) change(ctx context.Context, script *wire.Lua, what, name, by string, spec any) *goredis.Cmd {
	return script.Run(ctx, c.rdb, []string{keyFunctions, keyChanges, keyRemoved}, what, name, by, spec)
}

// A View is what is deployed, at one moment. Records that are not used are not in it; see Client.BadRecords.
type View struct {
	Last          string // the id of the last change
	Epoch         string // of Redis's memory; "" if it has none
	Functions     map[hearth.Name]hearth.Function
	Subscriptions []wire.Subscription

	// Unused are functions whose record is not used: nobody can tell whether they are deployed. The record
	// of those in Outdated is authentic, but older than one that was seen.
	Unused, Outdated map[hearth.Name]bool
}

// Look is what is deployed. Changes behind its Last are not in it.
func (c *Client) Look(ctx context.Context) (View, error) { return c.look(ctx, "", "") }

// LookAt is what is deployed of one function, and its subscription of callbacks, if there is one.
func (c *Client) LookAt(ctx context.Context, n hearth.Name) (View, error) {
	return c.look(ctx, n.String(), subscriptionField(CallbacksOf(n)))
}

func (c *Client) look(ctx context.Context, name, callbacks string) (View, error) {
	if c.records.Key.IsZero() {
		return View{}, fmt.Errorf("read the functions: %w", errNoKey)
	}
	look := func() ([]any, error) {
		keys := []string{keyFunctions, keyChanges, keySubscriptions, keyEpoch}
		return lookLua.Run(ctx, c.rdb, keys, name, callbacks).Slice()
	}
	got, err := look()
	if c.mended(ctx, err, "", "") {
		got, err = look()
	}
	if err != nil {
		return View{}, unavailable("read the functions", err)
	}
	v := View{Last: got[0].(string), Epoch: got[1].(string), Functions: map[hearth.Name]hearth.Function{},
		Unused: map[hearth.Name]bool{}, Outdated: map[hearth.Name]bool{}}
	specs, bad := texts(got[2]), map[string]error{}
	for i := 0; i+1 < len(specs); i += 2 {
		f, err := c.readFunction(specs[i], specs[i+1])
		if err == nil {
			v.Functions[f.Name()] = f
			continue
		}
		bad[specs[i]] = err
		if n, e := hearth.ParseName(specs[i]); e == nil {
			v.Unused[n], v.Outdated[n] = true, errors.Is(err, errOutdated)
		}
	}
	subs, strange := c.subscriptionsOf(texts(got[3]))
	v.Subscriptions = subs
	if name == "" {
		c.judgeAll(KindFunction, bad)
		c.judgeAll(KindSubscription, strange)
	} else {
		c.Judge(KindFunction, name, bad[name])
	}
	return v, nil
}

// texts are the strings of a reply.
func texts(reply any) []string {
	list := reply.([]any)
	found := make([]string, len(list))
	for i, v := range list {
		found[i] = v.(string)
	}
	return found
}

// Epoch names what Redis has in its memory, for as long as it has it: with another one, or none, a View is of
// a Redis that has lost what was deployed.
func (c *Client) Epoch(ctx context.Context) (string, error) {
	epoch, err := c.rdb.Get(ctx, keyEpoch).Result()
	// where it is there nothing is written: an instance must start while Redis is full, to empty it
	if !errors.Is(err, goredis.Nil) {
		return epoch, unavailable("read the epoch", err)
	}
	if err := c.rdb.SetNX(ctx, keyEpoch, rand.Text(), 0).Err(); err != nil {
		return "", unavailable("name the epoch", err)
	}
	epoch, err = c.rdb.Get(ctx, keyEpoch).Result()
	return epoch, unavailable("read the epoch", err)
}

// A Change says that a function is another now, or is gone; or a secret. Without either it says that queues
// are to be looked at.
type Change struct {
	ID       string
	Function hearth.Name
	Secret   string // NAMESPACE/NAME
	By       string // the instance that changed it
}

// Changes are those behind an id, at most a thousand: older ones are forgotten, so what they say is a hint to
// look.
func (c *Client) Changes(ctx context.Context, after string) ([]Change, error) {
	found, err := c.rdb.XRange(ctx, keyChanges, "("+after, "+").Result()
	if err != nil {
		return nil, unavailable("read the changes", err)
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

// AwaitChanges returns the changes behind an id when there are any; none after half a minute, or when w is
// interrupted.
func (w *Watch) AwaitChanges(ctx context.Context, after string) ([]Change, error) {
	fired, err := w.Wait(ctx, map[string]string{keyChanges: after})
	if err != nil || len(fired) == 0 {
		return nil, err
	}
	return w.client.Changes(ctx, after)
}

// Noted tells whether a subscription was made and not removed.
func (c *Client) Noted(ctx context.Context, s wire.Subscription) (bool, error) {
	err := c.rdb.HGet(ctx, keySubscriptions, subscriptionField(s)).Err()
	if errors.Is(err, goredis.Nil) {
		return false, nil
	}
	return err == nil, unavailable("look at "+s.Stream, err)
}
