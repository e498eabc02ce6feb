package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// TestFunctionControlsCORS by its annotation com.hearth.cors, or by its own headers.
func TestFunctionControlsCORS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own := "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: https://own.example\r\n" +
		"Access-Control-Allow-Credentials: true\r\nVary: Accept\r\nContent-Length: 2\r\n\r\nok"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "own"), []byte(own), 0o600))
	n := newTestNode(t)
	for name, origins := range map[string]string{"listed": "https://shop.example.com, http://localhost:3000",
		"open": "*", "silent": ""} {
		n.deploy(name, func(d *types.FunctionDeployment) {
			d.EnvVars["PAGES"] = dir
			if origins != "" {
				(*d.Annotations)["com.hearth.cors"] = origins
			}
		})
	}
	ask := []string{"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers",
		"content-type, x-call-id"}
	for _, tt := range []struct {
		method, path, origin string
		header               []string
		status               int
		allow                string
	}{
		{"OPTIONS", "/function/listed", "https://shop.example.com", ask, 204, "https://shop.example.com"},
		{"OPTIONS", "/async-function/listed", "http://localhost:3000", ask, 204, "http://localhost:3000"},
		{"OPTIONS", "/function/listed", "https://other.example.com", ask, 403, ""},
		{"OPTIONS", "/async-function/listed", "null", ask, 403, ""},
		{"OPTIONS", "/function/open", "https://other.example.com", ask, 204, "*"},
		{"OPTIONS", "/function/silent", "https://other.example.com", ask, 200, ""},
		{"OPTIONS", "/async-function/silent", "https://other.example.com", ask, 405, ""},
		{"OPTIONS", "/function/listed", "https://shop.example.com", nil, 200, "https://shop.example.com"},
		{"POST", "/function/listed", "https://shop.example.com", nil, 200, "https://shop.example.com"},
		{"POST", "/function/listed", "https://other.example.com", nil, 200, ""},
		{"POST", "/function/listed?status=500", "https://shop.example.com", nil, 500,
			"https://shop.example.com"},
		{"POST", "/async-function/listed", "https://shop.example.com", nil, 202, "https://shop.example.com"},
		{"POST", "/async-function/listed", "https://other.example.com", nil, 202, ""},
		{"GET", "/async-function/open", "https://shop.example.com", nil, 405, "*"},
		{"GET", "/function/listed?page=own", "https://shop.example.com", nil, 200,
			"https://shop.example.com"},
		{"GET", "/function/listed?page=own", "https://own.example", nil, 200, ""},
		{"GET", "/function/silent?page=own", "https://shop.example.com", nil, 200, "https://own.example"},
	} {
		res, text := n.do(tt.method, tt.path, "", append([]string{"Origin", tt.origin}, tt.header...)...)
		where := tt.method + " " + tt.path + " of " + tt.origin + ": " + text
		require.Equal(t, tt.status, res.StatusCode, where)
		require.Equal(t, tt.allow, strings.Join(res.Header["Access-Control-Allow-Origin"], ", "), where)
		if !strings.Contains(tt.path, "silent") {
			require.Empty(t, res.Header.Get("Access-Control-Allow-Credentials"), where)
		}
		if strings.Contains(tt.path, "listed") {
			require.Contains(t, strings.Join(res.Header["Vary"], ", "), "Origin", where)
		}
		switch {
		case tt.status == 204:
			require.Equal(t, "content-type, x-call-id", res.Header.Get("Access-Control-Allow-Headers"))
			require.Contains(t, res.Header.Get("Access-Control-Allow-Methods"), "POST")
			require.NotEmpty(t, res.Header.Get("Access-Control-Max-Age"))
		case tt.allow != "" && !strings.Contains(tt.path, "silent"):
			require.Equal(t, "*", res.Header.Get("Access-Control-Expose-Headers"), where)
		}
	}
	res, _ := n.do(http.MethodPost, "/function/listed", "")
	require.NotContains(t, res.Header, "Access-Control-Allow-Origin", "who is no page is told nothing")
}
