package gateway

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
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

// LoadCredentials reads the credentials of a directory, and makes them first if they are not there: user admin, and a
// random password. made tells which.
func LoadCredentials(dir string) (c Credentials, made bool, err error) {
	read := func(name, fallback string) (string, error) {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			made, text = true, []byte(fallback)
			if err = os.WriteFile(path+".new", text, 0o600); err == nil { // a crash leaves no empty one
				err = os.Rename(path+".new", path)
			}
		}
		if err != nil {
			return "", fmt.Errorf("credentials: %w", err)
		}
		return strings.TrimSpace(string(text)), nil
	}
	if c.User, err = read(userFile, "admin"); err != nil {
		return c, made, err
	}
	if c.Password, err = read(passwordFile, rand.Text()); err != nil {
		return c, made, err
	}
	if c.User == "" || c.Password == "" {
		return c, made, fmt.Errorf("credentials: %s and %s in %s must not be empty", userFile, passwordFile, dir)
	}
	return c, made, nil
}

// protect lets only the operator through.
func (c Credentials) protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if c != (Credentials{}) && same(user, c.User)&same(password, c.Password) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="Restricted"`)
			http.Error(w, "unauthorized: log in with faas-cli login, or send basic auth", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// same is 1 if two strings are equal, in a time that tells nothing of them, not even their length.
func same(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}
