package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/hearthfaas/hearth/internal/gateway"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/stretchr/testify/require"
)

// run runs a command as a user does and returns its output.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestPasswordPrintsTheGatewaysPassword(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	c, err := gateway.LoadCredentials(state)
	require.NoError(t, err)
	out, err := run(t, "password", "--state", state)
	require.NoError(t, err)
	require.Equal(t, c.Password+"\n", out)
}

func TestPasswordErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	out, err := run(t, "password", "--state", state)
	require.Equal(t, hearth.NotFound, hearth.CodeOf(err))
	require.ErrorContains(t, err, state)
	require.ErrorContains(t, err, "--state")
	require.ErrorContains(t, err, "--no-auth")
	require.Empty(t, out)
	require.NoError(t, os.WriteFile(filepath.Join(state, "basic-auth-password"), []byte("\n"), 0o600))
	_, err = run(t, "password", "--state", state)
	require.ErrorContains(t, err, "is empty")
}
