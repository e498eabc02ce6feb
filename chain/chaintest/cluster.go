package chaintest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/redis/go-redis/v9"
)

// A RedisCluster is a Redis Cluster of a test's own: real servers, of which each has a part of the slots.
type RedisCluster struct {
	*redis.ClusterClient
	Nodes []*Node
}

// A Node is one server of a RedisCluster.
type Node struct {
	Addr   string
	dir    string
	bus    int
	config []string
	end    func() // kill -9
}

const (
	masters  = 3
	allSlots = 16384
)

// Cluster is an empty cluster of three masters. The tests of one binary have it one after the other; so a
// test that has it in parallel with others waits for them. It skips the test where there is no redis-server.
func Cluster(t testing.TB) *RedisCluster {
	t.Helper()
	shared.mu.Lock()
	t.Cleanup(shared.mu.Unlock)
	if shared.nodes == nil && shared.err == nil {
		shared.nodes, shared.err = startCluster("", 0, true)
	}
	skipWithoutServer(t, shared.err)
	c := connect(t, shared.nodes)
	empty := func(ctx context.Context, node *redis.Client) error { return node.FlushAll(ctx).Err() }
	if err := c.ForEachMaster(t.Context(), empty); err != nil {
		t.Fatalf("chaintest: empty the cluster: %v", err)
	}
	return c
}

var shared struct {
	mu    sync.Mutex
	nodes []*Node
	err   error
}

// OwnCluster is a cluster that no other test has, so that its nodes may be ended. What they were told
// outlives them. Of each master there are so many replicas.
func OwnCluster(t testing.TB, replicas int) *RedisCluster {
	t.Helper()
	nodes, err := startCluster(t.TempDir(), replicas, false)
	t.Cleanup(func() {
		for _, n := range nodes {
			n.Kill()
		}
	})
	skipWithoutServer(t, err)
	return connect(t, nodes)
}

func skipWithoutServer(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("needs a redis-server in PATH: miniredis is no cluster")
	}
	if err != nil {
		t.Fatalf("chaintest: start a cluster: %v", err)
	}
}

func connect(t testing.TB, nodes []*Node) *RedisCluster {
	opt := wire.Cluster(&redis.Options{})
	opt.Addrs = nil
	for _, n := range nodes {
		opt.Addrs = append(opt.Addrs, n.Addr)
	}
	c := &RedisCluster{wire.NewCluster(opt), nodes}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// MasterOf is the node that has a key's slot now.
func (c *RedisCluster) MasterOf(t testing.TB, key string) *Node {
	t.Helper()
	c.ReloadState(t.Context())
	rdb, err := c.MasterForKey(t.Context(), key)
	if err != nil {
		t.Fatalf("chaintest: %v", err)
	}
	for _, n := range c.Nodes {
		if n.Addr == rdb.Options().Addr {
			return n
		}
	}
	t.Fatalf("chaintest: no node has the address %s", rdb.Options().Addr)
	return nil
}

// startCluster starts the nodes and lets them know each other. Without a directory they have one of their
// own, which goes with them when the test binary ends.
func startCluster(dir string, replicas int, inMemory bool) (nodes []*Node, err error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, exec.ErrNotFound
	}
	for range masters * (1 + replicas) {
		n := &Node{}
		nodes = append(nodes, n)
		if n.dir, err = os.MkdirTemp(dir, "cluster-"); err != nil {
			return nodes, err
		}
		for tries := 0; ; tries++ { // another process may be quicker to take a port that was free
			if err = n.found(path, inMemory); err == nil {
				break
			}
			n.Kill()
			if tries == 4 {
				return nodes, err
			}
		}
	}
	return nodes, join(nodes)
}

