package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// writeDocsEnv writes the generated parts of docs/reference: make docs.
const writeDocsEnv = "HEARTH_WRITE_DOCS"

// TestReferenceIsCurrent compares the generated parts of docs/reference with the commands.
func TestReferenceIsCurrent(t *testing.T) {
	for _, name := range []string{"OPENFAAS_URL", "HEARTH_REDIS_AUTH", "gateway_url",
		"asynchronous_invocation",
		"basic_auth", "secret_mount_path", "rebuild_interval"} { // which some flags default to
		t.Setenv(name, "")
	}
	root := newRoot()
	shared := sharedFlags(root)
	generated(t, "cli.md", "shared flags", flagTable(shared))
	generated(t, "cli.md", "commands", commandList(root))
	generated(t, "cli.md", "reference", commandReference(root, shared))
	generated(t, "configuration.md", "labels", settingTable(hearth.KindLabel))
	generated(t, "configuration.md", "annotations", settingTable(hearth.KindAnnotation))
	generated(t, "configuration.md", "environment", settingTable(hearth.KindEnvironment))
	generated(t, "configuration.md", "flags of hearth serve", flagTable(flagsOf(commandNamed(root, "serve"))))
	generated(t, "configuration.md", "flags of hearth connector",
		flagTable(flagsOf(commandNamed(root, "connector"))))
}

// generated requires that a block of a page is text. With writeDocsEnv it writes the block instead.
func generated(t *testing.T, page, block, text string) {
	t.Helper()
	file := filepath.Join("..", "..", "docs", "reference", page)
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	begin, end := fmt.Sprintf("<!-- make docs: %s -->\n", block), "<!-- end -->"
	before, rest, ok := strings.Cut(string(content), begin)
	require.True(t, ok, "%s has no block %q", page, block)
	present, after, ok := strings.Cut(rest, end)
	require.True(t, ok, "the block %q of %s has no end", block, page)
	text = "\n" + strings.TrimSpace(text) + "\n\n"
	if os.Getenv(writeDocsEnv) != "" {
		require.NoError(t, os.WriteFile(file, []byte(before+begin+text+end+after), 0o644))
		return
	}
	require.True(t, text == present, "docs/reference/%s is not current: run make docs", page)
}

func commandNamed(root *cobra.Command, name string) *cobra.Command {
	cmd, _, _ := root.Find([]string{name})
	return cmd
}

// flagsOf returns the flags of a command and those that it inherits, except --help and --raw.
func flagsOf(cmd *cobra.Command) (flags []*pflag.Flag) {
	add := func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" && f.Name != "raw" && !slices.Contains(flags, f) {
			flags = append(flags, f)
		}
	}
	cmd.LocalFlags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	slices.SortFunc(flags, func(a, b *pflag.Flag) int { return strings.Compare(a.Name, b.Name) })
	return flags
}

// same reports whether two flags read the same to a user.
func same(a, b *pflag.Flag) bool {
	return a.Name == b.Name && a.Shorthand == b.Shorthand && a.Usage == b.Usage && a.DefValue == b.DefValue
}

func contains(flags []*pflag.Flag, f *pflag.Flag) bool {
	return slices.ContainsFunc(flags, func(other *pflag.Flag) bool { return same(f, other) })
}

// sharedFlags returns the flags that at least eight commands have.
func sharedFlags(root *cobra.Command) (shared []*pflag.Flag) {
	all := map[*cobra.Command][]*pflag.Flag{}
	everyCommand(root, func(cmd *cobra.Command) { all[cmd] = flagsOf(cmd) })
	everyCommand(root, func(cmd *cobra.Command) {
		for _, f := range all[cmd] {
			count := 0
			for _, flags := range all {
				if contains(flags, f) {
					count++
				}
			}
			if count >= 8 && !contains(shared, f) {
				shared = append(shared, f)
			}
		}
	})
	slices.SortFunc(shared, func(a, b *pflag.Flag) int { return strings.Compare(a.Name, b.Name) })
	return shared
}

var cell = strings.NewReplacer("|", `\|`, "*", `\*`, "<", `\<`)

