// Command hearth is the platform: gateway, durable async queue and provider of functions in one process. Each of its commands
// is in a file of that name.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newRoot().ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "hearth: %v\n", err)
		var exit *exitError
		if errors.As(err, &exit) {
			os.Exit(exit.code)
		}
		os.Exit(1)
	}
}

// exitError ends the process with another code than 1.
type exitError struct {
	error
	code int
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "hearth",
		Short:         "Serverless functions on hardware you own, with OpenFaaS's contract",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(newUp(), newServe(), newBuild(), newImage(), newConnector(),
		newDeploy(), newList(), newDescribe(), newInvoke(), newLogs(), newSecret(), newScale(), newDelete(), newQueues(), newBill(), newDead(), newCancel(),
		newPassword(), newHealth(), newVersion())
	return root
}

// version is set by the Makefile; without, it is what Go knows.
var version = ""

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "hearth", versionText())
			return err
		},
	}
}
