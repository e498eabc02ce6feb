package function

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/bakery"
	handler "github.com/openfaas/templates-sdk/go-http"
	qr "github.com/piglig/go-qr"
	"github.com/stretchr/testify/require"
)

func get(t *testing.T, query string, headers ...string) handler.Response {
	t.Helper()
	r := handler.Request{Method: http.MethodGet, QueryString: query, Header: http.Header{}}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := Handle(r)
	require.NoError(t, err)
	return answer
}

func TestPageAndItsFiles(t *testing.T) {
	t.Parallel()
	page := get(t, "")
	require.Equal(t, http.StatusOK, page.StatusCode)
	require.Equal(t, "text/html; charset=utf-8", page.Header.Get("Content-Type"))
	require.Equal(t, page.Body, get(t, "view=floor").Body, "the page itself tells the shop from the floor")
	for name, f := range files {
		require.NotEmpty(t, f.kind, name)
		answer := get(t, "asset="+name)
		require.Equal(t, http.StatusOK, answer.StatusCode, name)
		require.Equal(t, f.kind, answer.Header.Get("Content-Type"), name)
		require.Equal(t, "no-cache", answer.Header.Get("Cache-Control"), name)
		require.Equal(t, "nosniff", answer.Header.Get("X-Content-Type-Options"), name)
		again := get(t, "asset="+name, "If-None-Match", answer.Header.Get("ETag"))
		require.Equal(t, http.StatusNotModified, again.StatusCode, name)
		require.Empty(t, again.Body)
	}
	require.Equal(t, http.StatusNotFound, get(t, "asset=../handler.go").StatusCode)
	require.Equal(t, http.StatusNotFound, get(t, "asset=").StatusCode)
	require.Equal(t, http.StatusBadRequest, get(t, "%zz").StatusCode)
}

func TestOnlyReads(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodPost, http.MethodDelete, http.MethodPut} {
		answer, err := Handle(handler.Request{Method: method})
		require.NoError(t, err)
		require.Equal(t, http.StatusMethodNotAllowed, answer.StatusCode)
		require.Equal(t, "GET, HEAD", answer.Header.Get("Allow"))
	}
	answer, err := Handle(handler.Request{Method: http.MethodHead})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, answer.StatusCode)
}

var (
	linked = regexp.MustCompile(`(?:href|src)="\?asset=([^"]+)"`)
	loaded = regexp.MustCompile(`(?:load\(|\?asset=)"?([a-z]+\.(?:js|json|svg))"`)
	inline = regexp.MustCompile(`(?i)<script(?:>| [^>]*>[^<])|<style| on[a-z]+=| style=|javascript:`)
	inSVG  = regexp.MustCompile(`(?i)<script|<style| style=| on[a-z]+=|href=|<foreignObject`)
)

// TestPolicyAllowsNoInlineCode also looks for what the policy blocks: the page must not depend on it.
func TestPolicyAllowsNoInlineCode(t *testing.T) {
	t.Parallel()
	policy := get(t, "").Header.Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'")
	require.NotContains(t, policy, "unsafe")
	require.NotContains(t, policy, "*")
	require.NotRegexp(t, inline, string(files["index.html"].body))
	for name, f := range files {
		if strings.HasSuffix(name, ".svg") {
			require.NotRegexp(t, inSVG, string(f.body), name)
		}
		require.NotContains(t, string(f.body), "innerHTML", name)
	}
}

func TestPageNamesOnlyFilesThatItHas(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, found := range linked.FindAllSubmatch(files["index.html"].body, -1) {
		names[string(found[1])] = true
	}
	for name, f := range files {
		if strings.HasSuffix(name, ".js") {
			for _, found := range loaded.FindAllSubmatch(f.body, -1) {
				names[string(found[1])] = true
			}
		}
	}
	for name := range names {
		require.Contains(t, files, name)
	}
	for name := range files {
		require.True(t, names[name] || name == "index.html" || name == "floor.js" || name == "shop.js",
			"nothing loads %s", name)
	}
}

func TestEachCookieHasAPicture(t *testing.T) {
	t.Parallel()
	menu, err := bakery.ReadMenu("")
	require.NoError(t, err)
	pictures := string(files["cookies.svg"].body)
	for _, bake := range menu.Bakes {
		require.Contains(t, pictures, `<symbol id="art-`+bake.Name+`" `)
	}
	require.Contains(t, pictures, `<symbol id="art-any-cookie" `, "for menus that have others")
}

var (
	size    = regexp.MustCompile(`viewBox="0 0 (\d+) (\d+)"`)
	outline = regexp.MustCompile(`d="([^"]+)"`)
	command = regexp.MustCompile(`([MHVL])(\d+)(?:,(\d+))?`)
)

// rasterize draws an SVG whose one path has only vertical and horizontal lines, by the even-odd rule.
func rasterize(t *testing.T, svg string) image.Image {
	t.Helper()
	box, path := size.FindStringSubmatch(svg), outline.FindStringSubmatch(svg)
	require.NotNil(t, box)
	require.NotNil(t, path)
	require.Contains(t, svg, `fill-rule="evenodd"`)
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		return n
	}
	width, height := number(box[1]), number(box[2])
	crossings := make([][]int, height) // the vertical lines that each row of pixels crosses
	var x, y int
	for _, c := range command.FindAllStringSubmatch(path[1], -1) {
		before := y
		switch n := number(c[2]); c[1] {
		case "M":
			x, y = n, number(c[3])
			continue
		case "H":
			x = n
		case "V":
			y = n
		case "L":
			x, y = n, number(c[3])
		}
		for row := min(before, y); row < max(before, y); row++ {
			crossings[row] = append(crossings[row], x)
		}
	}
	drawn := image.NewGray(image.Rect(0, 0, width, height))
	draw.Draw(drawn, drawn.Bounds(), image.White, image.Point{}, draw.Src)
	for row, xs := range crossings {
		slices.Sort(xs)
		for i := 0; i+1 < len(xs); i += 2 {
			for column := xs[i]; column < xs[i+1]; column++ {
				drawn.SetGray(column, row, color.Gray{})
			}
		}
	}
	return drawn
}

func TestQRCodeIsTheAddress(t *testing.T) {
	t.Parallel()
	const address = "https://bakery.example/function/storefront"
	answer := get(t, url.Values{"qr": {address}}.Encode())
	require.Equal(t, http.StatusOK, answer.StatusCode, string(answer.Body))
	require.Equal(t, "image/svg+xml", answer.Header.Get("Content-Type"))
	require.True(t, bytes.Contains(answer.Body, []byte("<svg")))
	require.NotRegexp(t, inSVG, string(answer.Body))
	read, err := qr.Decode(rasterize(t, string(answer.Body)))
	require.NoError(t, err)
	require.Equal(t, address, read)
	for name, bad := range map[string]string{
		"no address": "", "no scheme": "bakery.example", "no page": "javascript:alert(1)",
		"no host": "https://", "too long": "https://bakery.example/" + strings.Repeat("a", maxAddress),
	} {
		require.Equal(t, http.StatusBadRequest, get(t, url.Values{"qr": {bad}}.Encode()).StatusCode, name)
	}
}
