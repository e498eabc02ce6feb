package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/spf13/cobra"
)

// client speaks to the parts of a gateway's API that go-sdk does not know: Hearth's own.
type client struct {
	gateway  string
	state    string
	user     string
	password string // file
	json     bool
}

// flags are those of every command that speaks to a gateway.
func (c *client) flags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVarP(&c.gateway, "gateway", "g", firstOf(os.Getenv("OPENFAAS_URL"), "http://127.0.0.1:8080"), "URL of the gateway ($OPENFAAS_URL)")
	f.StringVar(&c.state, "state", ".hearth", "state directory of a hearth on this machine, whose credentials are used")
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
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.gateway, "/")+path, body)
	if err != nil {
		return nil, fmt.Errorf("--gateway: %w", err)
	}
	if err := c.authenticate(req); err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return nil, fmt.Errorf("the gateway's certificate is not trusted: %w. Name the authority's certificate in SSL_CERT_FILE, and the gateway as the certificate does", untrusted.Err)
	}
	if err != nil {
		return nil, fmt.Errorf("the gateway does not answer: %w", errors.Unwrap(err))
	}
	if res.StatusCode < http.StatusMultipleChoices {
		return res, nil
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusUnauthorized {
		return nil, errors.New("the gateway wants other credentials: give --state or --password-file")
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	var problem chain.Problem
	if strings.HasPrefix(res.Header.Get("Content-Type"), chain.ContentType) && json.Unmarshal(text, &problem) == nil && problem.Detail != "" {
		return nil, errors.New(problem.Detail)
	}
	return nil, errors.New(strings.TrimSpace(string(text)))
}

func (c *client) authenticate(req *http.Request) error {
	path, user := c.password, c.user
	if path == "" {
		path = filepath.Join(c.state, "basic-auth-password")
		if text, err := os.ReadFile(filepath.Join(c.state, "basic-auth-user")); err == nil {
			user = strings.TrimSpace(string(text))
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		if c.password != "" {
			return err
		}
		return nil // perhaps the gateway wants none
	}
	req.SetBasicAuth(user, strings.TrimSpace(string(text)))
	return nil
}

// print prints a value as JSON, or as the function does.
func (c *client) print(cmd *cobra.Command, v any, people func(io.Writer)) error {
	if !c.json {
		people(cmd.OutOrStdout())
		return nil
	}
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(v)
}
