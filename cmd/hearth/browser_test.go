package main

import (
	"context"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// pages are a hostile function's responses. HOST stands for the targets' addresses.
var pages = map[string]string{
	// A challenge: a browser sends a stored password for this origin and realm.
	"ask": "HTTP/1.1 401 Unauthorized\nWWW-Authenticate: Basic realm=\"Restricted\"\n" +
		"Content-Type: text/html\n\n<title>asked</title>",
	"ask-us": "HTTP/1.1 401 Unauthorized\n" +
		"WWW-Authenticate: Basic realm=\"Hearth operator\", charset=\"UTF-8\"\nContent-Type: text/html\n\n" +
		"<title>asked</title>",
	// A page that opens another page on a click and reads it.
	"open": "HTTP/1.1 200 OK\nContent-Type: text/html\n\n" +
		"<title>a page</title><button id=b onclick='w = window.open(new " +
		"URLSearchParams(location.search).get(\"target\"))'>click</button>",
	// A service worker for all paths, and a page that installs it.
	"worker": "HTTP/1.1 200 OK\nContent-Type: text/javascript\nService-Worker-Allowed: /\n\n" +
		"addEventListener('install', e => skipWaiting()); addEventListener('activate', e => " +
		"e.waitUntil(clients.claim()));" +
		"addEventListener('fetch', e => e.respondWith(new Response('<title>taken over</title>', {headers: " +
		"{'Content-Type': 'text/html'}})))",
	"blank": "HTTP/1.1 200 OK\nContent-Type: text/html\n\n<title>a page</title>",
}

// A browser is a real one, used by the operator.
type browser struct {
	t   *testing.T
	ctx context.Context
}

// newBrowser starts Chromium. Names under .test resolve to this machine.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome",
		"chromium-headless-shell"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("there is no Chromium: install it (on Debian: apt-get install chromium) to run what attacks " +
			"the operator's browser")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1"),
		chromedp.Flag("disable-popup-blocking", true),
		chromedp.WSURLReadTimeout(2*time.Minute))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 4*time.Minute)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx))
	return &browser{t, ctx}
}

// visit opens an address and returns the page's title. The page is empty if a
// password prompt is not answered.
func (b *browser) visit(address string) string {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.Navigate(address)); err != nil {
		require.ErrorContains(b.t, err, "ERR_INVALID_AUTH_CREDENTIALS", address)
	}
	title, err := chromedp.Run(b.ctx, chromedp.Title())
	require.NoError(b.t, err)
	return title
}

// script runs in the current page. It may await.
func (b *browser) script(text string) string {
	b.t.Helper()
	out, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](
		"(async () => { try { return String(await (async () => {"+text+"})()) } catch (e) { return 'error: "+
			"' + e } })()", chromedp.EvalAwaitPromise))
	require.NoError(b.t, err, text)
	return out
}

// attacked starts an instance with an admin address and a hostile function, and
// records its requests in a file.
func attacked(t *testing.T, host string) (n *testNode, gateway, admin, recorded string) {
	t.Helper()
	dir := servePages(t, pages)
	recorded = filepath.Join(t.TempDir(), "record")
	n = newTestNode(t, adminAddress(t), func(c *nodeConfig) { require.NoError(t, c.Admin.Hosts.Set(host)) })
	n.deploy("probe", func(d *types.FunctionDeployment) {
		d.EnvVars["PAGES"], d.EnvVars["RECORD"] = dir, recorded
	})
	at := func(l net.Listener) string {
		_, port, err := net.SplitHostPort(l.Addr().String())
		require.NoError(t, err)
		return "http://" + net.JoinHostPort(host, port)
	}
	return n, at(n.cfg.Listener), at(n.cfg.AdminListener), recorded
}

// adminAddress gives a node an admin address.
func adminAddress(t *testing.T) func(*nodeConfig) {
	return func(c *nodeConfig) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		c.AdminListener = l
	}
}

