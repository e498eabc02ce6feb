package cli

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

func testRoot() *cobra.Command {
	root := &cobra.Command{Use: "tool", Args: cobra.NoArgs, Run: func(*cobra.Command, []string) {}}
	scale := &cobra.Command{Use: "scale NAME REPLICAS", Args: cobra.ExactArgs(2),
		Run: func(*cobra.Command, []string) {}}
	list := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Args: cobra.NoArgs,
		Run: func(*cobra.Command, []string) {}}
	secret := &cobra.Command{Use: "secret", SuggestFor: []string{"password"}, Args: cobra.NoArgs,
		Run: func(*cobra.Command, []string) {}}
	secret.AddCommand(&cobra.Command{Use: "create NAME", Args: cobra.ExactArgs(1),
		Run: func(*cobra.Command, []string) {}})
	f := list.Flags()
	f.String("namespace", "", "")
	f.IntP("limit", "l", 1, "")
	f.Duration("older", 0, "")
	f.Bool("csv", false, "")
	f.Float64("speed", 0, "")
	f.StringToString("label", nil, "")
	var gateway string
	GatewayFlag(f, &gateway, "g")
	f.Bool("table", false, "")
	list.MarkFlagsMutuallyExclusive("csv", "table")
	root.AddCommand(scale, list, secret)
	Prepare(root)
	root.SetOut(&bytes.Buffer{})
	root.SetErr(&bytes.Buffer{})
	return root
}

func TestInvalidCommandLinesAreExplained(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"lst"},
			`there is no command "lst"; did you mean list or ls?`},
		{[]string{"frobnicate", "x"},
			`there is no command "frobnicate"; tool --help lists the commands`},
		{[]string{"password"},
			`there is no command "password"; did you mean tool secret?`},
		{[]string{"secret", "craete", "x"},
			`there is no command "craete"; did you mean create?`},
		{[]string{"scale"},
			`missing arguments; usage: tool scale NAME REPLICAS`},
		{[]string{"scale", "oven"},
			`got 1 argument; usage: tool scale NAME REPLICAS`},
		{[]string{"scale", "oven", "1", "2"},
			`got 3 arguments; usage: tool scale NAME REPLICAS`},
		{[]string{"scale", "oven", "-1"},
			`-1: a number cannot be negative here; usage: tool scale NAME REPLICAS`},
		{[]string{"list", "oven"},
			`unexpected argument "oven"; usage: tool list`},
		{[]string{"list", "--namspace", "x"},
			`there is no flag --namspace; did you mean --namespace?`},
		{[]string{"list", "-z"},
			`there is no flag -z; tool list --help lists the flags`},
		{[]string{"list", "--limit"},
			`--limit needs a value`},
		{[]string{"list", "-l"},
			`-l needs a value`},
		{[]string{"list", "-l", "many"},
			`--limit is "many", want a whole number`},
		{[]string{"list", "--older", "5"},
			`--older is "5", want a duration such as 30s, 5m or 24h`},
		{[]string{"list", "--csv=perhaps"},
			`--csv is "perhaps", want true or false`},
		{[]string{"list", "--speed", "fast"},
			`--speed is "fast", want a number`},
		{[]string{"list", "--label", "x"},
			`--label is "x", want NAME=VALUE`},
		{[]string{"list", "--csv", "--table"},
			`--csv and --table cannot be used together`},
		{[]string{"list", "-g", "ftp://x"},
			`--gateway: "ftp://x" is not a gateway's address; ` +
				`want a URL such as http://127.0.0.1:8080, or HOST:PORT`},
	} {
		root := testRoot()
		root.SetArgs(test.args)
		err := root.ExecuteContext(t.Context())
		require.EqualError(t, err, test.want)
		var exit *ExitError
		require.True(t, errors.As(err, &exit))
		require.Equal(t, CodeUsage, exit.Code)
	}
	for _, args := range [][]string{{}, {"--help"}, {"ls", "-l", "-1"}, {"scale", "a", "b"}, {"secret"},
		{"list", "--older", time.Hour.String()}} {
		root := testRoot()
		root.SetArgs(args)
		require.NoError(t, root.ExecuteContext(t.Context()))
	}
}

func TestGatewayURLNeedsNoScheme(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080", "localhost:8080/": "http://localhost:8080",
		"hearth": "http://hearth", "[::1]:80": "http://[::1]:80",
		"https://x.example/prefix/": "https://x.example/prefix", " http://a ": "http://a",
		"example.com:8443": "http://example.com:8443",
	} {
		got, err := GatewayURL(given)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, given := range []string{"", "http://", "ftp://x", "://x", "http://a b", "unix:///x"} {
		_, err := GatewayURL(given)
		require.ErrorContains(t, err, "is not a gateway's address")
	}
}

func TestCountUsesSingularAndPlural(t *testing.T) {
	t.Parallel()
	require.Equal(t, "1 call", Count(1, "call"))
	require.Equal(t, "0 calls", Count(uint64(0), "call"))
	require.Equal(t, "2 entries", Count(2, "entry", "entries"))
}
