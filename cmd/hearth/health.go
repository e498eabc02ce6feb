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

// healthTimeout is shorter than the default timeout of container health checks.
const healthTimeout = 3 * time.Second

// healthReport is the JSON output of hearth health.
type healthReport struct {
	Gateway string `json:"gateway"`
	Serving bool   `json:"serving"`
	Reason  string `json:"reason"` // why it is not serving
}

func newHealth() *cobra.Command {
	var gateway string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Check whether a gateway is serving",
		Long: `Requests /healthz of the gateway. The exit code is 0 if it is serving, and 1 if
it does not answer within 3 seconds or is shutting down. Use it for health
checks in containers that have no curl. On a loopback address the certificate is
not verified, since it names the public host.`,
		Example: `  hearth health
  hearth health --gateway https://127.0.0.1:8443`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := health(cmd.Context(), gateway)
			if !asJSON {
				return err
			}
			report := healthReport{Gateway: gateway, Serving: err == nil}
			if err != nil {
				report.Reason = err.Error()
			}
			return errors.Join(cli.WriteJSON(cmd.OutOrStdout(), report), err)
		},
	}
	cli.GatewayFlag(cmd.Flags(), &gateway, "g")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
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
		// no secret is sent, and only the status is used
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request,
		[]*http.Request) error {
		return http.ErrUseLastResponse
	}}
	res, err := client.Do(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the gateway at %s did not answer within %v", u.Redacted(), healthTimeout)
	}
	if err != nil {
		return fmt.Errorf("the gateway at %s does not answer: %w", u.Redacted(), errors.Unwrap(err))
	}
	_ = res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusServiceUnavailable:
		return fmt.Errorf("the gateway at %s is shutting down", u.Redacted())
	}
	return fmt.Errorf("the gateway at %s answered %s; it is probably not a gateway: check --gateway",
		u.Redacted(), res.Status)
}
