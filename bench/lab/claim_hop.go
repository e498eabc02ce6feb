package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/bench/testbed"
	"github.com/hearthfaas/hearth/chain"
	"github.com/redis/go-redis/v9"
)

// hops of an order: cashier to baker, to oven, to server, to cashier.
const hops = 4

// noBakes takes the bakes out of an order: what is left are its hops.
const noBakes = "BAKE_SPEED=100000000"

// claimHop lets one order at a time go through a bakery that has nothing else to do.
func (l *lab) claimHop(ctx context.Context) ([]line, error) {
	times := 300
	if l.quick {
		times = 50
	}
	var took [2]float64
	var memory float64
	err := l.both(ctx, nil, []string{noBakes}, func(h *house) error {
		client, all := newClient(), []time.Duration(nil)
		for range times {
			began := time.Now()
			if failure := visitOne(ctx, client, "POST", h.url+"/function/cashier?wait=20s",
				oneTray); failure != "" {
				return fmt.Errorf("an order: %s", failure)
			}
			all = append(all, time.Since(began))
		}
		slices.Sort(all)
		if h.hearth != nil {
			took[0] = ms(all, 50) / hops
			return nil
		}
		took[1] = ms(all, 50) / hops
		var err error
		memory, err = hopInMemory(ctx, h.socket, times)
		return err
	})
	note := fmt.Sprintf("p50 of %d orders, of %d hops each, at rest; each hop's change of state is on disk "+
		"before the next", times, hops)
	return []line{
		{"what a hop costs", "a hand-over between roles", "ms", took[0], took[1], note},
		{"what a hop costs", "the same, with messages in memory", "ms", took[0], memory,
			"the monolith calls the next step directly, and loses unfinished orders when it ends"},
	}, err
}

// hopInMemory calls the steps of orders one after the other, as a monolith would that keeps nothing
// between them: a hop is a Go call and the next step's script. It does so in the Redis of a bakery
// whose own steps it takes out of the way.
func hopInMemory(ctx context.Context, socket string, times int) (float64, error) {
	password, err := testbed.PasswordOf(socket)
	if err != nil {
		return 0, err
	}
	rdb := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, Password: password})
	defer func() { _ = rdb.Close() }()
	for stream, group := range map[string]string{"{bakery}.bake": "baker", "{bakery}.dough": "oven",
		"{bakery}.baked": "server", "{bakery}.ready": "cashier"} {
		if err := rdb.XGroupDestroy(ctx, stream, group).Err(); err != nil {
			return 0, err
		}
	}
	menu, err := bakery.ReadMenu("")
	if err != nil {
		return 0, err
	}
	ctx = bakery.WithConfig(chain.WithRedis(ctx, rdb), &bakery.Config{
		Menu:        menu,
		Speed:       1e8,
		ExecTimeout: time.Minute,
		Patience:    time.Hour,
		Keep:        time.Hour,
		TrayLimit:   1000,
		WaiterLimit: 100,
	})
	var all []time.Duration
	for range times {
		began := time.Now()
		o, err := bakery.Place(ctx, bakery.OrderRequest{Customer: "lab",
			Items: []bakery.Wanted{{Cookie: "chocolate-chip", Quantity: 24}}}, bakery.Key{})
		if err != nil {
			return 0, err
		}
		placed := time.Since(began)
		// not counted: the script could have told
		asked, err := rdb.XRevRangeN(ctx, "{bakery}.bake", "+", "-", 1).Result()
		if err != nil {
			return 0, err
		}
		tray, _, _ := strings.Cut(strings.TrimPrefix(fmt.Sprint(asked[0].Values["body"]), `{"tray":"`), `"`)
		began = time.Now()
		dough := bakery.Dough{Tray: tray, Cookie: "chocolate-chip"}
		for _, step := range []func() error{
			func() error { return applied(ctx, rdb, bakery.Mixed(ctx, bakery.Asked(dough))) },
			func() error { return bakery.Bake(ctx, dough) },
			func() error { return applied(ctx, rdb, bakery.Baked(ctx, dough)) },
			func() error { return applied(ctx, rdb, bakery.Displayed(ctx, bakery.Tray(dough))) },
			func() error { return applied(ctx, rdb, bakery.HandedOver(ctx, bakery.Ready{Order: o.ID})) },
		} {
			if err := step(); err != nil {
				return 0, err
			}
		}
		all = append(all, placed+time.Since(began))
	}
	slices.Sort(all)
	return ms(all, 50) / hops, nil
}

func applied(ctx context.Context, rdb redis.UniversalClient, c chain.Commit) error {
	_, err := c.Apply(ctx, rdb)
	return err
}

// claimTests runs the tests of one role, and of all that a monolith's team would
// run. They are compiled before.
func (l *lab) claimTests(ctx context.Context) ([]line, error) {
	run := func(args ...string) (time.Duration, error) {
		cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-vet=off", "-count=1"}, args...)...)
		cmd.Dir = l.bed.Root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -gcflags=all=-dwarf=false")
		began := time.Now()
		out, err := cmd.CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("go test %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		return time.Since(began), nil
	}
	whole := []string{"./functions/...", "./bakery/...", "./chain/..."}
	if _, err := run(append([]string{"-run", "^$"}, whole...)...); err != nil {
		return nil, err
	}
	one, err := run("./" + filepath.Join("functions", "oven"))
	if err != nil {
		return nil, err
	}
	all, err := run(whole...)
	const note = "what each team runs before it deploys; the monolith's team could run the oven's tests " +
		"alone, but deploys the rest with it"
	return []line{{"test one role alone", "the oven's tests; all tests of the bakery", "s",
		one.Seconds(), all.Seconds(), note}}, err
}
