package gateway

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/internal/forwarded"
	"github.com/hearthfaas/hearth/internal/inbound"
	"github.com/hearthfaas/hearth/internal/origin"
)

// Credentials are the operator's. The zero Credentials let everybody in.
type Credentials struct {
	User     string
	Password string
}

// The files of the credentials, as OpenFaaS names them.
const (
	userFile     = "basic-auth-user"
	passwordFile = "basic-auth-password"
)

// LoadCredentials reads the credentials in a directory. It creates those that are missing: the user admin,
// and a random password.
func LoadCredentials(dir string) (c Credentials, err error) {
	read := func(name, fallback string) (string, error) {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			text = []byte(fallback)
			if err = os.WriteFile(path+".new", text, 0o600); err == nil { // a crash leaves no empty file
				err = os.Rename(path+".new", path)
			}
		}
		if err != nil {
			return "", fmt.Errorf("load credentials: %w", err)
		}
		return strings.TrimSpace(string(text)), nil
	}
	if c.User, err = read(userFile, "admin"); err != nil {
		return c, err
	}
	if c.Password, err = read(passwordFile, rand.Text()); err != nil {
		return c, err
	}
	if c.User == "" || c.Password == "" {
		return c, fmt.Errorf("load credentials: %s and %s in %s must not be empty", userFile, passwordFile,
			dir)
	}
	return c, nil
}

// realm is the realm for which a browser keeps the operator's password. No answer of a function may name it.
const realm = "Hearth operator"

// A guard lets only the operator through, and lets nobody guess quickly.
type guard struct {
	credentials Credentials
	origin      origin.Guard
	proxies     forwarded.Proxies
	log         *slog.Logger
	failures    failures
	refused     inbound.Seldom // limits the log
}

// strong is the length in bytes from which a password is too long to be guessed. Hearth's own has 26.
const strong = 20

// programs admits the operator's programs. It is for the gateway's address, whose origin functions' pages
// share.
func (g *guard) programs(next http.Handler) http.Handler {
	return g.asked(g.origin.Program, g.operator(origin.Challenge, next))
}

// pages admits the operator's programs and own pages. It is for the admin address.
func (g *guard) pages(next http.Handler) http.Handler {
	return g.asked(g.origin.Page, g.operator(func(*http.Request) bool { return true }, next))
}

// asked refuses requests from a wrong origin.
func (g *guard) asked(check func(*http.Request) error, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := check(r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// operator requires the operator's password, and sends a challenge where that is safe. A request without
// credentials does not count as a guess.
func (g *guard) operator(challenge func(*http.Request) bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.credentials == (Credentials{}) {
			next.ServeHTTP(w, r)
			return
		}
		user, password, shown := r.BasicAuth()
		right := same(user, g.credentials.User)&same(password, g.credentials.Password) == 1
		client := g.proxies.Client(r)
		from, now := inbound.NetworkOf(client), time.Now()
		// Guesses must not lock the operator out: neither at an address that the operator has used, nor if
		// the password cannot be guessed.
		letIn := right && (len(g.credentials.Password) >= strong || g.failures.trusts(from))
		if shown && !letIn && !g.failures.allow(from, now) {
			if missed, due := g.refused.Due(now); due {
				g.log.Warn("login attempts refused", "address", client.String(), "before", missed)
			}
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many wrong passwords from this address: try again in a second",
				http.StatusTooManyRequests)
			return
		}
		if !right {
			if shown {
				g.failures.add(from, now)
				g.log.Warn("failed login", "address", client.String(), "peer", r.RemoteAddr)
			}
			if challenge(r) {
				w.Header().Set("WWW-Authenticate", `Basic realm="`+realm+`", charset="UTF-8"`)
			}
			http.Error(w, "unauthorized: log in with faas-cli login, or send basic auth",
				http.StatusUnauthorized)
			return
		}
		g.failures.trust(from, now)
		next.ServeHTTP(w, r)
	})
}

// same returns 1 if two strings are equal. The time that it takes says nothing about them, not even their
// length.
func same(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}
