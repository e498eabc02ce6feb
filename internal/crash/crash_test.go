package crash_test

import (
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/internal/crash"
	"github.com/stretchr/testify/require"
)

const accessLine = "2026/11/27 15:00:00 POST / - 200 OK - ContentLength: 5B (0.0003s) [abc]\n"

const goroutinePanic = accessLine + `panic: the oven is on fire

goroutine 34 [running]:
github.com/hearthfaas/hearth/bakery.Bake(...)
	github.com/hearthfaas/hearth/bakery/bake.go:33
github.com/hearthfaas/hearth.bake.func1()
	github.com/hearthfaas/hearth/handler.go:12 +0x25
created by github.com/hearthfaas/hearth.bake in goroutine 33
	github.com/hearthfaas/hearth/handler.go:11 +0x18
`

const concurrentWrites = `fatal error: concurrent map writes

goroutine 8 [running]:
internal/runtime/maps.fatal({0x5c3a4e?, 0x0?})
	runtime/panic.go:1046 +0x18
github.com/redis/go-redis/v9.(*Client).Process(...)
	github.com/redis/go-redis/v9@v9.1.0/redis.go:300
github.com/hearthfaas/hearth.Handle({0x1})
	github.com/hearthfaas/hearth/handler.go:20 +0x45
github.com/hearthfaas/hearth/_watchdog.(*watchdog).handle.func1()
	github.com/hearthfaas/hearth/_watchdog/main.go:263 +0xa5
`

func TestReason(t *testing.T) {
	const ours = "github.com/hearthfaas/hearth"
	tests := map[string]struct{ module, printed, want string }{
		"nothing":             {ours, "", ""},
		"only the access log": {ours, accessLine + accessLine, ""},
		"its own last words": {ours, "listening\n2026/11/27 15:00:00 no flour\n" + accessLine,
			"2026/11/27 15:00:00 no flour"},
		"a panic in a package": {ours, goroutinePanic,
			"panic: the oven is on fire, at bakery/bake.go:33"},
		"a panic, of unknown module": {"", goroutinePanic,
			"panic: the oven is on fire, at github.com/hearthfaas/hearth/bakery/bake.go:33"},
		"a fatal error in the handler": {ours, concurrentWrites,
			"fatal error: concurrent map writes, at functions/oven/handler.go:20"},
		"the trace names the module": {"", concurrentWrites,
			"fatal error: concurrent map writes, at functions/oven/handler.go:20"},
		"a stranger's module": {"handler/function",
			strings.ReplaceAll(concurrentWrites, ours, "handler/function"),
			"fatal error: concurrent map writes, at functions/oven/handler.go:20"},
		"what is logged of a panic that was recovered": {ours,
			"2026/11/27 15:00:00 the function panicked: boom\n", "2026/11/27 15:00:00 the function " +
				"panicked: boom"},
		"the last panic counts": {ours, "panic: old\n" + concurrentWrites,
			"fatal error: concurrent map writes, at functions/oven/handler.go:20"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := crash.NewReader("oven", tt.module)
			for line := range strings.Lines(tt.printed) {
				r.Line(line)
			}
			require.Equal(t, tt.want, r.Reason())
			r.Reset()
			require.Empty(t, r.Reason())
		})
	}
}

func TestLongReasonsAreCut(t *testing.T) {
	r := crash.NewReader("oven", "")
	r.Line("panic: " + strings.Repeat("é", 10_000))
	require.Less(t, len(r.Reason()), 600)
}
