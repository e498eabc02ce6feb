/*
Package redisserver runs the private Redis of one instance: it starts a redis-server from PATH on a Unix
socket, repairs its append-only file before each start, and starts it again when it dies. Where there is no
redis-server it starts an in-memory one, which outlives nothing.

# When a piece dies

	the redis-server       it is repaired and started again; what it acknowledged is in its file
	this process           the server gets SIGTERM as parent-death signal, writes what it has, and ends
	a server that lingers  it holds the lock on the directory, so the next one waits for its end

It knows nothing of what is kept in Redis: package internal/redis is the client.
*/
package redisserver

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hearthfaas/hearth/internal/child"
	"github.com/hearthfaas/hearth/internal/hearth"
)

// A Server is a Redis of our own.
type Server struct {
	URL         string // with its password
	Description string // for people

	memory *miniredis.Miniredis // of an embedded one

	path, conf string
	log        *slog.Logger
	lock       *os.File
	ending     chan struct{} // closed by Close
	ended      chan struct{} // closed when it is gone

	mu  sync.Mutex
	cmd *exec.Cmd
}

// Config says how a private redis-server runs.
type Config struct {
	Dir       string // where it keeps its data
	Socket    string // path of its Unix socket: only this user can reach it
	Password  string // of its default user, who may do everything; "" is none
	Fsync     string // appendfsync: always, or everysec
	MaxMemory string // such as 1gb; what is full accepts no more calls, and loses none
	Log       *slog.Logger
}

// errNoServer: there is no redis-server that could be started.
var errNoServer = errors.New("no redis-server")

var serverVersion = regexp.MustCompile(`v=(\d+)\.(\d+)\.(\d+)`)

// Find is the redis-server of PATH. It returns an error of code NotFound if there is none, or it is older
// than 7.0.
func Find(ctx context.Context) (path, version string, err error) {
	path, err = exec.LookPath("redis-server")
	if err != nil {
		return "", "", &hearth.Error{
			Code:    hearth.NotFound,
			Message: "there is no redis-server in PATH",
			Err:     errNoServer,
		}
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	m := serverVersion.FindStringSubmatch(string(out))
	if err != nil || m == nil {
		return "", "", &hearth.Error{
			Code:    hearth.NotFound,
			Message: path + " does not tell its version",
			Err:     errNoServer,
		}
	}
	version = strings.TrimPrefix(m[0], "v=")
	if major, _ := strconv.Atoi(m[1]); major < 7 {
		return "", "", &hearth.Error{
			Code:    hearth.NotFound,
			Message: fmt.Sprintf("%s is %s, and Hearth needs 7.0 or newer", path, version),
			Err:     errNoServer,
		}
	}
	return path, version, nil
}

// Start starts a private redis-server, and starts it again if it dies. It ends with this process: on a kill
// -9 too, and then by SIGTERM, so that it writes what it has. It inherits a lock on its directory, so that no
// second server ever appends to the same file.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	path, version, err := Find(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockDir(ctx, cfg.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{
		URL:         cfg.url(),
		Description: fmt.Sprintf("private redis-server %s, appendfsync %s", version, cfg.Fsync),
		path:        path,
		conf:        filepath.Join(cfg.Dir, "redis.conf"),
		log:         cfg.Log,
		lock:        lock,
		ending:      make(chan struct{}),
		ended:       make(chan struct{}),
	}
	// Functions' users are made again when functions are; what a crash of the server needs is in the file by
	// then.
	for path, text := range map[string]string{s.conf: cfg.conf(), cfg.users(): cfg.defaultUser()} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, errors.Join(err, lock.Close())
		}
	}
	_ = os.Remove(cfg.Socket)
	exited, err := s.start()
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if err := await(ctx, cfg, exited); err != nil {
		close(s.ended)
		_ = s.cmd.Process.Kill()
		return nil, errors.Join(err, lock.Close())
	}
	go s.supervise(exited)
	return s, nil
}

// start starts the process. The channel is closed when it has ended.
func (s *Server) start() (exited chan struct{}, err error) {
	if cut, err := Repair(filepath.Dir(s.conf)); err != nil {
		return nil, fmt.Errorf("repair the append-only file: %w", err)
	} else if cut > 0 {
		s.log.Warn("redis-server died while it wrote; what it had not told anybody is taken off its file",
			"bytes", cut)
	}
	putAside(filepath.Join(filepath.Dir(s.conf), "redis.log"))
	cmd := exec.Command(s.path, s.conf)
	cmd.ExtraFiles = []*os.File{s.lock}
	if err := child.Start(cmd, syscall.SIGTERM); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.path, err)
	}
	s.mu.Lock()
	s.cmd = cmd
	s.mu.Unlock()
	exited = make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	return exited, nil
}

// maxServerLog is the size in bytes at which redis-server's log is rotated at a start; one older file is
// kept.
const maxServerLog = 16 << 20

func putAside(log string) {
	if info, err := os.Stat(log); err == nil && info.Size() > maxServerLog {
		_ = os.Rename(log, log+".1")
	}
}

