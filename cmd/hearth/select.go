package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// selecting are the flags that select what a command acts on. An empty value
// would select more, or something else.
var selecting = []string{"namespace", "function", "queue", "filter", "reason", "before", "after",
	"older-than", "gateway", "state"}

// selectSomething makes selecting flags reject an empty value, which usually comes from an unset variable in
// a script: hearth delete oven --namespace "$NAMESPACE" would remove the oven of the default namespace.
func selectSomething(cmd *cobra.Command) {
	guard := func(f *pflag.Flag) {
		if _, is := f.Value.(something); !is && slices.Contains(selecting, f.Name) {
			f.Value = something{f.Value}
		}
	}
	cmd.LocalFlags().VisitAll(guard)
	cmd.PersistentFlags().VisitAll(guard)
	for _, c := range cmd.Commands() {
		selectSomething(c)
	}
}

// something is a flag value that must not be empty.
type something struct{ pflag.Value }

func (s something) Set(text string) error {
	if strings.TrimSpace(text) == "" {
		return errors.New("the value is empty; set it, or omit the flag")
	}
	return s.Value.Set(text)
}
