package dispatch_test

import (
	"fmt"
	"testing"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// A cut is where a cable is cut: at its n-th command, from 0; before Redis has it, or after Redis has run it,
// and then the answer is lost.
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

// A cable lies between a dispatcher and Redis, and is cut once.
type cable struct {
	*chaintest.Wire
	cut      cut
	snap     chan struct{} // closed when the cable is cut
	commands int           // there were so many
}

// cabled is a client of a test's Redis behind a cable.
func cabled(t *testing.T, raw *goredis.Client, c cut) (*redis.Client, *cable) {
	t.Helper()
	w := &cable{cut: c, snap: make(chan struct{})}
	w.Wire = chaintest.NewWire(t, raw, w.around)
	queue, err := redis.Open(t.Context(), w.URL())
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = queue.Close()
		w.Close()
	})
	return queue, w
}

// around runs one command after the other, and cuts the cable at one of them.
func (w *cable) around(run func()) (ok bool) {
	hit := w.commands == w.cut.command
	w.commands++
	if !hit || w.cut.after {
		run()
	}
	if hit {
		if w.cut.forGood {
			w.Cut()
		} else {
			w.Break()
		}
		close(w.snap)
	}
	return !hit
}