// Crash ends the server without warning. It is started again, as after any crash. It is for demonstrations.
// It reports whether there is a process to end.
func (s *Server) Crash() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd != nil && s.cmd.Process.Kill() == nil
}

// supervise starts the server again when it dies, until Close.
func (s *Server) supervise(exited chan struct{}) {
	defer close(s.ended)
	for {
		select {
		case <-exited:
		case <-s.ending:
			s.end(exited)
			return
		}
		s.log.Error("redis-server died, and is started again",
			"log", filepath.Join(filepath.Dir(s.conf), "redis.log"))
		for {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-s.ending:
				return
			}
			again, err := s.start()
			if err == nil {
				exited = again
				break
			}
			s.log.Error("redis-server could not be started again", "error", err)
		}
	}
}

// end lets the server write what it has.
func (s *Server) end(exited chan struct{}) {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-exited:
	case <-time.After(30 * time.Second):
		_ = s.cmd.Process.Kill()
		<-exited
	}
}

// conf is its configuration. Values are quoted as Redis reads them.
func (cfg Config) conf() string {
	lines := [][2]string{
		{"port", "0"}, {"unixsocket", cfg.Socket}, {"unixsocketperm", "700"},
		{"dir", cfg.Dir}, {"daemonize", "no"}, {"logfile", filepath.Join(cfg.Dir, "redis.log")},
		{"save", ""}, {"appendonly", "yes"}, {"appendfsync", cfg.Fsync},
		{"maxmemory", cfg.MaxMemory}, {"maxmemory-policy", "noeviction"},
		{"databases", "1"}, {"aclfile", cfg.users()},
	}
	var b strings.Builder
	b.WriteString("# Written by hearth at each start.\n")
	for _, l := range lines {
		fmt.Fprintf(&b, "%s %s\n", l[0], strconv.Quote(l[1]))
	}
	return b.String()
}

// users is the file that has who may do what.
func (cfg Config) users() string { return filepath.Join(cfg.Dir, "users.acl") }

// defaultUser is the line of the platform's user.
func (cfg Config) defaultUser() string {
	password := "nopass"
	if cfg.Password != "" {
		password = fmt.Sprintf("#%x", sha256.Sum256([]byte(cfg.Password)))
	}
	return "user default on " + password + " ~* &* +@all\n"
}

func (cfg Config) url() string {
	if cfg.Password == "" {
		return SocketURL(cfg.Socket)
	}
	return (&url.URL{Scheme: "unix", User: url.UserPassword("", cfg.Password), Path: cfg.Socket}).String()
}

// lockDir takes the lock on a directory. A server that an earlier life left is on its way out: it is waited
// for.
func lockDir(ctx context.Context, dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			_ = f.Close()
			return nil, hearth.Errorf(hearth.Conflict,
				"another redis-server uses %s: end it first (fuser %s shows it)", dir, f.Name())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// await waits until it serves: reading a large file takes its time.
func await(ctx context.Context, cfg Config, exited <-chan struct{}) error {
	for !cfg.serves(ctx) {
		select {
		case <-exited:
			return fmt.Errorf("redis-server ended at once; its log is %s",
				filepath.Join(cfg.Dir, "redis.log"))
		case <-ctx.Done():
			return fmt.Errorf("redis-server did not get ready: %w", ctx.Err())
		case <-time.After(2 * time.Millisecond):
		}
	}
	return nil
}

// serves reports whether the server answers PING.
func (cfg Config) serves(ctx context.Context) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", cfg.Socket)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	commands := "*1\r\n$4\r\nPING\r\n"
	if cfg.Password != "" {
		commands = fmt.Sprintf("*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n", len(cfg.Password), cfg.Password) +
			commands
	}
	if _, err := io.WriteString(conn, commands); err != nil {
		return false
	}
	answers := bufio.NewReader(conn)
	for {
		line, err := answers.ReadString('\n')
		if err != nil || strings.HasPrefix(line, "+PONG") {
			return err == nil
		}
		if strings.HasPrefix(line, "-") { // it still reads its file
			return false
		}
	}
}

// StartEmbedded starts an in-memory Redis in this process, on loopback and with a password. What it holds
// ends with it.
func StartEmbedded(password string) (*Server, error) {
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	m.RequireAuth(password)
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start the in-memory Redis: %w", err)
	}
	return &Server{
		URL:         fmt.Sprintf("redis://:%s@%s", password, m.Addr()),
		Description: "in memory",
		memory:      m,
	}, nil
}

// SocketURL is the URL of a private server with this socket, without its password.
func SocketURL(socket string) string { return "unix://" + socket }

// Durable reports whether what the server has outlives it.
func (s *Server) Durable() bool { return s.memory == nil }

// Close ends the server, after it has written what it has.
func (s *Server) Close() error {
	if s.memory != nil {
		s.memory.Close()
		return nil
	}
	close(s.ending)
	<-s.ended
	_ = os.Remove(s.lock.Name()) // before the lock: who opens it now makes a new one
	return s.lock.Close()
}
