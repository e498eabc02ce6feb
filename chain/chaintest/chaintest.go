// Package chaintest gives a test its Redis, and delivers messages to a step as a gateway would.
//
// Redis takes REDIS_URL if it is set, else a private redis-server from PATH, else miniredis in memory, and
// says which in the test's log. Each test has a database of its own. The package starts nothing that outlives
// the test binary.
package chaintest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// go-redis prints a line for each failed dial. A test that takes a Redis away would print hundreds, which say
// nothing more.
func init() { logging.Disable() }

// databases is how many tests of one binary may have a Redis, one after the other or at once.
const databases = 4096

// Redis is an empty database for a test. It is closed, and emptied, when the test ends.
func Redis(t testing.TB) *redis.Client {
	t.Helper()
	if url := os.Getenv("REDIS_URL"); url != "" {
		if rdb := external(t, url); rdb != nil {
			t.Logf("chaintest: Redis of REDIS_URL")
			return rdb
		}
		t.Logf("chaintest: the Redis of REDIS_URL wants a password or has only one database, " +
			"as Hearth's own; it is not used")
	}
	server, err := private()
	if errors.Is(err, exec.ErrNotFound) {
		t.Logf("chaintest: miniredis, in memory, since there is no redis-server in PATH")
		m := miniredis.RunT(t)
		m.ClockTTL(true)
		return client(t, &redis.Options{Addr: m.Addr()})
	}
	if err != nil {
		t.Fatalf("chaintest: %v", err)
	}
	t.Logf("chaintest: private redis-server")
	return client(t, &redis.Options{Network: "unix", Addr: server.socket, DB: server.database()})
}

// Mini is an empty in-memory miniredis: for a test that must hold there too.
func Mini(t testing.TB) *redis.Client {
	t.Helper()
	m := miniredis.RunT(t)
	m.ClockTTL(true)
	return client(t, &redis.Options{Addr: m.Addr()})
}

// URL is the address of a test's Redis, as REDIS_URL has it.
func URL(rdb redis.UniversalClient) string {
	switch c := rdb.(type) {
	case *RedisCluster:
		return URL(c.ClusterClient)
	case *redis.ClusterClient:
		addrs := c.Options().Addrs
		return "redis://" + addrs[0] + "?addr=" + strings.Join(addrs[1:], "&addr=")
	case *redis.Client:
		opt := c.Options()
		if opt.Network == "unix" {
			return fmt.Sprintf("unix://%s?db=%d", opt.Addr, opt.DB)
		}
		return fmt.Sprintf("redis://%s/%d", opt.Addr, opt.DB)
	}
	panic(fmt.Sprintf("chaintest: a %T has no URL", rdb))
}

// A FullRedis is a redis-server of the test's own, whose memory the test may use up.
type FullRedis struct{ *redis.Client }

// Full is a private redis-server with a small maxmemory. It skips the test where there is no redis-server.
func Full(t testing.TB) FullRedis {
	t.Helper()
	s, err := start("--maxmemory", "8mb", "--maxmemory-policy", "noeviction")
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("needs a redis-server in PATH: miniredis has no maxmemory")
	}
	if err != nil {
		t.Fatalf("chaintest: %v", err)
	}
	t.Cleanup(s.stop)
	return FullRedis{client(t, &redis.Options{Network: "unix", Addr: s.socket})}
}

// Fill writes until Redis accepts not even a byte more.
func (f FullRedis) Fill(t testing.TB) {
	t.Helper()
	for size := 64 << 10; size > 0; size /= 16 {
		for i := 0; ; i++ {
			if i == 10_000 {
				t.Fatal("chaintest: Redis never got full")
			}
			key, value := fmt.Sprintf("{full}:%d:%d", size, i), strings.Repeat("x", size)
			if err := f.Set(t.Context(), key, value, 0).Err(); err != nil {
				break
			}
		}
	}
}

func client(t testing.TB, opt *redis.Options) *redis.Client {
	wire.Tune(opt)
	opt.ReadTimeout = time.Minute // a machine may be busy
	rdb := redis.NewClient(opt)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// external takes an empty database of a Redis that somebody else runs, and empties only that one. It is never
// the first. It is nil if there is no other, or if Redis wants a password and the URL has none: so is
// Hearth's own, whose URL make up prints.
func external(t testing.TB, url string) *redis.Client {
	opt, err := redis.ParseURL(url)
	if err != nil {
		t.Fatalf("chaintest: REDIS_URL: %v", err)
	}
	others := false
	for db := 15; db > 0; db-- {
		opt := *opt
		opt.DB = db
		rdb := client(t, &opt)
		taken, err := rdb.SetNX(t.Context(), "chaintest", t.Name(), time.Hour).Result()
		if err != nil && strings.Contains(err.Error(), "DB index is out of range") {
			continue
		}
		if err != nil && strings.HasPrefix(err.Error(), "NOAUTH") {
			return nil
		}
		if err != nil {
			t.Fatalf("chaintest: REDIS_URL: %v", err)
		}
		others = true
		if n, _ := rdb.DBSize(t.Context()).Result(); taken && n == 1 {
			t.Cleanup(func() { rdb.FlushDB(context.Background()) })
			return rdb
		}
	}
	if others {
		t.Fatalf("chaintest: no empty database in 1 to 15 of the Redis of REDIS_URL")
	}
	return nil
}

// server is a redis-server of ours.
type server struct {
	socket string
	stop   func()
	mu     sync.Mutex
	next   int
}

func (s *server) database() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	return s.next % databases
}

// private is the redis-server of the test binary, started when it is first needed.
var private = sync.OnceValues(func() (*server, error) { return start("--databases", fmt.Sprint(databases)) })

// start starts a redis-server that ends with the test binary, or before by stop: its shell reads a pipe and
// kills the server when the pipe closes, which needs no help from the operating system. A server that writes
// its first append-only file would ignore SIGTERM.
func start(config ...string) (*server, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, exec.ErrNotFound
	}
	dir, err := os.MkdirTemp("", "chaintest-")
	if err != nil {
		return nil, err
	}
	s := &server{socket: filepath.Join(dir, "redis.sock")}
	cmd := exec.Command("sh", append([]string{
		"-c", `"$@" & read -r _; kill -9 $!; wait; rm -rf "$0"`, dir, path,
		"--port", "0", "--unixsocket", s.socket, "--save", "",
		"--dir", dir, "--logfile", filepath.Join(dir, "log"),
	}, config...)...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start redis-server: %w", err)
	}
	s.stop = func() { _ = stdin.Close(); _ = cmd.Wait() }
	rdb := redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket})
	defer func() { _ = rdb.Close() }()
	deadline := time.Now().Add(10 * time.Second)
	for ; rdb.Ping(context.Background()).Err() != nil; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.stop()
			return nil, fmt.Errorf("redis-server in %s does not answer", dir)
		}
	}
	return s, nil
}