func flagTable(flags []*pflag.Flag) string {
	if len(flags) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("| flag | default | meaning |\n|---|---|---|\n")
	for _, f := range flags {
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		value := f.DefValue
		switch value {
		case "", "false", "0", "0s", "[]":
			value = ""
		default:
			value = "`" + value + "`"
		}
		if f.Name == "docker-publish" {
			value = "on, except on Linux"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, value, cell.Replace(f.Usage))
	}
	return b.String()
}

func commandList(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("| command | aliases | what it does |\n|---|---|---|\n")
	everyCommand(root, func(cmd *cobra.Command) {
		var aliases []string
		for _, a := range cmd.Aliases {
			aliases = append(aliases, "`"+a+"`")
		}
		path := cmd.CommandPath()
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s |\n", path, strings.ReplaceAll(path, " ", "-"),
			strings.Join(aliases, ", "), cell.Replace(cmd.Short))
	})
	return b.String()
}

func commandReference(root *cobra.Command, shared []*pflag.Flag) string {
	var b strings.Builder
	everyCommand(root, func(cmd *cobra.Command) {
		own, also := flagsOf(cmd), []string(nil)
		own = slices.DeleteFunc(own, func(f *pflag.Flag) bool {
			if contains(shared, f) {
				also = append(also, "`--"+f.Name+"`")
				return true
			}
			return false
		})
		fmt.Fprintf(&b, "%s %s\n\n%s\n", strings.Repeat("#",
			min(2+strings.Count(cmd.CommandPath(), " ")-1, 3)),
			cmd.CommandPath(), paragraphs(cmp.Or(cmd.Long, cmd.Short+".")))
		fmt.Fprintf(&b, "\n```sh\n%s\n```\n", cmd.UseLine())
		switch cmd.Name() {
		case "serve", "connector":
			fmt.Fprintf(&b, "\nFlags: [configuration](configuration.md#flags-of-hearth-%s).\n", cmd.Name())
			own = nil
		case "up":
			b.WriteString("\nIt also has all flags of " +
				"[hearth serve](configuration.md#flags-of-hearth-serve).\n")
			serve := flagsOf(commandNamed(root, "serve"))
			own = slices.DeleteFunc(own, func(f *pflag.Flag) bool { return contains(serve, f) })
			also = nil
		}
		if table := flagTable(own); table != "" {
			b.WriteString("\n" + table)
		}
		if len(also) > 0 {
			fmt.Fprintf(&b, "\n%s\n", fill("[Shared flags](#shared-flags): "+strings.Join(also, ", ")+"."))
		}
		if cmd.Example != "" {
			b.WriteString("\nExamples:\n\n```sh\n")
			for line := range strings.SplitSeq(strings.TrimRight(cmd.Example, "\n"), "\n") {
				b.WriteString(strings.TrimPrefix(line, "  ") + "\n")
			}
			b.WriteString("```\n")
		}
		b.WriteString("\n")
	})
	return b.String()
}

// paragraphs fills the paragraphs of a help text, and leaves those with indented lines as they are, as code.
func paragraphs(text string) string {
	var out []string
	for p := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		if strings.HasPrefix(p, " ") || strings.Contains(p, "\n ") || strings.Contains(p, "\t") {
			out = append(out, "```text\n"+p+"\n```")
		} else {
			out = append(out, fill(p))
		}
	}
	return strings.Join(out, "\n\n")
}

// fill breaks a paragraph into lines of at most 110 columns.
func fill(text string) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		if column > 0 && column+1+len(word) > 110 {
			b.WriteByte('\n')
			column = 0
		} else if column > 0 {
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

// settingTable lists the settings of one kind, as the deployment of a function has them.
func settingTable(kind hearth.Kind) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | value | default | meaning |\n|---|---|---|---|\n", kind)
	for _, s := range hearth.Settings() {
		if s.Kind == kind {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n",
				s.Name, cell.Replace(s.Type), cell.Replace(s.Default), cell.Replace(s.Doc))
		}
	}
	return b.String()
}
