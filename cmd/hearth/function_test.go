package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// runWith runs a command with a standard input and returns its standard output.
func (n *testNode) runWith(in string, args ...string) (string, error) {
	n.t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetIn(strings.NewReader(in))
	root.SetOut(&out)
	root.SetErr(&bytes.Buffer{})
	root.SetArgs(append(args, "--gateway", n.url(), "--state", n.cfg.State))
	err := root.ExecuteContext(n.t.Context())
	return out.String(), err
}

func (n *testNode) runJSON(out any, args ...string) {
	n.t.Helper()
	text, err := n.run(append(args, "--json")...)
	require.NoError(n.t, err)
	require.NoError(n.t, json.Unmarshal([]byte(text), out), text)
}

func (n *testNode) makeNamespace(name string) {
	n.t.Helper()
	require.Less(n.t, n.system(http.MethodPost, "/system/namespace/",
		types.FunctionNamespace{Name: name}, nil), 300)
}

func inNamespace(namespace string) func(*types.FunctionDeployment) {
	return func(d *types.FunctionDeployment) { d.Namespace = namespace }
}

func TestListShowsOneNamespaceOrAll(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	text, err := n.run("list")
	require.NoError(t, err)
	require.Equal(t, "no functions\n", text)
	n.deploy("probe")
	n.makeNamespace("staging")
	n.deploy("other", inNamespace("staging"))
	_, err = n.run("invoke", "probe", "--data", "x")
	require.NoError(t, err)
	eventually(t, func() bool { return n.available("probe") == 1 })

	text, err = n.run("list")
	require.NoError(t, err)
	require.Regexp(t, `^FUNCTION +REPLICAS +RESTARTS +INVOCATIONS +IMAGE +NOTE\n`+
		`probe +1/1 +0 +1 +test/probe:latest *\n$`, text)
	text, err = n.run("list", "--all-namespaces")
	require.NoError(t, err)
	require.Regexp(t, `NAMESPACE +FUNCTION`, text)
	require.Regexp(t, `staging +other`, text)
	require.Regexp(t, `openfaas-fn +probe`, text)
	text, err = n.run("list", "-n", "staging", "--quiet")
	require.NoError(t, err)
	require.Equal(t, "other.staging\n", text)
	var list []function
	n.runJSON(&list, "list", "--all-namespaces")
	require.Len(t, list, 2)
}

func TestDescribeShowsEverythingButSecretValues(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	_, err := n.runWith("a value\n", "secret", "create", "manager-key")
	require.NoError(t, err)
	n.deploy("probe", onTopic("shop.opened"), func(d *types.FunctionDeployment) {
		d.Secrets = []string{"manager-key"}
		d.EnvVars["COLOUR"] = "blue"
		(*d.Labels)["tier"] = "front"
	})
	res, _ := n.do(http.MethodPost, "/async-function/probe", "", "X-Delay", "1h")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	eventually(t, func() bool { return n.available("probe") == 1 && n.oneQueue("probe").Delayed == 1 })
	text, err := n.run("describe", "probe")
	require.NoError(t, err)
	for _, want := range []string{`name +probe`, `status +ready`, `replicas +1 of 1 ready`,
		`queue +probe:calls: 0 queued \(0 retrying\), 0 in flight, 1 delayed, 0 dead`,
		`queue +probe:shop.opened`,
		`image +` + probeImage, `url +` + n.url() + `/function/probe`, `label +tier=front`,
		`annotation +topic=shop.opened`, `env +COLOUR=blue`, `secret +manager-key`} {
		require.Regexp(t, want, text)
	}
	require.NotContains(t, text, "a value")
	var d description
	n.runJSON(&d, "describe", "probe.openfaas-fn")
	require.Equal(t, "ready", d.State)
	require.Len(t, d.Queues, 2)
}

