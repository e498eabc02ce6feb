package cli

import (
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// DefaultGateway is where a gateway on this machine listens.
const DefaultGateway = "http://127.0.0.1:8080"

// GatewayFlag adds --gateway. Its default is $OPENFAAS_URL, else DefaultGateway. shorthand may be "".
func GatewayFlag(f *pflag.FlagSet, target *string, shorthand string) {
	*target = DefaultGateway
	if env := os.Getenv("OPENFAAS_URL"); env != "" {
		*target = env
		if u, err := GatewayURL(env); err == nil {
			*target = u
		}
	}
	f.VarP((*gatewayValue)(target), "gateway", shorthand, "gateway URL ($OPENFAAS_URL)")
}

// GatewayURL returns a gateway's address with a scheme, http by default, and without a trailing slash.
func GatewayURL(text string) (string, error) {
	address := strings.TrimSpace(text)
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%q is not a gateway's address; want a URL such as %s, or HOST:PORT",
			text, DefaultGateway)
	}
	return strings.TrimRight(address, "/"), nil
}

type gatewayValue string

func (g *gatewayValue) String() string { return string(*g) }
func (g *gatewayValue) Type() string   { return "URL" }

func (g *gatewayValue) Set(text string) error {
	u, err := GatewayURL(text)
	if err == nil {
		*g = gatewayValue(u)
	}
	return err
}
