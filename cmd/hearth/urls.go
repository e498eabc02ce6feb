package main

import (
	"net"
	"net/netip"
	"strconv"
)

// apiListener returns the listener of the management API for programs.
func (n *node) apiListener() net.Listener {
	if n.cfg.Admin.Only {
		return n.cfg.AdminListener
	}
	return n.cfg.Listener
}

// url is where the gateway is.
func (n *node) url() string { return urlOf(n.cfg.Listener.Addr(), n.cfg.TLS) }

// apiURL returns the URL of the management API for programs.
func (n *node) apiURL() string { return urlOf(n.apiListener().Addr(), n.cfg.TLS) }

// adminURL returns the URL of the admin address, or "".
func (n *node) adminURL() string {
	if n.cfg.AdminListener == nil {
		return ""
	}
	return urlOf(n.cfg.AdminListener.Addr(), n.cfg.TLS)
}

// consoleURL returns the URL of the console, or "".
func (n *node) consoleURL() string {
	if n.cfg.ConsoleListener == nil {
		return ""
	}
	return urlOf(n.cfg.ConsoleListener.Addr(), n.cfg.TLS)
}

// urlOf returns the URL of an address as seen from this machine.
func urlOf(a net.Addr, cert *certificate) string {
	if cert != nil {
		return "https://" + cert.host(a)
	}
	return "http://" + reachable(a)
}

// reachable is an address as somebody on this machine reaches it.
func reachable(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	}
	return a.String()
}

// addrPortOf is a listener's address. One that is not of TCP has none.
func addrPortOf(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return tcp.AddrPort()
}
