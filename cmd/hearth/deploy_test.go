package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// writeStack writes a stack.yml of probes with one line of environment each.
func writeStack(t *testing.T, dir, env string, names ...string) {
	t.Helper()
	text := "version: 1.0\nprovider:\n  name: openfaas\nfunctions:\n"
	for _, name := range names {
		text += fmt.Sprintf("  %s:\n    lang: go-http\n    handler: ./probe\n    image: %s\n"+
			"    environment:\n      %s\n", name, probeImage, env)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "stack.yml"), []byte(text), 0o600))
}

// Not parallel: reading a stack file changes the working directory.
func TestDeployWaitsUntilReadyOrFailsWithTheReason(t *testing.T) {
	n := newTestNode(t)
	dir := t.TempDir()
	t.Chdir(dir)
	writeStack(t, dir, "V: one", "probe", "other")
	text, err := n.run("deploy", "--filter", "pro*")
	require.NoError(t, err)
	require.Contains(t, text, "ready    probe")
	require.NotContains(t, text, "other")
	require.EqualValues(t, 1, n.available("probe"))
	n.says("env=V", "one")

	writeStack(t, dir, "V: two", "probe", "other")
	var list []deployed
	n.runJSON(&list, "deploy", "-f", filepath.Join(dir, "stack.yml"))
	require.Equal(t, []deployed{{Name: "other", Namespace: "openfaas-fn", Ready: true, Warnings: []string{}},
		{Name: "probe", Namespace: "openfaas-fn", Ready: true, Warnings: []string{}}}, list)
	_, text = n.do("POST", "/function/probe?env=V", "")
	require.Equal(t, "two", text, "no replica of the version before is left")

	writeStack(t, dir, "FAIL_START: no flour today", "probe", "newcomer")
	text, err = n.run("deploy")
	require.EqualError(t, err, "2 of 2 functions failed")
	require.Regexp(t, `probe was rolled back: .*no flour today`, text)
	require.Regexp(t, `newcomer cannot start: .*no flour today`, text)
	n.says("env=V", "two")

	writeStack(t, dir, "V: three", "probe", "Bad_Name")
	text, err = n.run("deploy", "--no-wait")
	require.EqualError(t, err, "1 of 2 functions failed")
	require.Contains(t, text, "Bad_Name is refused: ")
	n.says("env=V", "three")
	_, err = n.run("deploy", "--filter", "nothing*")
	require.ErrorContains(t, err, "matches none of")
}
