package headers_test

import (
	"net/http"
	"testing"

	"github.com/hearthfaas/hearth/internal/headers"
	"github.com/stretchr/testify/require"
)

func TestHeadersOfAnEntryCannotFrameItsCall(t *testing.T) {
	t.Parallel()
	got, err := headers.OfEntry(http.Header{
		"transfer-encoding":   {"chunked"},
		"content-length":      {"5"},
		"CONNECTION":          {"x-private, keep-alive"},
		"x-private":           {"1"},
		"keep-alive":          {"1"},
		"te":                  {"trailers"},
		"trailer":             {"X"},
		"upgrade":             {"h2c"},
		"host":                {"other"},
		"expect":              {"100-continue"},
		"proxy-authorization": {"x"},
		"accept":              {"a"},
		"Accept":              {"b"},
		"X-Own":               {"c"},
	})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"a", "b"}, got["Accept"])
	delete(got, "Accept")
	require.Equal(t, http.Header{"X-Own": {"c"}}, got)

	for name, h := range map[string]http.Header{
		"a name with a line break":  {"X\r\nTransfer-Encoding": {"chunked"}},
		"a name with a colon":       {"X:": {"1"}},
		"no name":                   {"": {"1"}},
		"a value with a line break": {"X": {"1\r\nTransfer-Encoding: chunked"}},
		"a value with a null":       {"X": {"\x00"}},
	} {
		_, err := headers.OfEntry(h)
		require.ErrorContains(t, err, "cannot be sent", name)
	}
	got, err = headers.OfEntry(nil)
	require.NoError(t, err)
	require.NotNil(t, got)
}

func TestDeliveryHeadersAreDroppedInEachSpelling(t *testing.T) {
	t.Parallel()
	h, err := headers.OfEntry(http.Header{
		"x-topic":          {"a.b"},
		"X_Delivery_Token": {"t"},
		"x-MESSAGE-id":     {"1-1"},
		"X-Other":          {"o"},
		"x_other":          {"p"},
	})
	require.NoError(t, err)
	headers.DropDelivery(h)
	require.Equal(t, http.Header{"X-Other": {"o"}, "X_other": {"p"}}, h)
}
