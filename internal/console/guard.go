package console

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// maxLogin is how many bytes a request to log in may have.
const maxLogin = 4 << 10

// authorized requires the bearer token of a session, and the rights of its role. The end of the session ends
// the request.
func (c *Console) authorized(next func(http.ResponseWriter, *http.Request, *session)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		found, ok := c.cfg.Sessions.find(bearer(r))
		if !ok {
			w.Header().Set("WWW-Authenticate", `Bearer realm="Hearth console"`)
			refuse(w, http.StatusUnauthorized, "this needs a session, and none has this token: it has "+
				`ended, or the instance has restarted; run "hearth console" for a link that logs you in`)
			return
		}
		if detail := found.role.denies(r); detail != "" {
			refuse(w, http.StatusForbidden, detail)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(found.ctx, cancel)()
		r = r.WithContext(ctx)
		r.Header.Del("Authorization") // nothing behind this needs it
		next(w, r, found)
	}
}

// bearer returns the token of a request, or "".
func bearer(r *http.Request) string {
	values := r.Header["Authorization"]
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// denies returns why a role may not make a request, or "".
func (role Role) denies(r *http.Request) string {
	switch {
	case role == Operator:
		return ""
	case r.Method == http.MethodDelete && r.URL.Path == "/session": // its own
		return ""
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return "a viewer may not change anything: this needs the role operator"
	case strings.HasPrefix(r.URL.Path+"/", "/system/secrets/"):
		return "a viewer may not see secrets: this needs the role operator"
	}
	return ""
}

// calls reports whether a request is about a queued call.
func calls(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/async-function/") }

// logIn answers POST /session {"login": TOKEN}: it exchanges a login token for a bearer token.
func (c *Console) logIn(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Login string `json:"login"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxLogin)).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, `the body is not JSON of the form {"login": "TOKEN"}`)
		return
	}
	token, g, ok := c.cfg.Sessions.begin(in.Login)
	if !ok {
		c.refusedLogin(r)
		refuse(w, http.StatusUnauthorized, "this link was used before, or is older than ten minutes: run "+
			`"hearth console" for a new one`)
		return
	}
	c.cfg.Log.Info("console session began", "role", string(g.role), "peer", r.RemoteAddr)
	answer(w, map[string]any{"token": token, "role": g.role, "expires": stamp(g.expires)})
}

// showSession answers GET /session.
func (c *Console) showSession(w http.ResponseWriter, _ *http.Request, s *session) {
	answer(w, map[string]any{
		"role":    s.role,
		"expires": stamp(s.expires),
		"version": c.cfg.Version,
		"demo":    c.cfg.Demo != nil,
	})
}

// logOut answers DELETE /session.
func (c *Console) logOut(w http.ResponseWriter, _ *http.Request, s *session) {
	c.cfg.Sessions.finish(s)
	w.WriteHeader(http.StatusNoContent)
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
