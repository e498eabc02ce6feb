// Command hearth is the platform: gateway, durable async queue and provider of functions in one process. Each
// of its commands is in a file of that name.
package main

import (
	"github.com/hearthfaas/hearth/cli"
	"github.com/spf13/cobra"
)

func main() { cli.Main(newRoot()) }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "hearth",
		Short: "Serverless functions on hardware you own, with OpenFaaS's contract",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(cli.Drains(newUp()), cli.Drains(newServe()), newBuild(), newImage(),
		cli.Drains(newConnector()),
		newDeploy(), newList(), newDescribe(), newInvoke(), newLogs(), newSecret(), newNamespace(),
		newScale(), newDelete(), newQueues(), newCalls(), newRecords(), newBill(), newDead(), newCancel(),
		newSchedules(), newPassword(), newConsoleCommand(), newHealth(), newLicenses(), newVersion())
	selectSomething(root)
	cli.Prepare(root)
	return root
}

// versionText is the version of this binary, without the commit.
func versionText() string { return cli.ThisBuild().Version }

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  hearth version\n  hearth version --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cli.PrintVersion(cmd, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
