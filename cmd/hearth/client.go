package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/cli"
	"github.com/spf13/cobra"
)

// A refusal is a response of the gateway with an error status.
type refusal struct {
	status  int
	message string
}

func (r *refusal) Error() string { return r.message }

// statusOf is the status of a refusal, or 0 for any other error.
func statusOf(err error) int {
	var r *refusal
	if errors.As(err, &r) {
		return r.status
	}
	return 0
}

// client calls the management API of a gateway. go-sdk's client is not used: up to v0.2.22 it ignores the
// status when it lists functions, and it does not know Hearth's fields, queues, dead letters and usage.
type client struct {
	gateway  string
	state    string
	user     string
	password string // file
	json     bool
	redis    string // URL of a Redis to use instead of a gateway
	http     *http.Client

	stateNamed, gatewayNamed func() bool
}

// flags adds the flags of every command that calls a gateway.
func (c *client) flags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	cli.GatewayFlag(f, &c.gateway, "g")
	c.gatewayNamed = func() bool { return f.Changed("gateway") || os.Getenv("OPENFAAS_URL") != "" }
	f.StringVar(&c.state, "state", ".hearth",
		"state directory of an instance on this machine, for its credentials")
	c.stateNamed = func() bool { return f.Changed("state") }
	f.StringVar(&c.user, "user", defaultUser, "user name for --password-file")
	f.StringVar(&c.password, "password-file", "", "file that contains the password")
	f.BoolVar(&c.json, "json", false, "print JSON")
}

// do sends a request and decodes the response, both as JSON.
func (c *client) do(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	res, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if out == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(out)
}

// send sends a request. It returns an error status as a refusal.
func (c *client) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	if _, err := cli.GatewayURL(c.gateway); err != nil {
		return nil, fmt.Errorf("OPENFAAS_URL: %w", err) // the flag was checked
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.base(), "/")+path, body)
	if err != nil {
		return nil, fmt.Errorf("ask the gateway: %w", err)
	}
	res, err := c.roundTrip(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode < http.StatusMultipleChoices {
		return res, nil
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusUnauthorized {
		return nil, &refusal{res.StatusCode, c.unauthorized(req)}
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	// a gateway never answers with HTML
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
		return nil, &refusal{res.StatusCode,
			fmt.Sprintf("%s://%s answered %s with a web page: it is probably not a gateway; name another "+
				"with --gateway or OPENFAAS_URL",
				req.URL.Scheme, req.URL.Host, res.Status)}
	}
	var problem chain.Problem
	if strings.HasPrefix(res.Header.Get("Content-Type"), chain.ContentType) &&
		json.Unmarshal(text, &problem) == nil && problem.Detail != "" {
		return nil, &refusal{res.StatusCode, problem.Detail}
	}
	return nil, &refusal{res.StatusCode, firstOf(strings.TrimSpace(string(text)),
		"the gateway answered "+res.Status)}
}

// roundTrip sends a request to the gateway, or with --redis to the handler in its place.
func (c *client) roundTrip(req *http.Request) (*http.Response, error) {
	if c.redis != "" {
		return c.onRedis(req)
	}
	if err := c.authenticate(req); err != nil {
		return nil, err
	}
	res, err := cmp.Or(c.http, http.DefaultClient).Do(req)
	if err != nil {
		return nil, unanswered(req.URL, err)
	}
	return res, nil
}

// base returns the URL of the management API. An instance on this machine may serve it at its admin address
// only; its state directory records that address.
func (c *client) base() string { return firstOf(apiOf(c.state, c.gateway), c.gateway) }

// unanswered explains why a request got no response.
func unanswered(u *url.URL, err error) error {
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return fmt.Errorf("the gateway's certificate is not trusted: %w; set SSL_CERT_FILE to the "+
			"authority's certificate, and use a host name that the certificate covers", untrusted.Err)
	}
	return fmt.Errorf("the gateway at %s://%s does not answer: %w; start it, or name another with "+
		"--gateway or OPENFAAS_URL",
		u.Scheme, u.Host, errors.Unwrap(err))
}

// unauthorized explains a 401 by the credentials that were sent.
func (c *client) unauthorized(req *http.Request) string {
	at := "the gateway at " + req.URL.Scheme + "://" + req.URL.Host
	_, _, sent := req.BasicAuth()
	switch {
	case sent && c.password != "":
		return fmt.Sprintf("%s does not accept the user %q with the password in %s", at, c.user, c.password)
	case sent:
		return at + " does not accept these credentials; use --state or --password-file, or run faas-cli " +
			"login"
	case c.stateNamed():
		return fmt.Sprintf("%s requires a password, and %s has none; use the state directory of that gateway",
			at, c.state)
	}
	return at + " requires a password; use --state or --password-file, or run faas-cli login"
}

// authenticate adds credentials to a request: those of --password-file, else of the state directory of an
// instance on this machine, else those that faas-cli login stored for this gateway.
func (c *client) authenticate(req *http.Request) error {
	if c.password != "" {
		text, err := os.ReadFile(c.password)
		if err != nil {
			return fmt.Errorf("--password-file: %w", err)
		}
		req.SetBasicAuth(c.user, strings.TrimSpace(string(text)))
		return nil
	}
	if user, password, ok := faasCLILogin(c.gateway); ok && !c.ownState() {
		req.SetBasicAuth(user, password)
		return nil
	}
	if !c.ownState() {
		// a foreign stack file or server must not obtain our password
		return nil
	}
	text, err := os.ReadFile(filepath.Join(c.state, "basic-auth-password"))
	if err != nil {
		return nil // the gateway may need none
	}
	user := c.user
	if text, err := os.ReadFile(filepath.Join(c.state, "basic-auth-user")); err == nil {
		user = strings.TrimSpace(string(text))
	}
	req.SetBasicAuth(user, strings.TrimSpace(string(text)))
	return nil
}

// ownState reports whether the state directory probably belongs to the gateway: either --state names it, or
// the gateway is on this machine and the directory's lock has no other address.
func (c *client) ownState() bool {
	if _, err := os.Stat(filepath.Join(c.state, "basic-auth-password")); err != nil {
		return false
	}
	u, err := url.Parse(c.gateway)
	if err != nil {
		return false
	}
	if c.stateNamed() {
		return true
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return false
	}
	h, running := holderOf(c.state)
	if api, err := url.Parse(h.API); running && h.API != "" && err == nil && api.Host == u.Host {
		return true
	}
	return !running || sameEndpoint(u, h.Address)
}

// print prints a value as JSON with --json, else as people does.
func (c *client) print(cmd *cobra.Command, v any, people func(io.Writer)) error {
	if !c.json {
		people(cmd.OutOrStdout())
		return nil
	}
	return cli.WriteJSON(cmd.OutOrStdout(), v)
}
