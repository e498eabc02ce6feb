package gateway

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/logs"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// FuzzDeployBody: a body is refused in a few words that a terminal can show, or it is a deployment that can
// be kept and told again, word for word.
func FuzzDeployBody(f *testing.F) {
	f.Add([]byte(`{"service":"oven","image":"oven:1","envVars":{"exec_timeout":"1m"},` +
		`"labels":{"com.openfaas.scale.min":"1","x":"\u0000"},"annotations":{"topic":"a.b"},` +
		`"secrets":["key"]}`))
	f.Add([]byte(`{"service":"oven","image":"oven:1","namespace":"dev","limits":{"memory":"64Mi",` +
		`"cpu":"0.5"},"requests":null,"constraints":["a=b"],"readOnlyRootFilesystem":true,"network":"x"}`))
	f.Add([]byte(`{"service":"oven","image":"oven:1","annotations":{"topic":"cron-function",` +
		`"schedule":"*/5 * * * *"},"labels":null}`))
	f.Add([]byte(`{"service":1}`))
	f.Add([]byte(`[]`))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, body []byte) {
		read := func(body []byte) (d types.FunctionDeployment, err error) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/system/functions",
				bytes.NewReader(body))
			require.NoError(t, err)
			in, err := readInput(r)
			if err != nil {
				return d, err
			}
			d, _, err = deployment(in)
			return d, err
		}
		var fn hearth.Function
		d, err := read(body)
		if err == nil {
			fn, err = hearth.Parse(d)
		}
		if err != nil {
			require.Equal(t, hearth.Invalid, hearth.CodeOf(err))
			said := hearth.MessageOf(err)
			require.NotEmpty(t, said)
			require.Less(t, len(said), 1000)
			require.True(t, utf8.ValidString(said))
			require.NotContains(t, said, "\x1b")
			require.NotContains(t, said, "\n")
			return
		}
		kept, err := json.Marshal(d)
		require.NoError(t, err)
		again, err := read(kept)
		require.NoError(t, err)
		_, err = hearth.Parse(again)
		require.NoError(t, err)
		told, err := json.Marshal(again)
		require.NoError(t, err)
		require.Equal(t, string(kept), string(told))
		require.LessOrEqual(t, fn.MinReplicas, fn.MaxReplicas)
		require.LessOrEqual(t, fn.Timeout, 24*time.Hour)
	})
}

// FuzzLogQuery: a query is refused as one that cannot be understood, or it asks for the log of a name, which
// need not be there.
func FuzzLogQuery(f *testing.F) {
	f.Add("name=oven&namespace=&follow=true&tail=-1&since=2026-01-02T15%3A04%3A05Z&instance=oven-1")
	f.Add("name=oven&tail=10&tail=many&follow=maybe")
	f.Add("name=../../secret-key&since=1")
	f.Add("name=a;b&&=%zz")
	f.Add("name=oven&Name=baker")
	f.Fuzz(func(t *testing.T, query string) {
		in, err := readInput(&http.Request{Body: http.NoBody, URL: &url.URL{RawQuery: query}})
		var n hearth.Name
		var q logs.Query
		if err == nil {
			n, q, err = logQuery(in)
		}
		if err != nil {
			require.Contains(t, []int{http.StatusBadRequest, http.StatusUnprocessableEntity}, statusOf(err))
			require.Less(t, len(hearth.MessageOf(err)), 300)
			return
		}
		require.NotEmpty(t, n.Function)
		require.NotEmpty(t, n.Namespace)
		if said := in.query["tail"]; len(said) == 0 {
			require.Zero(t, q.Tail)
		}
		if said := in.query["since"]; len(said) == 0 {
			require.True(t, q.Since.IsZero())
		}
	})
}
