package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/cli/clitest"
	"github.com/openfaas/faas-provider/types"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// everyCommand calls do for each command that does something.
func everyCommand(root *cobra.Command, do func(*cobra.Command)) {
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" || cmd.Name() == "help" {
			continue
		}
		do(cmd)
		everyCommand(cmd, do)
	}
}

func TestHelpFitsEightyColumns(t *testing.T) {
	t.Parallel()
	everyCommand(newRoot(), func(cmd *cobra.Command) {
		var help bytes.Buffer
		cmd.SetOut(&help)
		require.NoError(t, cmd.Help())
		for line := range strings.Lines(help.String()) {
			require.LessOrEqual(t, len([]rune(strings.TrimRight(line, "\n"))), 80, "%s: %s",
				cmd.CommandPath(), line)
		}
	})
}

func TestEachCommandHasAnExampleAndIsInTheManual(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile("../../docs/reference/cli.md")
	require.NoError(t, err)
	everyCommand(newRoot(), func(cmd *cobra.Command) {
		require.NotEmpty(t, cmd.Short, cmd.CommandPath())
		require.Contains(t, cmd.Example, "hearth "+strings.Fields(cmd.CommandPath())[1], cmd.CommandPath())
		require.Contains(t, string(manual), "`"+cmd.CommandPath(), "docs/reference/cli.md lacks a command")
	})
}

var snakeCase = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// requireSnakeCase checks all names in a JSON value, except in objects whose names belong to users.
func requireSnakeCase(t *testing.T, v any, context string) {
	t.Helper()
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			requireSnakeCase(t, e, context)
		}
	case map[string]any:
		for name, e := range v {
			require.Regexp(t, snakeCase, name, context)
			switch name {
			case "labels", "annotations", "env_vars", "header":
			default:
				requireSnakeCase(t, e, context)
			}
		}
	}
}

func TestJSONOfEachCommandHasOneStyle(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	_, err := n.runWith("value", "secret", "create", "key", "--json")
	require.NoError(t, err)
	n.deploy("probe", func(d *types.FunctionDeployment) { d.Secrets = []string{"key"} })
	res, _ := n.do(http.MethodPost, "/async-function/probe?status=422", "")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	eventually(t, func() bool { return n.oneQueue("probe").Dead == 1 })
	var list []struct{ Queue, ID string }
	n.runJSON(&list, "dead", "list")
	show := "dead show " + list[0].Queue + " " + list[0].ID
	fields := map[string][]string{ // must be present, whatever their value
		"list": {"name", "namespace", "env_process", "invocation_count",
			"available_replicas", "replicas", "created_at", "failing", "rollback", "labels"},
		"describe probe": {"state", "async_url", "usage", "today", "queues", "updating",
			"read_only_root_filesystem"},
		"queues": {"queue", "queued", "retrying", "in_flight", "delayed", "dead",
			"oldest_seconds", "deployed"},
		"dead list":                 {"queue", "id", "reason", "attempts", "failures"},
		show:                        {"call_id", "callback", "query", "body"},
		"bill":                      {"rows", "total", "prices"},
		"secrets":                   {"name", "used_by"},
		"namespaces":                {"name", "labels", "annotations"},
		"namespace create staging":  {"name", "labels"},
		"namespace delete staging":  {"name"},
		"scale probe 1":             {"name", "namespace", "replicas"},
		"invoke probe --async -d x": {"call_id", "function"},
		"dead purge --all --yes":    {"purged"},
		"delete probe":              {"name", "queues"},
		"secret delete key":         {"name", "namespace"},
	}
	for _, command := range []string{"list", "describe probe", "queues", "dead list", show, "bill",
		"secrets", "namespaces",
		"namespace create staging", "namespace delete staging", "scale probe 1", "invoke probe --async -d x",
		"dead purge --all --yes", "delete probe", "secret delete key"} {
		var v any
		n.runJSON(&v, strings.Fields(command)...)
		requireSnakeCase(t, v, command)
		if all, ok := v.([]any); ok {
			require.NotEmpty(t, all, command)
			v = all[0]
		}
		for _, name := range fields[command] {
			require.Contains(t, v, name, command)
		}
	}
}

func TestNamespaceCommands(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	for _, step := range []struct{ args, want string }{
		{"namespace create staging --label team=baking --annotation contact=ada",
			"created namespace staging\n"},
		{"namespaces", "NAMESPACE    LABELS       ANNOTATIONS\nopenfaas-fn\n" +
			"staging      team=baking  contact=ada\n"},
		{"namespace update staging --label team=serving", "updated namespace staging\n"},
		{"ns list", "NAMESPACE    LABELS        ANNOTATIONS\nopenfaas-fn\nstaging      team=serving\n"},
		{"namespace delete staging", "deleted namespace staging\n"},
		{"namespace list", "NAMESPACE    LABELS  ANNOTATIONS\nopenfaas-fn\n"},
	} {
		text, err := n.run(strings.Fields(step.args)...)
		require.NoError(t, err, step.args)
		require.Equal(t, step.want, text, step.args)
	}
	_, err := n.run("namespace", "delete", "openfaas-fn")
	require.ErrorContains(t, err, "cannot be removed")
}

