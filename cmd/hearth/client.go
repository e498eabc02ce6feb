package main

import (
	"bytes"
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

// A refusal is an answer of the gateway that is no success.
type refusal struct {
	status  int
	message string
}

func (r *refusal) Error() string { return r.message }

// statusOf is the status of an answer that is no success; 0 if there was none.
func statusOf(err error) int {
	var r *refusal
	if errors.As(err, &r) {
		return r.status
	}
	return 0
}

// client speaks to a gateway. It is not go-sdk's, which takes any JSON for an answer when it lists or
// looks (up to v0.2.22, whatever the status), and does not know what Hearth tells besides: why a
// function fails, queues, dead letters, usage.
type client struct {
	gateway  string
	state    string
	user     string
	password string // file
	json     bool
	redis    string // URL; instead of a gateway

	stateNamed, gatewayNamed func() bool
}

// flags are those of every command that speaks to a gateway.
func (c *client) flags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	cli.GatewayFlag(f, &c.gateway, "g")
	c.gatewayNamed = func() bool { return f.Changed("gateway") || os.Getenv("OPENFAAS_URL") != "" }
	f.StringVar(&c.state, "state", ".hearth",
		"state directory of a hearth on this machine, whose credentials are used")
	c.stateNamed = func() bool { return f.Changed("state") }
	f.StringVar(&c.user, "user", "admin", "user, with --password-file")
	f.StringVar(&c.password, "password-file", "", "file with the password")
	f.BoolVar(&c.json, "json", false, "print JSON")
}

// do sends a request and reads the answer, both as JSON.
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

// stream copies an answer as it comes.
func (c *client) stream(ctx context.Context, path string, to io.Writer) error {
	res, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(to, res.Body); err != nil {
		return fmt.Errorf("the answer broke off: %w", err)
	}
	return nil
}

// send sends a request. An answer that is no success is an error.
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
	// a gateway answers with text, and a terminal shows no page
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
		return nil, &refusal{res.StatusCode,
			fmt.Sprintf("%s://%s answered %s with a web page: is it a gateway? --gateway or OPENFAAS_URL "+
				"names another",
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

// roundTrip sends a request to the gateway, or to the handler that takes its place with --redis.
func (c *client) roundTrip(req *http.Request) (*http.Response, error) {
	if c.redis != "" {
		return c.onRedis(req)
	}
	if err := c.authenticate(req); err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, unanswered(req.URL, err)
	}
	return res, nil
}

// base returns the URL of the management API. An instance on this machine may serve it at its admin
// address only; its state directory has that.
func (c *client) base() string { return firstOf(apiOf(c.state, c.gateway), c.gateway) }

// unanswered says why a request has no answer.
func unanswered(u *url.URL, err error) error {
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return fmt.Errorf("the gateway's certificate is not trusted: %w. Name the authority's certificate "+
			"in SSL_CERT_FILE, and the gateway as the certificate does", untrusted.Err)
	}
	return fmt.Errorf("the gateway at %s://%s does not answer: %w. Is it running? --gateway or OPENFAAS_URL "+
		"names another",
		u.Scheme, u.Host, errors.Unwrap(err))
}

// unauthorized says what to do when the gateway answers 401, which depends on
// the credentials that it was given.
func (c *client) unauthorized(req *http.Request) string {
	at := "the gateway at " + req.URL.Scheme + "://" + req.URL.Host
	_, _, sent := req.BasicAuth()
	switch {
	case sent && c.password != "":
		return fmt.Sprintf("%s does not accept the user %q with the password in %s", at, c.user, c.password)
	case sent:
		return at + " does not accept these credentials: give others with --state or --password-file, or " +
			"log in with faas-cli login"
	case c.stateNamed():
		return fmt.Sprintf("%s requires a password, and %s has none: is that the state directory of this "+
			"gateway?", at, c.state)
	}
	return at + " requires a password: give --state or --password-file, or log in with faas-cli login"
}

// authenticate gives a request the credentials of --password-file, else those of the state directory of a
// hearth on this machine, else those that faas-cli login has stored for this gateway.
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
		// neither a stack file that somebody else wrote nor another server may ask for our password
		return nil
	}
	text, err := os.ReadFile(filepath.Join(c.state, "basic-auth-password"))
	if err != nil {
		return nil // perhaps the gateway wants none
	}
	user := c.user
	if text, err := os.ReadFile(filepath.Join(c.state, "basic-auth-user")); err == nil {
		user = strings.TrimSpace(string(text))
	}
	req.SetBasicAuth(user, strings.TrimSpace(string(text)))
	return nil
}

// ownState reports whether the state directory is the gateway's, as far as can be known without
// asking it: the directory was named, or it is here, the gateway is on this machine, and the
// directory's lock names no other address.
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

// print prints a value as JSON, or as the function does.
func (c *client) print(cmd *cobra.Command, v any, people func(io.Writer)) error {
	if !c.json {
		people(cmd.OutOrStdout())
		return nil
	}
	return cli.WriteJSON(cmd.OutOrStdout(), v)
}
