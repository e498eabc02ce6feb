// Package template has no code. Its test builds a stranger's handler with the template, outside of this
// repository, and checks the watchdog in the binary that comes out.
package template

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const stranger = `package handlerofastranger

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"time"

	"example.com/stranger/inner"
	handler "github.com/openfaas/templates-sdk/go-http"
)

func Handle(r handler.Request) (handler.Response, error) {
	switch r.QueryString {
	case "slow":
		select {
		case <-r.Context().Done():
			return handler.Response{}, r.Context().Err()
		case <-time.After(20 * time.Second):
		}
	case "deaf": // does not look at its context
		for {
			if _, err := os.Stat(os.Getenv("release")); err == nil {
				return handler.Response{}, nil
			}
			time.Sleep(time.Millisecond)
		}
	case "panic":
		panic("no")
	case "error":
		return handler.Response{Body: []byte("sorry")}, errors.New("it did not work")
	case "teapot":
		header := http.Header{"X-Kind": {"oolong", "green"}}
		return handler.Response{StatusCode: http.StatusTeapot, Header: header}, nil
	}
	words := []string{r.Method, r.Host, r.Header.Get("X-Call-Id"), string(r.Body)}
	return handler.Response{Body: []byte(inner.Shout(strings.Join(words, " ")))}, nil
}
`

// built is the stranger's function, built once in an empty folder with a copy of
// the template and nothing else of ours.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "stranger-")
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(dir, os.DirFS("go-http")); err != nil {
		return "", err
	}
	for name, text := range map[string]string{
		"function/handler.go": stranger,
		"function/inner/inner.go": "package inner\n\nimport \"strings\"\n\n" +
			"func Shout(s string) string { return strings.ToUpper(s) }\n",
		"function/go.mod": "module example.com/stranger\n\ngo 1.22\n\n" +
			"require github.com/openfaas/templates-sdk/go-http " +
			"v0.0.0-20220408082716-5981c545cb03\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	out, err := exec.Command("sh", filepath.Join(dir, "build.sh")).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build.sh: %w\n%s", err, out)
	}
	return filepath.Join(dir, "handler"), nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := built(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// replica is a running one.
type replica struct {
	t      *testing.T
	cmd    *exec.Cmd
	socket net.Listener
	client *http.Client
	tmp    string
	log    *lines
	exited chan error
}

type lines struct {
	mu   sync.Mutex
	text []string
}

func (l *lines) contain(part string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(strings.Join(l.text, "\n"), part)
}

// start starts a replica on a socket that it inherits.
func start(t *testing.T, env ...string) *replica {
	t.Helper()
	binary, err := built()
	require.NoError(t, err)
	tmp := t.TempDir()
	path := filepath.Join(tmp, "s")
	socket, err := net.Listen("unix", path)
	require.NoError(t, err)
	file, err := socket.(*net.UnixListener).File()
	require.NoError(t, err)
	r := &replica{
		t:      t,
		socket: socket,
		tmp:    tmp,
		log:    &lines{},
		exited: make(chan error, 1),
		client: &http.Client{Transport: &http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn,
				error) {
				return net.Dial("unix", path)
			}}},
	}
	r.cmd = exec.Command(binary)
	r.cmd.Env = append([]string{"LISTEN_FDS=1", "TMPDIR=" + tmp, "healthcheck_interval=0"}, env...)
	r.cmd.ExtraFiles = []*os.File{file}
	stderr, err := r.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, r.cmd.Start())
	_ = file.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		for scan := bufio.NewScanner(stderr); scan.Scan(); {
			r.log.mu.Lock()
			r.log.text = append(r.log.text, scan.Text())
			r.log.mu.Unlock()
		}
	}()
	go func() { <-read; r.exited <- r.cmd.Wait() }()
	t.Cleanup(func() { _ = r.cmd.Process.Kill(); _ = socket.Close(); r.client.CloseIdleConnections() })
	return r
}

func (r *replica) do(method, target, body string, headers ...string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://function"+target,
		strings.NewReader(body))
	require.NoError(r.t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := r.client.Do(req)
	require.NoError(r.t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(r.t, err)
	return res, string(text)
}

func (r *replica) get(target string) int {
	r.t.Helper()
	res, _ := r.do(http.MethodGet, target, "")
	return res.StatusCode
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, time.Minute, time.Millisecond)
}

