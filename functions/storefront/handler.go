// Package function is the storefront: the page where customers order, and the floor for the manager. It only
// serves files. The page itself calls the cashier, the baker and the server, over the gateway that it came
// from. It keeps no state, and never sees an order or the manager's key.
package function

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"path"

	"github.com/hearthfaas/hearth/chain"
	handler "github.com/openfaas/templates-sdk/go-http"
	qr "github.com/piglig/go-qr"
)

const (
	usage = "GET shows the shop, and ?view=floor the floor. ?asset=NAME is one of the page's files; " +
		"?qr=ADDRESS draws an address as a QR code."

	maxAddress = 300 // bytes of an address in a QR code
	scale      = 4   // pixels of a module of it; four modules around it stay empty, as scanners need

	// policy lets the page load and call nothing but its own origin. Without inline script or style, a text
	// that reaches the page, such as a customer's name, cannot become code.
	policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
		"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

//go:embed assets
var assets embed.FS

// A file of the page.
type file struct {
	body []byte
	kind string // media type
	tag  string // ETag
}

var files = readFiles()

// kinds are named here, since the machine's own list of media types may differ.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".json": "application/json",
}

func readFiles() map[string]file {
	entries, err := assets.ReadDir("assets")
	if err != nil {
		panic(err) // it is embedded
	}
	all := map[string]file{}
	for _, e := range entries {
		body, err := assets.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		all[e.Name()] = file{body, kinds[path.Ext(e.Name())], `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	return all
}

// Handle answers with a file of the page, or draws a QR code. A function does not see the path of a call, so
// the query names the file.
func Handle(r handler.Request) (handler.Response, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		p := chain.Problem{
			Status: http.StatusMethodNotAllowed,
			Title:  "Read only",
			Detail: "the storefront answers GET and HEAD; order at the cashier",
		}.Response()
		p.Header.Set("Allow", "GET, HEAD")
		return p, nil
	}
	query, err := url.ParseQuery(r.QueryString)
	if err != nil {
		return problem(http.StatusBadRequest, "Cannot be understood", err.Error()), nil
	}
	switch {
	case query.Has("qr"):
		return drawQR(query.Get("qr")), nil
	case query.Has("asset"):
		f, ok := files[query.Get("asset")]
		if !ok {
			return problem(http.StatusNotFound, "No such file", usage), nil
		}
		return f.answer(r.Header), nil
	}
	return files["index.html"].answer(r.Header), nil
}

// answer is 304 if the caller has the file. Browsers ask each time, so that a new version is seen at once.
func (f file) answer(asked http.Header) handler.Response {
	r := respond(http.StatusOK, f.kind, f.body)
	r.Header.Set("ETag", f.tag)
	r.Header.Set("Cache-Control", "no-cache")
	if asked.Get("If-None-Match") == f.tag {
		r.StatusCode, r.Body = http.StatusNotModified, nil
	}
	return r
}

func respond(status int, kind string, body []byte) handler.Response {
	return handler.Response{StatusCode: status, Body: body, Header: http.Header{
		"Content-Type":            {kind},
		"Content-Security-Policy": {policy},
		"X-Content-Type-Options":  {"nosniff"},
		"Referrer-Policy":         {"no-referrer"},
	}}
}

func problem(status int, title, detail string) handler.Response {
	return chain.Problem{Status: status, Title: title, Detail: detail}.Response()
}

// drawQR draws the address of a web page as an SVG.
func drawQR(address string) handler.Response {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || len(address) > maxAddress {
		return problem(http.StatusBadRequest, "Cannot be drawn",
			fmt.Sprintf("?qr: want the address of a web page, of at most %d bytes", maxAddress))
	}
	code, err := qr.EncodeText(address, qr.Medium)
	if err != nil {
		return problem(http.StatusBadRequest, "Cannot be drawn", "?qr: "+err.Error())
	}
	svg, err := code.ToSVGBytes(qr.NewQrCodeImgConfig(scale, 4*scale, qr.WithOptimalSVG()))
	if err != nil {
		return problem(http.StatusInternalServerError, "Cannot be drawn", "?qr: "+err.Error())
	}
	return respond(http.StatusOK, kinds[".svg"], svg)
}
