package redis

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	goredis "github.com/redis/go-redis/v9"
)

// Users gives each function a Redis user of its own, where Redis lets it (ACL). Such a user reaches the keys
// and channels of the tags of its function's topics and no others, and no command that is about the server or
// other clients. Users live in Redis's memory only, unless it has an ACL file; so they are made again when
// they are missing, and their passwords are derived from the secret-key.
//
// Environment puts the user into the addresses of this Redis that a function finds in its environment. Users
// are removed some time after their function, for its last calls and those on other instances.
type Users struct {
	c    *Client
	own  *url.URL        // of the platform
	at   map[string]bool // its addresses
	log  *slog.Logger
	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex
	wanted map[string][]string  // user -> rules
	stale  map[string]bool      // users whose rules are not in Redis yet
	gone   map[string]time.Time // users without a function, and since when
}

const (
	usersEvery  = time.Second      // how often to look whether users are missing
	userOutlive = 10 * time.Minute // its function
)

// commands are what functions' users may do: with keys, messages and scripts; nothing with the server, other
// clients, or names of keys.
var commands = []string{
	"-@all", "+@hash", "+@list", "+@set", "+@sortedset", "+@string", "+@stream",
	"+@bitmap", "+@hyperloglog", "+@geo", "+@pubsub",
	"+@transaction", "+@connection", "+@scripting", "-@admin", "-@dangerous",
	"+del", "+unlink", "+exists", "+type", "+touch", "+rename", "+renamenx", "+copy",
	"+expire", "+pexpire", "+expireat", "+pexpireat", "+expiretime", "+pexpiretime",
	"+ttl", "+pttl", "+persist", "+time", "+wait", "+info",
	"-pubsub", "-function", "-fcall", "-fcall_ro", "-script", "+script|load", "+script|exists",
	"-client", "+client|id", "+client|setname", "+client|getname", "-select",
	"+cluster|slots", "+cluster|shards", "+cluster|nodes",
	"+cluster|info", "+cluster|myid", "+cluster|keyslot",
}

// OpenUsers finds out whether this Redis lets us make users; own is the URL that the platform itself has. It
// returns an error of code Invalid if not. Close must be called.
func OpenUsers(ctx context.Context, c *Client, own string, log *slog.Logger) (*Users, error) {
	u, err := url.Parse(own)
	if err != nil {
		return nil, hearth.Errorf(hearth.Invalid, "the Redis URL cannot be read")
	}
	if c.records.Key.IsZero() {
		return nil, errNoKey
	}
	s := &Users{c: c, own: u, at: addressesOf(u), log: log, done: make(chan struct{}),
		wanted: map[string][]string{}, stale: map[string]bool{}, gone: map[string]time.Time{}}
	probe := s.prefix() + "probe"
	err = c.eachServer(ctx, func(ctx context.Context, server *goredis.Client) error {
		if err := server.Do(ctx, "ACL", "SETUSER", probe, "reset").Err(); err != nil {
			return err
		}
		return server.Do(ctx, "ACL", "DELUSER", probe).Err()
	})
	if wire.IsUnavailable(err) {
		return nil, unavailable("make a user", err)
	}
	if err != nil {
		return nil, hearth.Errorf(hearth.Invalid, "it does not let us make users: %w", err)
	}
	var loop context.Context
	loop, s.stop = context.WithCancel(context.Background())
	go s.run(loop)
	return s, nil
}

// Close ends the care for users. They stay.
func (s *Users) Close() {
	s.stop()
	<-s.done
}

// OpenToAll reports whether this Redis lets in everybody who reaches it, with all rights: then users keep
// nobody out.
func (s *Users) OpenToAll(ctx context.Context) bool {
	var found atomic.Bool
	_ = s.c.eachServer(ctx, func(ctx context.Context, server *goredis.Client) error {
		list, err := server.Do(ctx, "ACL", "LIST").StringSlice()
		for _, user := range list {
			words := strings.Fields(user)
			if len(words) > 1 && words[1] == "default" && slices.Contains(words, "on") &&
				slices.Contains(words, "nopass") {
				found.Store(true)
			}
		}
		return err
	})
	return found.Load()
}

