package docs

import (
	"os"
	"regexp"
	"testing"

	"github.com/hearthfaas/hearth/cli"
	"github.com/stretchr/testify/require"
)

func TestVersionIsTheNewestOfTheChangelog(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../CHANGELOG.md")
	require.NoError(t, err)
	newest := regexp.MustCompile(`(?m)^## \[?(\d+\.\d+\.\d+)`).FindSubmatch(text)
	require.NotNil(t, newest, "CHANGELOG.md has no version")
	require.Equal(t, string(newest[1]), cli.Version)
}
