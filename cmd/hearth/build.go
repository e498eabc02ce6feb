package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/hearthfaas/hearth/internal/build"
	"github.com/spf13/cobra"
)

func newBuild() *cobra.Command {
	var file, state, provider string
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the functions of a stack.yml as images of this machine",
		Long: `Builds each function with its template's build.sh, and stores the binaries in the state directory, from where hearth up runs
them; or, with --provider docker, as images of the Docker engine. These have the binary and nothing else, so no base image is
fetched. GOARCH builds for another machine.`,
		Example: `  hearth build -f stack.yml
  GOARCH=arm64 TAG=latest-arm64 hearth build --provider docker`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := (providerConfig{Provider: provider}).check(); err != nil {
				return err
			}
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
			return providerConfig{Provider: provider}.build(cmd.Context(), stack, state, out)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "stack.yml", "the stack file")
	cmd.Flags().StringVar(&state, "state", ".hearth", "directory for everything that is kept")
	cmd.Flags().StringVar(&provider, "provider", "process", "what to build images for: process or docker")
	return cmd
}
