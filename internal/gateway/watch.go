package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// longestWait is how long one request may wait for a change. It is less than readTimeout, after which a
// client that is gone would not be noticed.
const longestWait = 20 * time.Second

// etagOf names a status. It changes with the spec, the replicas and their errors, but not with calls and
// usage.
func etagOf(s FunctionStatus) string {
	s.ETag, s.InvocationCount, s.Usage, s.LastError = "", 0, nil, nil
	text, err := json.Marshal(s)
	if err != nil { // a status can always be encoded
		panic(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// watched returns a function's status: at once if its ETag is not the known one, else at the next change, or
// when the time to wait is over.
func (g *Gateway) watched(ctx context.Context, n hearth.Name, known, wait string) (hearth.Function,
	FunctionStatus, error) {
	patience, err := time.ParseDuration(wait)
	if wait != "" && (err != nil || patience < 0) {
		return hearth.Function{}, FunctionStatus{},
			hearth.Errorf(hearth.Invalid, "wait is %q, want a duration such as 20s", wait)
	}
	if _, ok := g.cfg.Registry.Function(n); !ok { // before the router keeps a channel for the name
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
