package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/cli/clitest"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// TestMain lets tests run this binary as hearth. With HEARTH_TEST_READY it prints when a command begins.
func TestMain(m *testing.M) {
	if os.Getenv("HEARTH_TEST_COMMAND") != "" {
		root := newRoot()
		if os.Getenv("HEARTH_TEST_READY") != "" {
			root.PersistentPreRun = func(cmd *cobra.Command,
				_ []string) {
				_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "ready")
			}
		}
		cli.Main(root)
	}
	os.Exit(m.Run())
}

// command runs hearth as a separate process.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "HEARTH_TEST_COMMAND=1", "NO_COLOR=1", "HOME="+cmd.Dir, "OPENFAAS_URL=",
		"OPENFAAS_CONFIG=")
	return cmd
}

// hostile sets the clipboard, clears the screen by an 8-bit control, and reverses text.
const hostile = "\x1b]52;c;cm0gLXJmIH4=\x07\u009b2J\u202etxt"

// hostileGateway returns hostile text in each field, and refuses changes with a hostile error.
func hostileGateway(t *testing.T) *httptest.Server {
	t.Helper()
	quoted, err := json.Marshal(hostile)
	require.NoError(t, err)
	text := strings.Trim(string(quoted), `"`)
	function := `{"name":"X","image":"X","namespace":"X","envProcess":"X","failing":"X\nstatus ready",
		"envVars":{"X":"X"},"labels":{"X":"X"},
		"annotations":{"X":"X"},"secrets":["X"],"rollback":{"image":"X","reason":"X"}}`
	letter := `{"queue":"X","id":"X","reason":"X","path":"/X","query":"X","method":"X","call_id":"X",
		"callback":"X","header":{"X":["X"]},
		"body":"G10=","failures":[{"attempt":1,"reason":"X","body":"X","replica":"X"}]}`
	row := `{"function":"X","start":"2026-11-24T00:00:00Z"}`
	answers := map[string]string{
		"/system/functions":           "[" + function + "]",
		"/system/function/":           function,
		"/system/namespaces":          `["X"]`,
		"/system/secrets":             `[{"name":"X","namespace":"X"}]`,
		"/system/queues":              `[{"queue":"X","function":"X","dead":1}]`,
		"/system/dead-letters":        "[" + letter + "]",
		"/system/dead-letters/a/b":    letter,
		"/system/dead-letters/export": "X",
		"/system/usage": `{"rows":[` + row +
			`],"total":{},"prices":{"name":"X","currency":"X","source":"X","as_of":"X"}}`,
		"/system/logs": `{"name":"X","instance":"X","text":"X",` +
			`"timestamp":"2026-11-24T00:00:00Z"}`,
		"/function/oven.openfaas-fn":   "X",
		"/function/broken.openfaas-fn": "X",
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		if strings.HasPrefix(path, "/system/function/") {
			path = "/system/function/"
		}
		answer, ok := answers[path]
		switch {
		case strings.HasPrefix(path, "/function/"):
			w.Header().Set("X-Told", "\u009b2J")
			if strings.Contains(path, "broken") {
				w.WriteHeader(http.StatusTeapot)
			}
			_, _ = fmt.Fprint(w, hostile)
			return
		case path == "/system/dead-letters/export":
			_, _ = fmt.Fprint(w, hostile)
			return
		case !ok, r.Method != http.MethodGet:
			w.Header().Set("Content-Type", chain.ContentType)
			w.WriteHeader(http.StatusConflict)
			answer = `{"detail":"X"}`
		}
		_, _ = fmt.Fprint(w, strings.ReplaceAll(answer, "X", text))
	}))
	t.Cleanup(server.Close)
	return server
}

// TestNoCommandPrintsWhatATerminalObeys runs every command that prints text of
// others, on a terminal and into a pipe.
func TestNoCommandPrintsWhatATerminalObeys(t *testing.T) {
	t.Parallel()
	gateway := hostileGateway(t)
	for _, args := range [][]string{
		{"list"}, {"list", "--all-namespaces"}, {"list", "--quiet"}, {"list", "--json"},
		{"describe", "oven"}, {"describe", "oven", "--json"},
		{"logs", "oven", "--prefix"}, {"logs", "oven", "--json"},
		{"queues"}, {"queues", "--json"},
		{"dead", "list"}, {"dead", "list", "--json"}, {"dead", "show", "a", "b"},
		{"dead", "show", "a", "b", "--json"}, {"dead", "export"},
		{"bill"}, {"bill", "--by", "day"}, {"bill", "--csv"},
		{"secret", "list"},
		{"invoke", "oven", "-X", "GET", "--include"}, {"invoke", "broken", "-X", "GET"},
		{"scale", "oven", "2"}, {"delete", "oven"}, {"cancel", "oven"}, {"dead", "purge", "--all", "--yes"},
		{"secret", "delete", "oven"}, {"console"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			screen := clitest.New(t, 80)
			cmd := command(t, append(args, "--gateway", gateway.URL)...)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = screen.TTY, screen.TTY, screen.TTY
			_ = cmd.Run() // some fail and print the reason
			_, err := fmt.Fprintln(screen.TTY, "THE END")
			require.NoError(t, err)
			text := strings.ReplaceAll(screen.Await("THE END"), "\r\n", "\n") // HTTP has its own line ends
			require.Regexp(t, `\\(x1b|u001b|u009b)`, text)
			require.NotRegexp(t, `[\x00-\x08\x0b-\x1f\x7f\x{80}-\x{9f}\x{202a}-\x{202e}]`, text)
		})
	}
}

func TestPipesAndRawGetUnchangedBytes(t *testing.T) {
	t.Parallel()
	gateway := hostileGateway(t)
	var out bytes.Buffer
	cmd := command(t, "logs", "oven", "--gateway", gateway.URL)
	cmd.Stdout = &out
	require.NoError(t, cmd.Run())
	require.Equal(t, hostile+"\n", out.String())

	screen := clitest.New(t, 80)
	cmd = command(t, "logs", "oven", "--raw", "--gateway", gateway.URL)
	cmd.Stdout = screen.TTY
	require.NoError(t, cmd.Run())
	screen.Await(hostile)
}

// TestMultilineValuesCannotFakeAField gives a function a failure that contains a line like its status.
func TestMultilineValuesCannotFakeAField(t *testing.T) {
	t.Parallel()
	gateway := hostileGateway(t)
	out, err := command(t, "describe", "oven", "--gateway", gateway.URL).Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "\n             status ready\n")
	require.Equal(t, 1, strings.Count(string(out), "\nstatus "))
}
