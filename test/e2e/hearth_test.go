package e2e

import (
	"encoding/json"
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
	"github.com/hearthfaas/hearth/test/harness"
	"github.com/stretchr/testify/require"
)

// project is a copy of the project, with bin/ built and the functions' images in built/.
var project = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "hearth-e2e-")
	if err != nil {
		return "", err
	}
	if err := harness.Build(dir); err != nil {
		return "", err
	}
	return dir, harness.Images(dir, "stack.yml", filepath.Join(dir, "built"))
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := project(); err == nil && os.Getenv("KEEP") == "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, time.Minute, 5*time.Millisecond)
}

// site is a bakery behind a gateway, with the project's commands to work on it.
type site struct {
	t          *testing.T
	dir        string // of the project
	url        string // of the gateway
	managerKey string // path
}

// running is a hearth process that was started by a test, with the bakery behind it.
type running struct {
	*harness.Process
	site
	state string
}

// newState is a state directory with the images built.
func newState(t *testing.T) string {
	t.Helper()
	dir, err := project()
	require.NoError(t, err)
	state := filepath.Join(t.TempDir(), "state")
	require.NoError(t, os.CopyFS(filepath.Join(state, "images"),
		os.DirFS(filepath.Join(dir, "built", "images"))))
	return state
}

var gatewayLine = regexp.MustCompile(`gateway\s+(http://\S+)`)

// start starts hearth up on a state directory, and waits until it is ready.
func start(t *testing.T, state string, env []string, args ...string) *running {
	t.Helper()
	r := launch(t, state, env, args...)
	eventually(t, func() bool {
		return strings.Contains(r.Output(), "press Ctrl-C to stop") ||
			len(r.Done) > 0
	})
	m := gatewayLine.FindStringSubmatch(r.Output())
	require.NotNil(t, m, r.Output())
	r.url = m[1]
	return r
}

func launch(t *testing.T, state string, env []string, args ...string) *running {
	t.Helper()
	dir, err := project()
	require.NoError(t, err)
	cmd := exec.Command(filepath.Join(dir, "bin", "hearth"),
		append([]string{"up", "--state", state, "--listen", "127.0.0.1:0", "--no-build", "--callback-allow",
			"127.0.0.1"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(append(harness.Without(os.Environ(), "REDIS_URL"),
		"MANAGER_KEY_FILE="+managerKeyOf(state)), env...)
	p, err := harness.Start(cmd)
	require.NoError(t, err)
	r := &running{Process: p, site: site{t: t, dir: dir, managerKey: managerKeyOf(state)}, state: state}
	t.Cleanup(func() {
		_ = r.Cmd.Process.Kill()
		if t.Failed() {
			t.Logf("hearth up %v:\n%s", args, r.Output())
		}
	})
	return r
}

func managerKeyOf(state string) string {
	return filepath.Join(state, "secrets", "openfaas-fn", "manager-key")
}

// interrupt sends Ctrl-C. No process may remain.
func (r *running) interrupt() {
	r.t.Helper()
	require.NoError(r.t, r.Cmd.Process.Signal(os.Interrupt))
	select {
	case err := <-r.Done:
		require.NoError(r.t, err, r.Output())
	case <-time.After(time.Minute):
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

// leftNothing waits until no process of this state directory remains, of functions or of Redis.
func (r *running) leftNothing() {
	r.t.Helper()
	if runtime.GOOS != "linux" {
		return
	}
	eventually(r.t, func() bool { return len(harness.ProcessesOf(r.state)) == 0 })
}

// bakery runs the bakery's command and returns its output and exit code.
func (s *site) bakery(args ...string) (string, int) {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.dir, "bin", "bakery"), args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "OPENFAAS_URL="+s.url, "MANAGER_KEY_FILE="+s.managerKey)
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil {
		require.ErrorAs(s.t, err, &exit, string(out))
		return string(out), exit.ExitCode()
	}
	return string(out), 0
}

func (s *site) post(path, body string, headers ...string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+path,
		strings.NewReader(body))
	require.NoError(s.t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	return res.StatusCode, string(text)
}

func (s *site) orderState(id string) string {
	s.t.Helper()
	res, err := http.Get(s.url + "/function/cashier?order=" + id)
	require.NoError(s.t, err)
	defer func() { _ = res.Body.Close() }()
	var o bakery.Order
	_ = json.NewDecoder(res.Body).Decode(&o)
	return o.State
}

func (s *site) auditBalances() {
	s.t.Helper()
	out, code := s.bakery("audit")
	require.Zero(s.t, code, out)
}