func TestUnknownNamespaceIsAnErrorInEveryCommand(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.makeNamespace("staging")
	n.deploy("cashier")
	for _, args := range []string{"list -n stagng", "bill -n stagng", "secret list -n stagng",
		"secret create key -n stagng", "secret update key -n stagng", "secret delete key -n stagng",
		"describe cashier -n stagng", "scale cashier 1 -n stagng", "delete cashier -n stagng",
		"logs cashier -n stagng", "invoke cashier -n stagng",
		"namespace delete stagng", "namespace update stagng", "bill cashier.stagng"} {
		_, err := n.runWith("value", strings.Fields(args)...)
		require.EqualError(t, err, "there is no namespace stagng; did you mean staging?", args)
	}
	for _, args := range []string{"bill casheir", "logs casheir", "dead list --function casheir",
		"dead purge --all --function casheir", "cancel some-call --function casheir"} {
		_, err := n.run(strings.Fields(args)...)
		require.EqualError(t, err,
			"there is no function casheir in the namespace openfaas-fn; did you mean cashier?", args)
	}
	_, err := n.run("dead", "list", "--queue", "casheir:calls")
	require.EqualError(t, err, "there is no queue casheir:calls; did you mean cashier:calls?")
	root := newRoot()
	root.SetArgs([]string{"scale", "--gateway", n.url(), "cashier", "--", "-1"})
	err = root.ExecuteContext(t.Context())
	require.EqualError(t, err, `REPLICAS is "-1", want a whole number from 0`)
	var exit *cli.ExitError
	_, err = n.run("scale", "cashier", "-1")
	require.True(t, errors.As(err, &exit) && exit.Code == cli.CodeUsage)
	text, err := n.run("scale", "cashier", "1")
	require.NoError(t, err)
	require.Equal(t, "cashier has 1 replica\n", text)
}

// TestTablesFitEightyColumns uses names, images and reasons that are far too long.
func TestTablesFitEightyColumns(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("recommendations-", 3) + "engine"
	rows := []string{}
	for _, day := range []string{"2026-11-23", "2026-11-24"} {
		rows = append(rows, fmt.Sprintf(`{"start":%q,"function":%q,"calls":12345678,
			"busy_seconds":123456.7,"replica_seconds":1234567.8,"gb_seconds":123456.789,
			"cold_starts":{"count":1234,"failed":12,"p50_ms":1234,"p99_ms":12345},
			"queue_wait":{"count":1,"mean_ms":12345,"max_ms":123456},"cost":{"total":1234.567891},
			"memory_assumed":true}`, day+"T00:00:00Z", name+".openfaas-fn"))
	}
	reason := strings.Repeat("no flour ", 30)
	answers := map[string]string{
		"/system/functions": fmt.Sprintf(`[{"name":%q,"image":"registry.example.com/%s:v1.2.3",
			"replicas":10,"availableReplicas":10,"invocationCount":12345678,"failing":%q}]`,
			name, name, reason),
		"/system/namespaces": `["openfaas-fn"]`,
		"/system/queues": fmt.Sprintf(`[{"queue":"%s:calls","queued":246912,"retrying":123456,
			"in_flight":1234,"delayed":12345,"dead":12345}]`, name),
		"/system/dead-letters": fmt.Sprintf(`[{"queue":"%s:bakery.dough","id":"1795437512656-0",
			"attempts":10,"buried":"2026-11-24T10:00:00Z","reason":%q}]`, name, reason),
		"/system/usage": fmt.Sprintf(`{"by":"day","rows":[%s],"total":{"calls":1},
			"prices":{"name":"AWS","currency":"USD"},"default_memory_mb":128}`, strings.Join(rows, ",")),
	}
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request) {
		_, _ = fmt.Fprint(w, answers[r.URL.Path])
	}))
	t.Cleanup(gateway.Close)
	for _, args := range [][]string{{"list"}, {"list", "--all-namespaces"}, {"queues"}, {"dead", "list"},
		{"bill", "--by", "day"}} {
		screen := clitest.New(t, 80)
		var pipe bytes.Buffer
		for _, to := range []func(*cobra.Command){
			func(root *cobra.Command) { cli.SetOutput(root, screen.TTY, screen.TTY) },
			func(root *cobra.Command) { cli.SetOutput(root, &pipe, &pipe) },
		} {
			root := newRoot()
			to(root)
			root.SetArgs(append(args, "-g", strings.TrimPrefix(gateway.URL, "http://")))
			require.NoError(t, root.ExecuteContext(t.Context()))
		}
		_, _ = fmt.Fprintln(screen.TTY, "THE END")
		text := screen.Await("THE END")
		require.Contains(t, text, "…", args)
		for line := range strings.Lines(text) {
			require.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\n"))), 80, "%v: %s", args, line)
		}
		require.Contains(t, pipe.String(), name, "a pipe has names whole")
	}
}

