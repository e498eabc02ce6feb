package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/spf13/cobra"
)

// completionTimeout is how long a shell waits for completions. A gateway that does not answer offers none.
const completionTimeout = time.Second

// completions offers the names that ask returns. Errors offer nothing.
func completions(cmd *cobra.Command, begun string, ask func(ctx context.Context) ([]string, error)) ([]string,
	cobra.ShellCompDirective) {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	names, err := ask(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return !strings.HasPrefix(name,
			begun)
	}), cobra.ShellCompDirectiveNoFileComp
}

func namespaceOf(cmd *cobra.Command) string {
	if f := cmd.Flag("namespace"); f != nil {
		return f.Value.String()
	}
	return ""
}

// completeFunctions completes the first argument with the functions of the namespace.
func (c *client) completeFunctions(cmd *cobra.Command, args []string, begun string) ([]string,
	cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.completeFunction(cmd, args, begun)
}

// completeFunction completes any argument with the functions of the namespace,
// or of all namespaces after a dot.
func (c *client) completeFunction(cmd *cobra.Command, _ []string, begun string) ([]string,
	cobra.ShellCompDirective) {
	return completions(cmd, begun, func(ctx context.Context) ([]string, error) {
		namespaces := []string{namespaceOf(cmd)}
		if strings.Contains(begun, ".") {
			var err error
			if namespaces, err = c.namespaces(ctx); err != nil {
				return nil, err
			}
		}
		var names []string
		for _, namespace := range namespaces {
			list, err := c.functions(ctx, namespace)
			if err != nil {
				return nil, err
			}
			for _, f := range list {
				name := f.Name
				if strings.Contains(begun, ".") {
					name = hearth.Name{Function: f.Name, Namespace: namespace}.String()
				}
				names = append(names, name+"\t"+f.Image)
			}
		}
		return names, nil
	})
}

func (c *client) completeNamespaces(cmd *cobra.Command, _ []string, begun string) ([]string,
	cobra.ShellCompDirective) {
	return completions(cmd, begun, c.namespaces)
}

// completeSecret completes the argument with the secrets of the namespace.
func (c *client) completeSecret(cmd *cobra.Command, args []string, begun string) ([]string,
	cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completions(cmd, begun, func(ctx context.Context) ([]string, error) {
		list, err := c.secrets(ctx, namespaceOf(cmd))
		var names []string
		for _, s := range list {
			names = append(names, s.Name)
		}
		return names, err
	})
}

// completeQueues completes the first argument with the names of queues.
func (c *client) completeQueues(cmd *cobra.Command, args []string, begun string) ([]string,
	cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completions(cmd, begun, func(ctx context.Context) ([]string, error) {
		list, err := c.queues(ctx, "")
		var names []string
		for _, q := range list {
			names = append(names, q.Name)
		}
		return names, err
	})
}
