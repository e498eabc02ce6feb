package connector_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/connector"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/openfaas/faas-provider/types"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	redis.LogTo(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}

var (
	oven = hearth.Name{Function: "oven", Namespace: hearth.DefaultNamespace}
	sub  = redis.TopicOf(oven, "bakery.dough")
)

// An answer is one of a gateway: its own, or one of the function.
type answer struct {
	status int
	header http.Header
}

func byGateway(status int) answer { return answer{status: status} }

func byFunction(status int) answer {
	return answer{status, http.Header{wire.HeaderAnswer: {"true"}}}
}

func byPart(status int, part string) answer {
	return answer{status, http.Header{wire.HeaderInternal: {part}}}
}

// stockGateway is a fake of OpenFaaS's gateway. It lists functions that subscribe to one topic, and gives the
// answers of a script in turn, the last one for ever.
type stockGateway struct {
	*httptest.Server

	mu        sync.Mutex
	functions []types.FunctionStatus
	broken    bool // it does not list them
	listed    int  // how often all of them were
	refused   int  // how often it did not list them
	script    []answer
	attempts  []string // X-Attempt of each call
	paths     []string // of each call
}

func newStockGateway(t *testing.T, annotations map[string]string, script []answer) *stockGateway {
	t.Helper()
	g := &stockGateway{script: script}
	annotations["topic"] = "bakery.dough"
	g.functions = []types.FunctionStatus{{
		Name:        oven.Function,
		Namespace:   oven.Namespace,
		Annotations: &annotations,
		Replicas:    1,
	}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /system/namespaces", func(w http.ResponseWriter, _ *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.broken {
			g.refused++
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		g.listed++
		_ = json.NewEncoder(w).Encode([]string{hearth.DefaultNamespace, "staging"})
	})
	mux.HandleFunc("GET /system/functions", func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		list := []types.FunctionStatus{}
		for _, f := range g.functions {
			if f.Namespace == r.URL.Query().Get("namespace") {
				list = append(list, f)
			}
		}
		_ = json.NewEncoder(w).Encode(list)
	})
	call := func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		a := g.script[0]
		if len(g.script) > 1 {
			g.script = g.script[1:]
		}
		g.attempts, g.paths = append(g.attempts, r.Header.Get(wire.HeaderAttempt)),
			append(g.paths, r.URL.Path)
		g.mu.Unlock()
		for name, values := range a.header {
			w.Header()[name] = values
		}
		w.WriteHeader(a.status)
	}
	mux.HandleFunc("POST /function/", call)
	mux.HandleFunc("POST /async-function/", call)
	g.Server = httptest.NewServer(mux)
	t.Cleanup(g.Close)
	return g
}

func (g *stockGateway) calls() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(g.attempts, " ")
}

// change changes what the gateway lists.
func (g *stockGateway) change(do func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	do()
}

// read returns something of the gateway.
func read[T any](g *stockGateway, value *T) T {
	g.mu.Lock()
	defer g.mu.Unlock()
	return *value
}

// open makes a connector, which is not started, and its Redis. The queue is closed when the test ends.
func open(t *testing.T, g *stockGateway, change ...func(*connector.Config)) (*connector.Connector,
	*redis.Client, *goredis.Client) {
	t.Helper()
	raw := chaintest.Redis(t)
	queue, err := redis.Open(t.Context(), chaintest.URL(raw))
	require.NoError(t, err)
	t.Cleanup(func() { _ = queue.Close() })
	u, err := url.Parse(g.URL)
	require.NoError(t, err)
	cfg := connector.Config{Gateway: u, Queue: queue, Instance: "me", Rebuild: 50 * time.Millisecond}
	for _, c := range change {
		c(&cfg)
	}
	c, err := connector.New(cfg)
	require.NoError(t, err)
	return c, queue, raw
}

// start runs a connector until the test ends.
func start(t *testing.T, g *stockGateway, c *connector.Connector) {
	t.Helper()
	require.NoError(t, c.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, c.Stop(ctx))
		g.CloseClientConnections()
	})
}

// run runs a connector until the test ends, with one message on the topic. It returns the queue, and a
// function that waits until nothing is to be done.
func run(t *testing.T, g *stockGateway, change ...func(*connector.Config)) (queue *redis.Client,
	await func()) {
	t.Helper()
	c, queue, raw := open(t, g, change...)
	start(t, g, c)
	chaintest.Put(t, raw, "bakery.dough", "{}")
	return queue, func() {
		t.Helper()
		eventually(t, func() bool {
			d := depth(t, queue)
			return g.calls() != "" && d.Waiting+d.Leased+d.Due+d.Delayed == 0
		})
	}
}

