package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// invocation is a call as the flags describe it.
type invocation struct {
	namespace, method, data, file, path, callback string
	query, header                                 []string
	delay, timeout                                time.Duration
	async, include                                bool
}

func newInvoke() *cobra.Command {
	c, i := &client{}, &invocation{}
	cmd := &cobra.Command{
		Use:     "invoke NAME[.NAMESPACE]",
		Aliases: []string{"call"},
		Short:   "Call a function, or queue a call",
		Long: `Calls a function and prints the response as it arrives. The body is --data, else
--file, else standard input unless that is a terminal. No credentials are sent:
functions are public.

If the status of the response is 400 or more, it is printed on standard error
and the exit code is 1. With --async the call is queued and its call id is
printed, which hearth cancel accepts.`,
		Example: `  echo '{"customer":"Ada"}' | hearth invoke cashier --query wait=30s
  hearth invoke cashier --method GET --query view=menu
  hearth invoke report --async --delay 10m --data '{"day":"2026-11-24"}' \
    --header 'Idempotency-Key: report-2026-11-24'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeFunctions,
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := nameOf(args[0], i.namespace)
			if err != nil {
				return err
			}
			return i.run(cmd, c, n)
		},
	}
	c.flags(cmd)
	withNamespace(cmd, c, &i.namespace)
	f := cmd.Flags()
	f.StringVarP(&i.method, "method", "X", http.MethodPost, "HTTP method")
	f.StringVarP(&i.data, "data", "d", "", "request body")
	f.StringVar(&i.file, "file", "", "file with the request body; - is standard input")
	f.StringVar(&i.path, "path", "", "path after the function's name")
	f.StringArrayVar(&i.query, "query", nil, "query parameter `NAME=VALUE`; repeatable")
	f.StringArrayVarP(&i.header, "header", "H", nil, "request header `'NAME: VALUE'`; repeatable")
	f.DurationVar(&i.timeout, "timeout", 0, "give up after this time (default: the function's own timeout)")
	f.BoolVarP(&i.include, "include", "i", false, "print the status and headers of the response too")
	f.BoolVarP(&i.async, "async", "a", false, "queue the call and print its call id")
	f.StringVar(&i.callback, "callback", "", "with --async: URL that receives the response")
	f.DurationVar(&i.delay, "delay", 0, "with --async: delay the call by this time")
	cmd.MarkFlagsMutuallyExclusive("data", "file")
	cmd.MarkFlagsMutuallyExclusive("include", "async")
	return cmd
}

func (i *invocation) run(cmd *cobra.Command, c *client, n hearth.Name) error {
	if !i.async && (i.callback != "" || i.delay != 0) {
		return errors.New("--callback and --delay need --async")
	}
	ctx := cmd.Context()
	if i.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, i.timeout)
		defer cancel()
	}
	req, err := i.request(ctx, cmd, c.gateway, n)
	if err != nil {
		return err
	}
	if req.Body != nil {
		defer func() { _ = req.Body.Close() }()
	}
	// a redirect is the function's response: do not follow it
	direct := &http.Client{CheckRedirect: func(*http.Request,
		[]*http.Request) error {
		return http.ErrUseLastResponse
	}}
	res, err := direct.Do(req)
	if err != nil {
		return unanswered(req.URL, err)
	}
	defer func() { _ = res.Body.Close() }()
	if err := i.unknown(ctx, c, n, res); err != nil {
		return err
	}
	if i.async && res.StatusCode < http.StatusBadRequest {
		id := res.Header.Get(wire.HeaderCallID)
		if state := res.Header.Get("X-Call-State"); res.StatusCode == http.StatusOK && state != "" {
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(),
				"a call with this Idempotency-Key exists already: it is %s\n", state)
		}
		return c.print(cmd, map[string]string{"function": n.String(), "call_id": id},
			func(out io.Writer) { _, _ = fmt.Fprintln(out, id) })
	}
	out := cmd.OutOrStdout()
	if i.include {
		_, _ = fmt.Fprintf(out, "%s %s\n", res.Proto, res.Status)
		_ = res.Header.Write(out)
		_, _ = fmt.Fprintln(out)
	}
	if _, err := io.Copy(out, res.Body); err != nil {
		return fmt.Errorf("the response is incomplete: %w", err)
	}
	if res.StatusCode >= http.StatusBadRequest {
		return &refusal{res.StatusCode, fmt.Sprintf("%s answered %s", n.Short(), res.Status)}
	}
	return nil
}

func (i *invocation) request(ctx context.Context, cmd *cobra.Command, gateway string,
	n hearth.Name) (*http.Request, error) {
	to := gateway + "/function/"
	if i.async {
		to = gateway + "/async-function/"
	}
	to += n.String()
	if i.path != "" {
		to += "/" + strings.TrimPrefix(i.path, "/")
	}
	query := url.Values{}
	for _, q := range i.query {
		name, value, _ := strings.Cut(q, "=")
		query.Add(name, value)
	}
	if len(query) > 0 {
		to += "?" + query.Encode()
	}
	header := http.Header{"User-Agent": {"hearth/" + versionText()}}
	for _, h := range i.header {
		at := strings.IndexAny(h, ":=") // faas-cli writes NAME=VALUE
		if at < 1 {
			return nil, fmt.Errorf("--header %q: want 'NAME: VALUE'", h)
		}
		header.Add(h[:at], strings.TrimSpace(h[at+1:]))
	}
	if i.callback != "" {
		header.Set("X-Callback-Url", i.callback)
	}
	if i.delay != 0 {
		header.Set("X-Delay", i.delay.String())
	}
	body, err := i.body(cmd)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, strings.ToUpper(i.method), to, body)
	if err != nil {
		return nil, fmt.Errorf("--gateway, --path or --method: %w", err)
	}
	req.Header = header
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	return req, nil
}

// body returns the request body. Methods without a body read none from standard input.
func (i *invocation) body(cmd *cobra.Command) (io.Reader, error) {
	switch {
	case i.file == "-":
		return cli.Input(cmd.Context(), cmd.InOrStdin()), nil
	case i.file != "":
		f, err := os.Open(i.file)
		if err != nil {
			return nil, fmt.Errorf("--file: %w", err)
		}
		return f, nil
	case cmd.Flags().Changed("data"):
		return strings.NewReader(i.data), nil
	case slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions},
		strings.ToUpper(i.method)) || isTerminal(cmd.InOrStdin()):
		return nil, nil
	}
	return cli.Input(cmd.Context(), cmd.InOrStdin()), nil
}

// unknown returns the error if a 404 came from the gateway because the function does not exist.
func (i *invocation) unknown(ctx context.Context, c *client, n hearth.Name, res *http.Response) error {
	if res.StatusCode != http.StatusNotFound || !strings.HasPrefix(res.Header.Get("Content-Type"),
		chain.ContentType) {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("the response is incomplete: %w", err)
	}
	res.Body = io.NopCloser(io.MultiReader(strings.NewReader(string(text)), res.Body))
	var problem chain.Problem
	if json.Unmarshal(text, &problem) != nil {
		return nil
	}
	if _, err := c.function(ctx, n); statusOf(err) == http.StatusNotFound {
		return err
	}
	return nil
}

func isTerminal(in io.Reader) bool {
	f, ok := in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
