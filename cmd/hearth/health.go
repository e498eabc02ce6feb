package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/cli"
	"github.com/spf13/cobra"
)

// healthTimeout is below what watchers of containers allow by default.
const healthTimeout = 3 * time.Second

func newHealth() *cobra.Command {
	var gateway string
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Tell whether a gateway serves, by exit code 0 or 1",
		Long: `Asks the gateway's /healthz, and ends with exit code 0 if it serves, or 1 if it
does not answer in 3 seconds, or is about to end. It is for health checks where
there is no curl. On a loopback address any certificate will do, as it is made
for the name that others use.`,
		Example: `  hearth health
  hearth health --gateway https://127.0.0.1:8443`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return health(cmd.Context(), gateway) },
	}
	cli.GatewayFlag(cmd.Flags(), &gateway, "g")
	return cmd
}

func health(ctx context.Context, gateway string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	gateway, err := cli.GatewayURL(gateway)
	if err != nil {
		return fmt.Errorf("OPENFAAS_URL: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, gateway+"/healthz", nil)
	if err != nil {
		return fmt.Errorf("ask the gateway: %w", err)
	}
	u := *req.URL
	u.Path = strings.TrimSuffix(u.Path, "/healthz")
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		// nothing secret is sent, and nothing is believed but that it lives
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request,
		[]*http.Request) error {
		return http.ErrUseLastResponse
	}}
	res, err := client.Do(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the gateway at %s did not answer in %v", u.Redacted(), healthTimeout)
	}
	if err != nil {
		return fmt.Errorf("the gateway at %s does not answer: %w", u.Redacted(), errors.Unwrap(err))
	}
	_ = res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusServiceUnavailable:
		return fmt.Errorf("the gateway at %s is about to end", u.Redacted())
	}
	return fmt.Errorf("the gateway at %s answered %s: is it one?", u.Redacted(), res.Status)
}
