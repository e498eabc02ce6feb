package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/openfaas/faas-provider/types"
	"github.com/spf13/cobra"
)

func newNamespace() *cobra.Command {
	c := &client{}
	list := newNamespaceList(c)
	cmd := &cobra.Command{
		Use:     "namespace",
		Aliases: []string{"namespaces", "ns"},
		Short:   "List, create, update and delete namespaces",
		Long: `A namespace has its own functions and secrets. openfaas-fn always exists.
"hearth namespaces" lists all of them.`,
		Example: "  hearth namespaces\n  hearth namespace create staging --label team=baking",
		Args:    cobra.NoArgs,
		RunE:    listIfPlural("namespaces", list),
	}
	c.flags(cmd)
	cmd.AddCommand(list, newNamespacePut(c, "create", "Create a namespace", http.MethodPost),
		newNamespacePut(c, "update", "Replace a namespace's labels and annotations", http.MethodPut),
		newNamespaceDelete(c))
	return cmd
}

// listIfPlural makes a command print its list if it was called by its plural alias, and its help otherwise.
func listIfPlural(plural string, list *cobra.Command) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if cmd.CalledAs() != plural {
			return cmd.Help()
		}
		list.SetContext(cmd.Context())
		return list.RunE(list, args)
	}
}

func (c *client) namespace(ctx context.Context, name string) (types.FunctionNamespace, error) {
	ns := types.FunctionNamespace{Name: name}
	err := c.do(ctx, http.MethodGet, "/system/namespace/"+url.PathEscape(name), nil, &ns)
	return ns, err
}

func newNamespaceList(c *client) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the namespaces",
		Example: "  hearth namespace list\n  hearth namespace list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			names, err := c.namespaces(cmd.Context())
			if err != nil {
				return err
			}
			list := []types.FunctionNamespace{}
			for _, name := range names {
				ns, err := c.namespace(cmd.Context(), name)
				// removed meanwhile, or the gateway has only names
				if statusOf(err) == http.StatusNotFound {
					err = nil
				}
				if err != nil {
					return err
				}
				list = append(list, ns)
			}
			return c.print(cmd, list, func(out io.Writer) {
				rows := [][]string{{"NAMESPACE", "LABELS", "ANNOTATIONS"}}
				for _, ns := range list {
					rows = append(rows, []string{ns.Name, pairs(ns.Labels), pairs(ns.Annotations)})
				}
				terminal.Table{Rows: rows}.Print(out)
			})
		},
	}
}

// pairs returns the entries of a map as NAME=VALUE, sorted.
func pairs(m map[string]string) string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		list = append(list, key+"="+m[key])
	}
	return strings.Join(list, ",")
}

// newNamespacePut creates create and update.
func newNamespacePut(c *client, name, short, method string) *cobra.Command {
	var labels, annotations map[string]string
	cmd := &cobra.Command{
		Use:   name + " NAME",
		Short: short,
		Example: fmt.Sprintf("  hearth namespace %[1]s staging\n"+
			"  hearth namespace %[1]s staging --label team=baking \\\n"+
			"    --annotation contact=ada@example.com",
			name),
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ns := types.FunctionNamespace{Name: args[0], Labels: labels, Annotations: annotations}
			path := "/system/namespace/"
			if method == http.MethodPut {
				path += url.PathEscape(ns.Name)
			}
			if err := c.do(cmd.Context(), method, path, ns, nil); err != nil {
				return c.explainNamespace(cmd.Context(), ns.Name, err)
			}
			return c.print(cmd, ns, func(out io.Writer) {
				_, _ = fmt.Fprintf(out,
					"%sd namespace %s\n", name, ns.Name)
			})
		},
	}
	cmd.Flags().StringToStringVar(&labels, "label", nil, "label `NAME=VALUE`; repeatable")
	cmd.Flags().StringToStringVar(&annotations, "annotation", nil,
		"annotation `NAME=VALUE`; repeatable")
	if method == http.MethodPut {
		cmd.ValidArgsFunction = c.completeNamespaces
	}
	return cmd
}

func newNamespaceDelete(c *client) *cobra.Command {
	return &cobra.Command{
		Use:               "delete NAME",
		Aliases:           []string{"rm", "remove"},
		Short:             "Delete a namespace that has no functions and no secrets",
		Example:           "  hearth namespace delete staging",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeNamespaces,
		RunE: func(cmd *cobra.Command, args []string) error {
			ns := types.FunctionNamespace{Name: args[0]}
			if err := c.do(cmd.Context(), http.MethodDelete, "/system/namespace/"+url.PathEscape(ns.Name), ns,
				nil); err != nil {
				return c.explainNamespace(cmd.Context(), ns.Name, err)
			}
			return c.print(cmd, named{Name: ns.Name},
				func(out io.Writer) { _, _ = fmt.Fprintf(out, "deleted namespace %s\n", ns.Name) })
		},
	}
}

// named is the JSON output of commands that act on one thing.
type named struct {
	Name string `json:"name"`
}

// explainNamespace adds suggestions to the error for an unknown namespace. It returns other errors unchanged.
func (c *client) explainNamespace(ctx context.Context, name string, err error) error {
	if statusOf(err) != http.StatusNotFound {
		return err
	}
	if unknown := c.knowsNamespace(ctx, name); unknown != nil {
		return unknown
	}
	return err
}
