package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/hearthfaas/hearth/internal/forwarded"
	"github.com/hearthfaas/hearth/internal/origin"
	"github.com/spf13/pflag"
)

// Environment variables with the defaults of two flags, for containers.
const (
	allowedHostEnv  = "HEARTH_ALLOWED_HOST"
	trustedProxyEnv = "HEARTH_TRUSTED_PROXY"
)

// adminConfig has the flags of the admin address and of access control.
type adminConfig struct {
	Listen string
	Only   bool
	Hosts  origin.Hosts

	Proxies        forwarded.Proxies
	MaxConnections int // 0: what the limit of open files allows
}

func (c *adminConfig) addFlags(f *pflag.FlagSet) {
	f.StringVar(&c.Listen, "admin-listen", "",
		"address for the operator, such as 127.0.0.1:8081, with the page /ui/, "+
			"the management API and the metrics, and without functions (default: none, and no page)")
	f.BoolVar(&c.Only, "admin-only-there", false,
		"keep the management API and the metrics off the gateway's address; "+
			"faas-cli then needs --gateway with the admin address")
	f.Var(&c.Hosts, origin.Flag,
		"name under which the management API answers, in addition to IP addresses, localhost, "+
			"names without a dot and the names in the certificate; *.example.com allows all names below it; "+
			"repeat the flag, or separate by commas (default $"+allowedHostEnv+")")
	f.Var(&c.Proxies, forwarded.Flag, "address or range of proxies whose X-Forwarded-For is believed, "+
		"such as 127.0.0.1 or 10.0.0.0/8; repeat the flag, or separate by commas (default "+
		"$"+trustedProxyEnv+")")
	f.IntVar(&c.MaxConnections, "max-connections", 0,
		"limit of connections to the gateway's address; one client address may have "+
			"a quarter of them, except loopback and trusted proxies (default: from the limit of open files)")
}

// fromEnvironment sets flags that were not given from the environment.
func (c *adminConfig) fromEnvironment() error {
	if len(c.Hosts) == 0 {
		if err := c.Hosts.Set(os.Getenv(allowedHostEnv)); err != nil {
			return fmt.Errorf("%s: %w", allowedHostEnv, err)
		}
	}
	if len(c.Proxies) == 0 {
		if err := c.Proxies.Set(os.Getenv(trustedProxyEnv)); err != nil {
			return fmt.Errorf("%s: %w", trustedProxyEnv, err)
		}
	}
	return nil
}

func (c *adminConfig) check(noAuth bool) error {
	if c.MaxConnections < 0 {
		return fmt.Errorf("--max-connections is %d, want a number above 0", c.MaxConnections)
	}
	if c.Listen == "" {
		if c.Only {
			return errors.New("--admin-only-there needs --admin-listen")
		}
		return nil
	}
	return checkListen("--admin-listen", c.Listen, noAuth)
}

// own adds the hosts of our listen addresses and the name of this machine to the names that are answered.
func (c *adminConfig) own(addresses ...string) {
	for _, address := range addresses {
		if host, _, err := net.SplitHostPort(address); err == nil {
			_ = c.Hosts.Set(host) // one that is no name is nobody's Host header
		}
	}
	if name, err := os.Hostname(); err == nil {
		_ = c.Hosts.Set(name)
	}
}

// origin returns the guard that checks the names and origins of requests.
func (c *adminConfig) origin(cert *certificate) origin.Guard {
	g := origin.Guard{Hosts: c.Hosts}
	if cert != nil {
		g.Known = cert.covers
	}
	return g
}

// apiOf returns the URL of the management API of the instance with this state directory and gateway URL. It
// is "" if the gateway serves the API, or if there is no such instance.
func apiOf(state, gateway string) string {
	h, ok := holderOf(state)
	if !ok || h.API == "" {
		return ""
	}
	u, err := url.Parse(gateway)
	if err != nil || !sameEndpoint(u, h.Address) {
		return ""
	}
	return h.API
}

// sameEndpoint reports whether a URL probably belongs to a listener on this machine.
func sameEndpoint(u *url.URL, listener string) bool {
	host, port, err := net.SplitHostPort(listener)
	if err != nil || u.Port() != port {
		return false
	}
	ip, asked := net.ParseIP(host), net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || asked != nil && asked.IsLoopback()
	if strings.EqualFold(host, u.Hostname()) || ip != nil && ip.Equal(asked) {
		return true
	}
	return loopback && ip != nil && (ip.IsLoopback() || ip.IsUnspecified())
}
