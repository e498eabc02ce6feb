package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hearthfaas/hearth/internal/build"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newBuild() *cobra.Command {
	var file, filter, state, provider string
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the functions of a stack file as images of this machine",
		Long: `Builds each function with its template's build.sh, and stores the binaries in
the state directory, from where hearth up runs them; or, with --provider docker,
as images of the Docker engine. These have the binary and nothing else, so no
base image is fetched. GOARCH builds for another machine.`,
		Example: `  hearth build
  hearth build --filter 'o*'
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
			stack, err := openStack(file)
			if err != nil {
				return err
			}
			if err := stack.Filter(filter); err != nil {
				return err
			}
			out := newConsole(cmd.OutOrStdout())
			out.step("build", 0, "%s", strings.Join(stack.Names, ", "))
			return providerConfig{Provider: provider}.build(cmd.Context(), stack, state, out)
		},
	}
	addStackFlag(cmd.Flags(), &file)
	cmd.Flags().StringVar(&filter, "filter", "", "only functions whose name matches; * is any text")
	cmd.Flags().StringVar(&state, "state", ".hearth", "directory for everything that is kept")
	cmd.Flags().StringVar(&provider, "provider", "process", "what to build images for: process or docker")
	return cmd
}

// addStackFlag adds the flag that names the stack file.
func addStackFlag(f *pflag.FlagSet, file *string) {
	f.StringVarP(file, "file", "f", "", "the stack file (default "+strings.Join(build.DefaultFiles,
		", else ")+")")
}

// openStack reads the stack file and changes to its directory, since paths in it are relative.
func openStack(given string) (*build.Stack, error) {
	file, err := build.Find(given)
	if err != nil {
		return nil, err
	}
	if err := os.Chdir(filepath.Dir(file)); err != nil {
		return nil, fmt.Errorf("open the stack file: %w", err)
	}
	return build.Read(filepath.Base(file))
}
