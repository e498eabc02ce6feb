package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSelectingFlagsRejectEmptyValues(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"delete", "oven", "--namespace", ""}, {"delete", "oven", "-n", ""},
		{"scale", "oven", "0", "--namespace="}, {"logs", "oven", "-n", " "},
		{"secret", "remove", "key", "-n", ""}, {"dead", "purge", "--all", "--function", ""},
		{"dead", "purge", "--all", "--queue="}, {"dead", "redrive", "--all", "--reason", ""},
		{"deploy", "--filter", ""}, {"cancel", "call", "--function", ""},
	} {
		root, out := newRoot(), &bytes.Buffer{}
		root.SetArgs(args)
		root.SetOut(out)
		root.SetErr(out)
		require.ErrorContains(t, root.ExecuteContext(t.Context()), "the value is empty", args)
	}
}