func TestStrangersHandlerIsCalled(t *testing.T) {
	t.Parallel()
	r := start(t)
	res, text := r.do(http.MethodPut, "/any/path?q", "body", "X-Call-Id", "abc")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "PUT FUNCTION ABC BODY", text)
	require.Regexp(t, `^\d+\.\d{6}$`, res.Header.Get("X-Duration-Seconds"))
	eventually(t, func() bool {
		return r.log.contain("PUT /any/path - 200 OK - ContentLength: 21B") && r.log.contain("[abc]")
	})

	_, text = r.do(http.MethodGet, "/", "")
	require.Regexp(t, `^GET FUNCTION [0-9A-F]{32} $`, text, "a call id is made when there is none")
	res, _ = r.do(http.MethodHead, "/", "")
	require.Equal(t, http.StatusOK, res.StatusCode)
	res, _ = r.do(http.MethodGet, "/?teapot", "")
	require.Equal(t, http.StatusTeapot, res.StatusCode)
	require.Equal(t, []string{"oolong", "green"}, res.Header.Values("X-Kind"))
}

func TestFailuresOfTheFunction(t *testing.T) {
	t.Parallel()
	r := start(t)
	res, text := r.do(http.MethodGet, "/?error", "")
	require.Equal(t, http.StatusInternalServerError, res.StatusCode)
	require.Equal(t, "sorry", text)
	require.Equal(t, http.StatusInternalServerError, r.get("/?panic"))
	eventually(t, func() bool { return r.log.contain("it did not work") && r.log.contain("panicked: no") })
	require.Equal(t, http.StatusOK, r.get("/"), "a panic ends the call, not the replica")
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	r := start(t, "exec_timeout=100ms", "max_inflight=1", "release="+filepath.Join(t.TempDir(), "release"))
	res, text := r.do(http.MethodGet, "/?slow", "")
	require.Equal(t, http.StatusGatewayTimeout, res.StatusCode)
	require.Equal(t, "of-watchdog", res.Header.Get("X-Openfaas-Internal"))
	require.Contains(t, text, "exec_timeout, 100ms")
	eventually(t, func() bool { return r.get("/") == http.StatusOK })

	res, text = r.do(http.MethodGet, "/?slow", "", "X-Timeout", "5ms")
	require.Equal(t, http.StatusGatewayTimeout, res.StatusCode)
	require.Contains(t, text, "the caller's X-Timeout, 5ms")
	eventually(t, func() bool { return r.get("/") == http.StatusOK })
	res, text = r.do(http.MethodGet, "/?slow", "", "X-Timeout", "1h")
	require.Equal(t, http.StatusGatewayTimeout, res.StatusCode)
	require.Contains(t, text, "100ms", "and never longer")
}

func TestMaxInflight(t *testing.T) {
	t.Parallel()
	release := filepath.Join(t.TempDir(), "release")
	r := start(t, "max_inflight=2", "exec_timeout=200ms", "release="+release)
	for range 2 {
		go func() {
			if res, err := r.client.Get("http://function/?deaf"); err == nil {
				_ = res.Body.Close()
			}
		}()
	}
	eventually(t, func() bool { return r.get("/_/ready") == http.StatusTooManyRequests })
	res, _ := r.do(http.MethodGet, "/", "")
	require.Equal(t, http.StatusTooManyRequests, res.StatusCode)
	require.Equal(t, "faas-middleware", res.Header.Get("X-Openfaas-Internal"))
	require.Equal(t, http.StatusOK, r.get("/_/health"), "busy is not ill")

	eventually(t, func() bool { return r.log.contain("504") })
	require.Equal(t, http.StatusTooManyRequests, r.get("/"),
		"a call that was given up counts until it has ended")
	require.NoError(t, os.WriteFile(release, nil, 0o600))
	eventually(t, func() bool { return r.get("/") == http.StatusOK })
}