// TestPagesOfFunctionsHaveNoOperatorRights: the operator logs in with a real browser and
// then visits a hostile function. It tests loopback, where browsers send Sec-Fetch-Site, and
// plain HTTP to a name, where they do not.
func TestPagesOfFunctionsHaveNoOperatorRights(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	for _, host := range []string{"127.0.0.1", "hearth.test"} {
		n, gateway, admin, recorded := attacked(t, host)
		page := gateway + "/function/probe/?page="
		login := url.UserPassword(n.credentials.User, n.credentials.Password).String() + "@"
		b.visit(strings.Replace(admin, "://", "://"+login, 1) + "/system/functions")
		require.Contains(t, b.script("return document.body.innerText"), "probe")
		b.visit(admin + "/system/functions")
		require.Contains(t, b.script("return document.body.innerText"), "probe", "it has the password now")
		targets := []string{gateway + "/system/functions", admin + "/system/functions",
			gateway + "/system/namespaces"}

		for _, ask := range []string{"ask", "ask-us"} {
			b.visit(page + ask)
			b.visit(page + ask)
		}
		b.visit(page + "blank")
		b.script(`return fetch("?page=ask-us", {credentials: "include"})`)

		for _, target := range targets {
			b.visit(page + "open&target=" + url.QueryEscape(target))
			require.NoError(t, chromedp.Do(b.ctx, chromedp.Click("#b")))
			got := b.script(`
				for (let i = 0; i < 60; i++) {
					await new Promise(done => setTimeout(done, 50))
					if (w.closed) return "closed"
					if (w.location.href != "about:blank" && w.document.readyState == "complete")
						return w.document.body.innerText
				}`)
			require.NotContains(t, got, "probe", "opened by a click: %s", target)
		}

		b.visit(page + "blank")
		for _, target := range targets {
			for _, options := range []string{`{credentials: "include"}`,
				`{credentials: "include", mode: "no-cors"}`,
				`{credentials: "include", referrerPolicy: "no-referrer"}`,
				`{credentials: "include", headers: {"Accept-Language": "*"}}`} {
				got := b.script(`let r = await fetch("` + target + `", ` + options +
					`); return r.status + " " + await r.text()`)
				require.NotContains(t, got, "probe", "%s %s", target, options)
				require.False(t, strings.HasPrefix(got, "200"), "%s %s: %s", target, options, got)
			}
		}
		for _, target := range targets { // changes are refused before the password is checked
			got := b.script(`return (await fetch("` +
				strings.Replace(target, "functions", "scale-function/probe", 1) +
				`", {method: "POST", credentials: "include", mode: "no-cors", ` +
				`body: "{\"replicas\":5}"})).status`)
			require.Contains(t, []string{"403", "404", "0", "405",
				"error: TypeError: Failed to fetch"}, got, target)
		}
		require.EqualValues(t, 1, n.available("probe"))

		if host == "127.0.0.1" { // service workers need https or loopback
			for _, install := range []string{`"?page=worker", {scope: "/"}`,
				`"?page=worker", {scope: "/ui/"}`, `"/function/probe?page=worker"`,
				`"/function/probe?page=worker", {scope: "/"}`} {
				require.Contains(t, b.script(`return navigator.serviceWorker.register(`+install+`)`),
					"error: ", install)
			}
			require.Equal(t, "[object ServiceWorkerRegistration]",
				b.script(`return navigator.serviceWorker.register("?page=worker")`),
				"a function may have one for itself")
			require.Eventually(t, func() bool { return b.visit(page+"blank") == "taken over" }, time.Minute,
				50*time.Millisecond)
			for _, address := range []string{gateway + "/ui/", gateway + "/system/functions",
				gateway + "/function/other", admin + "/ui/"} {
				require.NotEqual(t, "taken over", b.visit(address), address)
			}
		}

		text, err := os.ReadFile(recorded)
		require.NoError(t, err)
		require.Contains(t, string(text), "Mozilla/", "the browser was there")
		require.NotContains(t, string(text), "Basic ", "the function was sent a password")
		require.NotContains(t, string(text), n.credentials.Password)
		n.end()
	}
}
