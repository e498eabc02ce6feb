package dispatch_test

import (
	"log/slog"
	"testing"

	"github.com/hearthfaas/hearth/internal/redis"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// of each failed dial, of which a dispatcher that is cut off has many
	redis.LogTo(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}
