package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/test/harness"
	"github.com/stretchr/testify/require"
)

// placed is how many orders the bakery ever took.
func (r *running) placed() int {
	r.t.Helper()
	out, code := r.bakery("audit", "--json")
	require.Zero(r.t, code, out)
	var audit bakery.Audit
	require.NoError(r.t, json.Unmarshal([]byte(out), &audit), out)
	return audit.Orders.Placed
}

// hearth runs a command on the instance.
func (r *running) hearth(args ...string) {
	r.t.Helper()
	cmd := exec.Command(filepath.Join(r.dir, "bin", "hearth"),
		append(args, "--gateway", r.url, "--state", r.state)...)
	cmd.Dir = r.dir
	cmd.Env = append(harness.Without(os.Environ(), "REDIS_URL"), // a deployment has the value of its client
		"REDIS_URL=unix://"+filepath.Join(r.state, "redis", "redis.sock"))
	out, err := cmd.CombinedOutput()
	require.NoError(r.t, err, string(out))
}

// TestStorefrontInABrowser is a customer with a phone and a manager at a desk, in a real Chromium.
func TestStorefrontInABrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	// a scone bakes for 8 s, so that the page is seen while it bakes; the fridge is empty
	r := start(t, newState(t), []string{"BAKE_SPEED=100"})
	shop := r.url + "/function/storefront"
	key, err := os.ReadFile(r.managerKey)
	require.NoError(t, err)

	b.phone()
	b.visit(shop)
	b.text("#menu", "Chocolate chip cookie")
	b.text("[data-key=scone] .short", "Fridge is short of")
	b.text("#display", "Nothing is on display")
	require.Equal(t, "360", b.script("return document.documentElement.scrollWidth"), "nothing is cut off")

	// While the fridge is empty, an order waits, and says so.
	b.click("[data-do=add][data-cookie=scone]")
	b.text("#dock", "Basket: 1 piece, 1.80")
	b.script(`const button = document.querySelector("#basket form button.primary")
	button.click()
	button.click()`)
	b.text(".order .state", "waiting for ingredients")
	b.text(".order .eta", "after a restock")
	require.Equal(t, 1, r.placed(), "a double click is one order")
	b.accessible("the shop with an open order")

	t.Run("the manager restocks", func(t *testing.T) {
		manager := newBrowser(t)
		manager.desktop()
		manager.visit(shop + "?view=floor")
		enter := func(key string) {
			manager.await("document.querySelector('input[name=key]')")
			quoted, err := json.Marshal(key)
			require.NoError(t, err)
			manager.script("document.querySelector('input[name=key]').value = " + string(quoted))
			manager.click("form.gate button")
		}
		enter("a wrong key")
		manager.text("#refused", "This is not the manager's key")
		enter("awrongkey")
		manager.text("#refused", "The functions have it as the secret manager-key")
		require.Empty(t, manager.script("return sessionStorage.getItem('bakery.manager-key') ?? ''"))
		manager.accessible("the gate of the floor")
		enter(strings.TrimSpace(string(key)))
		manager.text("#queue", "1 × Scone")
		const name = "<img src=x>"
		status, answer := r.post("/function/cashier",
			`{"customer":"`+name+`","items":[{"cookie":"bread","quantity":1}]}`)
		require.Equal(t, http.StatusAccepted, status, answer)
		manager.text("#queue", name)
		manager.await("!document.querySelector('#queue img')")
		manager.text("#dough .parked", "Country loaf")
		manager.text("#dough .parked", "Scone")
		grams := func() int {
			n, err := strconv.Atoi(manager.script(
				"return document.querySelector('[data-key=almonds]').dataset.grams"))
			require.NoError(t, err)
			return n
		}
		require.Zero(t, grams())
		manager.click("[data-do=restock][data-on=almonds]")
		manager.text(".said", "of almonds went into the fridge")
		manager.await("document.querySelector('[data-key=almonds]').dataset.grams > 0")
		manager.click("[data-do=fill]")
		manager.text(".said", "2 waiting trays can be baked now")
		manager.text("#ovens", "Scone")
		manager.await("document.querySelector('#code img.qr').naturalWidth > 0")
		manager.accessible("the floor")

		manager.text("#shelves", "Scone")
		manager.click("#shelves [data-do=spoil]")
		manager.text(".said", "was thrown away, with 11 pieces")
		manager.text("#shelves", "Nothing is on display")

		manager.script(`const set = (name, value) => {
			const select = document.querySelector("[data-do=" + name + "]")
			select.value = value
			select.dispatchEvent(new Event("change", {bubbles: true}))
		}
		set("shops", "1")
		set("speed", "6000")`)
		manager.text("#rush", "37 orders in about")
		manager.click("[data-do=start]")
		manager.text("#rush .result", "37 sent: 37 accepted")
		manager.text("#rush .result", "All orders were sent")
		manager.accessible("the floor in a rush")
		manager.visit(shop + "?view=floor")
		manager.text("#counts", "served")
		manager.click("[data-do=leave]")
		manager.await("document.querySelector('form.gate')")
	})
	if t.Failed() {
		return
	}

	b.await("document.querySelector('.order[data-state=served]')")
	require.Equal(t, "5", b.script("return document.querySelectorAll('.order .steps .past').length"))
	b.click("[data-do=again]")
	b.text("#basket .lines", "Scone")
	b.accessible("the shop with a basket")

	// Lost answers: the order is sent again, under the same key.
	before := r.placed()
	b.script(`const real = fetch
	window.lose = true
	window.fetch = async (address, options) => {
		const answer = await real(address, options)
		if (options?.method === "POST" && window.lose) throw new TypeError("the connection was cut")
		return answer
	}`)
	b.click("#basket form button.primary")
	b.text("#trouble", "The bakery cannot be reached")
	b.script("window.lose = false")
	b.await("document.querySelectorAll('.order[data-state]').length === 2")
	b.await("!document.querySelector('.trouble')")
	require.Equal(t, before+1, r.placed(), "an order that is sent again is one order")

	// The keyboard alone suffices, and the focus stays at the cookie.
	b.script("document.querySelector('#menu [data-do=add][data-cookie=banana-bread]').focus()")
	b.do(chromedp.KeyEvent(kb.Enter))
	b.text("#basket .lines", "Slice of banana bread")
	require.Equal(t, "One Slice of banana bread more", b.script("return document.activeElement.ariaLabel"))
	b.click("#basket form button.primary")
	b.await("document.querySelector('.order[data-state=baking] h3')?.textContent.includes('banana')")
	b.text(".order[data-state=baking] .state", "in the oven")
	b.await("document.querySelector('.order[data-state=baking] progress')?.value > 0")
	b.click(".order[data-state=baking] [data-do=cancel]")
	b.text(".order[data-state=cancelled]", "You cancelled this order")

	// The gateway is unavailable for a while: the page recovers by itself. A reload keeps the orders.
	b.click("[data-do=add][data-cookie=scone]")
	r.interrupt()
	b.click("#basket form button.primary")
	b.text("#trouble", "The gateway does not answer")
	b.text(".sending", "It is placed once")
	r = start(t, r.state, []string{"BAKE_SPEED=100"}, "--listen", strings.TrimPrefix(r.url, "http://"))
	b.await("document.querySelectorAll('.order[data-state=served]').length === 3")
	b.await("!document.querySelector('.trouble')")
	b.visit(shop)
	b.await("document.querySelectorAll('.order[data-state=served]').length === 3")
	b.click(".order[data-state=cancelled] [data-do=forget]")
	b.await("!document.querySelector('.order[data-state=cancelled]')")
	b.accessible("the shop")

	// Without a cashier the shop is closed, and opens by itself once there is one.
	r.hearth("delete", "cashier")
	b.visit(shop)
	b.text("#trouble", "The shop is closed. This gateway has no function cashier")
	r.hearth("deploy", "--filter", "cashier")
	b.text("#menu", "Scone")
	b.await("!document.querySelector('.trouble')")

	// Behind a proxy that adds a prefix, the page finds the functions beside itself.
	gateway, err := url.Parse(r.url)
	require.NoError(t, err)
	proxy := httptest.NewServer(http.StripPrefix("/any/prefix", httputil.NewSingleHostReverseProxy(gateway)))
	defer proxy.Close()
	b.visit(proxy.URL + "/any/prefix/function/storefront/")
	b.text("#menu", "Chocolate chip cookie")
	r.auditBalances()
	r.interrupt()
}
