package registry_test

import (
	"flag"
	"log/slog"
	"testing"

	"github.com/hearthfaas/hearth/internal/redis"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "12") // tests of stops and outages mostly wait
	redis.LogTo(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}
