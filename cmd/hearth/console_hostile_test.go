package main

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// hostilePages are what a function serves at the gateway's origin. The tests add the scripts.
var hostilePages = map[string]string{
	"blank": "HTTP/1.1 200 OK\nContent-Type: text/html\n\n<title>a page</title>",
	"open": "HTTP/1.1 200 OK\nContent-Type: text/html\n\n<title>a page</title>" +
		"<button id=b onclick='w = window.open(new URLSearchParams(location.search).get(\"target\"))'>" +
		"click</button>",
}

// servePages gives the probe pages to serve, and returns their directory.
func servePages(t *testing.T, pages map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range pages {
		head, body, _ := strings.Cut(text, "\n\n")
		require.NoError(t, os.WriteFile(filepath.Join(dir, name),
			[]byte(strings.ReplaceAll(head, "\n", "\r\n")+"\r\n\r\n"+body), 0o600))
	}
	return dir
}

// TestAHostilePageCanNeitherReadNorUseTheConsole logs an operator in with a real browser. The same browser
// then visits a function's page, which tries to read and use the console, the management API and the storage.
func TestAHostilePageCanNeitherReadNorUseTheConsole(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	n := newTestNode(t, consoleAddress(t), adminAddress(t))
	n.deploy("probe", func(d *types.FunctionDeployment) {
		d.EnvVars["PAGES"] = servePages(t, hostilePages)
	})
	gateway, console := n.url(), n.consoleURL()
	page := gateway + "/function/probe/?page="

	link, _, err := n.consoleLink("operator")
	require.NoError(t, err)
	b.visit(link)
	keptToken := func() string {
		return b.script(`return JSON.stringify({...sessionStorage})`)
	}
	eventually(t, func() bool { return strings.Contains(keptToken(), "token") })
	require.Equal(t, "", b.script(`return document.cookie`))
	require.NotContains(t, b.script(`return location.href`), "login=")
	const token = `return Object.values(sessionStorage)
		.map(v => { try { return JSON.parse(v).token } catch {} }).find(t => t)`
	kept := b.script(token)
	require.Contains(t, b.script(`
		const token = Object.values(sessionStorage).map(v => { try { return JSON.parse(v).token } catch {} })
			.find(t => t)
		const r = await fetch("/system/functions", {headers: {Authorization: "Bearer " + token}})
		return r.status + await r.text()`), "probe", "the operator's own page can use the console")

	b.visit(page + "blank")
	require.Equal(t, "{}", keptToken(), "the storage of the console's origin is not this page's")
	for _, target := range []string{console + "/", console + "/session", console + "/system/functions",
		console + "/system/events", console + "/static/app.js", gateway + "/system/functions",
		gateway + "/system/events", gateway + "/system/history/probe"} {
		for _, options := range []string{`{credentials: "include"}`,
			`{credentials: "include", mode: "no-cors"}`, `{headers: {Authorization: "Bearer x"}}`} {
			got := b.script(`let r = await fetch("` + target + `", ` + options +
				`); return r.status + " " + await r.text()`)
			require.NotContains(t, got, "probe", "%s %s", target, options)
			require.False(t, strings.HasPrefix(got, "200"), "%s %s: %s", target, options, got)
		}
	}
	for _, target := range []string{console + "/system/scale-function/probe", console + "/invoke",
		console + "/session", console + "/system/functions/probe/restart",
		gateway + "/system/scale-function/probe", gateway + "/system/console/login"} {
		got := b.script(`return (await fetch("` + target + `", {method: "POST", credentials: "include", ` +
			`mode: "no-cors", body: "{\"replicas\":5,\"function\":\"probe\"}"})).status`)
		require.Contains(t, []string{"0", "403", "error: TypeError: Failed to fetch"}, got, target)
	}
	require.EqualValues(t, 1, n.available("probe"))

	for _, embed := range []string{"iframe", "embed", "object", "script", "img"} {
		got := b.script(`
			const e = document.createElement("` + embed + `")
			const loaded = new Promise(done => {
				e.onload = () => done("loaded")
				e.onerror = () => done("refused")
				setTimeout(() => done("refused"), 2000)
			})
			e[e.tagName == "OBJECT" ? "data" : "src"] = "` + console + `/static/app.js"
			document.body.append(e)
			const how = await loaded
			let inside = ""
			try { inside = (e.contentDocument || {body: {innerText: ""}}).body.innerText } catch { }
			return how + " " + inside`)
		require.NotContains(t, got, "import", embed)
		if embed == "script" || embed == "img" {
			require.Equal(t, "refused ", got, embed)
		}
	}

	for _, target := range []string{console + "/", console + "/#login=guess", console + "/system/functions"} {
		b.visit(page + "open&target=" + url.QueryEscape(target))
		require.NoError(t, chromedp.Do(b.ctx, chromedp.Click("#b")))
		got := b.script(`
			for (let i = 0; i < 40; i++) {
				await new Promise(done => setTimeout(done, 50))
				if (w.closed) return "closed"
				try { if (w.location.href.startsWith("` + console + `")) return w.sessionStorage } catch { }
			}
			try { return w.document.body.innerText } catch { return "cannot read" }`)
		require.Contains(t, []string{"closed", "cannot read", ""}, got, target)
	}

	b.visit(console + "/")
	require.Regexp(t, "^[A-Z2-7]{26}$", kept)
	require.Equal(t, kept, b.script(token), "the operator's session is as it was")
}