// eachServer runs do for each server: for a cluster's replicas too, as any may become a master. Of a cluster,
// servers that do not answer are left out.
func (c *Client) eachServer(ctx context.Context, do func(context.Context, *goredis.Client) error) error {
	if c.cluster == nil {
		return do(ctx, c.single)
	}
	return c.cluster.ForEachShard(ctx, func(ctx context.Context, server *goredis.Client) error {
		if err := do(ctx, server); !wire.IsUnavailable(err) {
			return err
		}
		return nil
	})
}

// prefix is what users' names begin with. Hearths with another key have other users, so that several may
// share a Redis.
func (s *Users) prefix() string { return "hearth-" + s.c.records.Key.ID() + "." }

func (s *Users) userOf(n hearth.Name) string { return s.prefix() + n.String() }

// addressesOf are those that a URL names, in one form.
func addressesOf(u *url.URL) map[string]bool {
	if u.Scheme == "unix" {
		return map[string]bool{path.Clean(u.Path): true}
	}
	found := map[string]bool{}
	for _, address := range append(u.Query()["addr"], u.Host) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			host, port = strings.Trim(address, "[]"), "6379"
		}
		switch host = strings.ToLower(host); host {
		case "localhost", "::1", "":
			host = "127.0.0.1"
		}
		found[net.JoinHostPort(host, port)] = true
	}
	return found
}

// restricted is a value of a function's environment with its user, if it is an address of this Redis. One
// with a user that an operator has made for it stays as it is.
func (s *Users) restricted(n hearth.Name, value string) (string, bool) {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "redis" && u.Scheme != "rediss" && u.Scheme != "unix" {
		return value, false
	}
	if name := u.User.Username(); name != "" && name != "default" && name != s.own.User.Username() {
		return value, false
	}
	for address := range addressesOf(u) {
		if s.at[address] {
			u.User = url.UserPassword(s.userOf(n), s.c.records.Key.Password(s.userOf(n)))
			return u.String(), true
		}
	}
	return value, false
}

// Environment gives the addresses of this Redis in a function's environment the function's user.
func (s *Users) Environment(f hearth.Function, env map[string]string) {
	for name, value := range env {
		env[name], _ = s.restricted(f.Name(), value)
	}
}

// PublicURL is the address of this Redis without the platform's password: what a stack file gives to
// functions.
func (s *Users) PublicURL() string {
	u := *s.own
	u.User = nil
	return u.String()
}

// rules are those of a function's user.
func (s *Users) rules(f hearth.Function) []string {
	sum := sha256.Sum256([]byte(s.c.records.Key.Password(s.userOf(f.Name()))))
	rules := append([]string{"reset", "on", "#" + hex.EncodeToString(sum[:]), "resetchannels"}, commands...)
	databases := map[string]bool{}
	for _, value := range f.EnvVars {
		if found, ok := s.restricted(f.Name(), value); ok {
			one, _, err := wire.ParseURL(found)
			if err == nil && one != nil {
				databases[fmt.Sprint(one.DB)] = true
			}
		}
	}
	for _, db := range slices.Sorted(maps.Keys(databases)) {
		rules = append(rules, "+select|"+db)
	}
	for _, pattern := range f.RedisKeys {
		rules = append(rules, "~"+pattern, "&"+pattern)
	}
	return rules
}

// Grant creates the Redis user of a function that is about to run, if the function has an address of this
// Redis. If Redis is unavailable, the user is created later.
func (s *Users) Grant(ctx context.Context, f hearth.Function) error {
	uses := false
	for _, value := range f.EnvVars {
		_, ok := s.restricted(f.Name(), value)
		uses = uses || ok
	}
	if !uses {
		return nil
	}
	user, rules := s.userOf(f.Name()), s.rules(f)
	s.mu.Lock()
	delete(s.gone, user)
	same := slices.Equal(s.wanted[user], rules) && !s.stale[user]
	s.wanted[user], s.stale[user] = rules, !same
	s.mu.Unlock()
	if same {
		return nil
	}
	return s.put(ctx, user)
}

