package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// selecting are the flags that say which things a command is about. Without one, more of them are meant, or others.
var selecting = []string{"namespace", "function", "queue", "filter", "reason", "before", "after", "older-than", "gateway", "state"}

// selectSomething makes selecting flags that are given without a value an error: they are mostly a script's variable that is not set, and
// hearth delete oven --namespace "$NAMESPACE" would remove the oven of the default namespace.
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

// something is a flag's value that is not empty.
type something struct{ pflag.Value }

func (s something) Set(text string) error {
	if strings.TrimSpace(text) == "" {
		return errors.New("it is empty: give it a value, or leave it out")
	}
	return s.Value.Set(text)
}
