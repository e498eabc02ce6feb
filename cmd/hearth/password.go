package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/spf13/cobra"
)

// defaultUser is the user name of a gateway that has no other.
const defaultUser = "admin"

func newPassword() *cobra.Command {
	var state string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "password",
		Short: "Print the gateway's password",
		Long: `Prints the password of the gateway that uses this state directory. The user is
admin, unless the file basic-auth-user in that directory names another.`,
		Example: `  hearth password | faas-cli login --password-stdin
  docker compose exec hearth /hearth password`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			password, err := passwordOf(state)
			if err != nil {
				return err
			}
			if asJSON {
				return cli.WriteJSON(cmd.OutOrStdout(), login{User: userOf(state), Password: password})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), password)
			return err
		},
	}
	cmd.Flags().StringVar(&state, "state", ".hearth", "state directory of an instance on this machine")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// login is the JSON output of hearth password.
type login struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// userOf is the user name of the gateway with this state directory.
func userOf(state string) string {
	text, err := os.ReadFile(filepath.Join(state, "basic-auth-user"))
	if err != nil {
		return defaultUser
	}
	return strings.TrimSpace(string(text))
}

// passwordOf is the password of the gateway with this state directory.
func passwordOf(state string) (string, error) {
	path := filepath.Join(state, "basic-auth-password")
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", hearth.Errorf(hearth.NotFound,
			"there is no password in %s; use --state to name the state directory of an instance that has "+
				"been started without --no-auth", state)
	case errors.Is(err, fs.ErrPermission):
		return "", hearth.Errorf(hearth.Unauthorized,
			"the password in %s is readable only by the user that runs hearth; run this command as that "+
				"user, or with sudo", state)
	case err != nil:
		return "", fmt.Errorf("read the password: %w", err)
	}
	password := strings.TrimSpace(string(text))
	if password == "" {
		return "", hearth.Errorf(hearth.Invalid,
			"%s is empty; remove it and restart hearth to create a new password", path)
	}
	return password, nil
}