func TestDeployPrefersTheFlagThenTheEnvironmentThenTheFile(t *testing.T) {
	asked := map[string]int{}
	server := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked[name]++
			w.WriteHeader(http.StatusAccepted)
		}))
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	flag, environment, file := server("flag"), server("environment"), server("file")
	dir := t.TempDir()
	stack := filepath.Join(dir, "stack.yml")
	text := "provider:\n  name: openfaas\n  gateway: " + file + "\nfunctions:\n  echo:\n    image: echo\n"
	require.NoError(t, os.WriteFile(stack, []byte(text), 0o600))
	t.Chdir(dir)
	for _, test := range []struct {
		env  string
		args []string
		want string
	}{
		{environment, []string{"-g", flag}, "flag"},
		{environment, nil, "environment"},
		{"", nil, "file"},
	} {
		clear(asked)
		t.Setenv("OPENFAAS_URL", test.env)
		root := newRoot()
		root.SetOut(&bytes.Buffer{})
		root.SetArgs(append([]string{"deploy", "--no-wait", "-f", stack}, test.args...))
		require.NoError(t, root.ExecuteContext(t.Context()))
		require.Equal(t, map[string]int{test.want: 1}, asked)
	}
}

// The password of the state directory must not be sent to other gateways on this
// machine, or to one that only a stack file names.
func TestStatePasswordGoesToItsOwnGatewayOnly(t *testing.T) {
	state := filepath.Join(t.TempDir(), ".hearth")
	t.Setenv("HOME", t.TempDir())
	require.NoError(t, os.MkdirAll(state, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(state, "basic-auth-password"), []byte("secret"), 0o600))
	const lock = `{"pid":1,"address":"127.0.0.1:9090","api":"http://127.0.0.1:9091"}`
	for _, test := range []struct {
		gateway, lock string
		named, sent   bool
	}{
		{"http://gateway.example.com", "", false, false},
		{"http://gateway.example.com", "", true, true},
		{"http://127.0.0.1:8080", "", false, true},
		{"http://127.0.0.1:8080", lock, false, false},
		{"http://127.0.0.1:8080", lock, true, true},
		{"http://localhost:9090", lock, false, true},
		{"http://127.0.0.1:9091", lock, false, true},
	} {
		require.NoError(t, os.WriteFile(filepath.Join(state, "lock"), []byte(test.lock), 0o600))
		c := &client{gateway: test.gateway, user: "admin", state: state,
			stateNamed: func() bool { return test.named }}
		req, err := http.NewRequest(http.MethodGet, c.gateway, nil)
		require.NoError(t, err)
		require.NoError(t, c.authenticate(req))
		require.Equal(t, test.sent, req.Header.Get("Authorization") != "", "%+v", test)
	}
}

func TestBuildShowsProgressEveryTwoSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		c := newConsole(&out)
		c.Begin("oven")
		time.Sleep(time.Second) // in this test's virtual time
		c.Begin("baker")
		time.Sleep(6 * time.Second)
		c.End("oven", 7*time.Second, nil)
		c.End("baker", 6*time.Second, errors.New("no flour"))
		synctest.Wait()
		require.Equal(t, `  build    compiling baker, oven  2s
  build    compiling baker, oven  4s
  build    compiling baker, oven  6s
  build    oven  7.0 s
`, out.String())
	})
}

func TestVersionPrintsJSON(t *testing.T) {
	t.Parallel()
	out, err := command(t, "version", "--json").Output()
	require.NoError(t, err)
	var v struct{ Version string }
	require.NoError(t, json.Unmarshal(out, &v))
	require.NotEmpty(t, v.Version)
}

func TestWebPageIsNotPrintedAsAnError(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.FileServer(http.Dir(t.TempDir())))
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprint(w, "<!doctype html><title>Error response</title>")
	}))
	t.Cleanup(func() { s.Close(); page.Close() })
	_, err := run(t, "list", "--gateway", page.URL, "--state", t.TempDir())
	require.EqualError(t, err,
		page.URL+" answered 404 Not Found with a web page: "+
			"it is probably not a gateway; name another with --gateway or OPENFAAS_URL")
	_, err = run(t, "list", "--gateway", s.URL, "--state", t.TempDir())
	require.EqualError(t, err, "404 page not found", "text is printed")
}
