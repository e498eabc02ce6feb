package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	web "github.com/hearthfaas/hearth/internal/console"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// consolePage is the console in a browser.
type consolePage struct {
	*browser
	base string
}

// openPage logs in to the console with a link, in a browser.
func (n *testNode) openPage(role web.Role) consolePage {
	n.t.Helper()
	p := consolePage{newBrowser(n.t), n.consoleURL()}
	link, _, err := n.consoleLink(string(role))
	require.NoError(n.t, err)
	p.visit(link)
	p.shows("Overview")
	return p
}

// holds waits until a script returns true.
func (p consolePage) holds(script, why string, args ...any) {
	p.t.Helper()
	last := ""
	require.Eventually(p.t, func() bool {
		last = p.script("return " + script)
		return last == "true"
	}, 2*time.Minute, 100*time.Millisecond, "%s: %s\n%s", fmt.Sprintf(why, args...), script,
		p.script("return document.body.innerText"))
}

// shows waits until the page has a text.
func (p consolePage) shows(text string) {
	p.t.Helper()
	p.holds(fmt.Sprintf("document.body.innerText.includes(%s)", quoted(text)), "the page shows %q", text)
}

// view opens a view.
func (p consolePage) view(hash, title string) {
	p.t.Helper()
	p.script("location.hash = " + quoted(hash))
	p.holds(fmt.Sprintf("document.querySelector('h1')?.innerText === %s", quoted(title)), "the view %s opens",
		hash)
}

// press waits for a button or link with a text that can be pressed, and presses it.
func (p consolePage) press(text string) {
	p.t.Helper()
	p.holds(`(() => {
		const within = document.querySelector('dialog[open]') ?? document
		const found = [...within.querySelectorAll('button, a')].find(e =>
			e.innerText.trim() === `+quoted(text)+` && !e.disabled
			&& e.getAttribute('aria-disabled') !== 'true')
		found?.focus()
		found?.click()
		return !!found
	})()`, "the page has the button %q", text)
}

// fill writes into the field of a name, as a user would.
func (p consolePage) fill(name, text string) {
	p.t.Helper()
	p.holds(`(() => {
		const field = document.querySelector('[name=' + `+quoted(name)+` + ']')
		if (field) {
			field.value = `+quoted(text)+`
			field.dispatchEvent(new Event('input', {bubbles: true}))
		}
		return !!field
	})()`, "the page has the field %q", name)
}

func quoted(text string) string {
	out, _ := json.Marshal(text)
	return string(out)
}

func TestConsolePageNeedsALinkThatWorksOnce(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, consoleAddress(t))
	link, _, err := n.consoleLink("operator")
	require.NoError(t, err)
	p := consolePage{newBrowser(t), n.consoleURL()}
	p.visit(p.base + "/")
	p.shows("hearth console")
	p.fill("login", "no such token")
	p.press("Log in")
	p.shows("used already")

	p.visit(link)
	p.shows("Overview")
	p.shows("Live")
	require.Equal(t, "#/", p.script("return location.hash"), "the token is not left in the address")
	require.Equal(t, "", p.script("return document.cookie"))
	p.script("location.reload()")
	p.shows("Live")

	p.press("Log out")
	p.shows("You have logged out")
	p.visit(link)
	p.shows("was used already")
	second, _, err := n.consoleLink("operator")
	require.NoError(t, err)
	p.fill("login", second)
	p.press("Log in")
	p.shows("Overview")
}

func TestConsolePageCanBeUsedByKeyboard(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, consoleAddress(t))
	n.deploy("probe")
	p := n.openPage(web.Operator)
	p.shows("probe")
	keys := func(text string) { require.NoError(t, chromedp.Do(p.ctx, chromedp.KeyEvent(text))) }
	p.script("document.activeElement.blur()")
	keys(kb.Tab)
	require.Equal(t, "Skip to the content", p.script("return document.activeElement.innerText"))
	keys(kb.Enter)
	require.Equal(t, "main", p.script("return document.activeElement.id"))

	p.view("#/function/probe.openfaas-fn", "probe")
	p.press("Delete")
	p.holds("document.activeElement.name === 'typed'", "the dialog takes the focus")
	for range 6 {
		keys(kb.Tab)
		require.Equal(t, "true", p.script(
			"const e = document.activeElement; return e === document.body || !!e.closest('dialog')"),
			"the focus stays in the dialog, or in the browser's own parts")
	}
	keys(kb.Escape)
	p.holds("!document.querySelector('dialog')", "Escape closes the dialog")
	p.holds("document.activeElement.innerText === 'Delete'", "the focus is back")

	p.press("Delete")
	p.fill("typed", "prob")
	p.holds("document.querySelector('dialog button[type=submit]').disabled",
		"a part of the name is not enough")
	p.fill("typed", "probe")
	keys(kb.Enter)
	p.shows("is being removed")
	eventually(t, func() bool {
		res, _ := n.doAt(n.consoleURL(), http.MethodGet, "/system/function/probe", "", "Authorization",
			n.logIn("viewer"))
		return res.StatusCode == http.StatusNotFound
	})
}

