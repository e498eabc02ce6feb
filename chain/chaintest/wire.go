package chaintest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"
)

// A Wire is a proxy between a client and the Redis of a test. The test can cut it at any command, and so stop
// a component at each of its steps. It works below go-redis, which sends some commands again when a
// connection breaks. It lets one counted command through at a time. Commands that only watch, or that make a
// connection, do not count, but a cut hits them too.
type Wire struct {
	around func(run func()) (ok bool)
	dir    string
	from   net.Listener
	to     *goredis.Options
	work   sync.WaitGroup
	turn   sync.Mutex // of the commands that count

	mu    sync.Mutex
	conns map[net.Conn]bool
	down  bool
}

// NewWire makes a wire to a test's Redis. It calls around for each command that counts. The function run,
// which around calls, sends the command to Redis and reads the answer. If around returns false, the
// connection breaks without an answer. A nil around lets everything through.
func NewWire(t testing.TB, raw *goredis.Client, around func(run func()) (ok bool)) *Wire {
	t.Helper()
	if around == nil {
		around = func(run func()) bool { run(); return true }
	}
	dir, err := os.MkdirTemp("", "wire-") // the path of a socket is short
	if err != nil {
		t.Fatalf("chaintest: %v", err)
	}
	w := &Wire{around: around, dir: dir, to: raw.Options(), conns: map[net.Conn]bool{}}
	if w.from, err = net.Listen("unix", filepath.Join(dir, "s")); err != nil {
		t.Fatalf("chaintest: %v", err)
	}
	w.work.Go(w.accept)
	return w
}

// URL is the address of the Redis behind the wire.
func (w *Wire) URL() string {
	return fmt.Sprintf("unix://%s?db=%d&max_retry_backoff=10ms", w.from.Addr(), w.to.DB)
}

// Close ends the wire.
func (w *Wire) Close() {
	_ = w.from.Close()
	w.Cut()
	w.work.Wait()
	_ = os.RemoveAll(w.dir)
}

// Cut breaks all connections, and lets nobody connect until Mend.
func (w *Wire) Cut() {
	w.mu.Lock()
	w.down = true
	w.mu.Unlock()
	w.Break()
}

// Mend ends a Cut.
func (w *Wire) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = false
}

// Break breaks all connections. Clients may connect again at once.
func (w *Wire) Break() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		_ = c.Close()
	}
}

func (w *Wire) accept() {
	for {
		c, err := w.from.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial(w.to.Network, w.to.Addr)
		w.mu.Lock()
		if err != nil || w.down {
			w.mu.Unlock()
			_ = c.Close()
			if err == nil {
				_ = up.Close()
			}
			continue
		}
		w.conns[c], w.conns[up] = true, true
		w.mu.Unlock()
		w.work.Go(func() { w.pass(c, up) })
	}
}

// pass passes commands on, and their answers back.
func (w *Wire) pass(c, up net.Conn) {
	defer func() {
		_, _ = c.Close(), up.Close()
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.conns, c)
		delete(w.conns, up)
	}()
	commands, answers := bufio.NewReader(c), bufio.NewReader(up)
	for {
		command, err := readRESP(commands)
		if err != nil {
			return
		}
		answer, ok := w.exchange(command, up, answers)
		if !ok {
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// exchange has a command run. ok is false if the connection is broken.
func (w *Wire) exchange(command []byte, up net.Conn, answers *bufio.Reader) (answer []byte, ok bool) {
	run := func() {
		ok = false
		if _, err := up.Write(command); err == nil {
			answer, err = readRESP(answers)
			ok = err == nil
		}
	}
	if !counts(command) {
		run()
		return answer, ok
	}
	w.turn.Lock()
	defer w.turn.Unlock()
	w.mu.Lock()
	down := w.down
	w.mu.Unlock()
	if down { // it waited for its turn meanwhile
		return nil, false
	}
	kept := w.around(run)
	return answer, ok && kept
}

// counts reports whether a command does more than to connect or to watch.
func counts(command []byte) bool {
	part := bytes.SplitN(command, []byte("\r\n"), 4)
	switch strings.ToUpper(string(part[2])) {
	case "HELLO", "AUTH", "SELECT", "CLIENT", "PING", "INFO", "CONFIG", "XREAD":
		return false
	}
	return true
}

// readRESP reads one value, as it is.
// See https://redis.io/docs/latest/develop/reference/protocol-spec/.
func readRESP(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(line[1:])))
	switch line[0] {
	case '$', '=', '!':
		if n < 0 {
			return line, nil
		}
		rest := make([]byte, n+len("\r\n"))
		_, err := io.ReadFull(r, rest)
		return append(line, rest...), err
	case '%', '|':
		n *= 2
	case '*', '~', '>':
	default:
		return line, nil
	}
	for range n {
		value, err := readRESP(r)
		if err != nil {
			return nil, err
		}
		line = append(line, value...)
	}
	return line, nil
}