// TestProcessOfAHandlerThatDoesNotEndIsReplaced: it takes no new calls, answers
// the others, and ends with a reason.
func TestProcessOfAHandlerThatDoesNotEndIsReplaced(t *testing.T) {
	t.Parallel()
	r := start(t, "exec_timeout=2s", "exec_grace=1s", "release="+filepath.Join(t.TempDir(), "never"))
	require.Equal(t, http.StatusGatewayTimeout, r.get("/?deaf"))
	other := make(chan *http.Response, 1)
	go func() { // it runs until its own exec_timeout
		res, err := r.client.Get("http://function/?slow")
		if err != nil {
			t.Error(err)
		}
		other <- res
	}()
	eventually(t, func() bool { return r.log.contain("1s after its exec_timeout") })
	notTaken := func(res *http.Response) bool {
		return res.StatusCode == http.StatusServiceUnavailable &&
			res.Header.Get("X-Hearth-Not-Taken") != "" && res.Header.Get("Retry-After") != ""
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://function/", nil)
	require.NoError(t, err)
	res, err := r.client.Do(req)
	if err == nil { // else the other call was late, and was refused
		require.True(t, notTaken(res), res.Status)
	}
	late := <-other
	require.NotNil(t, late)
	if err == nil {
		require.Equal(t, http.StatusGatewayTimeout, late.StatusCode)
	} else {
		require.True(t, notTaken(late), late.Status)
	}
	select {
	case err := <-r.exited:
		require.ErrorContains(t, err, "exit status 1")
	case <-time.After(30 * time.Second):
		t.Fatal("it is still there")
	}
	require.True(t, r.log.contain("did not end within 1s after its exec_timeout, 2s: this process ends"))
}

func TestAHandlerMayGoOnForEver(t *testing.T) {
	t.Parallel()
	release := filepath.Join(t.TempDir(), "release")
	r := start(t, "exec_timeout=50ms", "exec_grace=0", "max_inflight=1", "release="+release)
	require.Equal(t, http.StatusGatewayTimeout, r.get("/?deaf"))
	began := time.Now()
	eventually(t, func() bool { return time.Since(began) > 200*time.Millisecond })
	require.Equal(t, http.StatusTooManyRequests, r.get("/"))
	require.NoError(t, os.WriteFile(release, nil, 0o600))
	eventually(t, func() bool { return r.get("/") == http.StatusOK })
}

func TestHealthAndReady(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, path := range []string{"/_/health", "/_/ready"} {
		res, text := r.do(http.MethodGet, path, "")
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.Equal(t, "OK", text)
		res, _ = r.do(http.MethodPost, path, "")
		require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode)
	}
	lock := filepath.Join(r.tmp, ".lock")
	require.FileExists(t, lock)
	require.NoError(t, os.Remove(lock))
	require.Equal(t, http.StatusServiceUnavailable, r.get("/_/health"))
	require.Equal(t, http.StatusServiceUnavailable, r.get("/_/ready"))
}

func TestSIGTERMDrains(t *testing.T) {
	t.Parallel()
	release := filepath.Join(t.TempDir(), "release")
	r := start(t, "healthcheck_interval=300ms", "max_inflight=1", "release="+release)
	answered := make(chan error, 1)
	go func() {
		res, err := r.client.Get("http://function/?deaf")
		if err == nil && res.StatusCode != http.StatusOK {
			err = errors.New(res.Status)
		}
		answered <- err
	}()
	eventually(t, func() bool { return r.get("/_/ready") == http.StatusTooManyRequests })
	require.NoError(t, r.cmd.Process.Signal(syscall.SIGTERM))
	eventually(t, func() bool { _, err := os.Stat(filepath.Join(r.tmp, ".lock")); return err != nil })
	require.Equal(t, http.StatusTooManyRequests, r.get("/"),
		"calls still get answers while the platform looks away")
	select {
	case err := <-r.exited:
		t.Fatalf("it ended before its call: %v", err)
	default:
	}
	require.NoError(t, os.WriteFile(release, nil, 0o600))
	require.NoError(t, <-answered)
	require.NoError(t, <-r.exited)
}

func TestSIGTERMEndsAnIdleReplicaAtOnce(t *testing.T) {
	t.Parallel()
	r := start(t)
	require.Equal(t, http.StatusOK, r.get("/"))
	require.NoError(t, r.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-r.exited:
		require.NoError(t, err)
	case <-time.After(5 * time.Second):
		t.Fatal("still there")
	}
}

// stock is the environment that a function of the bakery has on a platform that
// sets nothing itself, as faasd.
var stock = []string{"healthcheck_interval=", "exec_timeout=60s", "read_timeout=60s", "write_timeout=60s"}

