package bakery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hearthfaas/hearth/chain"
)

// The messages that trays travel by. Each names a tray and its cookie.
type (
	// Asked is a message of bakery.bake: bake this tray.
	Asked struct {
		Tray   string `json:"tray"`
		Cookie string `json:"cookie"`
	}
	// Dough is a message of bakery.dough: it is mixed.
	Dough struct {
		Tray   string `json:"tray"`
		Cookie string `json:"cookie"`
	}
	// Tray is a message of bakery.baked: it came out of the oven.
	Tray struct {
		Tray   string `json:"tray"`
		Cookie string `json:"cookie"`
	}
)

// trayArgs are the args of scripts that move one tray.
type trayArgs struct {
	args
	Tray   string         `json:"tray"`
	Cookie string         `json:"cookie,omitempty"`
	Recipe map[string]int `json:"recipe,omitempty"`
	Oven   string         `json:"oven,omitempty"`
}

// thisOven is the oven that this process is: a replica is one oven.
var thisOven = func() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}()

// Mixed is the commit of the baker: the ingredients leave the fridge and the dough goes to the oven. If the
// fridge is short the tray is parked; if it is not owed any more it is withdrawn; if its cookie is not on the
// menu any more, the orders that wait for it are refused.
func Mixed(ctx context.Context, a Asked) chain.Commit {
	recipe, _ := config(ctx).Menu.Find(a.Cookie)
	return chain.Commit{
		Script: mixScript,
		Args:   trayArgs{args: common(ctx), Tray: a.Tray, Cookie: a.Cookie, Recipe: recipe.Ingredients},
	}
}

// Bake bakes a tray: it returns when the time of its recipe has passed since the tray first went into an
// oven, so a tray that is delivered again bakes only the rest. A tray that needs no baking, such as one that
// was thrown away meanwhile, is done at once. An error means that nothing was baked.
func Bake(ctx context.Context, d Dough) error {
	recipe, ok := config(ctx).Menu.Find(d.Cookie)
	if !ok {
		if d.Tray == "" {
			return chain.Permanent(errors.New("the message names no tray"))
		}
		return chain.Permanent(fmt.Errorf("tray %s: %q is not on the menu", d.Tray, d.Cookie))
	}
	var in struct {
		State string `json:"state"`
		Since int64  `json:"since"` // ms
	}
	args := trayArgs{args: common(ctx), Tray: d.Tray, Cookie: d.Cookie, Oven: thisOven}
	if err := apply(ctx, bakeScript, args, &in); err != nil {
		return err
	}
	if in.State != "in_oven" {
		return nil
	}
	rest := config(ctx).BakeTime(recipe) - time.Duration(in.Since)*time.Millisecond
	if rest <= 0 {
		return nil
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("tray %s: baking was interrupted: %w", d.Tray, ctx.Err())
	}
}

// Baked is the commit of the oven: the tray is baked, and goes to the server.
func Baked(ctx context.Context, d Dough) chain.Commit {
	return chain.Commit{Script: bakedScript, Args: trayArgs{args: common(ctx), Tray: d.Tray}}
}

// Displayed is the commit of the server: the tray is on display, and its pieces go to the orders that wait,
// oldest first.
func Displayed(ctx context.Context, t Tray) chain.Commit {
	return chain.Commit{Script: displayScript, Args: trayArgs{args: common(ctx), Tray: t.Tray}}
}

// Thrown is a tray that was thrown away: of one on display, what nobody had reserved.
type Thrown struct {
	Tray   string `json:"tray"`
	State  string `json:"state"`  // now; "" if there is no such tray
	Pieces int    `json:"pieces"` // that were thrown away

	Changed bool `json:"-"` // false if it had ended before
}

// Spoil throws a tray away, whatever state it is in, and asks for another if it is owed.
func Spoil(ctx context.Context, tray string) (Thrown, error) {
	var reply struct {
		State   string `json:"state"`
		Spoiled bool   `json:"spoiled"`
		Pieces  int    `json:"pieces"`
	}
	err := apply(ctx, spoilScript, trayArgs{args: common(ctx), Tray: tray}, &reply)
	return Thrown{tray, reply.State, reply.Pieces, reply.Spoiled}, err
}