func TestConsolePageRedrivesAnEditedDeadLetter(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, consoleAddress(t))
	n.deploy("probe")
	res, _ := n.do(http.MethodPost, "/async-function/probe?expect=cookies", "biscuits", "X-Call-Id",
		"the-call")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	eventually(t, func() bool { return n.oneQueue("probe").Dead == 1 })

	p := n.openPage(web.Operator)
	p.shows("1 dead letter: redrive or purge.")
	p.view("#/dead-letters", "Dead letters")
	p.fill("reason", "no such reason")
	p.press("Search")
	p.shows("No dead letter matches")
	p.press("Clear")
	p.holds("document.querySelectorAll('main tbody tr').length === 1", "the dead letter is listed")
	p.script("document.querySelector('main tbody a').click()")
	p.shows("not what was expected")
	p.holds("document.querySelector('[name=body]').value === 'biscuits'", "its body can be edited")
	p.fill("body", "cookies")
	p.press("Redrive with this body")
	p.shows("Redriven with the new body.")
	p.shows("the-call")
	p.shows("succeeded")
	eventually(t, func() bool { q := n.oneQueue("probe"); return q.Dead == 0 && q.Queued == 0 })
}

func TestConsolePagePausesAndResumesAQueue(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, consoleAddress(t))
	n.deploy("probe")
	p := n.openPage(web.Operator)
	p.view("#/queues", "Queues")
	p.shows("probe:calls")
	p.press("Pause")
	p.press("Pause") // in the dialog
	p.shows("probe:calls is paused.")
	res, _ := n.do(http.MethodPost, "/async-function/probe", "x")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	p.holds("/probe:calls\\s+paused[^]*\\t1\\t/.test(document.querySelector('main tbody').innerText)",
		"the call waits in the paused queue")
	p.press("Resume")
	p.shows("probe:calls is delivered again.")
	p.holds("/probe:calls\\s+delivering\\s+0\\t/.test(document.querySelector('main tbody').innerText)",
		"the call was delivered")
}

func TestConsolePagePausesAndRunsASchedule(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, consoleAddress(t))
	n.deploy("ticker", func(d *types.FunctionDeployment) {
		(*d.Annotations)["topic"], (*d.Annotations)["schedule"] = "cron-function", "0 0 1 1 *"
	})
	p := n.openPage(web.Operator)
	p.view("#/schedules", "Schedules")
	p.shows("0 0 1 1 *")
	p.press("Pause")
	p.shows("none while paused")
	p.press("Resume")
	p.shows("runs again")
	p.press("Run now")
	p.shows("ticker was queued.")
	p.view("#/calls", "Calls")
	p.holds("/ticker\\s+schedule[^]*succeeded/.test(document.querySelector('main tbody')?.innerText)",
		"the record has the scheduled invocation")
}

func TestConsolePageOfAViewerHasNoActions(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, consoleAddress(t))
	n.deploy("probe")
	res, _ := n.do(http.MethodPost, "/async-function/probe?status=500", "x")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	eventually(t, func() bool { return n.oneQueue("probe").Dead == 1 })
	p := n.openPage(web.Viewer)
	for hash, title := range map[string]string{"#/function/probe.openfaas-fn": "probe", "#/queues": "Queues",
		"#/dead-letters": "Dead letters", "#/function/probe.openfaas-fn/invoke": "probe",
		"#/schedules": "Schedules"} {
		p.view(hash, title)
		p.shows("Your role is viewer: it can only read.")
	}
	p.view("#/dead-letters", "Dead letters")
	p.shows("Purge all")
	require.Equal(t, "0", p.script(`return [...document.querySelectorAll('main button')].filter(b =>
		/Purge|Redrive/.test(b.innerText) && b.getAttribute('aria-disabled') !== 'true').length`))
	p.script("[...document.querySelectorAll('main button')].find(b => b.innerText === 'Purge all').click()")
	p.holds("!document.querySelector('dialog') && !!document.querySelector('.toasts p')",
		"the page says why")
	for _, request := range []string{"'/system/dead-letters/purge', {method: 'POST', body: '{\"all\":true}'",
		"'/system/functions', {method: 'DELETE', body: '{\"functionName\":\"probe\"}'",
		"'/system/queues/pause', {method: 'POST', body: '{\"queue\":\"probe:calls\"}'",
		"'/invoke', {method: 'POST', body: '{\"function\":\"probe\"}'", "'/system/secrets', {method: 'GET'"} {
		require.Equal(t, "403", p.script(`
			const {token} = JSON.parse(sessionStorage.getItem('hearth-session'))
			return (await fetch(`+request+`, headers: {Authorization: 'Bearer ' + token}})).status`), request)
	}
	require.Equal(t, 1, n.oneQueue("probe").Dead)
}

