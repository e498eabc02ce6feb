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

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/connector"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/openfaas/faas-provider/types"
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
	return answer{status, http.Header{chain.HeaderAnswer: {"true"}}}
}

func byPart(status int, part string) answer {
	return answer{status, http.Header{chain.HeaderInternal: {part}}}
}

// stockGateway lists one function, and gives the answers of a script in turn, the last one for ever.
type stockGateway struct {
	*httptest.Server

	mu       sync.Mutex
	script   []answer
	attempts []string // X-Attempt of each call
}

func newStockGateway(t *testing.T, annotations map[string]string, script []answer) *stockGateway {
	t.Helper()
	g := &stockGateway{script: script}
	annotations["topic"] = "bakery.dough"
	mux := http.NewServeMux()
	say := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) }
	}
	mux.Handle("GET /system/namespaces", say([]string{hearth.DefaultNamespace}))
	mux.Handle("GET /system/functions", say([]types.FunctionStatus{{Name: oven.Function, Namespace: oven.Namespace, Annotations: &annotations, Replicas: 1}}))
	mux.HandleFunc("POST /function/", func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		a := g.script[0]
		if len(g.script) > 1 {
			g.script = g.script[1:]
		}
		g.attempts = append(g.attempts, r.Header.Get(chain.HeaderAttempt))
		g.mu.Unlock()
		for name, values := range a.header {
			w.Header()[name] = values
		}
		w.WriteHeader(a.status)
	})
	g.Server = httptest.NewServer(mux)
	t.Cleanup(g.Close)
	return g
}

func (g *stockGateway) calls() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(g.attempts, " ")
}

// run runs a connector until the test ends, with one message on the topic. It returns the queue, and a function that waits until
// nothing is to be done.
func run(t *testing.T, g *stockGateway) (queue *redis.Client, await func()) {
	t.Helper()
	raw := chaintest.Redis(t)
	queue, err := redis.Open(t.Context(), chaintest.URL(raw))
	require.NoError(t, err)
	u, err := url.Parse(g.URL)
	require.NoError(t, err)
	c := connector.New(connector.Config{Gateway: u, Queue: queue, Log: slog.New(slog.DiscardHandler), Instance: "me", Rebuild: 50 * time.Millisecond})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); c.Run(ctx, 10*time.Second) }()
	t.Cleanup(func() { stop(); <-ended; g.CloseClientConnections(); _ = queue.Close() })
	chaintest.Put(t, raw, "bakery.dough", "{}")
	return queue, func() {
		t.Helper()
		require.Eventually(t, func() bool {
			depths, err := queue.Depths(t.Context(), []chain.Subscription{sub})
			return err == nil && g.calls() != "" && depths[0].Waiting+depths[0].Leased+depths[0].Due+depths[0].Delayed == 0
		}, 30*time.Second, 2*time.Millisecond)
	}
}

// letters are the dead letters of the topic.
func letters(t *testing.T, queue *redis.Client) []redis.DeadLetter {
	t.Helper()
	ids, err := queue.DeadIDs(t.Context(), sub, time.Time{}, time.Time{})
	require.NoError(t, err)
	list, err := queue.DeadLettersOf(t.Context(), sub, ids)
	require.NoError(t, err)
	return list
}

func TestAnswersOfTheGatewayAreNoAttempts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		script []answer
		calls  string // X-Attempt of each
		reason string // of the dead letter; "" if it is settled
	}{
		"the function is recreated": {
			[]answer{byGateway(404), byGateway(404), byGateway(405), byGateway(502), byGateway(503), byGateway(504), byFunction(200)},
			"1 1 1 1 1 1 1", ""},
		"no endpoints":                   {[]answer{byPart(503, "proxy"), byPart(404, "proxy"), byFunction(200)}, "1 1 1", ""},
		"the function finds nothing":     {[]answer{byFunction(404)}, "1", "answered 404 Not Found (this is not retried)"},
		"the function is overloaded":     {[]answer{byFunction(503), byFunction(502), byFunction(200)}, "1 2 3", ""},
		"the function fails":             {[]answer{byGateway(500)}, "1 2 3", "answered 500 Internal Server Error, at attempt 3 of 3"},
		"the message is wrong":           {[]answer{byGateway(400)}, "1", "answered 400 Bad Request (this is not retried)"},
		"the function takes too long":    {[]answer{byPart(504, "of-watchdog")}, "1 2 3", "answered 504 Gateway Timeout, at attempt 3 of 3"},
		"first the gateway, then it all": {[]answer{byGateway(404), byFunction(500), byGateway(503), byFunction(500), byFunction(200)}, "1 1 2 2 3", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newStockGateway(t, map[string]string{"com.openfaas.retry.attempts": "3", "com.openfaas.retry.min_wait": "5ms", "com.openfaas.retry.max_wait": "10ms"}, test.script)
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

func TestWhatIsNeverReachedIsBuriedByAge(t *testing.T) {
	t.Parallel()
	g := newStockGateway(t, map[string]string{"com.hearth.max-age": "300ms"}, []answer{byGateway(404)})
	queue, await := run(t, g)
	await()
	dead := letters(t, queue)
	require.Len(t, dead, 1)
	require.Contains(t, dead[0].Reason(), "it could not be delivered for 300ms: the gateway answered 404 Not Found without the function's X-Function-Answer")
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
