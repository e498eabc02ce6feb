package gateway_test

import (
	"net/http"
	"testing"

	"github.com/hearthfaas/hearth/internal/gateway"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/stretchr/testify/require"
)

func TestIncompleteConfigIsRefused(t *testing.T) {
	t.Parallel()
	for _, cfg := range []gateway.Config{
		{Metrics: http.NotFoundHandler()},
		{Router: router.New(router.Config{})},
	} {
		_, err := gateway.New(cfg)
		require.Equal(t, hearth.Invalid, hearth.CodeOf(err))
	}
}
