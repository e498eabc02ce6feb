package redis_test

import (
	"testing"

	"go.uber.org/goleak"
)

// The thread that forks children never ends: see package child.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/hearthfaas/hearth/internal/child.fork"))
}
