package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// A Role says what a session may do.
type Role string

// Roles of sessions.
const (
	Operator Role = "operator" // may do everything
	Viewer   Role = "viewer"   // may read everything but secrets
)

const (
	loginLifetime   = 10 * time.Minute
	sessionLifetime = 12 * time.Hour

	// Beyond these numbers the oldest ends. Only somebody with the operator's rights can reach them.
	maxLogins   = 64
	maxSessions = 256
)

// Sessions are the logins and sessions of one instance. They end with it.
type Sessions struct {
	now func() time.Time

	mu       sync.Mutex
	logins   map[digest]grant
	sessions map[digest]*session
}

// digest is the hash of a token. Finding a token by its hash takes a time that says nothing about the token.
type digest [sha256.Size]byte

// A grant is what a token stands for.
type grant struct {
	role    Role
	expires time.Time
}

// A session is one that somebody has logged in to. Its context ends with it.
type session struct {
	grant
	key digest
	ctx context.Context
	end context.CancelFunc
}

// NewSessions returns no sessions.
func NewSessions() *Sessions {
	return &Sessions{now: time.Now, logins: map[digest]grant{}, sessions: map[digest]*session{}}
}

// NewLogin makes a token with which somebody can log in once. It returns an error of code Invalid for an
// unknown role.
func (s *Sessions) NewLogin(role Role) (token string, expires time.Time, err error) {
	if role != Operator && role != Viewer {
		return "", time.Time{}, hearth.Errorf(hearth.Invalid, "there is no role %.40q, want %s or %s",
			string(role), Operator, Viewer)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tidy()
	for len(s.logins) >= maxLogins {
		delete(s.logins, oldest(s.logins, func(g grant) time.Time { return g.expires }))
	}
	token = rand.Text()
	g := grant{role, s.now().Add(loginLifetime)}
	s.logins[sha256.Sum256([]byte(token))] = g
	return token, g.expires, nil
}

// begin exchanges a login token for a bearer token. ok is false if the login token is unknown, used or
// expired.
func (s *Sessions) begin(login string) (token string, g grant, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tidy()
	key := digest(sha256.Sum256([]byte(login)))
	g, ok = s.logins[key]
	if !ok {
		return "", g, false
	}
	delete(s.logins, key)
	for len(s.sessions) >= maxSessions {
		s.remove(oldest(s.sessions, func(old *session) time.Time { return old.expires }))
	}
	token, g.expires = rand.Text(), s.now().Add(sessionLifetime)
	ctx, end := context.WithTimeout(context.Background(), sessionLifetime)
	key = sha256.Sum256([]byte(token))
	s.sessions[key] = &session{g, key, ctx, end}
	return token, g, true
}

// find returns the session of a bearer token.
func (s *Sessions) find(token string) (found *session, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tidy()
	found, ok = s.sessions[sha256.Sum256([]byte(token))]
	return found, ok
}

// finish ends a session.
func (s *Sessions) finish(ended *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(ended.key)
}

// Close ends all sessions.
func (s *Sessions) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.logins)
	for key := range s.sessions {
		s.remove(key)
	}
}

// tidy removes what has expired. s.mu is held.
func (s *Sessions) tidy() {
	now := s.now()
	for key, g := range s.logins {
		if !now.Before(g.expires) {
			delete(s.logins, key)
		}
	}
	for key, old := range s.sessions {
		if !now.Before(old.expires) {
			s.remove(key)
		}
	}
}

// remove ends a session, and with it the requests that it still has. s.mu is held.
func (s *Sessions) remove(key digest) {
	if old, ok := s.sessions[key]; ok {
		old.end()
		delete(s.sessions, key)
	}
}

// oldest returns the key of what expires first.
func oldest[V any](all map[digest]V, expires func(V) time.Time) (key digest) {
	var first time.Time
	for k, v := range all {
		if at := expires(v); first.IsZero() || at.Before(first) {
			key, first = k, at
		}
	}
	return key
}
