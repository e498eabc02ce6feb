package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/openfaas/faas-provider/types"
	"github.com/spf13/cobra"
)

func newSecret() *cobra.Command {
	c := &client{}
	var namespace string
	list := newSecretList(c, &namespace)
	cmd := &cobra.Command{
		Use:     "secret",
		Aliases: []string{"secrets"},
		Short:   "List, create, update and delete the secrets of functions",
		Long: `Functions read their secrets from files. No command prints a value or accepts
one on the command line, where every user of the machine could read it. "hearth
secrets" lists the names.`,
		Example: "  hearth secrets\n  openssl rand -hex 16 | hearth secret create manager-key",
		Args:    cobra.NoArgs,
		RunE:    listIfPlural("secrets", list),
	}
	c.flags(cmd)
	cmd.PersistentFlags().StringVarP(&namespace, "namespace", "n", "",
		"namespace (default "+hearth.DefaultNamespace+")")
	_ = cmd.RegisterFlagCompletionFunc("namespace", c.completeNamespaces)
	cmd.AddCommand(list, newSecretPut(c, &namespace, "create", "Create a secret", http.MethodPost),
		newSecretPut(c, &namespace, "update", "Change the value of a secret", http.MethodPut),
		newSecretDelete(c, &namespace))
	return cmd
}

func (c *client) secrets(ctx context.Context, namespace string) ([]types.Secret, error) {
	path := "/system/secrets"
	if namespace != "" {
		path += "?namespace=" + url.QueryEscape(namespace)
	}
	list := []types.Secret{}
	if err := c.do(ctx, http.MethodGet, path, nil, &list); err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b types.Secret) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// secretUse is a secret and the functions that use it.
type secretUse struct {
	Name      string   `json:"name"`
	Namespace string   `json:"namespace"`
	UsedBy    []string `json:"used_by"`
}

func newSecretList(c *client, namespace *string) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List secrets and the functions that use them",
		Example: "  hearth secret list\n  hearth secret list -n staging --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.knowsNamespace(cmd.Context(), *namespace); err != nil {
				return err
			}
			secrets, err := c.secrets(cmd.Context(), *namespace)
			if err != nil {
				return err
			}
			functions, err := c.functions(cmd.Context(), *namespace)
			if err != nil {
				return err
			}
			list := []secretUse{}
			for _, s := range secrets {
				use := secretUse{Name: s.Name, Namespace: s.Namespace, UsedBy: []string{}}
				for _, f := range functions {
					if slices.Contains(f.Secrets, s.Name) {
						use.UsedBy = append(use.UsedBy, f.Name)
					}
				}
				list = append(list, use)
			}
			return c.print(cmd, list, func(out io.Writer) {
				if len(list) == 0 {
					_, _ = fmt.Fprintln(out, "no secrets")
					return
				}
				rows := [][]string{{"SECRET", "USED BY"}}
				for _, s := range list {
					rows = append(rows, []string{s.Name, strings.Join(s.UsedBy, ", ")})
				}
				table(out, rows)
			})
		},
	}
}

// newSecretPut creates create and update.
func newSecretPut(c *client, namespace *string, name, short, method string) *cobra.Command {
	var file, literal string
	var trim, replace bool
	cmd := &cobra.Command{
		Use:   name + " NAME",
		Short: short,
		Long: short + `.

The value comes from standard input or a file. On a terminal the command prompts
for it without showing it. White space around a text value is removed, as by
faas-cli; --trim=false keeps it. Binary values stay unchanged.`,
		Example: fmt.Sprintf("  openssl rand -hex 16 | hearth secret %[1]s manager-key\n"+
			"  hearth secret %[1]s tls-key --from-file key.der", name),
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("from-literal") {
				return fmt.Errorf("--from-literal shows the value to every user of this machine; use " +
					"standard input or --from-file, and remove the value from your shell's history")
			}
			value, err := readSecret(cmd, file, trim)
			if err != nil {
				return err
			}
			s := types.Secret{Name: args[0], Namespace: *namespace, RawValue: value}
			err = c.do(cmd.Context(), method, "/system/secrets", s, nil)
			if statusOf(err) == http.StatusConflict && replace {
				err = c.do(cmd.Context(), http.MethodPut, "/system/secrets", s, nil)
			}
			if err != nil {
				return c.explainSecret(cmd.Context(), args[0], *namespace, err)
			}
			return c.print(cmd, secretName(args[0], *namespace),
				func(out io.Writer) { _, _ = fmt.Fprintf(out, "%sd %s\n", name, args[0]) })
		},
	}
	cmd.Flags().StringVar(&file, "from-file", "", "file with the value; - is standard input")
	cmd.Flags().StringVar(&literal, "from-literal", "", "")
	_ = cmd.Flags().MarkHidden("from-literal")
	cmd.Flags().BoolVar(&trim, "trim", true, "remove white space around a text value")
	if method == http.MethodPost {
		cmd.Flags().BoolVar(&replace, "replace", false, "replace the value if the secret exists")
	} else {
		cmd.ValidArgsFunction = c.completeSecret
	}
	return cmd
}

// readSecret reads a value. Its error never contains a part of the value.
func readSecret(cmd *cobra.Command, file string, trim bool) ([]byte, error) {
	var value []byte
	var err error
	switch in := cmd.InOrStdin(); {
	case file != "" && file != "-":
		value, err = os.ReadFile(file)
	case isTerminal(in):
		value, err = cli.ReadPassword(cmd.Context(), in.(*os.File), cmd.ErrOrStderr(), "value: ")
	default:
		value, err = io.ReadAll(cli.Input(cmd.Context(), in))
	}
	if err != nil {
		return nil, fmt.Errorf("read the value: %w", err)
	}
	if trim && utf8.Valid(value) {
		value = bytes.TrimSpace(value)
	}
	if len(value) == 0 {
		return nil, errors.New("the value is empty; use standard input or --from-file")
	}
	return value, nil
}

func newSecretDelete(c *client, namespace *string) *cobra.Command {
	return &cobra.Command{
		Use:               "delete NAME",
		Aliases:           []string{"rm", "remove"},
		Short:             "Delete a secret that no function uses",
		Example:           "  hearth secret delete manager-key",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeSecret,
		RunE: func(cmd *cobra.Command, args []string) error {
			s := types.Secret{Name: args[0], Namespace: *namespace}
			if err := c.do(cmd.Context(), http.MethodDelete, "/system/secrets", s, nil); err != nil {
				return c.explainSecret(cmd.Context(), args[0], *namespace, err)
			}
			return c.print(cmd, secretName(args[0], *namespace),
				func(out io.Writer) { _, _ = fmt.Fprintf(out, "deleted %s\n", args[0]) })
		},
	}
}

// secretName is the JSON output for a secret, without its value.
func secretName(name, namespace string) any {
	return struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	}{name, firstOf(namespace, hearth.DefaultNamespace)}
}

// explainSecret adds suggestions to the error for an unknown secret. It returns other errors unchanged.
func (c *client) explainSecret(ctx context.Context, name, namespace string, err error) error {
	if status := statusOf(err); status == http.StatusNotFound || status == http.StatusBadRequest {
		if unknown := c.knowsNamespace(ctx, namespace); unknown != nil {
			return unknown
		}
	}
	if statusOf(err) != http.StatusNotFound {
		return err
	}
	list, listErr := c.secrets(ctx, namespace)
	if listErr != nil {
		return err
	}
	var names []string
	for _, s := range list {
		names = append(names, s.Name)
	}
	return &refusal{http.StatusNotFound, err.Error() + "; " +
		meant(name, names, "hearth secret list shows them")}
}
