package main

import (
	_ "embed"

	"github.com/hearthfaas/hearth/cli"
	"github.com/spf13/cobra"
)

// thirdParty has the licence texts of the modules linked into this binary. make notices writes it.
//
//go:embed third-party.txt
var thirdParty string

func newLicenses() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "licenses",
		Aliases: []string{"license"},
		Short:   "Print the licences of the software in this binary",
		Example: "  hearth licenses | less\n  hearth licenses --json | jq -r '.[].modules[]'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cli.PrintLicenses(cmd, thirdParty, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
