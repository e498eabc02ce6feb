package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed static
var files embed.FS

// pagePolicy is the page's Content-Security-Policy. Scripts, styles and data come from this origin only, and
// nothing inline runs, so text of functions that got into the page as markup could do nothing.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; frame-ancestors 'none'; form-action 'none'; base-uri 'none'"

// page answers with the page.
func page() http.Handler {
	index := load("static/index.html")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", pagePolicy)
		index.ServeHTTP(w, r)
	})
}

// assets answers with the other files of the page.
func assets() http.Handler {
	all := map[string]http.Handler{}
	err := fs.WalkDir(files, "static", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && name != "static/index.html" {
			all["/"+name] = load(name)
		}
		return err
	})
	if err != nil { // embedded files can always be read
		panic(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file, ok := all[r.URL.Path]
		if !ok {
			refuse(w, http.StatusNotFound, "the console has no such file")
			return
		}
		file.ServeHTTP(w, r)
	})
}

// load returns a handler that answers with an embedded file. A browser may keep it, and asks whether it has
// changed.
func load(name string) http.Handler {
	text, err := files.ReadFile(name)
	if err != nil { // it is embedded
		panic(err)
	}
	sum := sha256.Sum256(text)
	etag := `"` + hex.EncodeToString(sum[:8]) + `"`
	kind := typeOf(name)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		h.Set("Content-Type", kind)
		_, _ = w.Write(text)
	})
}

// typeOf returns the content type of a file. Go's own types of these extensions depend on the machine.
func typeOf(name string) string {
	switch ext := strings.ToLower(path.Ext(name)); ext {
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".json":
		return "application/json"
	case ".txt", "":
		return "text/plain; charset=utf-8"
	default:
		if kind := mime.TypeByExtension(ext); kind != "" {
			return kind
		}
		return "application/octet-stream"
	}
}
