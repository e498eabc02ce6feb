package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/cli/clitest"
	"github.com/stretchr/testify/require"
)

// runAt runs a command against a gateway on a terminal of 80 columns and returns its output.
func runAt(t *testing.T, gateway string, args ...string) (string, error) {
	t.Helper()
	screen := clitest.New(t, 80)
	key := filepath.Join(t.TempDir(), "manager-key")
	require.NoError(t, os.WriteFile(key, []byte("key"), 0o600))
	root := newRoot()
	cli.SetOutput(root, screen.TTY, screen.TTY)
	root.SetArgs(append(args, "-g", strings.TrimPrefix(gateway, "http://"), "--manager-key-file", key))
	err := root.ExecuteContext(t.Context())
	_, _ = fmt.Fprintln(screen.TTY, "THE END")
	return screen.Await("THE END"), err
}

func TestOutputHasNoControlCharactersOfOthers(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	const text = `\u001b]52;c;eA==\u0007\u009b2J\u202e`
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := `{"orders":[{"id":"X","customer":"X","state":"X","items":[{"cookie":"X"}],
			"timeline":{"ordered":"2026-11-24T00:00:00Z"}}],
			"bakes":[{"name":"X","title":"X"}],"display":[{"cookie":"X","trays":["X"]}],
			"ingredients":{"X":1},"differences":["X"]}`
		switch r.URL.Query().Get("view") {
		case "floor":
			answer = `{"racks":[{"tray":"X","cookie":"X"}],"display":[{"cookie":"X"}],
				"missing":{"X":1},"fridge":{"X":1}}`
		case "audit":
			answer = `{"differences":["X"]}`
		}
		_, _ = fmt.Fprint(w, strings.ReplaceAll(answer, "X", text))
	}))
	t.Cleanup(gateway.Close)
	for _, args := range [][]string{{"menu"}, {"display"}, {"fridge"}, {"orders"}, {"audit"},
		{"floor", "--once"}, {"floor", "--once", "--json"}, {"orders", "--json"}} {
		out, err := runAt(t, gateway.URL, args...)
		if args[0] != "audit" { // its books do not balance
			require.NoError(t, err, args)
		}
		require.Regexp(t, `\\(x1b|u001b|u009b)`, out, args)
		require.NotRegexp(t, `[\x00-\x08\x0b-\x1f\x7f\x{80}-\x{9f}\x{202a}-\x{202e}]`, out, args)
	}
}

func TestFloorFitsEightyColumns(t *testing.T) {
	t.Parallel()
	many := map[string]int{}
	for _, state := range []string{bakery.Baking, bakery.ReadyTo, bakery.Served, bakery.Cancelled,
		bakery.Refused, "asked", "parked", "mixed", "in_oven", "baked",
		"on_display", "sold", "withdrawn", "spoiled"} {
		many[state] = 123456
	}
	floor := bakery.Floor{
		Orders:  many,
		Trays:   many,
		Ovens:   3,
		Fridge:  map[string]int{},
		Missing: map[string]int{},
		Racks: []bakery.Rack{
			{Tray: "T12345", Cookie: "white-chocolate-macadamia-cookie", SinceMS: 12000, NeedsMS: 120000},
			{Tray: "T2", Cookie: "scone", NeedsMS: 1}},
	}
	for i := range 30 {
		floor.Fridge[fmt.Sprintf("ingredient-%d", i)] = 123456
		floor.Missing[fmt.Sprintf("cookie-%d", i)] = 12
	}
	text := drawFloor(floor, 80)
	require.Contains(t, text, "OVENS    3 at work, 2 racks in use")
	require.Contains(t, text, "123456 on display")
	for line := range strings.Lines(text) {
		require.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\n"))), 80, line)
	}
}

func TestReplayDistinguishesFailuresFromRefusals(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := "http://" + l.Addr().String()
	require.NoError(t, l.Close())
	answers := func(status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
			_ *http.Request) {
			w.WriteHeader(status)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	for gateway, want := range map[string]string{nobody: failed,
		answers(http.StatusServiceUnavailable): failed, answers(http.StatusConflict): bakery.Refused} {
		r := &run{c: &counter{gateway: gateway}, arrivals: []arrival{{}},
			placed: []*placed{{due: time.Now()}}}
		r.send(t.Context(), 0)
		require.Equal(t, want, r.placed[0].state, gateway)
		require.NotEmpty(t, r.placed[0].refusal)
		require.Zero(t, r.open())
	}
}

func TestEachCommandHasAnExample(t *testing.T) {
	t.Parallel()
	for _, cmd := range newRoot().Commands() {
		if cmd.Name() != "completion" && cmd.Name() != "help" {
			require.Contains(t, cmd.Example, "bakery "+cmd.Name())
		}
	}
}

func TestInvalidCommandLineExitsWithTwo(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		`there is no command "ordr"; did you mean order or orders?`:      {"ordr"},
		`missing arguments; usage: bakery order COOKIE=QUANTITY...`:      {"order"},
		`-1: a number cannot be negative here; usage: bakery spoil TRAY`: {"spoil", "-1"},
	} {
		root := newRoot()
		root.SetOut(&bytes.Buffer{})
		root.SetArgs(args)
		err := root.ExecuteContext(t.Context())
		require.EqualError(t, err, want)
		var exit *cli.ExitError
		require.True(t, errors.As(err, &exit) && exit.Code == cli.CodeUsage)
	}
}
