package gateway

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// messageID is the id of an entry of a stream.
var messageID = regexp.MustCompile(`^[0-9]{1,20}-[0-9]{1,20}$`)

// cancel takes a queued call out of its queue, or ends one in flight: DELETE /async-function/CALL-ID. With
// ?function=NAME only the queue of that function is searched. A cancelled call makes no callback.
//
// Several calls may share a call id: all of them are cancelled, and the answer has their number. With
// ?function=NAME and ?message=ID, the X-Message-Id of the 202, only that call is cancelled.
//
// It requires the operator's credentials, because a call id that its caller chose can be guessed.
// See https://docs.openfaas.com/reference/async/.
func (g *Gateway) cancel(w http.ResponseWriter, r *http.Request) error {
	id := strings.TrimPrefix(r.URL.Path, "/async-function/")
	if id == "" || len(id) > maxCallID {
		return hearth.Errorf(hearth.Invalid, "the path names no call: want /async-function/CALL-ID")
	}
	in, err := readInput(r)
	if err != nil {
		return err
	}
	message, err := in.value("message", "", "message")
	if err != nil {
		return err
	}
	function, err := in.queueOwner()
	switch {
	case err != nil:
		return err
	case message != "" && function == "":
		return hearth.Errorf(hearth.Invalid, "a message belongs to one function: name it with ?function=NAME")
	case message != "" && !messageID.MatchString(message):
		return hearth.Errorf(hearth.Invalid,
			"the message is %.40q, want the X-Message-Id of a call, such as 1795437512656-0", message)
	}
	queues, err := g.cfg.Queues.Find(r.Context(), "", function)
	if err != nil {
		return err
	}
	cancelled, dead := 0, 0
	for _, q := range queues {
		n, ok := q.CallsOf()
		if !ok {
			continue
		}
		ids, letters, err := g.cfg.Queue.Cancel(r.Context(), n, id, message)
		g.cfg.Dispatch.Cancelled(n, ids)
		if err != nil {
			return err
		}
		if len(ids) > 0 {
			g.cfg.Log.Info("cancelled queued call", "function", n.String(), "call_id", id)
		}
		cancelled, dead = cancelled+len(ids), dead+len(letters)
	}
	switch {
	case cancelled > 0:
		return writeJSON(w, http.StatusAccepted, map[string]int{"cancelled": cancelled})
	case dead > 0:
		return hearth.Errorf(hearth.Conflict,
			"the call %q was given up, and is a dead letter: purge it with hearth dead", id)
	}
	return hearth.Errorf(hearth.NotFound,
		"no call %q is queued or in flight: it has ended, or it never existed", id)
}