func TestDescribeSaysWhyAFunctionCannotStartOrWasRolledBack(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("other", func(d *types.FunctionDeployment) { d.EnvVars["FAIL_START"] = "no flour today" })
	n.deploy("probe", env("good"))
	n.says("env=V", "good")
	n.update(env("bad"), func(d *types.FunctionDeployment) { d.EnvVars["FAIL_START"] = "no sugar today" })
	n.rolledBack()
	eventually(t, func() bool {
		load, _ := n.router.Load(hearth.Name{Function: "other", Namespace: hearth.DefaultNamespace})
		return load.Failing != ""
	})
	text, err := n.run("describe", "other")
	require.NoError(t, err)
	require.Regexp(t, `status +failing\nfailing .*no flour today`, text)
	text, err = n.run("describe", "probe")
	require.NoError(t, err)
	require.Regexp(t, `rolled back +from `+probeImage+` at .*no sugar today`, text)
	text, err = n.run("list")
	require.NoError(t, err)
	require.Regexp(t, `other .*cannot start: .*no flour today`, text)
	require.Regexp(t, `probe .*rolled back: .*no sugar today`, text)
}

func TestUnknownNamesGetSuggestions(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("cashier")
	n.makeNamespace("staging")
	n.deploy("elsewhere", inNamespace("staging"))
	for _, args := range [][]string{{"describe", "casheir"}, {"invoke", "casheir", "-d", ""},
		{"invoke", "casheir", "-d", "", "--async"}, {"scale", "casheir", "2"}, {"delete", "casheir"}} {
		text, err := n.run(args...)
		require.EqualError(t, err,
			"there is no function casheir in the namespace openfaas-fn; did you mean cashier?", args)
		if args[0] != "delete" {
			require.Empty(t, text)
		}
	}
	_, err := n.run("describe", "elsewhere")
	require.ErrorContains(t, err, "did you mean elsewhere.staging?")
	_, err = n.run("describe", "nothing-like-it")
	require.ErrorContains(t, err, "hearth list")
	_, err = n.run("describe", "cashier.staging", "-n", "production")
	require.ErrorContains(t, err, "names the namespace staging, and --namespace production")
	_, err = n.run("scale", "elsewhere", "2", "-n", "staging")
	require.NoError(t, err)
}

func TestDeleteReportsRemainingCalls(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	for _, query := range []string{"", "?status=422"} {
		headers := []string{"X-Delay", "1h"}
		if query != "" {
			headers = nil
		}
		res, _ := n.do(http.MethodPost, "/async-function/probe"+query, "", headers...)
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	eventually(t, func() bool {
		q := n.oneQueue("probe")
		return q.Dead == 1 && q.Delayed == 1 &&
			q.Waiting+q.Leased == 0
	})
	text, err := n.run("delete", "probe")
	require.NoError(t, err)
	require.Contains(t, text, "removed probe\n"+
		"  probe:calls: 1 call for its next deployment, and 1 dead letter: hearth dead list --queue "+
		"probe:calls")
	eventually(t, func() bool { // its replica needs a moment to stop
		_, err = n.run("describe", "probe")
		return err != nil
	})
	require.ErrorContains(t, err, "there is no function probe")
}

func TestSecretsAreStoredExactlyAndNeverShown(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	stored := func(name string) string {
		text, err := os.ReadFile(n.secrets.Files.Path(hearth.DefaultNamespace, name))
		require.NoError(t, err)
		return string(text)
	}
	binary := "\x00\xff\n \x80 key \n"
	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte(binary), 0o600))
	for _, c := range []struct {
		in, want string
		args     []string
	}{
		{"a value\n", "a value", nil},
		{" kept \n", " kept \n", []string{"--trim=false"}},
		{binary, binary, nil},
		{"not this", binary, []string{"--from-file", file}},
	} {
		text, err := n.runWith(c.in, append([]string{"secret", "create", "key", "--replace"}, c.args...)...)
		require.NoError(t, err)
		require.Equal(t, "created key\n", text)
		require.Equal(t, c.want, stored("key"))
	}
	_, err := n.runWith("x", "secret", "create", "key")
	require.Error(t, err, "there is one already")
	_, err = n.runWith("", "secret", "update", "key")
	require.ErrorContains(t, err, "the value is empty")
	_, err = n.runWith("other", "secret", "update", "key")
	require.NoError(t, err)
	require.Equal(t, "other", stored("key"))
	_, err = n.runWith("other", "secret", "update", "keys")
	require.ErrorContains(t, err, "did you mean key?")
	_, err = n.runWith("", "secret", "create", "argv", "--from-literal", "visible-to-all")
	require.ErrorContains(t, err, "every user of this machine")
	require.NotContains(t, err.Error(), "visible-to-all")

	n.deploy("probe", func(d *types.FunctionDeployment) { d.Secrets = []string{"key"} })
	text, err := n.run("secret", "list")
	require.NoError(t, err)
	require.Regexp(t, `^SECRET +USED BY\nkey +probe\n$`, text)
	_, err = n.run("secret", "delete", "key")
	require.ErrorContains(t, err, "used by probe")
	_, err = n.run("delete", "probe")
	require.NoError(t, err)
	_, err = n.run("secret", "delete", "key")
	require.NoError(t, err)
	var list []secretUse
	n.runJSON(&list, "secret", "list")
	require.Empty(t, list)
}

