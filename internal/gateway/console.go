package gateway

import (
	"cmp"
	"fmt"
	"net/http"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// Console is what a gateway knows of the console, which has an address and an origin of its own.
type Console struct {
	// URL is where the console is, as seen from this machine.
	URL string
	// Login makes a one-time link that logs somebody in with a role. It returns an error of code Invalid for
	// an unknown role.
	Login func(role string) (link string, expires time.Time, err error)
}

// noConsole is what to do about an instance without a console.
const noConsole = "this instance has no console: start it with --console 127.0.0.1:8081"

// ui says where the console is, at the path of OpenFaaS's.
func (g *Gateway) ui(w http.ResponseWriter, _ *http.Request) error {
	if g.cfg.Console.URL == "" {
		return hearth.Errorf(hearth.NotFound, noConsole)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintf(w, "The console is at %s/ on the machine of this instance.\nThe command \"hearth "+
		"console\" prints a link that logs you in.\n", g.cfg.Console.URL)
	return nil
}

// consoleLogin makes a one-time link to the console: {"role": "operator"} or {"role": "viewer"}.
func (g *Gateway) consoleLogin(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	role, err := in.value("role", "", "role")
	if err != nil {
		return err
	}
	role = cmp.Or(role, "operator")
	if err := in.strict(); err != nil {
		return err
	}
	if g.cfg.Console.Login == nil {
		return hearth.Errorf(hearth.NotFound, noConsole)
	}
	link, expires, err := g.cfg.Console.Login(role)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]string{
		"url":     link,
		"role":    role,
		"expires": expires.UTC().Format(time.RFC3339),
	})
}
