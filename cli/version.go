package cli

import (
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// Version is the version of this project, the newest one in CHANGELOG.md.
const Version = "0.1.0"

// described is the output of git describe for the source. The Makefile sets it.
var described = ""

// A Build identifies a binary.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"` // "" if unknown
}

// String is the version, with the commit in brackets if it is known.
func (b Build) String() string {
	if b.Commit == "" {
		return b.Version
	}
	return fmt.Sprintf("%s (%s)", b.Version, b.Commit)
}

// ThisBuild identifies the running binary.
func ThisBuild() Build { return buildOf(described, debug.ReadBuildInfo) }

// buildOf reads git describe's output: v0.1.0, v0.1.0-5-gab12cd3 or, without a tag, ab12cd3. Without it, the
// commit is the one that Go has recorded.
func buildOf(described string, recorded func() (*debug.BuildInfo, bool)) Build {
	if tag, ok := strings.CutPrefix(described, "v"); ok {
		version, _, _ := strings.Cut(tag, "-")
		if _, commit, ok := strings.Cut(tag, "-g"); ok {
			return Build{version, commit}
		}
		return Build{Version: version}
	}
	if described != "" {
		return Build{Version, described}
	}
	b := Build{Version: Version}
	info, ok := recorded()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Commit = s.Value[:min(7, len(s.Value))]
		}
	}
	return b
}

// PrintVersion prints the version of a command, as JSON or for people.
func PrintVersion(cmd *cobra.Command, asJSON bool) error {
	if asJSON {
		return WriteJSON(cmd.OutOrStdout(), ThisBuild())
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), cmd.Root().Name(), ThisBuild())
	return err
}
