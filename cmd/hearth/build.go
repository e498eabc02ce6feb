package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/hearthfaas/hearth/internal/build"
	"github.com/hearthfaas/hearth/internal/process"
	"github.com/spf13/cobra"
)

func newBuild() *cobra.Command {
	var file, state string
	cmd := &cobra.Command{
		Use:     "build",
		Short:   "Build the functions of a stack.yml as images of this machine",
		Long:    "Builds each function with its template's build.sh, and stores the binaries in the state directory, from where hearth up runs them.",
		Example: "  hearth build -f stack.yml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			state, err := filepath.Abs(state)
			if err != nil {
				return err
			}
			if err := os.Chdir(filepath.Dir(file)); err != nil {
				return err
			}
			stack, err := build.Read(filepath.Base(file))
			if err != nil {
				return err
			}
			out := newConsole(cmd.OutOrStdout())
			out.step("build", 0, "%s", strings.Join(stack.Names, ", "))
			return stack.Build(cmd.Context(), filepath.Join(state, "build"), process.Images{Dir: filepath.Join(state, "images")}, out)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "stack.yml", "the stack file")
	cmd.Flags().StringVar(&state, "state", ".hearth", "directory for everything that is kept")
	return cmd
}