func TestConsolePageRecoversFromRedis(t *testing.T) {
	t.Parallel()
	r := newOwnRedis(t)
	n := startTestNode(t, r.Client, t.TempDir(), consoleAddress(t))
	n.deploy("probe")
	p := n.openPage(web.Operator)
	p.shows("probe")
	p.holds("!document.querySelector('.trouble')", "all is well")
	r.kill()
	p.shows("Redis is unavailable")
	p.shows("Accepted calls are kept.")
	r.start()
	p.holds("!document.querySelector('.trouble')", "the page sees that Redis is back")
	res, _ := n.do(http.MethodPost, "/async-function/probe", "x")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	p.view("#/queues", "Queues")
	p.shows("probe:calls")
}

func TestConsolePageInvokesAFunctionAndShowsItsLog(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, consoleAddress(t))
	n.deploy("probe")
	p := n.openPage(web.Operator)
	p.view("#/function/probe.openfaas-fn/invoke", "probe")
	p.fill("query", "?page-of-the-console=1")
	p.fill("body", "<b>not markup</b>")
	p.press("Call")
	p.shows("Status 200")
	require.Equal(t, "<b>not markup</b>", p.script("return document.querySelector('pre.body').innerText"))
	p.fill("query", "print=a+line+of+the+log")
	p.press("Call")
	p.view("#/function/probe.openfaas-fn/logs", "probe")
	p.shows("a line of the log")
}

// axe returns the text of axe-core, which finds faults of accessibility.
func axe(t *testing.T) string {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "internal", "console", "testdata", "axe", "axe.min.js.gz"))
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	text, err := io.ReadAll(z)
	require.NoError(t, err)
	return string(text)
}

// prefer sets media features: names and values alternate.
func prefer(features ...string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		var list []*emulation.MediaFeature
		for i := 0; i < len(features); i += 2 {
			list = append(list, &emulation.MediaFeature{Name: features[i], Value: features[i+1]})
		}
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia,
			emulation.SetEmulatedMediaParams{Features: list})
		return err
	})
}

func TestConsolePageIsAccessible(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, consoleAddress(t))
	n.deploy("probe", func(d *types.FunctionDeployment) {
		(*d.Annotations)["topic"], (*d.Annotations)["com.hearth.emits"] = "shop.cookies", "shop.cookies"
	})
	n.deploy("ticker", func(d *types.FunctionDeployment) {
		(*d.Annotations)["topic"], (*d.Annotations)["schedule"] = "cron-function", "0 0 1 1 *"
	})
	res, _ := n.do(http.MethodPost, "/async-function/probe?status=500", "x", "X-Call-Id", "dead-call")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	eventually(t, func() bool {
		var letters []struct{ Queue string }
		n.system(http.MethodGet, "/system/dead-letters", nil, &letters)
		return len(letters) == 1
	})
	var letters []struct{ ID string }
	n.system(http.MethodGet, "/system/dead-letters", nil, &letters)
	p := n.openPage(web.Operator)
	library := axe(t)
	check := func(what string) {
		t.Helper()
		p.holds("!document.querySelector('.loading')", "%s is loaded", what)
		_, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](library+"; true"))
		require.NoError(t, err)
		got := p.script(`
			const found = await axe.run({resultTypes: ['violations']})
			const bad = found.violations.filter(v => ['serious', 'critical'].includes(v.impact))
			return bad.map(v => v.impact + ' ' + v.id + ': ' + v.help + '\n' +
				v.nodes.map(n => '  ' + n.html).join('\n')).join('\n')`)
		require.Empty(t, got, what)
		require.Equal(t, "true", p.script("return document.documentElement.scrollWidth <= innerWidth"),
			"%s is wider than the window", what)
	}
	views := [][2]string{{"#/", "Overview"}, {"#/functions", "Functions"},
		{"#/function/probe.openfaas-fn", "probe"}, {"#/function/probe.openfaas-fn/logs", "probe"},
		{"#/function/probe.openfaas-fn/invoke", "probe"}, {"#/function/probe.openfaas-fn/spec", "probe"},
		{"#/function/probe.openfaas-fn/history", "probe"}, {"#/calls", "Calls"},
		{"#/call/dead-call", ""}, {"#/queues", "Queues"}, {"#/dead-letters", "Dead letters"},
		{"#/dead-letter/probe:calls/" + letters[0].ID, "Dead letter"}, {"#/schedules", "Schedules"},
		{"#/usage", "Usage"}, {"#/instances", "Instances"}}
	for _, scheme := range []struct {
		name  string
		width int64
	}{{"light", 1280}, {"dark", 360}} {
		require.NoError(t, chromedp.Do(p.ctx, prefer("prefers-color-scheme", scheme.name,
			"prefers-reduced-motion", "reduce"), chromedp.EmulateViewport(scheme.width, 900)))
		for _, v := range views {
			if v[1] == "" {
				p.script("location.hash = " + quoted(v[0]))
				p.holds("/^(Call|Journey)/.test(document.querySelector('h1')?.innerText)", "the view opens")
			} else {
				p.view(v[0], v[1])
			}
			check(scheme.name + " " + v[0])
		}
		p.view("#/function/probe.openfaas-fn", "probe")
		p.press("Delete")
		check(scheme.name + " dialog")
		p.press("Cancel")
	}
	p.press("Log out")
	p.shows("Link or token")
	check("login")
}
