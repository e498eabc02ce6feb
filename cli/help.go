package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// helpWidth is the width of help texts in columns.
const helpWidth = 80

// usage prints the usage of a command, as cobra does but with descriptions of flags that fit helpWidth.
func usage(cmd *cobra.Command) error {
	var b strings.Builder
	section := func(title, text string) {
		if text = strings.TrimRight(text, " \n"); text != "" {
			_, _ = fmt.Fprintf(&b, "\n%s:\n%s\n", title, text)
		}
	}
	var lines []string
	if cmd.Runnable() {
		lines = append(lines, "  "+cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		lines = append(lines, "  "+cmd.CommandPath()+" [command]")
	}
	section("Usage", strings.Join(lines, "\n"))
	section("Aliases", aliases(cmd))
	section("Examples", cmd.Example)
	var commands strings.Builder
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			_, _ = fmt.Fprintf(&commands, "  %-*s %s\n", cmd.NamePadding(), c.Name(), c.Short)
		}
	}
	section("Commands", commands.String())
	section("Flags", cmd.LocalFlags().FlagUsagesWrapped(helpWidth))
	section("Global flags", cmd.InheritedFlags().FlagUsagesWrapped(helpWidth))
	if cmd.HasAvailableSubCommands() {
		_, _ = fmt.Fprintf(&b, "\nUse \"%s [command] --help\" for help on a command.\n", cmd.CommandPath())
	}
	_, err := fmt.Fprint(cmd.OutOrStderr(), strings.TrimPrefix(b.String(), "\n"))
	return err
}

func aliases(cmd *cobra.Command) string {
	if len(cmd.Aliases) == 0 {
		return ""
	}
	return "  " + cmd.NameAndAliases()
}
