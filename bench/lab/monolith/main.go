/*
Command monolith is the bakery without a platform: the same four handlers in one process, for the lab to
compare with. It serves the addresses of a gateway, so that the bakery's own command is its client, but
/async-function/cashier places the order at once, as there is no queue before it.

A hop is a function call: what a step hands on is read by the same process and given to the next handler. It
is read from the same streams, because a step's script writes its messages together with the state; that is
what makes a crash between two steps harmless, here as on Hearth. What the platform does otherwise (retries,
limits, starting again) is done here as simply as possible.

It needs REDIS_URL and the bakery's own variables; NAME tells copies apart, RACKS is how many trays its oven
takes, and it serves the socket that it inherits as descriptor 3, which copies may share.
*/
package main

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/chain"
	baker "github.com/hearthfaas/hearth/functions/baker"
	cashier "github.com/hearthfaas/hearth/functions/cashier"
	oven "github.com/hearthfaas/hearth/functions/oven"
	server "github.com/hearthfaas/hearth/functions/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatalf("monolith: %v", err)
	}
}

// many is how many calls a role with no limit of its own takes at once.
const many = 256

func run(ctx context.Context) error {
	racks, err := strconv.Atoi(os.Getenv("RACKS"))
	if err != nil || racks < 1 {
		return errors.New("RACKS is not a whole number above 0")
	}
	roles := []*role{
		{name: "cashier", topic: bakery.TopicReady, handle: cashier.Handle, atOnce: many},
		{name: "baker", topic: bakery.TopicBake, handle: baker.Handle, atOnce: many},
		{name: "oven", topic: bakery.TopicDough, handle: oven.Handle, atOnce: racks},
		{name: "server", topic: bakery.TopicBaked, handle: server.Handle, atOnce: many},
	}
	rdb, err := chain.Redis(ctx)
	if err != nil {
		return err
	}
	l, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	working, done := context.WithCancel(context.WithoutCancel(ctx))
	defer done()
	for _, r := range roles {
		if err := r.start(working, rdb, os.Getenv("NAME")); err != nil {
			return err
		}
	}
	s := &http.Server{Handler: newDoor(roles), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(working, 10*time.Second)
	defer cancel()
	return s.Shutdown(closing)
}
