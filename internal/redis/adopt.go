package redis

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/internal/record"
)

// Adopted is what Adopt has taken over.
type Adopted struct{ Functions, Namespaces, Usage int }

// Adopt signs records that have no MAC, if they are such as an operator could have made: those that a version
// without MACs has left. It must be called before any record is read. It does so once in the life of a state
// directory, and only if no instance with the same key has signed any: after that, a record without a MAC is
// a stranger's. What the instance itself has metered is taken over in any case.
//
// With all, records are also taken over that were signed with another key, that were changed, or that are
// older than what was seen.
func (c *Client) Adopt(ctx context.Context, instance string, all bool) (done Adopted, err error) {
	m := c.records.Memory
	if m.Adopted() && !all {
		return done, nil
	}
	var functions, namespaces []any // field, old and new record in turn
	first := true                   // nobody has signed anything
	for _, kind := range []struct {
		key   string
		parse func(field string, object []byte) ([]byte, error)
		list  *[]any
	}{
		{keyFunctions, c.adoptFunction, &functions}, {keyNamespaces, adoptNamespace, &namespaces},
	} {
		found, err := c.rdb.HGetAll(ctx, kind.key).Result()
		if err != nil {
			return done, unavailable("read the records", err)
		}
		for field, text := range found {
			object, err := c.records.Key.OpenJSON(kind.key, field, []byte(text))
			if err == nil {
				first = false
				if !all {
					continue
				}
			}
			if !errors.Is(err, record.ErrUnsigned) && !all {
				continue
			}
			if err != nil {
				object = record.UnsignedJSON([]byte(text))
			}
			object, err = kind.parse(field, object)
			if err != nil {
				continue // it is reported when it is read
			}
			*kind.list = append(*kind.list, field, text, c.records.Key.SignJSON(kind.key, field, object))
		}
	}
	take := all || first
	if done.Usage, err = c.adoptUsage(ctx, instance, take); err != nil {
		return done, err
	}
	if take {
		args := append(append([]any{len(functions)}, functions...), namespaces...)
		if err := adoptLua.Run(ctx, c.rdb, []string{keyFunctions, keyNamespaces}, args...).Err(); err != nil {
			return done, unavailable("sign the records", err)
		}
		done.Functions, done.Namespaces = len(functions)/3, len(namespaces)/3
	}
	return done, m.SetAdopted()
}

// adoptUsage signs what was metered: by everybody, or by this instance.
func (c *Client) adoptUsage(ctx context.Context, instance string, everybody bool) (n int, err error) {
	const days = 400 // more than usage is kept for
	for i := range days {
		key := keyUsage(time.Now().AddDate(0, 0, 1-i))
		found, err := c.rdb.HGetAll(ctx, key).Result()
		if c.mended(ctx, err, key, "hash") {
			continue
		}
		if err != nil {
			return n, unavailable("read what functions used", err)
		}
		var args []any
		for field, value := range found {
			_, err := c.records.Key.Open(key, field, []byte(value))
			_, by, _ := strings.Cut(field, " ")
			if !errors.Is(err, record.ErrUnsigned) || !everybody && by != instance {
				continue
			}
			args = append(args, field, value, c.records.Key.Sign(key, field, []byte(value)))
		}
		for some := range slices.Chunk(args, 3*maxUsage) {
			if err := adoptLua.Run(ctx, c.rdb, []string{key, key},
				append([]any{len(some)}, some...)...).Err(); err != nil {
				return n, unavailable("sign what functions used", err)
			}
			n += len(some) / 3
		}
	}
	return n, nil
}

// adoptFunction is a function's record with a generation.
func (c *Client) adoptFunction(field string, object []byte) ([]byte, error) {
	f, err := parseFunction(field, object)
	if err != nil {
		return nil, err
	}
	if !f.DeployedAt.IsZero() {
		f.Generation = max(f.Generation, f.DeployedAt.UnixNano())
	}
	f.Generation = max(f.Generation, c.records.Memory.Least(recordID(KindFunction, field)))
	return json.Marshal(f)
}

func adoptNamespace(field string, object []byte) ([]byte, error) {
	ns, err := parseNamespace(field, object)
	if err != nil {
		return nil, err
	}
	return json.Marshal(ns)
}
