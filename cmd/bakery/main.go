// Command bakery is the client of the bakery: customers order, managers restock and audit.
// It uses nothing but an OpenFaaS gateway.
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
		Long: `Orders cookies and manages the bakery, through an OpenFaaS gateway.

Managers need the secret manager-key, in the file named by --manager-key-file or
MANAGER_KEY_FILE. The default is the file that hearth up creates.

Exit codes: 0 success, 1 failure (for audit: a difference), 2 invalid command
line, 3 order not served yet, 130 Ctrl-C, 143 SIGTERM.`,
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

// counter is the client of the bakery's functions.
type counter struct {
	gateway string
	keyFile string
	json    bool

	client *sdk.Client
}

// A call is an invocation of a function.
type call struct {
	function string
	method   string
	query    url.Values
	body     any // as JSON; nil for none
	header   http.Header
	manager  bool
	async    bool
}

// do makes a call and decodes the JSON response into out. A status other than
// 2xx is an error with the function's reason.
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
		return res.StatusCode, fmt.Errorf("the manager-key in %s is not this bakery's; name the right "+
			"file with --manager-key-file or MANAGER_KEY_FILE", c.keyFile)
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		return res.StatusCode, errors.New(said(res.StatusCode, text))
	}
	if out == nil {
		return res.StatusCode, nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return res.StatusCode, fmt.Errorf("unexpected response of %s: %w", call.function, err)
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
		return "", fmt.Errorf("this command needs the manager-key; name its file with --manager-key-file "+
			"or MANAGER_KEY_FILE: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// said is the reason in an error response, for people.
func said(status int, body []byte) string {
	var p chain.Problem
	if json.Unmarshal(body, &p) != nil || p.Detail == "" {
		return fmt.Sprintf("the bakery answered %d %s", status, http.StatusText(status))
	}
	return p.Detail
}

// print prints a value as JSON with --json, else as people does.
func (c *counter) print(cmd *cobra.Command, v any, people func(io.Writer)) error {
	if !c.json {
		people(cmd.OutOrStdout())
		return nil
	}
	return cli.WriteJSON(cmd.OutOrStdout(), v)
}

// table prints rows in columns. The first row has the headers.
func table(out io.Writer, rows [][]string) { terminal.Table{Rows: rows}.Print(out) }
