package dispatch_test

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

	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// A cut is where a cable is cut: at its n-th command, from 0; before Redis has it, or after Redis has run it, and then the answer
// is lost.
type cut struct {
	command int
	after   bool
	forGood bool // else one may connect again
}

func (c cut) String() string {
	if c.after {
		return fmt.Sprint("after command ", c.command)
	}
	return fmt.Sprint("before command ", c.command)
}

// A cable lies between a dispatcher and Redis, below go-redis, which sends some commands again when a connection broke. It lets one
// command through at a time. Those that only look (a watcher's), or that make a connection, do not count, but a cut hits them too.
type cable struct {
	cut  cut
	snap chan struct{} // closed when the cable is cut

	from     net.Listener
	to       *goredis.Options
	work     sync.WaitGroup
	turn     sync.Mutex // of the commands that count
	commands int        // there were so many

	mu    sync.Mutex
	conns map[net.Conn]bool
	dead  bool
}

// cabled is a client of a test's Redis behind a cable.
func cabled(t *testing.T, raw *goredis.Client, c cut) (*redis.Client, *cable) {
	t.Helper()
	dir, err := os.MkdirTemp("", "cable-") // the path of a socket is short
	require.NoError(t, err)
	w := &cable{cut: c, snap: make(chan struct{}), to: raw.Options(), conns: map[net.Conn]bool{}}
	w.from, err = net.Listen("unix", filepath.Join(dir, "s"))
	require.NoError(t, err)
	w.work.Go(w.accept)
	queue, err := redis.Open(t.Context(), fmt.Sprintf("unix://%s?db=%d&max_retry_backoff=10ms", w.from.Addr(), w.to.DB))
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = queue.Close()
		w.sever(true)
		w.work.Wait()
		_ = os.RemoveAll(dir)
	})
	return queue, w
}

func (w *cable) accept() {
	for {
		c, err := w.from.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial(w.to.Network, w.to.Addr)
		w.mu.Lock()
		if err != nil || w.dead {
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

// sever cuts all connections.
func (w *cable) sever(forGood bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if forGood && !w.dead {
		w.dead = true
		_ = w.from.Close()
	}
	for c := range w.conns {
		_ = c.Close()
	}
}

// pass passes commands on, and their answers back.
func (w *cable) pass(c, up net.Conn) {
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

// exchange has a command run. ok is false if the connection is cut.
func (w *cable) exchange(command []byte, up net.Conn, answers *bufio.Reader) (answer []byte, ok bool) {
	hit := false
	if counts(command) {
		w.turn.Lock()
		defer w.turn.Unlock()
		hit = w.commands == w.cut.command
		w.commands++
		w.mu.Lock()
		dead := w.dead
		w.mu.Unlock()
		if dead { // it waited for its turn meanwhile
			return nil, false
		}
	}
	if hit && !w.cut.after {
		w.snapped()
		return nil, false
	}
	if _, err := up.Write(command); err != nil {
		return nil, false
	}
	answer, err := readRESP(answers)
	if hit {
		w.snapped()
	}
	return answer, err == nil && !hit
}

func (w *cable) snapped() {
	w.sever(w.cut.forGood)
	close(w.snap)
}

// counts reports whether a command does something to a queue.
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
