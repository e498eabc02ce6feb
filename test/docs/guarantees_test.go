// Package docs has no code. Its tests hold the documents to what they say of the project.
package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	proofs = regexp.MustCompile("((?:`Test[A-Za-z0-9]+`(?:, )?)+) \\(([a-z0-9/]+)\\)")
	names  = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
)

// TestEachGuaranteeHasItsTest requires that the tests named in docs/explanation/guarantees.md exist in the
// packages named there.
func TestEachGuaranteeHasItsTest(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/explanation/guarantees.md")
	require.NoError(t, err)
	_, promised, _ := strings.Cut(string(text), "## Promised\n")
	promised, _, _ = strings.Cut(promised, "\n## ")
	_, table, _ := strings.Cut(promised, "\n|---")
	rows := strings.Split(strings.TrimSpace(table), "\n")[1:]
	require.Greater(t, len(rows), 20)
	for _, row := range rows {
		found := proofs.FindAllStringSubmatch(row, -1)
		require.NotEmpty(t, found, "no test in: %s", row)
		require.Len(t, names.FindAllString(row, -1), strings.Count(row, "`Test"), row)
		proved := 0
		for _, group := range found {
			var source strings.Builder
			files, err := filepath.Glob(filepath.Join("../..", filepath.FromSlash(group[2]), "*_test.go"))
			require.NoError(t, err)
			for _, file := range files {
				text, err := os.ReadFile(file)
				require.NoError(t, err)
				source.Write(text)
			}
			for _, name := range names.FindAllStringSubmatch(group[1], -1) {
				require.True(t, strings.Contains(source.String(), "\nfunc "+name[1]+"(t *testing.T) {"),
					"package %s has no %s, which guarantees.md names", group[2], name[1])
				proved++
			}
		}
		require.Equal(t, strings.Count(row, "`Test"), proved, "a test without its package: %s", row)
	}
}
