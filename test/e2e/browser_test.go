package e2e

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// A browser is a real Chromium.
type browser struct {
	t   *testing.T
	ctx context.Context
}

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
		t.Skip("there is no Chromium: install it (on Debian: apt-get install chromium) to test the " +
			"storefront")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path),
		chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.WSURLReadTimeout(2*time.Minute))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 10*time.Minute)
	t.Cleanup(cancel)
	b := &browser{t, ctx}
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		if e, ok := event.(*runtime.EventExceptionThrown); ok {
			text, _ := json.Marshal(e.ExceptionDetails)
			t.Errorf("the page threw an exception: %s", text)
		}
	}))
	return b
}

// phone and desktop set the size of the window.
func (b *browser) phone()   { b.do(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile)) }
func (b *browser) desktop() { b.do(chromedp.EmulateViewport(1920, 1080)) }

// scheme makes the page light or dark, without transitions from one to the other.
func (b *browser) scheme(name string) {
	b.t.Helper()
	b.do(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: name},
				{Name: "prefers-reduced-motion", Value: "reduce"},
			},
		})
		return chromedp.Void{}, err
	})
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, steps...))
}

func (b *browser) visit(address string) {
	b.t.Helper()
	b.do(chromedp.Navigate(address))
}

// click clicks on what a selector finds, once it is there.
func (b *browser) click(selector string) {
	b.t.Helper()
	b.await(`document.querySelector('` + selector + `:not(:disabled)')`)
	b.script(`document.querySelector('` + selector + `:not(:disabled)').click()`)
}

// script runs in the page, and may await and return a value.
func (b *browser) script(text string) string {
	b.t.Helper()
	out, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](
		"(async () => { try { return String(await (async () => {"+text+"})()) } "+
			"catch (e) { return 'error: ' + e } })()",
		chromedp.EvalAwaitPromise))
	require.NoError(b.t, err, text)
	require.False(b.t, strings.HasPrefix(out, "error: "), "%s\n%s", text, out)
	return out
}

// await waits until an expression is true in the page.
func (b *browser) await(expression string) {
	b.t.Helper()
	seen := func() bool { return b.script("return Boolean("+expression+")") == "true" }
	if !waitFor(seen) {
		b.t.Fatalf("the page never had: %s\n%s", expression, b.script("return document.body.innerText"))
	}
}

// waitFor reports whether a condition became true within two minutes.
func waitFor(condition func() bool) bool {
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if condition() {
			return true
		}
	}
	return false
}

// text waits until a part of the page has a text.
func (b *browser) text(selector, part string) {
	b.t.Helper()
	quoted, err := json.Marshal(part)
	require.NoError(b.t, err)
	b.await(`document.querySelector('` + selector + `')?.textContent.includes(` + string(quoted) + `)`)
}

// accessible fails the test if axe-core finds a serious or critical violation, in light or in dark.
func (b *browser) accessible(view string) {
	b.t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "internal", "console", "testdata", "axe", "axe.min.js.gz"))
	require.NoError(b.t, err)
	defer func() { _ = f.Close() }()
	unzipped, err := gzip.NewReader(f)
	require.NoError(b.t, err)
	axe, err := io.ReadAll(unzipped)
	require.NoError(b.t, err)
	_, err = chromedp.Run(b.ctx, chromedp.Evaluate[string](string(axe)+"\n;''"))
	require.NoError(b.t, err)
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		found := b.script(`
			const {violations} = await axe.run(document, {resultTypes: ["violations"]})
			return violations.filter((v) => v.impact === "serious" || v.impact === "critical")
				.map((v) => v.id + ": " + v.help + "\n" + v.nodes.map((n) => "  " + n.html + "\n  " +
					n.failureSummary).join("\n")).join("\n")`)
		require.Empty(b.t, found, "%s, %s", view, scheme)
	}
	b.scheme("light")
}
