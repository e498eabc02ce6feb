package redis

import (
	"context"

	"github.com/hearthfaas/hearth/chain/wire"
)

var (
	secretLua     = wire.NewLua(luaText("secret"), false)
	secretGoneLua = lua("secret") // a full Redis must still forget
	secretsLua    = lua("secrets")
)

// Secrets are what is kept of all secrets: NAMESPACE/NAME to the sealed value. epoch is that of Redis's
// memory, "" if it has none: with another one than before, a secret that is missing may be lost, and not
// deleted.
func (c *Client) Secrets(ctx context.Context) (sealed map[string]string, epoch string, err error) {
	// a transaction would be refused by a full Redis
	got, err := secretsLua.Run(ctx, c.rdb, []string{keySecrets, keyEpoch}).Slice()
	if err != nil {
		return nil, "", unavailable("read the secrets", err)
	}
	flat := got[1].([]any)
	sealed = make(map[string]string, len(flat)/2)
	for i := 0; i+1 < len(flat); i += 2 {
		sealed[flat[i].(string)] = flat[i+1].(string)
	}
	return sealed, got[0].(string), nil
}

// SecretNames are the NAMESPACE/NAME of all secrets.
func (c *Client) SecretNames(ctx context.Context) ([]string, error) {
	names, err := c.rdb.HKeys(ctx, keySecrets).Result()
	return names, unavailable("list the secrets", err)
}

// CreateSecret keeps a sealed secret, and tells all instances that the instance by has done so. made is false
// if there is another one of that name.
func (c *Client) CreateSecret(ctx context.Context, name, sealed, by string) (made bool, err error) {
	return c.secret(ctx, secretLua, "create", name, by, sealed)
}

// UpdateSecret replaces a secret. found is false if there is none of that name.
func (c *Client) UpdateSecret(ctx context.Context, name, sealed, by string) (found bool, err error) {
	return c.secret(ctx, secretLua, "update", name, by, sealed)
}

// DeleteSecret forgets a secret. found is false if there is none of that name. It is sent once: repeated, it
// would find none.
func (c *Client) DeleteSecret(ctx context.Context, name, by string) (found bool, err error) {
	keys := []string{keySecrets, keyChanges}
	done, err := secretGoneLua.Run(ctx, c.once, keys, "delete", name, by, "").Bool()
	return done, unavailable("delete the secret "+name, err)
}

func (c *Client) secret(
	ctx context.Context, script *wire.Lua, what, name, by, sealed string,
) (done bool, err error) {
	done, err = script.Run(ctx, c.rdb, []string{keySecrets, keyChanges}, what, name, by, sealed).Bool()
	return done, unavailable(what+" the secret "+name, err)
}
