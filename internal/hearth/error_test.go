package hearth_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/stretchr/testify/require"
)

func TestCodeOfAnError(t *testing.T) {
	t.Parallel()
	missing := hearth.NotFoundError(hearth.Name{Function: "oven", Namespace: "shop"})
	require.EqualError(t, missing, "there is no function oven in the namespace shop")
	for name, test := range map[string]struct {
		err  error
		want hearth.Code
	}{
		"no error":            {nil, ""},
		"an error of ours":    {missing, hearth.NotFound},
		"a wrapped one":       {fmt.Errorf("deploy oven: %w", missing), hearth.NotFound},
		"an error of another": {errors.New("disk full"), hearth.Internal},
	} {
		require.Equal(t, test.want, hearth.CodeOf(test.err), name)
	}
}
