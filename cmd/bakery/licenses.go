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

func newLicenses(c *counter) *cobra.Command {
	return &cobra.Command{
		Use:     "licenses",
		Example: "  bakery licenses | less",
		Short:   "Print the licences of the software in this binary",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cli.PrintLicenses(cmd, thirdParty, c.json)
		},
	}
}

func newVersion(c *counter) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  bakery version",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cli.PrintVersion(cmd, c.json) },
	}
}
