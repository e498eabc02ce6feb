// Package testbed starts the real hearth on this machine for a measurement, and calls it from outside, as its
// users do. What is measured, and what the figures mean, is for the commands that use it.
package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hearthfaas/hearth/internal/child"
)

// A Bed is where measurements take place.
type Bed struct {
	Root  string // the repository, with hearth and bakery in its bin
	State string // a directory for the states of all hearths
	Fsync string // of the private Redis: always or everysec
}

// A Hearth is one that runs, started for one part of a measurement.
type Hearth struct {
	URL   string // of the gateway
	State string // its directory

	cmd      *exec.Cmd
	root     string
	password string
	ended    chan error
}

// Up starts hearth with a stack of the repository, or one whose path is absolute, on a state of its
// own, which is empty but for what was built.
func (b Bed) Up(ctx context.Context, stack, name string, args []string, env ...string) (*Hearth, error) {
	h := &Hearth{root: b.Root, State: filepath.Join(b.State, name), ended: make(chan error, 1)}
	if err := os.RemoveAll(filepath.Join(h.State, "redis")); err != nil {
		return nil, err
	}
	if !filepath.IsAbs(stack) {
		stack = filepath.Join(b.Root, stack)
	}
	fmt.Fprintf(os.Stderr, "starting hearth with %s\n", stack)
	h.cmd = exec.CommandContext(ctx, filepath.Join(b.Root, "bin", "hearth"),
		append([]string{"up", "-f", stack, "--state", h.State,
			"--listen", "127.0.0.1:0", "--fsync", b.Fsync}, args...)...)
	h.cmd.Env = append(slices.DeleteFunc(os.Environ(),
		func(v string) bool { return strings.HasPrefix(v, "REDIS_URL=") }), env...)
	h.cmd.Cancel, h.cmd.WaitDelay = func() error { return h.cmd.Process.Signal(os.Interrupt) }, 30*time.Second
	var out bytes.Buffer
	said := &watched{buffer: &out, ready: make(chan struct{})}
	h.cmd.Stdout, h.cmd.Stderr = said, said
	if err := child.Start(h.cmd, syscall.SIGTERM); err != nil { // it ends with us, whatever ends us
		return nil, err
	}
	go func() { h.ended <- h.cmd.Wait() }()
	select {
	case <-said.ready:
	case err := <-h.ended:
		return nil, fmt.Errorf("hearth up: %w\n%s", err, out.String())
	}
	h.URL = regexp.MustCompile(`gateway\s+(http://\S+)`).FindStringSubmatch(said.text())[1]
	password, err := os.ReadFile(h.PasswordFile())
	h.password = strings.TrimSpace(string(password))
	return h, err
}

// watched keeps what hearth says, until it says that it is ready.
type watched struct {
	mu     sync.Mutex
	buffer *bytes.Buffer
	ready  chan struct{}
	once   sync.Once
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buffer.Write(p)
	if strings.Contains(w.buffer.String(), "press Ctrl-C to stop") {
		w.once.Do(func() { close(w.ready) })
	}
	return len(p), nil
}

func (w *watched) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buffer.String()
}

// PasswordFile has the operator's password.
func (h *Hearth) PasswordFile() string { return filepath.Join(h.State, "basic-auth-password") }

// KeyFile has the bakery's manager-key.
func (h *Hearth) KeyFile() string {
	return filepath.Join(h.State, "secrets", "openfaas-fn", "manager-key")
}

// Socket is that of its private Redis.
func (h *Hearth) Socket() string { return filepath.Join(h.State, "redis", "redis.sock") }

// RedisPassword is that of its private Redis.
func (h *Hearth) RedisPassword() (string, error) { return PasswordOf(h.Socket()) }

// PasswordOf is the password of a private Redis with this socket; "" if it has none.
func PasswordOf(socket string) (string, error) {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(socket), "password"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(text)), err
}

// PID is its process.
func (h *Hearth) PID() int { return h.cmd.Process.Pid }

// Stop ends it, and waits until it has.
func (h *Hearth) Stop() {
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	_ = <-h.ended // it ends by the signal, which Wait reports as an error
}

// Memory is hearth's own, in MiB: VmRSS now, VmHWM the most there was. Linux only; elsewhere it is 0.
func (h *Hearth) Memory(what string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.cmd.Process.Pid))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(what + `:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("no %s in /proc", what)
	}
	kib, err := strconv.ParseFloat(string(m[1]), 64)
	return kib / 1024, err
}

// Do makes one request with the operator's password, and reads its answer as
// JSON into out, if that is not nil.
func (h *Hearth) Do(ctx context.Context, method, path, body string, out any) (int, error) {
	status, text, err := h.Text(ctx, method, path, body)
	if err == nil && out != nil {
		err = json.Unmarshal(text, out)
	}
	return status, err
}

// Text makes one request with the operator's password, and returns its answer.
// One of 400 or more is an error.
func (h *Hearth) Text(ctx context.Context, method, path, body string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, h.URL+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.SetBasicAuth("admin", h.password)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("%s %s: %s: %s", method, path, res.Status, text)
	}
	return res.StatusCode, text, err
}

// Post makes a call that must be answered with a status.
func (h *Hearth) Post(ctx context.Context, path, body string, want int) error {
	status, err := h.Do(ctx, http.MethodPost, path, body, nil)
	if err == nil && status != want {
		err = fmt.Errorf("POST %s: %d, want %d", path, status, want)
	}
	return err
}

// PostMany posts so often, from several clients at once.
func (h *Hearth) PostMany(ctx context.Context, path, body string, times, clients int) error {
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = clients
	work, failed := make(chan struct{}), make(chan error, clients)
	var posting sync.WaitGroup
	for range clients {
		posting.Go(func() {
			for range work {
				if err := h.Post(ctx, path, body, http.StatusAccepted); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			}
		})
	}
	for range times {
		work <- struct{}{}
	}
	close(work)
	posting.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// Queued is how many entries are on all queues.
func (h *Hearth) Queued(ctx context.Context) (int, error) {
	var queues []struct {
		Queue                               string
		Waiting, Leased, Due, Delayed, Dead int
	}
	if _, err := h.Do(ctx, http.MethodGet, "/system/queues", "", &queues); err != nil {
		return 0, err
	}
	n := 0
	for _, q := range queues {
		if n += q.Waiting + q.Leased + q.Due + q.Delayed; q.Dead > 0 {
			return 0, fmt.Errorf("%d dead letters in %s", q.Dead, q.Queue)
		}
	}
	return n, nil
}

// UntilEmpty waits until the queues are empty.
func (h *Hearth) UntilEmpty(ctx context.Context) error {
	for {
		n, err := h.Queued(ctx)
		if n == 0 || err != nil {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Scale sets a function's replicas, and waits until it has just so many.
func (h *Hearth) Scale(ctx context.Context, function string, replicas int) error {
	if _, err := h.Do(ctx, http.MethodPost, "/system/scale-function/"+function,
		fmt.Sprintf(`{"serviceName":%q,"replicas":%d}`, function, replicas), nil); err != nil {
		return err
	}
	for {
		var status struct{ AvailableReplicas, Replicas int }
		if _, err := h.Do(ctx, http.MethodGet, "/system/function/"+function, "", &status); err != nil {
			return err
		}
		if status.Replicas == replicas && status.AvailableReplicas == replicas {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
}

// Bakery runs the bakery's own command.
func (h *Hearth) Bakery(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(h.root, "bin", "bakery"), args...)
	cmd.Env = append(os.Environ(), "OPENFAAS_URL="+h.URL, "MANAGER_KEY_FILE="+h.KeyFile())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("bakery %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
