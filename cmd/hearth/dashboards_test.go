package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// The dashboards and rules of deploy must use metrics that exist: a wrong name is an
// empty panel, or an alert that never fires.

var (
	inQuotes  = regexp.MustCompile(`"[^"]*"`)
	inBraces  = regexp.MustCompile(`\{[^}]*\}`)
	inSquares = regexp.MustCompile(`\[[^\]]*\]`)
	grouping  = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	duration  = regexp.MustCompile(`\b[0-9]+(ms|[smhdwy])\b`)
	word      = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?`)
	labelOf   = regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)`)
)

// namesIn returns the metrics of a PromQL expression, and the labels that it selects or groups by.
func namesIn(expr string) (names, labels []string) {
	expr = inQuotes.ReplaceAllString(expr, `""`)
	for _, braces := range inBraces.FindAllString(expr, -1) {
		for _, m := range labelOf.FindAllStringSubmatch(braces, -1) {
			labels = append(labels, m[1])
		}
	}
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		for l := range strings.SplitSeq(m[2], ",") {
			labels = append(labels, strings.TrimSpace(l))
		}
	}
	bare := grouping.ReplaceAllString(inSquares.ReplaceAllString(inBraces.ReplaceAllString(expr, ""), ""), "")
	for _, w := range word.FindAllString(duration.ReplaceAllString(bare, ""), -1) {
		if w = strings.TrimSpace(w); !strings.HasSuffix(w, "(") &&
			!slices.Contains([]string{"and", "or", "unless", "bool", "offset"}, w) {
			names = append(names, w)
		}
	}
	return names, labels
}

// expressions returns all expressions of deploy by their place.
func expressions(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	var walk func(file string, v any)
	walk = func(file string, v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				walk(file, item)
			}
		case map[string]any:
			for key, item := range v {
				text, ok := item.(string)
				values, isValues := strings.CutPrefix(text, "label_values(")
				switch {
				case ok && key == "expr":
					found[file] = append(found[file], text)
				case ok && isValues:
					metric, label, _ := strings.Cut(strings.TrimSuffix(values, ")"), ",")
					found[file] = append(found[file], "count by ("+label+") ("+metric+")")
				default:
					walk(file, item)
				}
			}
		}
	}
	root := filepath.Join("..", "..", "deploy")
	files, err := filepath.Glob(filepath.Join(root, "grafana", "dashboards", "*.json"))
	require.NoError(t, err)
	for _, file := range append(files, filepath.Join(root, "prometheus", "rules.yml")) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var content any
		if strings.HasSuffix(file, ".json") {
			require.NoError(t, json.Unmarshal(text, &content), file)
		} else {
			require.NoError(t, yaml.Unmarshal(text, &content), file)
		}
		walk(filepath.Base(file), content)
		require.NotEmpty(t, found[filepath.Base(file)], "%s has no expressions", file)
	}
	return found
}

func TestNamesInAnExpression(t *testing.T) {
	t.Parallel()
	names, labels := namesIn(`histogram_quantile(0.95, sum by (le, code) (` +
		`rate(a_bucket{f=~"$x", g!="b{c"}[$__rate_interval]))) > 0.5 and (d / max(e offset 5m)) or vector(0)`)
	require.Equal(t, []string{"a_bucket", "d", "e"}, names)
	require.Equal(t, []string{"f", "g", "le", "code"}, labels)
}

func TestDashboardsAndRulesUseExistingMetrics(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe", newClocked(t).spec("@yearly")) // at zero
	n.wake(t, "probe")
	n.do(http.MethodPost, "/async-function/probe", "x")
	told := map[string]map[string]bool{"up": {"job": true, "instance": true}} // made by Prometheus
	eventually(t, func() bool { return len(about(n.scrape(), "code=")) > 0 })
	eventually(t, func() bool {
		return n.scrape()[`hearth_delivery_attempts_count{function_name="probe.openfaas-fn"}`] == 1
	})
	res, text := n.do(http.MethodGet, "/metrics", "")
	require.Equal(t, http.StatusOK, res.StatusCode)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name := line[:strings.IndexAny(line, "{ ")]
		if told[name] == nil {
			told[name] = map[string]bool{"job": true, "instance": true} // added by Prometheus
		}
		for _, m := range labelOf.FindAllStringSubmatch(inQuotes.ReplaceAllString(line, `""`), -1) {
			told[name][m[1]] = true
		}
	}
	for file, list := range expressions(t) {
		for _, expr := range list {
			names, labels := namesIn(expr)
			require.NotEmpty(t, names, "%s: %s", file, expr)
			for _, name := range names {
				require.Contains(t, told, name, "%s: %s", file, expr)
			}
			for _, label := range labels {
				require.True(t, slices.ContainsFunc(names,
					func(name string) bool { return told[name][label] }), "%s: no label %q in %s",
					file, label, expr)
			}
		}
	}
}