func depth(t *testing.T, queue *redis.Client) redis.Depth {
	t.Helper()
	depths, err := queue.Depths(t.Context(), []wire.Subscription{sub})
	require.NoError(t, err)
	return depths[0]
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 30*time.Second, 2*time.Millisecond)
}

// letters returns the dead letters of the topic.
func letters(t *testing.T, queue *redis.Client) []redis.DeadLetter {
	t.Helper()
	ids, err := queue.DeadIDs(t.Context(), sub, time.Time{}, time.Time{})
	require.NoError(t, err)
	list, err := queue.DeadLettersOf(t.Context(), sub, ids)
	require.NoError(t, err)
	return list
}

func TestGatewayAnswersAreNoAttempts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		script []answer
		calls  string // X-Attempt of each
		reason string // of the dead letter; "" if it is settled
	}{
		"the function is recreated": {
			[]answer{byGateway(404), byGateway(404), byGateway(405), byGateway(502), byGateway(503),
				byGateway(504), byFunction(200)},
			"1 1 1 1 1 1 1", ""},
		"no endpoints": {[]answer{byPart(503, "proxy"), byPart(404, "proxy"),
			byFunction(200)}, "1 1 1", ""},
		"the function finds nothing": {[]answer{byFunction(404)}, "1",
			"answered 404 Not Found (this is not retried)"},
		"the function is overloaded": {[]answer{byFunction(503), byFunction(502), byFunction(200)},
			"1 2 3", ""},
		"the function fails": {[]answer{byGateway(500)}, "1 2 3",
			"answered 500 Internal Server Error, at attempt 3 of 3"},
		"the message is wrong": {[]answer{byGateway(400)}, "1",
			"answered 400 Bad Request (this is not retried)"},
		"the function takes too long": {[]answer{byPart(504, "of-watchdog")}, "1 2 3",
			"answered 504 Gateway Timeout, at attempt 3 of 3"},
		"first the gateway, then it all": {[]answer{byGateway(404), byFunction(500), byGateway(503),
			byFunction(500), byFunction(200)}, "1 1 2 2 3", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newStockGateway(t, map[string]string{
				"com.openfaas.retry.attempts": "3",
				"com.openfaas.retry.min_wait": "5ms",
				"com.openfaas.retry.max_wait": "10ms",
			}, test.script)
			queue, await := run(t, g)
			await()
			require.Equal(t, test.calls, g.calls())
			dead := letters(t, queue)
			if test.reason == "" {
				require.Empty(t, dead)
				return
			}
			require.Len(t, dead, 1)
			require.Equal(t, test.reason, dead[0].Reason())
		})
	}
}

func TestMessageThatReachesNoFunctionBecomesDeadByAge(t *testing.T) {
	t.Parallel()
	g := newStockGateway(t, map[string]string{"com.hearth.max-age": "300ms"}, []answer{byGateway(404)})
	queue, await := run(t, g)
	await()
	dead := letters(t, queue)
	require.Len(t, dead, 1)
	require.Contains(t, dead[0].Reason(),
		"it could not be delivered for 300ms: the gateway answered 404 Not Found without the function's "+
			"X-Function-Answer")
	require.NotContains(t, g.calls(), "2", "no attempt was counted")
}

// TestRedrivenByAnotherProcessIsDelivered: hearth dead redrive --redis tells the connector nothing.
func TestRedrivenByAnotherProcessIsDelivered(t *testing.T) {
	t.Parallel()
	g := newStockGateway(t, map[string]string{}, []answer{byFunction(404), byFunction(200)})
	queue, await := run(t, g)
	await()
	dead := letters(t, queue)
	require.Len(t, dead, 1)
	n, err := queue.Redrive(t.Context(), sub, []string{dead[0].ID})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	await()
	require.Equal(t, "1 1", g.calls())
	require.Empty(t, letters(t, queue))
}

func TestNotFoundDoesNotListFunctionsAgain(t *testing.T) {
	t.Parallel()
	script := []answer{byGateway(404), byGateway(404), byGateway(404), byGateway(404), byGateway(404),
		byFunction(200)}
	g := newStockGateway(t, map[string]string{}, script)
	c, queue, raw := open(t, g, func(c *connector.Config) { c.Rebuild = time.Hour })
	start(t, g, c)
	eventually(t, func() bool { return c.Known(oven) })
	chaintest.Put(t, raw, "bakery.dough", "{}")
	eventually(t, func() bool { return g.calls() == "1 1 1 1 1 1" && depth(t, queue) == redis.Depth{} })
	require.Equal(t, 1, read(g, &g.listed))
}

