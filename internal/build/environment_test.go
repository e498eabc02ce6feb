package build_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hearthfaas/hearth/internal/build"
	"github.com/stretchr/testify/require"
)

// Each value of the environment must arrive byte for byte, wherever a stack file may name it.
func TestEnvironmentArrivesByteForByte(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "stack.yml", `
version: 1.0 # a comment may have ${UNFINISHED, and ${VALUE}
provider: {name: openfaas, gateway: "http://${HOST:-127.0.0.1}:8080"}
functions:
  f:
    image: x
    environment:
      plain: ${VALUE}
      inside: <${VALUE}>
      single: '${VALUE}'
      double: "${VALUE}"
      flow: x
      folded: >-
        ${VALUE}
      literal: |-
        ${VALUE}
    annotations: {flow: ${VALUE}, key-${KEY}: v}
`)
	for name, value := range map[string]string{
		"plain":          "value",
		"line breaks":    "one\ntwo\r\nthree\n\n",
		"quotes":         `it's "quoted"`,
		"comment":        "a #b",
		"colon":          "a: b",
		"starts a map":   "{a: b}",
		"starts a list":  "- a",
		"anchor":         "&a *b",
		"null":           "null",
		"tilde":          "~",
		"empty":          "",
		"boolean":        "yes",
		"true":           "true",
		"number":         "0x1F",
		"exponent":       "1e3",
		"date":           "2001-01-01",
		"merge":          "<<",
		"spaces":         "  a\t ",
		"backslashes":    `a\nb\\c\/d`,
		"dollars":        "$$ ${OTHER} $x",
		"marker":         "x0env0q",
		"percent":        "%TAG !",
		"control":        "\x01\x7f",
		"unicode":        "\u2028\u00e9\U0001f36a",
		"key":            "-----BEGIN KEY-----\nabc=\n-----END KEY-----\n",
		"not UTF-8":      "\xff\xfe",
		"byte order":     "\ufeffa",
		"document start": "---\na",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("VALUE", value)
			t.Setenv("KEY", "<<")
			stack, err := build.Read("stack.yml")
			require.NoError(t, err)
			d, err := stack.Deployment("f")
			require.NoError(t, err)
			want := map[string]string{"plain": value, "inside": "<" + value + ">", "single": value,
				"double": value, "flow": "x",
				"folded": value, "literal": value}
			require.Equal(t, want, d.EnvVars)
			require.Equal(t, map[string]string{"flow": value, "key-<<": "v"}, *d.Annotations)
		})
	}
}

// What an expression may be is go-sdk's, that is the envsubst library's.
func TestExpressions(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("SET", "set")
	t.Setenv("EMPTY", "")
	t.Setenv("FLAG", "true")
	for _, c := range []struct{ text, want string }{
		{"${SET}", "set"},
		{"${UNSET}", ""},
		{"${UNSET:-a default}", "a default"},
		{"${EMPTY:-a default}", "a default"},
		{"${SET:-a default}", "set"},
		{"${UNSET:-${SET}}", "set"},
		{"${UNSET:-<${UNSET:-${SET}}>}", "<set>"},
		{"${SET^^}-${#SET}-${SET/s/b}-${SET:1}", "SET-3-bet-et"},
		{"a$$b", "a$b"},
		{"$${SET}", "${SET}"},
		{"$$${SET}", "$set"},
		{"$$$$", "$$"},
		{"$SET $ $", "$SET $ $"},
		{"${UNSET:-a: b # c}", "a: b # c"},
		{"'${UNSET:-it''s}'", "it's"},
		{`"${UNSET:-a \"b\"\n}"`, "a \"b\"\n"},
		{"*anchored", "set"},
	} {
		write(t, "stack.yml", "provider: {name: openfaas}\nfunctions:\n  f:\n    image: x\n"+
			"    skip_build: ${FLAG}\n"+
			"    labels: {anchor: &anchored \"${SET}\"}\n    environment:\n      v: "+c.text+"\n")
		stack, err := build.Read("stack.yml")
		require.NoError(t, err, c.text)
		d, err := stack.Deployment("f")
		require.NoError(t, err, c.text)
		require.Equal(t, c.want, d.EnvVars["v"], c.text)
	}
}

func TestNestedAnchors(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("LEVEL", "debug: #1")
	write(t, "stack.yml", `
provider: {name: openfaas}
functions:
  a:
    image: x
    environment: &base {level: "${LEVEL}", speed: &speed "${SPEED:-10}"}
  b:
    image: x
    environment: &more {<<: *base, other: *speed}
  c:
    image: x
    environment: {<<: *more, level: own}
`)
	stack, err := build.Read("stack.yml")
	require.NoError(t, err)
	for name, want := range map[string]map[string]string{
		"a": {"level": "debug: #1", "speed": "10"},
		"b": {"level": "debug: #1", "speed": "10", "other": "10"},
		"c": {"level": "own", "speed": "10", "other": "10"},
	} {
		d, err := stack.Deployment(name)
		require.NoError(t, err)
		require.Equal(t, want, d.EnvVars, name)
	}
}

// FuzzEnvironment puts any text into a variable: it must arrive unchanged, and change nothing else.
func FuzzEnvironment(f *testing.F) {
	f.Add("one\ntwo", "a")
	f.Add("'\"#: {}[]&*!|>%@`", "- a")
	f.Add("null", "~")
	f.Fuzz(func(t *testing.T, value, other string) {
		if strings.ContainsRune(value+other, 0) {
			t.Skip("the operating system's environment cannot hold it")
		}
		t.Chdir(t.TempDir())
		t.Setenv("VALUE", value)
		t.Setenv("OTHER", other)
		write(t, "stack.yml", "provider: {name: openfaas}\n"+
			"functions: {f: {image: x, environment: {a: ${VALUE}, "+
			"b: \"${UNSET:-${OTHER}}\", c: 'x${VALUE}${OTHER}'}}}\n")
		stack, err := build.Read("stack.yml")
		require.NoError(t, err, "valid UTF-8: %v", utf8.ValidString(value+other))
		d, err := stack.Deployment("f")
		require.NoError(t, err)
		require.Equal(t, map[string]string{"a": value, "b": other, "c": "x" + value + other}, d.EnvVars)
	})
}
