package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// longestWait is the most that a client may wait for a change in one request. It is less than a request may take to come,
// after which its connection is looked at no more.
const longestWait = 20 * time.Second

// etagOf names the state of a function. It changes with its spec, its replicas, and what is wrong with them, but not with
// calls and usage.
func etagOf(s FunctionStatus) string {
	s.ETag, s.InvocationCount, s.Usage, s.LastError = "", 0, nil, nil
	text, err := json.Marshal(s)
	if err != nil { // a status is made of texts and numbers
		panic(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// watched is a function's status: at once if its ETag is not the one that the client knows, else at its next change, or when
// the time to wait is over.
func (g *Gateway) watched(ctx context.Context, n hearth.Name, known, wait string) (hearth.Function, FunctionStatus, error) {
	patience, err := time.ParseDuration(wait)
	if wait != "" && (err != nil || patience < 0) {
		return hearth.Function{}, FunctionStatus{}, hearth.Errorf(hearth.Invalid, "wait is %q, want a duration such as 20s", wait)
	}
	if _, ok := g.cfg.Registry.Function(n); !ok { // before anything is kept of the name
		return hearth.Function{}, FunctionStatus{}, hearth.NotFoundError(n)
	}
	over := time.NewTimer(min(patience, longestWait))
	defer over.Stop()
	for last := wait == ""; ; {
		changed := g.cfg.Router.Changed(n)
		f, ok := g.cfg.Registry.Function(n)
		if !ok {
			return f, FunctionStatus{}, hearth.NotFoundError(n)
		}
		s := g.statusOf(f)
		if s.ETag = etagOf(s); last || s.ETag != known {
			return f, s, nil
		}
		select {
		case <-changed:
		case <-over.C:
			last = true
		case <-ctx.Done():
			return f, s, ctx.Err()
		}
	}
}
