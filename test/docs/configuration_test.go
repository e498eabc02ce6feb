package docs

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	// getenv finds the environment variables that code reads.
	getenv   = regexp.MustCompile(`(?:Getenv|LookupEnv)\("([A-Za-z_]+)"\)`)
	envName  = regexp.MustCompile(`[a-zA-Z]+Env += "([A-Z_]+)"`)
	watchdog = regexp.MustCompile(`(?:number|duration|flag)\("([a-z_]+)",`)
	metric   = regexp.MustCompile(`"((?:gateway|hearth|http)_[a-z_]+)"`)
)

// TestEachEnvironmentVariableIsInTheReference compares docs/reference with the variables that the code reads.
func TestEachEnvironmentVariableIsInTheReference(t *testing.T) {
	t.Parallel()
	reference := read(t, "docs/reference/configuration.md") + read(t, "docs/reference/bakery.md") +
		read(t, "docs/how-to/monitoring.md")
	ours := regexp.MustCompile(`^(?:cmd|internal|cli|bakery|chain)/`)
	for _, file := range files(t, ".go") {
		if !ours.MatchString(file) || strings.HasSuffix(file, "_test.go") || strings.Contains(file, "test/") {
			continue
		}
		text := read(t, file)
		all := append(getenv.FindAllStringSubmatch(text, -1), envName.FindAllStringSubmatch(text, -1)...)
		for _, found := range all {
			if name := found[1]; name != "PATH" && name != "LANG" && name != "LISTEN_FDS" {
				requireNamed(t, reference, name, file)
			}
		}
	}
	for _, found := range watchdog.FindAllStringSubmatch(read(t, "template/go-http/main.go"), -1) {
		requireNamed(t, reference, found[1], "the template")
	}
}

func requireNamed(t *testing.T, reference, name, by string) {
	t.Helper()
	require.True(t, strings.Contains(reference, "`"+name),
		"docs/reference lacks %s, which is in %s", name, by)
}

// TestEachMetricIsInTheReference compares docs/reference/metrics.md with the metrics that the code exports.
func TestEachMetricIsInTheReference(t *testing.T) {
	t.Parallel()
	reference := read(t, "docs/reference/metrics.md")
	for _, file := range files(t, ".go") {
		if !strings.HasPrefix(file, "internal/metrics/") || strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, found := range metric.FindAllStringSubmatch(read(t, file), -1) {
			requireNamed(t, reference, found[1], file)
		}
	}
}

// TestTheLogHasTheMessagesOfTheGuide looks for the log messages that docs/how-to/troubleshooting.md explains.
func TestTheLogHasTheMessagesOfTheGuide(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	for _, file := range files(t, ".go") {
		ours := strings.HasPrefix(file, "internal/") || strings.HasPrefix(file, "cmd/")
		if ours && !strings.HasSuffix(file, "_test.go") {
			source.WriteString(read(t, file))
		}
	}
	_, logs, _ := strings.Cut(read(t, "docs/how-to/troubleshooting.md"), "\n## Logs\n")
	logs, _, _ = strings.Cut(logs, "\n## ")
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(logs, -1)
	require.NotEmpty(t, rows)
	for _, row := range rows {
		require.True(t, strings.Contains(source.String(), row[1]), "nothing logs %q", row[1])
	}
}
