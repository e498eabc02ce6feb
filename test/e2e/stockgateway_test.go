package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
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
	"time"

	"github.com/hearthfaas/hearth/internal/build"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/process"
	"github.com/hearthfaas/hearth/test/harness"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// A stockGateway behaves as a stock OpenFaaS gateway does towards functions and connectors: it lists
// functions, passes calls on with their headers, and runs each queued call once, from memory. It has no
// topics and no retries. See https://docs.openfaas.com/reference/rest-api/ and
// https://docs.openfaas.com/reference/async/.
type stockGateway struct {
	url       string
	secrets   string // the directory with its credentials and with the functions' secrets
	user      string
	password  string
	functions []types.FunctionStatus
	proxies   map[string]*httputil.ReverseProxy
	queue     chan *http.Request
}

// startStockGateway starts the functions of the project's stack file as processes, each listening on a port
// of its own, and a gateway in front of them.
func startStockGateway(t *testing.T, redisURL string) *stockGateway {
	t.Helper()
	dir, err := project()
	require.NoError(t, err)
	g := &stockGateway{
		secrets:  t.TempDir(),
		user:     "admin",
		password: rand.Text(),
		proxies:  map[string]*httputil.ReverseProxy{},
		queue:    make(chan *http.Request, 1000),
	}
	for name, value := range map[string]string{
		"basic-auth-user": g.user, "basic-auth-password": g.password, "manager-key": rand.Text(),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(g.secrets, name), []byte(value), 0o600))
	}
	stack, err := build.Read(filepath.Join(dir, "stack.yml"))
	require.NoError(t, err)
	for _, name := range stack.Names {
		d, err := stack.Deployment(name)
		require.NoError(t, err)
		d.EnvVars["REDIS_URL"] = redisURL
		g.functions = append(g.functions, types.FunctionStatus{
			Name:              name,
			Namespace:         hearth.DefaultNamespace,
			Image:             d.Image,
			Labels:            d.Labels,
			Annotations:       d.Annotations,
			EnvVars:           d.EnvVars,
			Replicas:          1,
			AvailableReplicas: 1,
		})
		g.proxies[name] = httputil.NewSingleHostReverseProxy(startFunction(t, dir, g.secrets, d))
	}
	server := httptest.NewServer(http.HandlerFunc(g.serve))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(g.queue) }) // before the server is closed: cleanups run in reverse order
	g.url = server.URL
	for range 4 {
		go g.work()
	}
	return g
}

// startFunction starts a function and returns its address.
func startFunction(t *testing.T, dir, secrets string, d types.FunctionDeployment) *url.URL {
	t.Helper()
	image, err := process.Images{Dir: filepath.Join(dir, "built", "images")}.Find(d.Image)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	socket, err := listener.(*net.TCPListener).File()
	require.NoError(t, errors.Join(err, listener.Close()))
	cmd := exec.Command(image.Path)
	cmd.Env = []string{"LISTEN_FDS=1", "secret_mount_path=" + secrets, "TMPDIR=" + t.TempDir()}
	for name, value := range d.EnvVars {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.ExtraFiles = []*os.File{socket}
	p, err := harness.Start(cmd)
	require.NoError(t, errors.Join(err, socket.Close()))
	t.Cleanup(func() {
		_ = p.Cmd.Process.Kill()
		if t.Failed() {
			t.Logf("function %s:\n%s", d.Service, p.Output())
		}
	})
	return &url.URL{Scheme: "http", Host: listener.Addr().String()}
}

func (g *stockGateway) serve(w http.ResponseWriter, r *http.Request) {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	name, path, _ := strings.Cut(rest, "/")
	if kind == "system" {
		g.serveSystem(w, r, rest)
		return
	}
	proxy := g.proxies[strings.TrimSuffix(name, "."+hearth.DefaultNamespace)]
	if proxy == nil || kind != "function" && kind != "async-function" {
		http.NotFound(w, r)
		return
	}
	if r.Header.Get("X-Call-Id") == "" {
		r.Header.Set("X-Call-Id", rand.Text())
	}
	r.Header.Set("X-Start-Time", strconv.FormatInt(time.Now().UnixNano(), 10))
	r.URL.Path = "/" + path
	if kind == "function" {
		proxy.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	later := httptest.NewRequest(r.Method, "/function/"+name+"?"+r.URL.RawQuery, bytes.NewReader(body))
	later.Header = r.Header.Clone()
	g.queue <- later
	w.Header().Set("X-Call-Id", r.Header.Get("X-Call-Id"))
	w.WriteHeader(http.StatusAccepted)
}

// work runs queued calls, each once, whatever they come to.
func (g *stockGateway) work() {
	for r := range g.queue {
		g.serve(httptest.NewRecorder(), r)
	}
}

func (g *stockGateway) serveSystem(w http.ResponseWriter, r *http.Request, resource string) {
	user, password, _ := r.BasicAuth()
	if user != g.user || password != g.password {
		http.Error(w, "unauthorized", http.StatusUnauthorized)
		return
	}
	var answer any
	switch resource {
	case "namespaces":
		answer = []string{hearth.DefaultNamespace}
	case "functions":
		answer = g.functions
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		panic(fmt.Sprintf("write the answer for %s: %v", r.URL, err))
	}
}
