package cli

import (
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// A License is a licence text and the modules that it covers.
type License struct {
	Modules []string `json:"modules"` // path and version
	Text    string   `json:"text"`
}

// PrintLicenses prints the licence texts of make notices, as JSON or for people.
func PrintLicenses(cmd *cobra.Command, text string, asJSON bool) error {
	if asJSON {
		return WriteJSON(cmd.OutOrStdout(), licensesIn(text))
	}
	_, err := io.WriteString(cmd.OutOrStdout(), text)
	return err
}

// licensesIn parses the output of make notices: a line of "=", the modules, a line of "-", and the text.
func licensesIn(text string) []License {
	list := []License{}
	for _, part := range strings.Split(text, "\n"+strings.Repeat("=", 80)+"\n")[1:] {
		modules, text, _ := strings.Cut(part, "\n"+strings.Repeat("-", 80)+"\n")
		list = append(list, License{strings.Split(modules, "\n"), strings.TrimSpace(text)})
	}
	return list
}
