/*
Package origin keeps the operator's rights out of web pages that are not the operator's own.

A browser that has a password for an origin sends it with each request to that origin, whichever page makes
the request. Functions answer at the gateway's origin, so nothing there may accept a browser's password:

	the gateway's address  answers programs on the management API, and no browser (Guard.Program)
	the admin address      has no functions; it answers a browser, but only its own pages (Guard.Page)
	the console's address  likewise; its page holds nothing before a login, so links may open it (Guard.Visit)

All refuse unknown host names: a stranger's page could otherwise give its own name our address (DNS
rebinding), and so have our origin.

Browsers say where a request comes from in the headers of https://www.w3.org/TR/fetch-metadata/, over https
and to loopback addresses. Over plain http to other addresses there is only Origin, which a GET of the same
origin lacks, and Referer, which a page can leave out.

The package does not check passwords. It does not guard calls of functions, which are for everybody.
*/
package origin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

var (
	errBrowser = errors.New("this address does not answer browsers, because functions' pages have " +
		"the same origin: use faas-cli, hearth, or the admin address (--admin-listen)")
	errWorker    = errors.New("service workers are not served here")
	errOtherSite = errors.New("another site's page may not use or open this: type the address, " +
		"or use a bookmark")
)

// Guard decides which requests to the management API are answered. Its zero value allows only names that no
// stranger can own.
type Guard struct {
	// Hosts are additional names.
	Hosts Hosts
	// Known reports whether a name is ours for another reason, such as the certificate. Defaults to none.
	Known func(name string) bool
}

// Program returns nil if a request comes from a program, and not from a browser. faas-cli, curl and Go send
// no headers about pages; fetch in Node sends only Sec-Fetch-Mode: cors.
func (g *Guard) Program(r *http.Request) error {
	if err := g.host(r); err != nil {
		return err
	}
	if browses(r) {
		return errBrowser
	}
	return nil
}

// Page returns nil if a request comes from a program, from the user of a browser, or from one of our own
// pages.
func (g *Guard) Page(r *http.Request) error {
	if err := g.host(r); err != nil {
		return err
	}
	if worker(r) {
		return errWorker
	}
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site != "none" && site != "same-origin" {
			return errOtherSite
		}
	}
	for _, origin := range r.Header["Origin"] {
		if !sameHost(origin, r.Host) {
			return fmt.Errorf("a page of the origin %.100q may not use this", origin)
		}
	}
	for _, from := range r.Header["Referer"] {
		if !sameHost(from, r.Host) {
			return errOtherSite
		}
	}
	return nil
}

// Visit is Page for a page that holds nothing of the operator's: a link on any page may open it as well, but
// not in a frame.
func (g *Guard) Visit(r *http.Request) error {
	link := r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	if link && r.Header["Origin"] == nil && !worker(r) {
		return g.host(r)
	}
	return g.Page(r)
}

// Challenge reports whether a request may be told to show a password. A browser would ask its user for one,
// and keep it for the origin.
func Challenge(r *http.Request) bool {
	return !browses(r) && !strings.HasPrefix(r.UserAgent(), "Mozilla/")
}

// host refuses a name that may be a stranger's.
func (g *Guard) host(r *http.Request) error {
	if r.Host == "" || g.Hosts.allows(r.Host) || g.Known != nil && g.Known(nameOf(r.Host)) {
		return nil
	}
	name := nameOf(r.Host)
	return fmt.Errorf("the management API does not answer to the name %.200q: if it is yours, "+
		"start hearth with --%s %.200s", name, Flag, name)
}

// worker reports whether a request installs a service worker, or comes from one.
func worker(r *http.Request) bool {
	return r.Header["Service-Worker"] != nil || r.Header["Service-Worker-Navigation-Preload"] != nil
}

// browses reports whether a browser made a request.
func browses(r *http.Request) bool {
	for _, name := range []string{"Sec-Fetch-Site", "Sec-Fetch-Dest", "Sec-Fetch-User", "Origin", "Referer"} {
		if r.Header[name] != nil {
			return true
		}
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" && mode != "cors" || worker(r) {
		return true
	}
	// Browsers that send no header about the page still send a User-Agent, as some programs do, and the
	// languages of their user.
	reads := r.Header["Accept-Language"] != nil || strings.Contains(r.Header.Get("Accept"), "text/html")
	return reads && strings.HasPrefix(r.UserAgent(), "Mozilla/")
}

// sameHost reports whether a URL has the same host and port. The scheme may differ: TLS may end at a proxy.
func sameHost(text, host string) bool {
	u, err := url.Parse(text)
	return err == nil && host != "" && (u.Scheme == "http" || u.Scheme == "https") &&
		strings.EqualFold(u.Host, host)
}
