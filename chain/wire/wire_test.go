package wire_test

import (
	"fmt"
	"testing"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/stretchr/testify/require"
)

func TestStreamNames(t *testing.T) {
	t.Parallel()
	for topic, stream := range map[string]string{"bakery.dough": "{bakery}.dough", "a.b.c": "{a}.b.c",
		"x-1.y_2": "{x-1}.y_2"} {
		got, err := wire.Stream(topic)
		require.NoError(t, err)
		require.Equal(t, stream, got)
		back, ok := wire.Topic(got)
		require.True(t, ok)
		require.Equal(t, topic, back)
	}
	for _, topic := range []string{"", "bakery", ".dough", "bakery.", "a..b", "{a}.b",
		"a b.c", "a.b}", "ä.b"} {
		_, err := wire.Stream(topic)
		require.Error(t, err, topic)
	}
	for _, key := range []string{"", "{a}", "{a}:b", "a.b", "{a.b", "{a}.", "{a}.b c"} {
		_, ok := wire.Topic(key)
		require.False(t, ok, key)
	}
}

func FuzzParseEntry(f *testing.F) {
	f.Add("body", "x", "header", `{"A":["b"]}`)
	f.Add("body", "", "deliver-at", "3")
	f.Add("header", "{", "body", "x")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		e, err := wire.ParseEntry([]string{a, b, c, d})
		if err != nil {
			return
		}
		values, err := e.Values()
		require.NoError(t, err)
		fields := make([]string, len(values))
		for i, v := range values {
			fields[i] = fmt.Sprintf("%s", v)
		}
		again, err := wire.ParseEntry(fields)
		require.NoError(t, err)
		if len(e.Header) == 0 {
			e.Header = nil
		}
		if len(e.Body) == 0 {
			e.Body = []byte{}
		}
		require.Equal(t, e, again)
	})
}
