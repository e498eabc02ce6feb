package redisserver_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redisserver"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// TestAScriptIsDoneWholeOrNotAtAllWhereverADeathInterruptedTheWrite cuts the append-only file in the middle
// of a script's writes. Then Redis runs twice: in its second life it reads what the first one appended.
func TestAScriptIsDoneWholeOrNotAtAllWhereverADeathInterruptedTheWrite(t *testing.T) {
	t.Parallel()
	const twice = `redis.call('INCR', KEYS[1]) redis.call('INCR', KEYS[2]) return 1`
	dir, err := os.MkdirTemp("", "hearth-aof-") // t.TempDir is too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	life := func(do func(rdb *goredis.Client)) {
		t.Helper()
		socket := filepath.Join(dir, "s")
		s, err := redisserver.Start(t.Context(), redisserver.Config{
			Dir:       dir,
			Socket:    socket,
			Fsync:     "always",
			MaxMemory: "100mb",
			Log:       slog.New(slog.DiscardHandler),
		})
		if hearth.CodeOf(err) == hearth.NotFound {
			t.Skip("needs a redis-server in PATH")
		}
		require.NoError(t, err)
		rdb := goredis.NewClient(&goredis.Options{Network: "unix", Addr: socket})
		do(rdb)
		require.NoError(t, rdb.Close())
		require.NoError(t, s.Close())
	}
	both := func(rdb *goredis.Client) (string, string) {
		return rdb.Get(t.Context(), "a").Val(), rdb.Get(t.Context(), "b").Val()
	}
	run := func(rdb *goredis.Client) {
		require.NoError(t, rdb.Eval(t.Context(), twice, []string{"a", "b"}).Err())
	}

	life(run)
	file := filepath.Join(dir, "appendonlydir", "appendonly.aof.1.incr.aof")
	one, err := os.Stat(file)
	require.NoError(t, err)
	life(run)
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	for cut := one.Size() + 1; cut < int64(len(whole)); cut += 11 {
		require.NoError(t, os.WriteFile(file, whole[:cut], 0o600))
		life(func(rdb *goredis.Client) {
			a, b := both(rdb)
			require.Equal(t, "1", a, "cut at %d: %q", cut, whole[one.Size():cut])
			require.Equal(t, "1", b)
			run(rdb)
		})
		life(func(rdb *goredis.Client) {
			a, b := both(rdb)
			require.Equal(t, "2", a, "cut at %d: %q", cut, whole[one.Size():cut])
			require.Equal(t, "2", b)
		})
	}
}

func TestRepairCutsOnlyWhatWasInterrupted(t *testing.T) {
	t.Parallel()
	const (
		set   = "*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$5\r\n*1\r\n$\r\n"
		multi = "*1\r\n$5\r\nMULTI\r\n"
		exec  = "*1\r\n$4\r\nexec\r\n"
	)
	tests := map[string]struct{ file, want string }{
		"nothing":                         {"", ""},
		"whole commands":                  {set + set, set + set},
		"a whole transaction":             {set + multi + set + exec, set + multi + set + exec},
		"half a command":                  {set + set[:20], set},
		"a command without its last byte": {set + set[:len(set)-1], set},
		"half a command in a transaction": {set + multi + set + set[:9], set},
		"a transaction without its end":   {set + multi + set, set},
		"half a beginning":                {set + multi[:5], set},
		"half a file of nothing else":     {set[:5], ""},
		"comments": {
			"#TS:1\r\n" + set + "#TS:2\r\n",
			"#TS:1\r\n" + set + "#TS:2\r\n",
		},
		"a comment in an open transaction":     {set + multi + "#TS:2\r\n", set},
		"what is no command is Redis's to say": {set + "\x00\x00\x00\n" + set, set + "\x00\x00\x00\n" + set},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			logs := filepath.Join(dir, "appendonlydir")
			require.NoError(t, os.Mkdir(logs, 0o700))
			manifest := "file appendonly.aof.1.base.rdb seq 1 type b\n" +
				"file appendonly.aof.1.incr.aof seq 1 type i\n" +
				"file appendonly.aof.2.incr.aof seq 2 type i\n"
			path := filepath.Join(logs, "appendonly.aof.manifest")
			require.NoError(t, os.WriteFile(path, []byte(manifest), 0o600))
			first, last := filepath.Join(logs, "appendonly.aof.1.incr.aof"),
				filepath.Join(logs, "appendonly.aof.2.incr.aof")
			require.NoError(t, os.WriteFile(first, []byte(multi), 0o600))
			require.NoError(t, os.WriteFile(last, []byte(tt.file), 0o600))
			cut, err := redisserver.Repair(dir)
			require.NoError(t, err)
			require.EqualValues(t, len(tt.file)-len(tt.want), cut)
			left, err := os.ReadFile(last)
			require.NoError(t, err)
			require.Equal(t, tt.want, string(left))
			other, err := os.ReadFile(first)
			require.NoError(t, err)
			require.Equal(t, multi, string(other))
		})
	}
	cut, err := redisserver.Repair(t.TempDir())
	require.NoError(t, err, "a server that has not run yet")
	require.Zero(t, cut)
}
