package main

import (
	_ "embed"
	"io"

	"github.com/spf13/cobra"
)

// thirdParty has the licence texts of the modules linked into this binary. make notices writes it.
//
//go:embed third-party.txt
var thirdParty string

func newLicenses() *cobra.Command {
	return &cobra.Command{
		Use:     "licenses",
		Aliases: []string{"license"},
		Short:   "Print the licences of the software in this program",
		Example: "  hearth licenses | less",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), thirdParty)
			return err
		},
	}
}
