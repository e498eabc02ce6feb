package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/stretchr/testify/require"
)

// project is a copy of the project, with bin/ built and the functions' images in images/.
var project = sync.OnceValues(func() (string, error) {
	_, here, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(here), "..", "..")
	dir, err := os.MkdirTemp("", "hearth-e2e-")
	if err != nil {
		return "", err
	}
	for _, name := range []string{"bakery", "chain", "functions", "template", "go.mod", "go.sum", "stack.yml"} {
		if err := copyTree(filepath.Join(root, name), filepath.Join(dir, name)); err != nil {
			return "", err
		}
	}
	build := exec.Command("make", "build", "BIN="+filepath.Join(dir, "bin"))
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	images := exec.Command(filepath.Join(dir, "bin", "hearth"), "build", "--state", filepath.Join(dir, "built"))
	images.Dir = dir
	if out, err := images.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return dir, nil
})

func copyTree(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.CopyFS(to, os.DirFS(from))
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := project(); err == nil && os.Getenv("KEEP") == "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, 5*time.Millisecond)
}

// running is a hearth that was started by a test.
type running struct {
	t     *testing.T
	dir   string
	state string
	cmd   *exec.Cmd
	url   string
	done  chan error

	mu  sync.Mutex
	out strings.Builder
}

// newState is a state directory with the images built.
func newState(t *testing.T) string {
	t.Helper()
	dir, err := project()
	require.NoError(t, err)
	state := filepath.Join(t.TempDir(), "state")
	require.NoError(t, os.CopyFS(filepath.Join(state, "images"), os.DirFS(filepath.Join(dir, "built", "images"))))
	return state
}

var gatewayLine = regexp.MustCompile(`gateway\s+(http://\S+)`)

// start starts hearth up on a state directory, and waits until it is ready.
func start(t *testing.T, state string, env []string, args ...string) *running {
	t.Helper()
	r := launch(t, state, env, args...)
	eventually(t, func() bool { return strings.Contains(r.output(), "Ctrl-C ends it") || len(r.done) > 0 })
	m := gatewayLine.FindStringSubmatch(r.output())
	require.NotNil(t, m, r.output())
	r.url = m[1]
	return r
}

func launch(t *testing.T, state string, env []string, args ...string) *running {
	t.Helper()
	dir, err := project()
	require.NoError(t, err)
	r := &running{t: t, dir: dir, state: state, done: make(chan error, 1)}
	r.cmd = exec.Command(filepath.Join(dir, "bin", "hearth"), append([]string{"up", "--state", state, "--listen", "127.0.0.1:0", "--no-build", "--callback-allow", "127.0.0.1"}, args...)...)
	r.cmd.Dir = dir
	r.cmd.Env = append(append(without(os.Environ(), "REDIS_URL"), "MANAGER_KEY_FILE="+filepath.Join(state, "secrets", "openfaas-fn", "manager-key")), env...)
	out, err := r.cmd.StdoutPipe()
	require.NoError(t, err)
	r.cmd.Stderr = r.cmd.Stdout
	require.NoError(t, r.cmd.Start())
	read := make(chan struct{})
	go func() {
		defer close(read)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			r.mu.Lock()
			r.out.WriteString(scan.Text() + "\n")
			r.mu.Unlock()
		}
	}()
	go func() { <-read; r.done <- r.cmd.Wait() }()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("hearth up %v:\n%s", args, r.output())
		}
	})
	return r
}

func without(env []string, name string) []string {
	var kept []string
	for _, v := range env {
		if !strings.HasPrefix(v, name+"=") {
			kept = append(kept, v)
		}
	}
	return kept
}

func (r *running) output() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String()
}

// interrupt is Ctrl-C. Nothing may be left behind.
func (r *running) interrupt() {
	r.t.Helper()
	require.NoError(r.t, r.cmd.Process.Signal(os.Interrupt))
	select {
	case err := <-r.done:
		require.NoError(r.t, err, r.output())
	case <-time.After(20 * time.Second):
		r.t.Fatal("it does not end")
	}
	r.leftNothing()
	_ = filepath.WalkDir(r.state, func(path string, d fs.DirEntry, err error) error {
		if err == nil && (d.Type()&fs.ModeSocket != 0 || d.Name() == "lock") {
			r.t.Errorf("left behind: %s", path)
		}
		return nil
	})
}

// leftNothing waits until no process of this state is there: of functions, or Redis.
func (r *running) leftNothing() {
	r.t.Helper()
	if runtime.GOOS != "linux" {
		return
	}
	eventually(r.t, func() bool { return len(processesOf(r.state)) == 0 })
}

// processesOf are the processes that speak of a state directory in their command or environment.
func processesOf(state string) (found []string) {
	for _, kind := range []string{"cmdline", "environ"} {
		paths, _ := filepath.Glob("/proc/[0-9]*/" + kind)
		for _, path := range paths {
			pid := filepath.Base(filepath.Dir(path))
			text, err := os.ReadFile(path)
			if err == nil && bytes.Contains(text, []byte(state)) && pid != fmt.Sprint(os.Getpid()) {
				found = append(found, pid+" "+string(bytes.ReplaceAll(text[:min(len(text), 80)], []byte{0}, []byte{' '})))
			}
		}
	}
	return found
}

// bakery runs the bakery's command, and returns what it printed and its exit code.
func (r *running) bakery(args ...string) (string, int) {
	r.t.Helper()
	cmd := exec.Command(filepath.Join(r.dir, "bin", "bakery"), args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "OPENFAAS_URL="+r.url, "MANAGER_KEY_FILE="+filepath.Join(r.state, "secrets", "openfaas-fn", "manager-key"))
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil {
		require.ErrorAs(r.t, err, &exit, string(out))
		return string(out), exit.ExitCode()
	}
	return string(out), 0
}

func (r *running) post(path, body string, headers ...string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+path, strings.NewReader(body))
	require.NoError(r.t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(r.t, err)
	return res.StatusCode, string(text)
}

func (r *running) orderState(id string) string {
	r.t.Helper()
	res, err := http.Get(r.url + "/function/cashier?order=" + id)
	require.NoError(r.t, err)
	defer func() { _ = res.Body.Close() }()
	var o bakery.Order
	_ = json.NewDecoder(res.Body).Decode(&o)
	return o.State
}

func (r *running) auditBalances() {
	r.t.Helper()
	out, code := r.bakery("audit")
	require.Zero(r.t, code, out)
}
