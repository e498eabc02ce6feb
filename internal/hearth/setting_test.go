package hearth_test

import (
	"testing"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/stretchr/testify/require"
)

func TestEverySettingIsDescribedOnce(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range hearth.Settings() {
		require.False(t, seen[s.Name], "%s is listed twice", s.Name)
		seen[s.Name] = true
		require.NotEmpty(t, s.Type, s.Name)
		require.Regexp(t, `^[A-Z].*\.$`, s.Doc, s.Name)
		require.Contains(t, []hearth.Kind{hearth.KindLabel, hearth.KindAnnotation,
			hearth.KindEnvironment}, s.Kind, s.Name)
	}
}
