// Command bakery is both sides of the counter: the customer's (order, menu, display) and the manager's
// (fridge, restock, audit). It is a client of an OpenFaaS gateway and of nothing else.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/cli/terminal"
	sdk "github.com/openfaas/go-sdk"
	"github.com/spf13/cobra"
)

func main() { cli.Main(newRoot()) }

const codeWaiting = 3 // the order is not served yet

func newRoot() *cobra.Command {
	c := &counter{}
	root := &cobra.Command{
		Use:   "bakery",
		Short: "Order cookies, and run the bakery",
		Long: `Orders cookies from the bakery, and runs it. It speaks to an OpenFaaS gateway,
by default http://127.0.0.1:8080.

What only the manager may do needs the secret manager-key: in a file named by
--manager-key-file or MANAGER_KEY_FILE, by default where hearth up has made it.

Exit codes: 0 done, 1 failed (for audit: a difference), 2 the command line makes
no sense, 3 the order is not served yet, 130 Ctrl-C, 143 SIGTERM.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := root.PersistentFlags()
	cli.GatewayFlag(f, &c.gateway, "g")
	f.StringVar(&c.keyFile, "manager-key-file", firstOf(os.Getenv("MANAGER_KEY_FILE"),
		".hearth/secrets/openfaas-fn/manager-key"), "file with the manager's key ($MANAGER_KEY_FILE)")
	f.BoolVar(&c.json, "json", false, "print JSON")
	root.AddCommand(newOrder(c), newMenu(c), newDisplay(c), newFridge(c), newRestock(c), newOrders(c),
		newCancel(c), newSpoil(c), newAudit(c), newFloor(c), newReplay(c), newOpen(c), newLicenses(c),
		newVersion(c))
	cli.Prepare(root)
	return root
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// counter is where the bakery's functions are reached.
type counter struct {
	gateway string
	keyFile string
	json    bool

	client *sdk.Client
}

// A call is one of a function.
type call struct {
	function string
	method   string
	query    url.Values
	body     any // as JSON; nil for none
	header   http.Header
	manager  bool
	async    bool
}

// do makes a call, and reads its answer as JSON into out. It returns an error that says what the
// function said, unless the status is 2xx.
func (c *counter) do(ctx context.Context, call call, out any) (status int, err error) {
	res, err := c.send(ctx, call)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	if res.StatusCode == http.StatusUnauthorized {
		return res.StatusCode, fmt.Errorf("the manager-key in %s is not this bakery's: name the file of the "+
			"right one with --manager-key-file or MANAGER_KEY_FILE", c.keyFile)
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		return res.StatusCode, errors.New(said(res.StatusCode, text))
	}
	if out == nil {
		return res.StatusCode, nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return res.StatusCode, fmt.Errorf("the answer of %s is not what was expected: %w", call.function, err)
	}
	return res.StatusCode, nil
}

func (c *counter) send(ctx context.Context, call call) (*http.Response, error) {
	if c.client == nil {
		if _, err := cli.GatewayURL(c.gateway); err != nil {
			return nil, fmt.Errorf("OPENFAAS_URL: %w", err) // the flag was checked
		}
		u, err := url.Parse(c.gateway)
		if err != nil {
			return nil, err
		}
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 128
		c.client = sdk.NewClient(u, nil, &http.Client{Transport: transport})
	}
	var body io.Reader
	if call.body != nil {
		text, err := json.Marshal(call.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, call.method, c.gateway, body)
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = call.query.Encode()
	for name, values := range call.header {
		req.Header[name] = values
	}
	if call.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if call.manager {
		key, err := c.managerKey()
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+key)
	}
	res, err := c.client.InvokeFunction(call.function, "", call.async, false, req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, fmt.Errorf("the bakery at %s does not answer: %w", c.gateway, err)
	}
	return res, nil
}

func (c *counter) managerKey() (string, error) {
	text, err := os.ReadFile(c.keyFile)
	if err != nil {
		return "", fmt.Errorf("this is for the manager: name the file of the manager-key with "+
			"--manager-key-file or MANAGER_KEY_FILE (%w)", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// said is what an error answer says, for people.
func said(status int, body []byte) string {
	var p chain.Problem
	if json.Unmarshal(body, &p) != nil || p.Detail == "" {
		return fmt.Sprintf("the bakery answered %d %s", status, http.StatusText(status))
	}
	return p.Detail
}

// print prints a value as JSON, or as the function does.
func (c *counter) print(cmd *cobra.Command, v any, people func(io.Writer)) error {
	if !c.json {
		people(cmd.OutOrStdout())
		return nil
	}
	return cli.WriteJSON(cmd.OutOrStdout(), v)
}

// table prints rows, the first of them the headers, in columns.
func table(out io.Writer, rows [][]string) { terminal.Table{Rows: rows}.Print(out) }
