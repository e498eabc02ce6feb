package cli

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVersionHasTheCommitIfKnown(t *testing.T) {
	t.Parallel()
	unknown := func() (*debug.BuildInfo, bool) { return nil, false }
	for described, want := range map[string]Build{
		"v0.2.0":                  {"0.2.0", ""},
		"v0.2.0-5-gab12cd3":       {"0.2.0", "ab12cd3"},
		"v0.2.0-5-gab12cd3-dirty": {"0.2.0", "ab12cd3-dirty"},
		"ab12cd3":                 {Version, "ab12cd3"},
		"":                        {Version, ""},
	} {
		require.Equal(t, want, buildOf(described, unknown), described)
	}
	recorded := func() (*debug.BuildInfo, bool) {
		return &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision",
			Value: "ab12cd3456"}}}, true
	}
	require.Equal(t, "0.1.0 (ab12cd3)", Build{"0.1.0", "ab12cd3"}.String())
	require.Equal(t, Build{Version, "ab12cd3"}, buildOf("", recorded))
}
