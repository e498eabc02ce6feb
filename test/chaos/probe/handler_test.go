package function

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	handler "github.com/openfaas/templates-sdk/go-http"
	"github.com/stretchr/testify/require"
)

func TestRecordsCalls(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CHAOS_DIR", dir)
	t.Setenv("OPENFAAS_NAME", "probe")
	answer, err := Handle(handler.Request{Body: []byte("17"),
		Header: http.Header{wire.HeaderAttempt: {"1"}, wire.HeaderCallID: {"abc"}}})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, answer.StatusCode)

	rdb := chaintest.Redis(t)
	ctx := chain.WithRedis(t.Context(), rdb)
	first, second := chaintest.Subscribe(t, rdb, topicWork, "tally"), chaintest.Subscribe(t, rdb,
		topicDone, "tally")
	chaintest.Put(t, rdb, topicWork, `{"n":"3"}`)
	for _, s := range []wire.Subscription{first, second} {
		m, ok, err := chaintest.Take(ctx, rdb, s)
		require.NoError(t, err)
		require.True(t, ok)
		for range 2 {
			answer, err = Handle(m.Request(ctx))
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, answer.StatusCode, string(answer.Body))
		}
	}
	require.Equal(t, "1", rdb.HGet(ctx, keyWorked, "3").Val())
	require.Equal(t, "1", rdb.HGet(ctx, keyDone, "3").Val())

	require.NoError(t, os.WriteFile(filepath.Join(dir, "probe.mode"), []byte("fail"), 0o600))
	_, err = Handle(handler.Request{Body: []byte("18"),
		Header: http.Header{wire.HeaderAttempt: {"2"}, wire.HeaderCallID: {"def"}}})
	require.Error(t, err)
	text, err := os.ReadFile(filepath.Join(dir, "executions"))
	require.NoError(t, err)
	require.Regexp(t, `^begin \d+ call 17 1 abc\ndone \d+ call 17 1 abc\nbegin \d+ chaos.work \S+ 1 \n`,
		string(text))
	require.Regexp(t, `\nbegin \d+ call 18 2 def\n$`, string(text))
}
