package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/internal/build"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newBuild() *cobra.Command {
	var file, filter, state, provider string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the functions of a stack file as images on this machine",
		Long: `Builds each function with its template's build.sh. The binaries are stored in
the state directory, where hearth up finds them. With --provider docker they
become images of the Docker engine instead: each contains only the binary, so no
base image is fetched. GOARCH selects the architecture.`,
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
			if asJSON {
				out = newConsole(io.Discard)
			}
			out.step("build", 0, "%s", strings.Join(stack.Names, ", "))
			err = providerConfig{Provider: provider}.build(cmd.Context(), stack, state, out)
			if asJSON {
				return errors.Join(cli.WriteJSON(cmd.OutOrStdout(), builtFunctions(stack, out, err)), err)
			}
			return err
		},
	}
	addStackFlag(cmd.Flags(), &file)
	cmd.Flags().StringVar(&filter, "filter", "", "only functions whose name matches; * matches any text")
	cmd.Flags().StringVar(&state, "state", ".hearth", "state directory")
	cmd.Flags().StringVar(&provider, "provider", "process", "provider to build for: process or docker")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// builtFunction is the JSON output of hearth build for one function.
type builtFunction struct {
	Name    string  `json:"name"`
	Image   string  `json:"image"`
	Built   bool    `json:"built"`
	Seconds float64 `json:"seconds"`
	Reason  string  `json:"reason"` // why it was not built
}

// builtFunctions lists the functions of a stack and how their builds ended. A function with skip_build is not
// built.
func builtFunctions(stack *build.Stack, out *console, err error) []builtFunction {
	reasons := map[string]string{}
	for _, f := range build.Failures(err) {
		reasons[f.Function] = f.Error()
	}
	list := []builtFunction{}
	for _, name := range stack.Names {
		b := builtFunction{Name: name, Reason: reasons[name]}
		if d, err := stack.Deployment(name); err == nil {
			b.Image = d.Image
		}
		if took, ok := out.builds.took[name]; ok {
			b.Built, b.Seconds = true, took.Seconds()
		}
		list = append(list, b)
	}
	return list
}

// addStackFlag adds the flag that names the stack file.
func addStackFlag(f *pflag.FlagSet, file *string) {
	f.StringVarP(file, "file", "f", "", "stack file (default "+strings.Join(build.DefaultFiles,
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
