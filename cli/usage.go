package cli

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageError returns the error for an invalid command line. Nothing was done.
func usageError(format string, args ...any) error {
	return &ExitError{Err: fmt.Errorf(format, args...), Code: CodeUsage}
}

// explainUsage makes a command and its subcommands explain what is wrong with a command line.
func explainUsage(cmd *cobra.Command) {
	check := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if cmd.HasSubCommands() && len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		if err := cmd.ValidateFlagGroups(); err != nil {
			return explainGroup(err)
		}
		if check == nil || check(cmd, args) == nil {
			return nil
		}
		return wrongArguments(cmd, args)
	}
	for _, c := range cmd.Commands() {
		explainUsage(c)
	}
}

// usageOf returns the usage line of a command.
func usageOf(cmd *cobra.Command) string {
	return strings.TrimSuffix(cmd.UseLine(), " [flags]")
}

func wrongArguments(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return usageError("missing arguments; usage: %s", usageOf(cmd))
	case !strings.Contains(cmd.Use, " "):
		return usageError("unexpected argument %q; usage: %s", args[0], usageOf(cmd))
	}
	return usageError("got %s; usage: %s", Count(len(args), "argument"), usageOf(cmd))
}

// unknownCommand suggests commands and aliases with a similar spelling.
func unknownCommand(parent *cobra.Command, name string) error {
	var names []string
	for _, c := range parent.Commands() {
		if c.Hidden {
			continue
		}
		if slices.Contains(c.SuggestFor, name) {
			return usageError("there is no command %q; did you mean %s?", name, c.CommandPath())
		}
		names = append(append(names, c.Name()), c.Aliases...)
	}
	hint := fmt.Sprintf("%s --help lists the commands", parent.CommandPath())
	if near := Nearest(name, names); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return usageError("there is no command %q; %s", name, hint)
}

var group = regexp.MustCompile(`group \[([^\]]+)\]`)

// explainGroup explains which flags must or must not be used together.
func explainGroup(err error) error {
	m := group.FindStringSubmatch(err.Error())
	if m == nil {
		return &ExitError{Err: err, Code: CodeUsage}
	}
	flags := "--" + strings.Join(strings.Fields(m[1]), " and --")
	if strings.Contains(err.Error(), "none of the others can be") {
		return usageError("%s cannot be used together", flags)
	}
	return usageError("%s must be used together", flags)
}

// explainFlag explains what is wrong with a flag.
func explainFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return err
	case errors.As(err, &unknown):
		return unknownFlag(cmd, unknown)
	case errors.As(err, &missing):
		return usageError("%s needs a value", flagName(missing.GetFlag(),
			missing.GetSpecifiedShortnames() != ""))
	case errors.As(err, &invalid):
		name := invalid.GetFlag().Name
		if want := wanted(invalid.GetFlag()); want != "" {
			return usageError("--%s is %q, want %s", name, invalid.GetValue(), want)
		}
		return usageError("--%s: %w", name, invalid.Unwrap())
	}
	return &ExitError{Err: err, Code: CodeUsage}
}

func flagName(f *pflag.Flag, short bool) string {
	if short {
		return "-" + f.Shorthand
	}
	return "--" + f.Name
}

// wanted describes what the value of a flag should be. It returns "" if the flag's own error does that.
func wanted(f *pflag.Flag) string {
	switch kind := f.Value.Type(); {
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return "a whole number"
	case strings.HasPrefix(kind, "float"):
		return "a number"
	case kind == "duration":
		return "a duration such as 30s, 5m or 24h"
	case kind == "bool":
		return "true or false"
	case strings.HasPrefix(kind, "stringTo"):
		return "NAME=VALUE"
	}
	return ""
}

func unknownFlag(cmd *cobra.Command, unknown *pflag.NotExistError) error {
	name, letters := unknown.GetSpecifiedName(), unknown.GetSpecifiedShortnames()
	if letters != "" && letters[0] >= '0' && letters[0] <= '9' {
		return usageError("-%s: a number cannot be negative here; usage: %s", letters, usageOf(cmd))
	}
	given, wrong := "--"+name, name
	if letters != "" {
		given, wrong = "-"+letters, letters
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	hint := fmt.Sprintf("%s --help lists the flags", cmd.CommandPath())
	if near := Nearest(wrong, names); len(near) > 0 {
		hint = "did you mean --" + strings.Join(near, " or --") + "?"
	}
	return usageError("there is no flag %s; %s", given, hint)
}

// Nearest returns up to three names that are similar to a misspelt one, the nearest first.
func Nearest(name string, names []string) []string {
	distance := func(other string) int {
		if strings.HasPrefix(other, name) {
			return 0
		}
		return levenshtein.ComputeDistance(name, other)
	}
	var near []string
	for _, other := range names {
		if d := distance(other); d < len(name) && d <= max(2, len(name)/3) { // 2: two swapped letters
			near = append(near, other)
		}
	}
	slices.SortStableFunc(near, func(a, b string) int { return distance(a) - distance(b) })
	return near[:min(3, len(near))]
}

// Count formats a number of things, such as "1 call" or "2 calls". many is a plural that does not end in s.
func Count[N int | int64 | uint64](n N, one string, many ...string) string {
	what := one + "s"
	if len(many) > 0 {
		what = many[0]
	}
	if n == 1 {
		what = one
	}
	return fmt.Sprintf("%d %s", n, what)
}
