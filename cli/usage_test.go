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
	scale := &cobra.Command{Use: "scale NAME REPLICAS", Args: cobra.ExactArgs(2), Run: func(*cobra.Command, []string) {}}
	list := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Args: cobra.NoArgs, Run: func(*cobra.Command, []string) {}}
	secret := &cobra.Command{Use: "secret", SuggestFor: []string{"password"}, Args: cobra.NoArgs, Run: func(*cobra.Command, []string) {}}
	secret.AddCommand(&cobra.Command{Use: "create NAME", Args: cobra.ExactArgs(1), Run: func(*cobra.Command, []string) {}})
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

func TestACommandLineThatMakesNoSenseIsExplained(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		`there is no command "lst"; did you mean list or ls?`:                                                     {"lst"},
		`there is no command "frobnicate"; tool --help lists the commands`:                                        {"frobnicate", "x"},
		`there is no command "password"; did you mean tool secret?`:                                               {"password"},
		`there is no command "craete"; did you mean create?`:                                                      {"secret", "craete", "x"},
		`arguments are missing; usage: tool scale NAME REPLICAS`:                                                  {"scale"},
		`got 1 argument; usage: tool scale NAME REPLICAS`:                                                         {"scale", "oven"},
		`got 3 arguments; usage: tool scale NAME REPLICAS`:                                                        {"scale", "oven", "1", "2"},
		`-1: a number cannot be negative here; usage: tool scale NAME REPLICAS`:                                   {"scale", "oven", "-1"},
		`unexpected argument "oven"; usage: tool list`:                                                            {"list", "oven"},
		`there is no flag --namspace; did you mean --namespace?`:                                                  {"list", "--namspace", "x"},
		`there is no flag -z; tool list --help lists the flags`:                                                   {"list", "-z"},
		`--limit needs a value`:                                                                                   {"list", "--limit"},
		`-l needs a value`:                                                                                        {"list", "-l"},
		`--limit is "many", want a whole number`:                                                                  {"list", "-l", "many"},
		`--older is "5", want a duration such as 30s, 5m or 24h`:                                                  {"list", "--older", "5"},
		`--csv is "perhaps", want true or false`:                                                                  {"list", "--csv=perhaps"},
		`--speed is "fast", want a number`:                                                                        {"list", "--speed", "fast"},
		`--label is "x", want NAME=VALUE`:                                                                         {"list", "--label", "x"},
		`--csv and --table exclude each other`:                                                                    {"list", "--csv", "--table"},
		`--gateway: "ftp://x" is not a gateway's address; want a URL such as http://127.0.0.1:8080, or HOST:PORT`: {"list", "-g", "ftp://x"},
	} {
		root := testRoot()
		root.SetArgs(args)
		err := root.ExecuteContext(t.Context())
		require.EqualError(t, err, want)
		var exit *ExitError
		require.True(t, errors.As(err, &exit))
		require.Equal(t, CodeUsage, exit.Code)
	}
	for _, args := range [][]string{{}, {"--help"}, {"ls", "-l", "-1"}, {"scale", "a", "b"}, {"secret"}, {"list", "--older", time.Hour.String()}} {
		root := testRoot()
		root.SetArgs(args)
		require.NoError(t, root.ExecuteContext(t.Context()))
	}
}

func TestAGatewayNeedsNoScheme(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080", "localhost:8080/": "http://localhost:8080", "hearth": "http://hearth", "[::1]:80": "http://[::1]:80",
		"https://x.example/prefix/": "https://x.example/prefix", " http://a ": "http://a", "example.com:8443": "http://example.com:8443",
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

func TestCountSaysOneAndMany(t *testing.T) {
	t.Parallel()
	require.Equal(t, "1 call", Count(1, "call"))
	require.Equal(t, "0 calls", Count(uint64(0), "call"))
	require.Equal(t, "2 entries", Count(2, "entry", "entries"))
}
