package chain_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/alicebob/miniredis/v2"
	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	handler "github.com/openfaas/templates-sdk/go-http"
	"github.com/redis/go-redis/v9"
)

// A library lends books. Its desk takes requests from the topic library.requested; if the book is on the
// shelf, it is lent, and the message goes on to library.lent, where another function prints the slip. If
// somebody else has the book, the reader joins its queue, and nothing is handed on.

// Request is a message of library.requested.
type Request struct {
	Book   string `json:"book"`
	Reader string `json:"reader"`
}

// Loan is a message of library.lent.
type Loan struct {
	Book   string `json:"book"`
	Reader string `json:"reader"`
}

// lend decides by the state at the very moment of the commit: two desks never lend one book twice.
var lend = chain.NewScript("lend", `
	local holder = redis.call('HGET', keys.loans, args.book)
	if holder == args.reader then return refuse(args.reader .. ' has ' .. args.book .. ' already') end
	if holder then
		return function()
			redis.call('RPUSH', keys.queue, args.book .. ':' .. args.reader)
		end, {waits_for = holder}
	end
	emit('library.lent', {book = args.book, reader = args.reader})
	return function() redis.call('HSET', keys.loans, args.book, args.reader) end, {lent_at = now > 0}`,
	[]chain.Key{
		{Name: "loans", Key: "{library}:loans", Type: "hash"},
		{Name: "queue", Key: "{library}:queue", Type: "list"},
	},
	"library.lent")

// desk is the function's handler: Handle of an OpenFaaS Go function.
var desk = chain.Handle("library.requested", func(_ context.Context, r Request) (chain.Commit, error) {
	if r.Book == "" {
		return chain.Commit{}, chain.Permanent(fmt.Errorf("a request by %s names no book", r.Reader))
	}
	return chain.Commit{Script: lend, Args: r}, nil
})

// printer is the next function. It changes nothing, and hands on nothing: the zero Commit acknowledges.
var printer = chain.Handle("library.lent", func(_ context.Context, l Loan) (chain.Commit, error) {
	fmt.Printf("slip: %s for %s\n", l.Book, l.Reader)
	return chain.Commit{}, nil
})

// Example is a whole chain: a library. The gateway's part is played by chaintest.
func Example() {
	memory := miniredis.NewMiniRedis()
	if err := memory.Start(); err != nil {
		panic(err)
	}
	defer memory.Close()
	rdb := redis.NewClient(&redis.Options{Addr: memory.Addr()})
	ctx := chain.WithRedis(context.Background(), rdb)

	rdb.XGroupCreateMkStream(ctx, "{library}.requested", "desk", "0")
	rdb.XGroupCreateMkStream(ctx, "{library}.lent", "printer", "0")
	for _, body := range []string{
		`{"book":"Momo","reader":"Ada"}`,
		`{"book":"Momo","reader":"Bob"}`,
		`{"reader":"Eve"}`,
	} {
		rdb.XAdd(ctx, &redis.XAddArgs{Stream: "{library}.requested", Values: []string{"body", body}})
	}

	deliver := func(stream, group string, handle func(handler.Request) (handler.Response, error), times int) {
		for {
			m, ok, err := chaintest.Take(ctx, rdb, wire.Subscription{Stream: stream, Group: group})
			if err != nil || !ok {
				return
			}
			for range times {
				answer, _ := handle(m.Request(ctx))
				fmt.Printf("%s: %s %d %s\n", group, m.Body, answer.StatusCode, firstLine(answer))
			}
		}
	}
	deliver("{library}.requested", "desk", desk, 2) // everything comes twice
	deliver("{library}.lent", "printer", printer, 1)

	// Output:
	// desk: {"book":"Momo","reader":"Ada"} 200 {"lent_at":true}
	// desk: {"book":"Momo","reader":"Ada"} 200 {"done":"before"}
	// desk: {"book":"Momo","reader":"Bob"} 200 {"waits_for":"Ada"}
	// desk: {"book":"Momo","reader":"Bob"} 200 {"done":"before"}
	// desk: {"reader":"Eve"} 422 a request by Eve names no book
	// desk: {"reader":"Eve"} 422 a request by Eve names no book
	// slip: Momo for Ada
	// printer: {"book":"Momo","reader":"Ada"} 200 {}
}

func firstLine(r handler.Response) string {
	if r.StatusCode == http.StatusOK {
		return string(r.Body)
	}
	return detailOf(r)
}