// Revoke lets a function's user go, after a while.
func (s *Users) Revoke(n hearth.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	user := s.userOf(n)
	delete(s.wanted, user)
	delete(s.stale, user)
	s.gone[user] = time.Now()
}

// put makes a user what is wanted, on all servers.
func (s *Users) put(ctx context.Context, users ...string) error {
	for _, user := range users {
		s.mu.Lock()
		rules, ok := s.wanted[user]
		s.mu.Unlock()
		if !ok {
			continue
		}
		args := []any{"ACL", "SETUSER", user}
		for _, r := range rules {
			args = append(args, r)
		}
		if err := s.c.eachServer(ctx, func(ctx context.Context, server *goredis.Client) error {
			return server.Do(ctx, args...).Err()
		}); err != nil {
			return unavailable("give a function its user", err)
		}
		s.mu.Lock()
		s.stale[user] = false
		s.mu.Unlock()
	}
	return s.save(ctx)
}

// save lets users outlive a restart of a Redis that has a file for them. Others have not, which is no error.
func (s *Users) save(ctx context.Context) error {
	return s.c.eachServer(ctx, func(ctx context.Context, server *goredis.Client) error {
		err := server.Do(ctx, "ACL", "SAVE").Err()
		var reply goredis.Error
		if errors.As(err, &reply) {
			return nil
		}
		return err
	})
}

func (s *Users) run(ctx context.Context) {
	defer close(s.done)
	tick := time.NewTicker(usersEvery)
	defer tick.Stop()
	said := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n, err := s.runOnce(ctx)
		if err != nil && ctx.Err() == nil && hearth.CodeOf(err) != hearth.Unavailable && !said {
			s.log.Error("could not create the Redis users of functions; retrying", "error", err)
		}
		said = err != nil
		if n > 0 {
			s.log.Info("created lost Redis users of functions again", "count", n)
		}
	}
}

// runOnce makes users again that are missing, as after a restart of Redis, and removes those that nobody
// needs. It returns how many it has made.
func (s *Users) runOnce(ctx context.Context) (n int, err error) {
	s.mu.Lock()
	needed := len(s.wanted)+len(s.gone) > 0
	s.mu.Unlock()
	if !needed {
		return 0, nil
	}
	var seen sync.Mutex
	there := map[string]int{}
	servers := 0
	if err := s.c.eachServer(ctx, func(ctx context.Context, server *goredis.Client) error {
		names, err := server.Do(ctx, "ACL", "USERS").StringSlice()
		if err != nil {
			return err
		}
		seen.Lock()
		defer seen.Unlock()
		servers++
		for _, name := range names {
			there[name]++
		}
		return nil
	}); err != nil {
		return 0, unavailable("look for the users of functions", err)
	}
	s.mu.Lock()
	var missing, over []string
	for user := range s.wanted {
		if s.stale[user] || there[user] < servers {
			missing = append(missing, user)
		}
	}
	for user, since := range s.gone {
		if time.Since(since) > userOutlive {
			over = append(over, user)
		}
	}
	s.mu.Unlock()
	if len(missing) > 0 {
		if err := s.put(ctx, missing...); err != nil {
			return 0, err
		}
	}
	for _, user := range over {
		if err := s.remove(ctx, user); err != nil {
			return len(missing), err
		}
	}
	return len(missing), nil
}

// remove removes a user, unless another instance has the function still.
func (s *Users) remove(ctx context.Context, user string) error {
	deployed, err := s.c.rdb.HExists(ctx, keyFunctions, strings.TrimPrefix(user, s.prefix())).Result()
	if err != nil {
		return unavailable("look for a function", err)
	}
	s.mu.Lock()
	since, still := s.gone[user]
	delete(s.gone, user)
	s.mu.Unlock()
	if deployed || !still {
		return nil
	}
	err = s.c.eachServer(ctx, func(ctx context.Context, server *goredis.Client) error {
		return server.Do(ctx, "ACL", "DELUSER", user).Err()
	})
	if err != nil {
		s.mu.Lock()
		s.gone[user] = since
		s.mu.Unlock()
		return unavailable("remove a user", err)
	}
	return s.save(ctx)
}