// found starts a node that is yet of no cluster, on ports that are free.
func (n *Node) found(path string, inMemory bool) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	if n.bus, err = freePort(); err != nil {
		return err
	}
	n.Addr = fmt.Sprintf("127.0.0.1:%d", port)
	// A slot whose node is away must not keep the others from working.
	n.config = []string{
		path, "--port", fmt.Sprint(port), "--cluster-port", fmt.Sprint(n.bus), "--bind", "127.0.0.1",
		"--cluster-enabled", "yes", "--cluster-config-file", filepath.Join(n.dir, "nodes.conf"),
		"--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no",
		"--repl-diskless-sync-delay", "0", "--save", "",
		"--dir", n.dir, "--logfile", filepath.Join(n.dir, "log"),
	}
	if !inMemory {
		n.config = append(n.config, "--appendonly", "yes")
	}
	return n.start(inMemory)
}

// freePort is a port of loopback that nobody had a moment ago.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Start starts a node that was ended, with what it had. It does not wait until the others know.
func (n *Node) Start(t testing.TB) {
	t.Helper()
	if err := n.start(false); err != nil {
		t.Fatalf("chaintest: %v", err)
	}
}

func (n *Node) start(temporary bool) error {
	after := "true"
	if temporary {
		after = `rm -rf "$0"`
	}
	cmd := exec.Command("sh",
		append([]string{"-c", `"$@" & read -r _; kill -9 $!; wait; ` + after, n.dir}, n.config...)...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start redis-server: %w", err)
	}
	n.end = sync.OnceFunc(func() { _ = stdin.Close(); _ = cmd.Wait() })
	return n.until("it answers", 5*time.Second, func(rdb *redis.Client) bool {
		return rdb.Ping(context.Background()).Err() == nil
	})
}

// Kill ends a node as kill -9 does.
func (n *Node) Kill() {
	if n.end != nil {
		n.end()
	}
}

// until waits for what a node says.
func (n *Node) until(what string, within time.Duration, condition func(*redis.Client) bool) error {
	rdb := redis.NewClient(&redis.Options{Addr: n.Addr, MaxRetries: -1, DialerRetries: 1})
	defer func() { _ = rdb.Close() }()
	for deadline := time.Now().Add(within); !condition(rdb); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("redis-server in %s: waited in vain until %s", n.dir, what)
		}
	}
	return nil
}

// do sends a node one command.
func (n *Node) do(args ...any) (string, error) {
	rdb := redis.NewClient(&redis.Options{Addr: n.Addr, MaxRetries: -1})
	defer func() { _ = rdb.Close() }()
	return rdb.Do(context.Background(), args...).Text()
}

// join makes a cluster of the nodes: the first ones are masters.
func join(nodes []*Node) error {
	host, port, _ := net.SplitHostPort(nodes[0].Addr)
	for i, n := range nodes {
		if _, err := n.do("CLUSTER", "SET-CONFIG-EPOCH", i+1); err != nil {
			return err
		}
		if i < masters {
			first, last := i*allSlots/masters, (i+1)*allSlots/masters-1
			if _, err := n.do("CLUSTER", "ADDSLOTSRANGE", first, last); err != nil {
				return err
			}
		}
		if i > 0 {
			if _, err := n.do("CLUSTER", "MEET", host, port, nodes[0].bus); err != nil {
				return err
			}
		}
	}
	var ids []string
	for _, n := range nodes {
		if err := n.until("all nodes know each other", 20*time.Second, func(rdb *redis.Client) bool {
			info, _ := rdb.ClusterInfo(context.Background()).Result()
			list, _ := rdb.ClusterNodes(context.Background()).Result()
			return strings.Contains(info, "cluster_state:ok") &&
				strings.Contains(info, "cluster_slots_ok:16384") &&
				strings.Count(list, "connected") == len(nodes) &&
				!strings.Contains(list, "handshake") && !strings.Contains(list, "disconnected")
		}); err != nil {
			return err
		}
		id, err := n.do("CLUSTER", "MYID")
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	for i, n := range nodes[masters:] {
		if _, err := n.do("CLUSTER", "REPLICATE", ids[i%masters]); err != nil {
			return err
		}
	}
	for _, n := range nodes[masters:] {
		if err := n.until("it has what its master has", 20*time.Second, func(rdb *redis.Client) bool {
			info, _ := rdb.Info(context.Background(), "replication").Result()
			return strings.Contains(info, "master_link_status:up")
		}); err != nil {
			return err
		}
	}
	return nil
}
