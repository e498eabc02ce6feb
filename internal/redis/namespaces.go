package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/openfaas/faas-provider/types"
	goredis "github.com/redis/go-redis/v9"
)

var (
	namespaceLua     = wire.NewLua(luaText("namespace"), false)
	namespaceGoneLua = lua("namespace") // a full Redis must still forget
)

// parseNamespace reads a namespace's record.
func parseNamespace(field string, object []byte) (ns types.FunctionNamespace, err error) {
	if err := json.Unmarshal(object, &ns); err != nil {
		return ns, fmt.Errorf("it is no namespace: %w", err)
	}
	if !hearth.IsDNSLabel(field) {
		return ns, errors.New("its name is not one that a namespace can have")
	}
	if ns.Name != field {
		return ns, errElsewhere
	}
	return ns, nil
}

func (c *Client) readNamespace(field, text string) (ns types.FunctionNamespace, err error) {
	object, err := c.records.Key.OpenJSON(keyNamespaces, field, []byte(text))
	if err != nil {
		return ns, err
	}
	return parseNamespace(field, object)
}

// Namespaces are the names of those that were made: neither the default one, nor those that only have
// functions.
func (c *Client) Namespaces(ctx context.Context) ([]string, error) {
	found, err := c.rdb.HGetAll(ctx, keyNamespaces).Result()
	if c.mended(ctx, err, "", "") {
		err = nil
	}
	if err != nil {
		return nil, unavailable("list the namespaces", err)
	}
	var names []string
	bad := map[string]error{}
	for field, text := range found {
		if _, err := c.readNamespace(field, text); err != nil {
			bad[field] = err
			continue
		}
		names = append(names, field)
	}
	c.judgeAll(KindNamespace, bad)
	return names, nil
}

// Namespace is one that was made. ok is false if there is none of that name.
func (c *Client) Namespace(
	ctx context.Context, name string,
) (ns types.FunctionNamespace, ok bool, err error) {
	text, err := c.rdb.HGet(ctx, keyNamespaces, name).Result()
	if errors.Is(err, goredis.Nil) {
		return ns, false, nil
	}
	if err != nil {
		return ns, false, unavailable("read the namespace "+name, err)
	}
	ns, err = c.readNamespace(name, text)
	c.Judge(KindNamespace, name, err)
	return ns, err == nil, nil
}

// CreateNamespace makes a namespace. It returns an error of code Conflict if there is another one of that
// name.
func (c *Client) CreateNamespace(ctx context.Context, ns types.FunctionNamespace) error {
	done, _, _, err := c.namespace(ctx, namespaceLua, c.rdb, "create", ns)
	if err == nil && !done {
		return hearth.Errorf(hearth.Conflict,
			"there is a namespace %s already: update it (faas-cli namespace update %s)", ns.Name, ns.Name)
	}
	return err
}

// UpdateNamespace gives a namespace other labels and annotations. It returns an error of code NotFound if
// there is none of that name.
func (c *Client) UpdateNamespace(ctx context.Context, ns types.FunctionNamespace) error {
	done, _, _, err := c.namespace(ctx, namespaceLua, c.rdb, "update", ns)
	if err == nil && !done {
		return NoNamespace(ns.Name)
	}
	return err
}

// DeleteNamespace removes a namespace. It returns an error of code NotFound if there is none of that name,
// and Conflict if it has functions or secrets. It is sent once: repeated, it would find none.
func (c *Client) DeleteNamespace(ctx context.Context, name string) error {
	done, functions, secrets, err := c.namespace(ctx, namespaceGoneLua, c.once, "delete",
		types.FunctionNamespace{Name: name})
	switch {
	case err != nil || done:
		return err
	case functions+secrets > 0:
		return hearth.Errorf(hearth.Conflict,
			"the namespace %s has functions (%d) or secrets (%d): remove them first",
			name, functions, secrets)
	}
	return NoNamespace(name)
}

// NoNamespace is the error of one that is not there.
func NoNamespace(name string) error {
	return hearth.Errorf(hearth.NotFound,
		"there is no namespace %s: make it first (faas-cli namespace create %s)", name, name)
}

func (c *Client) namespace(
	ctx context.Context, script *wire.Lua, on goredis.Scripter, what string, ns types.FunctionNamespace,
) (done bool, functions, secrets int64, err error) {
	text, err := json.Marshal(ns)
	if err == nil && c.records.Key.IsZero() {
		err = errNoKey
	}
	if err != nil {
		return false, 0, 0, fmt.Errorf("%s the namespace %s: %w", what, ns.Name, err)
	}
	unused, err := c.rdb.HGet(ctx, keyNamespaces, ns.Name).Result() // a record that is not used is none
	if c.mended(ctx, err, "", "") || errors.Is(err, goredis.Nil) {
		unused, err = "", nil
	}
	if err != nil {
		return false, 0, 0, unavailable(what+" the namespace "+ns.Name, err)
	}
	if _, err := c.readNamespace(ns.Name, unused); err == nil {
		unused = ""
	}
	signed := c.records.Key.SignJSON(keyNamespaces, ns.Name, text)
	keys := []string{keyNamespaces, keyFunctions, keySecrets}
	got, err := script.Run(ctx, on, keys, what, ns.Name, signed, unused).Int64Slice()
	if err != nil {
		return false, 0, 0, unavailable(what+" the namespace "+ns.Name, err)
	}
	if got[0] == 1 {
		c.Judge(KindNamespace, ns.Name, nil)
	}
	return got[0] == 1, got[1], got[2], nil
}