func TestFunctionsOfEachNamespaceAreServed(t *testing.T) {
	t.Parallel()
	g := newStockGateway(t, map[string]string{}, []answer{byFunction(200)})
	other := g.functions[0]
	other.Namespace = "staging"
	g.functions = append(g.functions, other, types.FunctionStatus{Name: "topicless", Namespace: "staging"})
	c, _, raw := open(t, g)
	start(t, g, c)
	eventually(t, func() bool { return c.Known(hearth.Name{Function: oven.Function, Namespace: "staging"}) })
	require.False(t, c.Known(hearth.Name{Function: "topicless", Namespace: "staging"}))
	chaintest.Put(t, raw, "bakery.dough", "{}")
	eventually(t, func() bool { return len(read(g, &g.paths)) == 2 })
	require.ElementsMatch(t, []string{"/function/oven.openfaas-fn", "/function/oven.staging"},
		read(g, &g.paths))
}

func TestMessagesOfAFunctionThatIsGoneStayQueued(t *testing.T) {
	t.Parallel()
	g := newStockGateway(t, map[string]string{}, []answer{byFunction(200)})
	c, queue, raw := open(t, g)
	start(t, g, c)
	eventually(t, func() bool { return c.Known(oven) })
	functions := g.functions
	g.change(func() { g.functions = nil })
	eventually(t, func() bool { return !c.Known(oven) })
	listed := read(g, &g.listed)
	eventually(t, func() bool { return read(g, &g.listed) > listed }) // so the dispatcher knows, too
	chaintest.Put(t, raw, "bakery.dough", "{}")
	listed = read(g, &g.listed)
	eventually(t, func() bool { return read(g, &g.listed) > listed+2 })
	require.Equal(t, 1, depth(t, queue).Waiting)
	require.Empty(t, g.calls())
	g.change(func() { g.functions = functions })
	eventually(t, func() bool { return g.calls() == "1" && depth(t, queue) == redis.Depth{} })
}

func TestKnownFunctionsAreServedWhileTheGatewayListsNone(t *testing.T) {
	t.Parallel()
	g := newStockGateway(t, map[string]string{}, []answer{byFunction(200)})
	c, queue, raw := open(t, g)
	start(t, g, c)
	eventually(t, func() bool { return c.Known(oven) })
	g.change(func() { g.broken = true })
	eventually(t, func() bool { return read(g, &g.refused) > 1 })
	chaintest.Put(t, raw, "bakery.dough", "{}")
	eventually(t, func() bool { return g.calls() == "1" && depth(t, queue) == redis.Depth{} })
	require.True(t, c.Known(oven))
}

// TestAsyncLeavesTheMessageToTheCommit: a 202 of the gateway does not mean that the function ran.
func TestAsyncLeavesTheMessageToTheCommit(t *testing.T) {
	t.Parallel()
	g := newStockGateway(t, map[string]string{}, []answer{byGateway(202)})
	c, queue, raw := open(t, g, func(c *connector.Config) { c.Async = true })
	start(t, g, c)
	chaintest.Put(t, raw, "bakery.dough", "{}")
	eventually(t, func() bool { return g.calls() == "1" })
	require.Equal(t, []string{"/async-function/oven.openfaas-fn"}, read(g, &g.paths))
	require.Equal(t, redis.Depth{Leased: 1}, depth(t, queue))
}

func TestLifecycle(t *testing.T) {
	t.Parallel()
	g := newStockGateway(t, map[string]string{}, []answer{byFunction(200)})
	c, _, _ := open(t, g)
	require.NoError(t, c.Stop(t.Context()), "before Start")
	require.NoError(t, c.Start(t.Context()))
	require.NoError(t, c.Start(t.Context()))
	eventually(t, func() bool { return c.Known(oven) })
	require.NoError(t, c.Stop(t.Context()))
	require.NoError(t, c.Stop(t.Context()))
	g.CloseClientConnections()

	for _, cfg := range []connector.Config{{}, {Gateway: &url.URL{}},
		{Gateway: &url.URL{}, Queue: &redis.Client{}}} {
		_, err := connector.New(cfg)
		require.Equal(t, hearth.Invalid, hearth.CodeOf(err))
	}
}
