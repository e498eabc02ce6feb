package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/internal/gateway"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/spf13/cobra"
)

// function is the gateway's status of a function. A stock OpenFaaS gateway fills OpenFaaS's fields only.
type function struct{ gateway.FunctionStatus }

// state is the status of a function in one word.
func (f function) state() string {
	switch {
	case f.Terminating:
		return "terminating"
	case f.Failing != "":
		return "failing"
	case f.Updating:
		return "updating"
	case f.Replicas == 0:
		return "asleep"
	case f.AvailableReplicas < f.Replicas:
		return "starting"
	}
	return "ready"
}

// drainingText describes the replicas that finish their calls. It is "" if there are none.
func drainingText(replicas int) string {
	switch replicas {
	case 0:
		return ""
	case 1:
		return "1 replica finishes its calls"
	}
	return fmt.Sprintf("%d replicas finish their calls", replicas)
}

// withNamespace adds the --namespace flag.
func withNamespace(cmd *cobra.Command, c *client, namespace *string) {
	cmd.Flags().StringVarP(namespace, "namespace", "n", "",
		"namespace (default "+hearth.DefaultNamespace+")")
	_ = cmd.RegisterFlagCompletionFunc("namespace", c.completeNamespaces)
}

// nameOf parses NAME or NAME.NAMESPACE and applies the --namespace flag.
func nameOf(arg, namespace string) (hearth.Name, error) {
	n, err := hearth.ParseName(arg)
	if err != nil || namespace == "" {
		return n, err
	}
	if strings.Contains(arg, ".") && n.Namespace != namespace {
		return n, hearth.Errorf(hearth.Invalid, "%s names the namespace %s, and --namespace %s", arg,
			n.Namespace, namespace)
	}
	n.Namespace = namespace
	return n, n.Validate()
}

func (c *client) functions(ctx context.Context, namespace string) ([]function, error) {
	path := "/system/functions"
	if namespace != "" {
		path += "?namespace=" + url.QueryEscape(namespace)
	}
	var list []function
	if err := c.do(ctx, http.MethodGet, path, nil, &list); err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b function) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (c *client) function(ctx context.Context, n hearth.Name) (function, error) {
	return c.ask(ctx, n, "usage=1")
}

// changedFunction waits until the function's state differs from the known one, for 20 seconds at most.
func (c *client) changedFunction(ctx context.Context, n hearth.Name, known string) (function, error) {
	if known == "" {
		return c.ask(ctx, n, "")
	}
	return c.ask(ctx, n, "wait=20s&etag="+url.QueryEscape(known))
}

func (c *client) ask(ctx context.Context, n hearth.Name, query string) (function, error) {
	var f function
	err := c.do(ctx, http.MethodGet,
		"/system/function/"+url.PathEscape(n.Function)+"?namespace="+url.QueryEscape(n.Namespace)+"&"+query,
		nil, &f)
	return f, c.explain(ctx, n, err)
}

func (c *client) namespaces(ctx context.Context) ([]string, error) {
	var list []string
	err := c.do(ctx, http.MethodGet, "/system/namespaces", nil, &list)
	return list, err
}

// explain adds suggestions to the error for an unknown function. It returns other errors unchanged.
func (c *client) explain(ctx context.Context, n hearth.Name, err error) error {
	if statusOf(err) != http.StatusNotFound {
		return err
	}
	if unknown := c.knowsNamespace(ctx, n.Namespace); unknown != nil {
		return unknown
	}
	list, listErr := c.functions(ctx, n.Namespace)
	if listErr != nil {
		return err
	}
	var names []string
	for _, f := range list {
		if f.Name == n.Function {
			return err
		}
		names = append(names, hearth.Name{Function: f.Name, Namespace: n.Namespace}.Short())
	}
	hint := "; hearth list shows the functions"
	if near := cli.Nearest(n.Short(), names); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	} else if elsewhere := c.elsewhere(ctx, n); elsewhere != "" {
		hint = "; did you mean " + elsewhere + "?"
	}
	return &refusal{http.StatusNotFound, fmt.Sprintf("there is no function %s in the namespace %s%s",
		n.Function, n.Namespace, hint)}
}

// knowsNamespace returns an error with suggestions if the namespace does not exist.
func (c *client) knowsNamespace(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	list, err := c.namespaces(ctx)
	switch {
	case statusOf(err) == http.StatusNotFound, slices.Contains(list, name):
		return nil
	case err != nil:
		return err
	}
	return &refusal{http.StatusNotFound, fmt.Sprintf("there is no namespace %s; %s", name,
		meant(name, list, "hearth namespace list shows them"))}
}

// meant suggests names similar to a wrong one, or returns the hint if there are none.
func meant(name string, names []string, orElse string) string {
	if near := cli.Nearest(name, names); len(near) > 0 {
		return "did you mean " + strings.Join(near, " or ") + "?"
	}
	return orElse
}

// elsewhere finds a function of the same name in another namespace.
func (c *client) elsewhere(ctx context.Context, n hearth.Name) string {
	namespaces, err := c.namespaces(ctx)
	if err != nil {
		return ""
	}
	for _, namespace := range namespaces {
		list, err := c.functions(ctx, namespace)
		if err == nil && slices.ContainsFunc(list, func(f function) bool { return f.Name == n.Function }) {
			return hearth.Name{Function: n.Function, Namespace: namespace}.String()
		}
	}
	return ""
}