func TestCompletionOffersTheGatewaysNames(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("cashier")
	n.makeNamespace("staging")
	n.deploy("oven", inNamespace("staging"))
	_, err := n.runWith("x", "secret", "create", "manager-key")
	require.NoError(t, err)
	complete := func(gateway string, args ...string) string {
		var out bytes.Buffer
		root := newRoot()
		root.SetOut(&out)
		root.SetErr(&bytes.Buffer{})
		root.SetArgs(append([]string{"__completeNoDesc", args[0], "--gateway", gateway, "--state",
			n.cfg.State}, args[1:]...))
		require.NoError(t, root.ExecuteContext(t.Context()))
		return out.String()
	}
	for _, command := range []string{"describe", "invoke", "logs", "scale", "delete"} {
		require.Equal(t, "cashier\n:4\n", complete(n.url(), command, ""), command)
		require.Equal(t, "oven\n:4\n", complete(n.url(), command, "-n", "staging", ""), command)
		require.Equal(t, "oven.staging\n:4\n", complete(n.url(), command, "oven."), command)
	}
	require.Equal(t, ":4\n", complete(n.url(), "describe", "cashier", ""), "it takes one name")
	require.Equal(t, "manager-key\n:4\n", complete(n.url(), "secret", "delete", ""))
	require.Equal(t, "openfaas-fn\nstaging\n:4\n", complete(n.url(), "list", "-n", ""))
	require.Equal(t, ":4\n", complete("http://127.0.0.1:1", "describe", ""),
		"a gateway that is away offers nothing")
}

func TestFaasCLILoginIsUsedWithoutAStateDirectory(t *testing.T) {
	n := newTestNode(t)
	n.deploy("probe")
	config := t.TempDir()
	t.Setenv("OPENFAAS_CONFIG", config)
	list := func(args ...string) error {
		root := newRoot()
		root.SetOut(&bytes.Buffer{})
		root.SetArgs(append([]string{"list", "--gateway", n.url() + "/"}, args...))
		return root.ExecuteContext(t.Context())
	}
	require.ErrorContains(t, list(), "requires a password; use --state or --password-file")
	token := base64.StdEncoding.EncodeToString([]byte(n.credentials.User + ":" + n.credentials.Password))
	require.NoError(t, os.WriteFile(filepath.Join(config, "config.yml"),
		[]byte("auths:\n- gateway: http://elsewhere:8080\n  auth: basic\n  token: eDp5\n"+
			"- gateway: "+n.url()+"\n  auth: basic\n  token: "+token+"\n"), 0o600))
	require.NoError(t, list())
	wrong := filepath.Join(config, "wrong")
	require.NoError(t, os.WriteFile(wrong, []byte("no"), 0o600))
	require.ErrorContains(t, list("--password-file", wrong),
		`does not accept the user "admin" with the password in `+wrong, "what is named comes first")
	require.ErrorContains(t, list("--password-file", wrong+"er"),
		"--password-file: open "+wrong+"er: no such file")
	empty := t.TempDir()
	require.NoError(t, os.Remove(filepath.Join(config, "config.yml")))
	require.ErrorContains(t, list("--state", empty), "requires a password, and "+empty+" has none")
	require.ErrorContains(t, list("--gateway", "http://127.0.0.1:1"),
		"the gateway at http://127.0.0.1:1 does not answer: ")
}
