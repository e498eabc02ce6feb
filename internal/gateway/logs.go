package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/logs"
	wire "github.com/openfaas/faas-provider/logs"
)

// maxFollowers is how many logs are followed at once. Each takes a file, a connection and a goroutine.
const maxFollowers = 100

// functionLogs answers what a function prints, a line of JSON for each line, as it comes.
// See https://docs.openfaas.com/architecture/logs-provider/.
func (g *Gateway) functionLogs(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	n, q, err := logQuery(in)
	if err != nil {
		return err
	}
	if _, ok := g.cfg.Registry.Function(n); !ok {
		return hearth.NotFoundError(n)
	}
	if q.Follow {
		defer g.followers.Add(-1)
		if g.followers.Add(1) > maxFollowers {
			return hearth.Errorf(hearth.Exhausted,
				"%d logs are followed already, which is the limit: end one, or send follow=false",
				maxFollowers)
		}
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-g.ending:
			cancel()
		case <-ctx.Done():
		}
	}()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	out, lines := http.NewResponseController(w), json.NewEncoder(w)
	_ = out.Flush()
	err = g.cfg.Logs.File(n.String()).Read(ctx, q, func(l logs.Line) error {
		_ = out.SetWriteDeadline(time.Now().Add(writeTimeout)) // a client that does not read is given up
		if err := lines.Encode(wire.Message{
			Name:      n.Function,
			Namespace: n.Namespace,
			Instance:  l.Replica,
			Timestamp: l.At,
			Text:      l.Text + "\n",
		}); err != nil {
			return err
		}
		return out.Flush()
	})
	if err != nil && ctx.Err() == nil {
		g.cfg.Log.Debug("logs of function were cut", "function", n.String(), "error", err)
		panic(http.ErrAbortHandler) // so that the client sees that lines are missing
	}
	return nil
}

// logQuery reads the parameters of a log request. If one is given twice the last counts, except for the one
// that names the function.
func logQuery(in *input) (n hearth.Name, q logs.Query, err error) {
	n, named, err := in.function("")
	if err != nil {
		return n, q, err
	}
	if !named {
		return n, q, hearth.Errorf(hearth.Unprocessable,
			"the name of the function is missing: want ?name=NAME")
	}
	q.Replica = in.last("instance")
	q.Follow, _ = strconv.ParseBool(in.last("follow"))
	if text := in.last("tail"); text != "" {
		if q.Tail, err = strconv.Atoi(text); err != nil {
			return n, q, hearth.Errorf(hearth.Unprocessable,
				"tail is %.40q, want a number of lines; -1 is all", text)
		}
	}
	if text := in.last("since"); text != "" {
		if q.Since, err = time.Parse(time.RFC3339, text); err != nil {
			return n, q, hearth.Errorf(hearth.Unprocessable,
				"since is %.40q, want a time as 2026-01-02T15:04:05Z", text)
		}
	}
	return n, q, nil
}
