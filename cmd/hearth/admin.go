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

// Environment variables for the defaults of two flags, since containers take
// variables more easily than flags.
const (
	allowedHostEnv  = "HEARTH_ALLOWED_HOST"
	trustedProxyEnv = "HEARTH_TRUSTED_PROXY"
)

// adminConfig holds the flags of the admin address and of access control.
type adminConfig struct {
	Listen string
	Only   bool
	Hosts  origin.Hosts

	Proxies        forwarded.Proxies
	MaxConnections int // 0: what the limit of open files allows
}

func (c *adminConfig) addFlags(f *pflag.FlagSet) {
	f.StringVar(&c.Listen, "admin-listen", "",
		"operator's address, such as 127.0.0.1:8082: the management API and metrics, also for a browser, "+
			"but no functions (default none)")
	f.BoolVar(&c.Only, "admin-only-there", false,
		"serve the management API and metrics only at the admin address; faas-cli then needs --gateway "+
			"with that address")
	f.Var(&c.Hosts, origin.Flag,
		"additional host name for the management API, such as *.example.com; IP addresses, localhost, "+
			"names without a dot and names in the certificate are always allowed; repeatable, or "+
			"separated by commas (default $"+allowedHostEnv+")")
	f.Var(&c.Proxies, forwarded.Flag,
		"address or range of proxies whose X-Forwarded-For is trusted, such as 10.0.0.0/8; repeatable, or "+
			"separated by commas (default $"+trustedProxyEnv+")")
	f.IntVar(&c.MaxConnections, "max-connections", 0,
		"maximum connections to the gateway's address; one client address may use a quarter of them, "+
			"except loopback and trusted proxies (default: derived from the open-file limit)")
}

// fromEnvironment applies the environment variables of flags that were not given.
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

// own allows the hosts of the listen addresses and this machine's name.
func (c *adminConfig) own(addresses ...string) {
	for _, address := range addresses {
		if host, _, err := net.SplitHostPort(address); err == nil {
			_ = c.Hosts.Set(host) // an invalid name is no Host header either
		}
	}
	if name, err := os.Hostname(); err == nil {
		_ = c.Hosts.Set(name)
	}
}

// origin returns the guard that checks the Host and Origin of requests.
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