// TestDefaultsFitPlatformsThatKillSoon: faasd kills a function 30 s after SIGTERM, and Docker after 10.
func TestDefaultsFitPlatformsThatKillSoon(t *testing.T) {
	t.Parallel()
	t.Run("Idle", func(t *testing.T) {
		t.Parallel()
		r := start(t, stock...)
		require.Equal(t, http.StatusOK, r.get("/"))
		require.NoError(t, r.cmd.Process.Signal(syscall.SIGTERM))
		select {
		case err := <-r.exited:
			require.NoError(t, err)
		case <-time.After(5 * time.Second):
			t.Fatal("an idle replica is still there 5 s after SIGTERM")
		}
	})
	t.Run("Busy", func(t *testing.T) {
		t.Parallel()
		release := filepath.Join(t.TempDir(), "release")
		address := "127.0.0.1:" + freePort(t)
		_, port, _ := net.SplitHostPort(address)
		r := start(t, append(stock, "LISTEN_FDS=", "port="+port, "max_inflight=1", "release="+release)...)
		r.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
			DialContext: func(context.Context, string, string) (net.Conn,
				error) {
				return net.Dial("tcp", address)
			}}}
		eventually(t, func() bool {
			res, err := r.client.Get("http://function/")
			return err == nil && res.Body.Close() == nil
		})
		answered := make(chan error, 1)
		go func() {
			res, err := r.client.Get("http://function/?deaf")
			if err == nil && res.StatusCode != http.StatusOK {
				err = errors.New(res.Status)
			}
			answered <- err
		}()
		eventually(t, func() bool { return r.get("/_/ready") == http.StatusTooManyRequests })
		require.NoError(t, r.cmd.Process.Signal(syscall.SIGTERM))
		eventually(t, func() bool { // it takes no new calls any more, and waits for the one that it has
			c, err := net.Dial("tcp", address)
			if err == nil {
				_ = c.Close()
			}
			return err != nil
		})
		select {
		case err := <-r.exited:
			t.Fatalf("it ended before its call: %v", err)
		default:
		}
		require.NoError(t, os.WriteFile(release, nil, 0o600))
		require.NoError(t, <-answered)
		select {
		case err := <-r.exited:
			require.NoError(t, err)
		case <-time.After(30 * time.Second):
			t.Fatal("it is still there, though its last call has ended")
		}
	})
}

func TestBodies(t *testing.T) {
	t.Parallel()
	r := start(t, "max_body_bytes=10")
	res, _ := r.do(http.MethodPost, "/", "0123456789")
	require.Equal(t, http.StatusOK, res.StatusCode)
	res, text := r.do(http.MethodPost, "/", "0123456789X")
	require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
	var problem struct{ Status int }
	require.NoError(t, json.Unmarshal([]byte(text), &problem))
	require.Equal(t, http.StatusRequestEntityTooLarge, problem.Status)
	// chunked
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://function/",
		io.MultiReader(bytes.NewReader(make([]byte, 11))))
	require.NoError(t, err)
	res, err = r.client.Do(req)
	require.NoError(t, err)
	_ = res.Body.Close()
	require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
	require.Equal(t, http.StatusOK, r.get("/"))
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func TestPortAndMetrics(t *testing.T) {
	t.Parallel()
	binary, err := built()
	require.NoError(t, err)
	port, metrics := freePort(t), freePort(t)
	cmd := exec.Command(binary)
	cmd.Env = []string{"port=" + port, "metrics_port=" + metrics, "TMPDIR=" + t.TempDir(),
		"log_requests=false"}
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	get := func(url string) (string, error) {
		res, err := http.Get(url)
		if err != nil {
			return "", err
		}
		defer func() { _ = res.Body.Close() }()
		text, err := io.ReadAll(res.Body)
		return string(text), err
	}
	eventually(t, func() bool { _, err := get("http://127.0.0.1:" + port + "/"); return err == nil })
	_, err = get("http://127.0.0.1:" + port + "/?teapot")
	require.NoError(t, err)
	text, err := get("http://127.0.0.1:" + metrics + "/metrics")
	require.NoError(t, err)
	for _, line := range []string{`http_requests_total{code="418",method="get"} 1`,
		`http_request_duration_seconds_bucket{code="418",method="get",le="+Inf"} 1`,
		`http_request_duration_seconds_count{code="418",method="get"} 1`, `http_requests_in_flight 0`} {
		require.Contains(t, text, line+"\n")
	}
}
