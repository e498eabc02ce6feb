package build

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/drone/envsubst"
	"go.yaml.in/yaml/v3"
)

/*
A stack file names environment variables as ${NAME}, with the defaults and functions that go-sdk allows (the
envsubst library's). go-sdk substitutes in the text of the file, so a value with a line break, a quote or a
# breaks the YAML or changes its meaning. Here the file is parsed first, with a marker in the place of each
expression; the values are then put into the parsed keys and scalars. So any value arrives byte for byte,
and no value can add a field.

Three things follow, and differ from go-sdk: a value is always one key or one scalar, never a piece of YAML;
a backslash is left to YAML; and an expression ends on the line that it begins on.
*/

// An environment is the expressions of a stack file, by the markers that stand for them.
type environment struct {
	mark        string
	expressions []string
	marker      *regexp.Regexp
}

// mark replaces each ${...} in a text by a marker, and $$ by a dollar sign.
func mark(text string) (string, *environment) {
	e := &environment{mark: "x0env"}
	for strings.Contains(text, e.mark) {
		e.mark += "x"
	}
	e.marker = regexp.MustCompile(e.mark + `([0-9]+)q`)
	var out strings.Builder
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 {
			break
		}
		out.WriteString(text[:i])
		text = text[i:]
		switch {
		case strings.HasPrefix(text, "$$"):
			out.WriteByte('$')
			text = text[2:]
		case strings.HasPrefix(text, "${"):
			end := expressionEnd(text)
			fmt.Fprintf(&out, "%s%dq", e.mark, len(e.expressions))
			e.expressions = append(e.expressions, text[:end])
			text = text[end:]
		default:
			out.WriteByte('$')
			text = text[1:]
		}
	}
	out.WriteString(text)
	return out.String(), e
}

// expressionEnd returns the length of the expression at the beginning of a text. It must end on its line: one
// that does not is an error when it is evaluated, and does no harm in a comment.
func expressionEnd(text string) int {
	line, _, _ := strings.Cut(text, "\n")
	depth := 0
	for i := 0; i < len(line); i++ {
		switch {
		case strings.HasPrefix(line[i:], "${"):
			depth++
			i++
		case line[i] == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(line)
}

// expand replaces the markers in all keys and scalars of a parsed file by the values from the environment.
func (e *environment) expand(n *yaml.Node, isKey bool) error {
	switch n.Kind {
	case yaml.ScalarNode:
		return e.expandScalar(n, isKey)
	case yaml.AliasNode: // its anchor is a node of its own
		return nil
	}
	for i, child := range n.Content {
		if err := e.expand(child, n.Kind == yaml.MappingNode && i%2 == 0); err != nil {
			return err
		}
	}
	return nil
}

func (e *environment) expandScalar(n *yaml.Node, isKey bool) error {
	if !strings.Contains(n.Value, e.mark) {
		return nil
	}
	var failed error
	n.Value = e.marker.ReplaceAllStringFunc(n.Value, func(marker string) string {
		i, err := strconv.Atoi(e.marker.FindStringSubmatch(marker)[1])
		if err != nil || i >= len(e.expressions) {
			return marker
		}
		expression := unquote(e.expressions[i], n.Style)
		value, err := envsubst.Eval(expression, os.Getenv)
		if err != nil && failed == nil {
			failed = fmt.Errorf("line %d: cannot evaluate %s: %w", n.Line, expression, err)
		}
		return value
	})
	if failed != nil {
		return failed
	}
	// A plain scalar is a number or a boolean if its value reads as one, as if it stood in the file. Only
	// null would lose its text, and a key must not become a merge.
	quoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	n.Tag = "!!str"
	if resolved := (yaml.Node{Kind: yaml.ScalarNode, Value: n.Value}); !isKey && !quoted &&
		resolved.ShortTag() != "!!null" {
		n.Tag = ""
	}
	return nil
}

// unquote undoes the escapes that an expression needed inside of a quoted scalar.
func unquote(expression string, style yaml.Style) string {
	switch {
	case style&yaml.SingleQuotedStyle != 0:
		return strings.ReplaceAll(expression, "''", "'")
	case style&yaml.DoubleQuotedStyle != 0:
		var text string
		if yaml.Unmarshal([]byte(`"`+expression+`"`), &text) == nil {
			return text
		}
	}
	return expression
}
