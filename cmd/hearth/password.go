package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/spf13/cobra"
)

func newPassword() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "password",
		Short: "Print the gateway's password",
		Long: `Prints the password of the gateway whose state directory this is. Its user is
admin, unless the file basic-auth-user there says otherwise.`,
		Example: `  hearth password | faas-cli login --password-stdin
  docker compose exec hearth /hearth password`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			password, err := passwordOf(state)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), password)
			return err
		},
	}
	cmd.Flags().StringVar(&state, "state", ".hearth", "state directory of a hearth on this machine")
	return cmd
}

func passwordOf(state string) (string, error) {
	path := filepath.Join(state, "basic-auth-password")
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", hearth.Errorf(hearth.NotFound,
			"there is no password in %s: name the directory of a hearth with --state. It makes one when it "+
				"first starts, "+
				"unless it has --no-auth: then no login is needed", state)
	case errors.Is(err, fs.ErrPermission):
		return "", hearth.Errorf(hearth.Unauthorized,
			"the password in %s is for the user that runs hearth: run this as that user, or with sudo", state)
	case err != nil:
		return "", fmt.Errorf("read the password: %w", err)
	}
	password := strings.TrimSpace(string(text))
	if password == "" {
		return "", hearth.Errorf(hearth.Invalid,
			"%s is empty: remove it, and start hearth again, which then makes a new one", path)
	}
	return password, nil
}
