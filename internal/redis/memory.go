package redis

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	goredis "github.com/redis/go-redis/v9"
)

// Redis refuses what accepts work when it has reached its maxmemory, and so it would refuse to keep a spec or
// a secret too. So calls are refused before: the last tenth is for the platform's own writes.
const (
	reserved = 10                     // percent of a Redis's memory that no call may use
	perCall  = 512                    // bytes that a call takes besides its fields, about
	fresh    = time.Second            // for how long a measurement counts, while there is room
	retried  = 100 * time.Millisecond // and while there is none
)

// memory tracks the memory of one Redis server.
type memory struct {
	mu         sync.Mutex
	at         time.Time // when it was measured
	used, most int64     // most is 0 if there is no limit, or nobody knows it
	since      int64     // bytes of calls that were accepted since
	measuring  bool
}

// fits reports whether that many more bytes leave the reserve untouched. m.mu is held.
func (m *memory) fits(size int64) bool {
	return m.most == 0 || m.used+m.since+size <= m.most-m.most/100*reserved
}

// admit counts a call of so many bytes, if there is room for it. most is what the server may use in all; 0 is
// no limit.
func (m *memory) admit(size int64, measure func() (used, most int64, err error)) (ok bool, most int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	age := time.Since(m.at)
	size += size / 4 // what an allocator may add
	much := m.since > m.most/32 && age >= retried/10
	if !m.measuring && (age >= fresh || m.most > 0 && much || age >= retried && !m.fits(size)) {
		m.measuring = true
		m.mu.Unlock()
		used, most, err := measure()
		m.mu.Lock()
		m.measuring, m.at = false, time.Now()
		if err == nil { // else the call itself will find out what is wrong
			m.used, m.most, m.since = used, most, 0
		}
	}
	if ok = m.fits(size); ok {
		m.since += size
	}
	return ok, m.most
}

// room reports whether Redis has room for a call of so many bytes, and how many bytes one function may have
// at most: half of all. If there is no room, it is made: the record of calls is dropped, of each function,
// keys of calls that have ended are forgotten, and callbacks that were given up are dropped, the oldest
// first.
func (c *Client) room(ctx context.Context, key string, size int64) (ok bool, most int64) {
	if c.embedded {
		return true, 0
	}
	server, name := c.rdb, ""
	if c.cluster != nil {
		node, err := c.cluster.MasterForKey(ctx, key)
		if err != nil {
			return true, 0
		}
		server, name = node, node.Options().Addr
	}
	kept, _ := c.memory.LoadOrStore(name, &memory{})
	m := kept.(*memory)
	measure := func() (used, most int64, err error) { return measureMemory(ctx, server) }
	ok, all := m.admit(size, measure)
	if !ok && c.makeRoom(ctx) {
		m.mu.Lock()
		m.at = time.Time{}
		m.mu.Unlock()
		ok, all = m.admit(size, measure)
	}
	return ok, all / 2
}

func measureMemory(ctx context.Context, rdb goredis.UniversalClient) (used, most int64, err error) {
	info, err := rdb.Info(ctx, "memory").Result()
	if err != nil {
		return 0, 0, err
	}
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(infoField(info, name), 10, 64)
		return n
	}
	return number("used_memory") - number("mem_not_counted_for_evict"), number("maxmemory"), nil
}

// makeRoom makes room, unless that was tried a moment ago. It reports whether it did.
func (c *Client) makeRoom(ctx context.Context) bool {
	if !c.making.TryLock() {
		return false
	}
	defer c.making.Unlock()
	if time.Since(c.made) < retried {
		return false
	}
	defer func() { c.made = time.Now() }()
	subs, err := c.Subscriptions(ctx)
	if err != nil {
		return false
	}
	did := c.DropRecords(ctx, subs) == nil && !c.noRecord // the record of calls gives way first
	for _, s := range subs {
		n, err := hearth.ParseName(s.Group)
		if err != nil || s != CallsOf(n) {
			continue
		}
		dropped, err := roomLua.Run(ctx, c.rdb, withCallbacks(n), s.Group).Int()
		if err != nil && wire.IsUnavailable(err) {
			break
		}
		did = did || dropped > 0
	}
	return did
}
