package secrets_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/record"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/secrets"
	"github.com/openfaas/faas-provider/types"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/chacha20poly1305"
)

const ns = "openfaas-fn"

// rig is the vault of one instance.
type rig struct {
	*secrets.Vault
	t       *testing.T
	state   string
	raw     goredis.UniversalClient
	log     *bytes.Buffer
	changed []string
}

// newRig makes a vault on a Redis that has an epoch, as it has once an instance has started.
func newRig(t *testing.T, raw goredis.UniversalClient, state string) *rig {
	t.Helper()
	queue, err := redis.Open(t.Context(), chaintest.URL(raw))
	require.NoError(t, err)
	t.Cleanup(func() { _ = queue.Close() })
	_, err = queue.Epoch(t.Context())
	require.NoError(t, err)
	key, err := secrets.LoadKey(state)
	require.NoError(t, err)
	memory, err := record.OpenMemory(filepath.Join(state, "records.json"))
	require.NoError(t, err)
	r := &rig{t: t, state: state, raw: raw, log: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	queue.UseRecords(redis.Records{Key: key.Records(), Memory: memory, Log: log})
	r.Vault = &secrets.Vault{
		Files:    secrets.Files{Dir: filepath.Join(state, "secrets")},
		Key:      key,
		Memory:   memory,
		Queue:    queue,
		Instance: filepath.Base(state),
		Log:      log,
		Changed: func(_ context.Context, namespace, name string) error {
			r.changed = append(r.changed, namespace+"/"+name)
			return nil
		},
	}
	return r
}

func (r *rig) sync() {
	r.t.Helper()
	require.NoError(r.t, r.Sync(r.t.Context()))
}

// value is that of a secret's file; "-" if there is none.
func (r *rig) value(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(r.Files.Path(ns, name))
	if os.IsNotExist(err) {
		return "-"
	}
	require.NoError(r.t, err)
	return string(text)
}

func TestGenerateMakesASecretOnce(t *testing.T) {
	t.Parallel()
	v := newRig(t, chaintest.Redis(t), t.TempDir())
	f := hearth.Function{FunctionDeployment: types.FunctionDeployment{Service: "cashier", Namespace: ns,
		Secrets: []string{"manager-key"}}}
	err := v.Files.Require(f)
	require.Equal(t, hearth.Invalid, hearth.CodeOf(err))
	require.ErrorContains(t, err, "manager-key")
	var made sync.Map
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			ok, err := v.Generate(t.Context(), ns, "manager-key")
			if err == nil && ok {
				made.Store(i, true)
			}
		})
	}
	all.Wait()
	count := 0
	made.Range(func(any, any) bool { count++; return true })
	require.Equal(t, 1, count, "of eight at once, one made it")
	path := v.Files.Path(ns, "manager-key")
	require.Len(t, v.value("manager-key"), 26)
	for path, mode := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700,
		filepath.Join(v.state, "secret-key"): 0o600} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), "only this user may read %s", path)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is left beside it")
	require.NoError(t, v.Files.Require(f))
}

func TestASecretStaysInItsFolder(t *testing.T) {
	t.Parallel()
	v := newRig(t, chaintest.Redis(t), t.TempDir())
	for _, name := range []string{"", "..", "../x", "a/b", ".hidden", "UPPER", "a..b"} {
		for _, n := range []struct{ namespace, name string }{{ns, name}, {name, "key"}} {
			_, err := v.Generate(t.Context(), n.namespace, n.name)
			require.Equal(t, hearth.Invalid, hearth.CodeOf(err), name)
			require.Equal(t, hearth.Invalid, hearth.CodeOf(v.Update(t.Context(), n.namespace,
				n.name, nil)), name)
			require.Equal(t, hearth.Invalid, hearth.CodeOf(v.Delete(t.Context(), n.namespace, n.name)), name)
		}
	}
	require.NoError(t, v.raw.HSet(t.Context(), "{hearth}:secrets", "../../escaped", "1.x.y").Err(),
		"somebody wrote to Redis")
	v.sync()
	require.NoFileExists(t, filepath.Join(v.state, "escaped"))
}

func TestCreateUpdateDelete(t *testing.T) {
	t.Parallel()
	v := newRig(t, chaintest.Redis(t), t.TempDir())
	names, err := v.List(t.Context(), ns)
	require.NoError(t, err)
	require.Empty(t, names)
	require.Equal(t, hearth.NotFound, hearth.CodeOf(v.Update(t.Context(), ns, "key", []byte("x"))),
		"an update makes none")
	require.Equal(t, hearth.NotFound, hearth.CodeOf(v.Delete(t.Context(), ns, "key")))
	require.NoError(t, v.Create(t.Context(), ns, "key", []byte("one")))
	require.Equal(t, hearth.Conflict, hearth.CodeOf(v.Create(t.Context(), ns, "key", []byte("two"))))
	require.Equal(t, "one", v.value("key"))
	require.Empty(t, v.changed)
	require.NoError(t, v.Update(t.Context(), ns, "key", []byte("two")))
	require.Equal(t, "two", v.value("key"))
	require.Equal(t, []string{ns + "/key"}, v.changed, "running replicas are given it")
	require.NoError(t, v.Create(t.Context(), ns, "a.key", []byte("x")))
	require.NoError(t, v.Create(t.Context(), "other", "key", []byte("x")))
	names, err = v.List(t.Context(), ns)
	require.NoError(t, err)
	require.Equal(t, []string{"a.key", "key"}, names)
	require.NoError(t, v.Delete(t.Context(), ns, "key"))
	require.Equal(t, "-", v.value("key"))
	require.Equal(t, hearth.NotFound, hearth.CodeOf(v.Delete(t.Context(), ns, "key")))
}

func TestRedisLearnsNoValue(t *testing.T) {
	t.Parallel()
	v := newRig(t, chaintest.Redis(t), t.TempDir())
	require.NoError(t, v.Create(t.Context(), ns, "key", []byte("hush-hush")))
	sealed := v.raw.HGet(t.Context(), "{hearth}:secrets", ns+"/key").Val()
	require.NotEmpty(t, sealed)
	for _, key := range v.raw.Keys(t.Context(), "*").Val() {
		dump := v.raw.Dump(t.Context(), key).Val()
		require.NotContains(t, dump, "hush", key)
	}
	require.NoError(t, v.Update(t.Context(), ns, "key", []byte("hush-hush")))
	require.NotEqual(t, sealed, v.raw.HGet(t.Context(), "{hearth}:secrets", ns+"/key").Val(),
		"and not even that two values are the same")
}

func TestASealedValueThatWasChangedIsNotTaken(t *testing.T) {
	t.Parallel()
	v := newRig(t, chaintest.Redis(t), t.TempDir())
	require.NoError(t, v.Create(t.Context(), ns, "one", []byte("of one")))
	require.NoError(t, v.Create(t.Context(), ns, "two", []byte("of two")))
	sealed := v.raw.HGet(t.Context(), "{hearth}:secrets", ns+"/one").Val()
	last := byte('A')
	if sealed[len(sealed)-1] == last {
		last = 'Q'
	}
	for what, text := range map[string]string{"another secret's": sealed,
		"a changed one": sealed[:len(sealed)-1] + string(last), "a cut one": sealed[:40],
		"another form": "9" + sealed[1:], "no text": "1.x.\x00", "nothing": "",
		"one of another version": strings.Replace(sealed, ".1", ".2", 1)} {
		v.log.Reset()
		v.Queue.Judge(redis.KindSecret, ns+"/two", nil)
		require.NoError(t, v.raw.HSet(t.Context(), "{hearth}:secrets", ns+"/two", text).Err())
		v.sync()
		require.Equal(t, "of two", v.value("two"), what)
		require.Contains(t, v.log.String(), "cannot be opened", what)
		v.sync()
		require.Equal(t, 1, strings.Count(v.log.String(), "cannot be opened"), "it is said once")
	}
}

func TestHearthsOfOneRedisHaveTheSameSecrets(t *testing.T) {
	t.Parallel()
	raw, one, two := chaintest.Redis(t), t.TempDir(), t.TempDir()
	a := newRig(t, raw, one)
	key, err := os.ReadFile(filepath.Join(one, "secret-key"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(two, "secret-key"), key, 0o600))
	b := newRig(t, raw, two)
	require.NoError(t, a.Create(t.Context(), ns, "key", []byte("first")))
	b.sync()
	require.Equal(t, "first", b.value("key"))
	require.Empty(t, b.changed, "nobody can have read it before")
	require.NoError(t, b.Update(t.Context(), ns, "key", []byte("second")))
	a.sync()
	require.Equal(t, "second", a.value("key"))
	require.Equal(t, []string{ns + "/key"}, a.changed)
	a.sync()
	require.Len(t, a.changed, 1, "what is as it was is nothing new")
	require.NoError(t, a.Delete(t.Context(), ns, "key"))
	b.sync()
	require.Equal(t, "-", b.value("key"))

	c := newRig(t, raw, t.TempDir()) // with a key of its own
	require.NoError(t, a.Create(t.Context(), ns, "key", []byte("third")))
	c.sync()
	require.Equal(t, "-", c.value("key"))
	require.Contains(t, c.log.String(), "give all instances on this Redis the same file secret-key")
	require.NoError(t, c.Update(t.Context(), ns, "key", []byte("fourth")), "the operator may make it anew")
	c.sync()
	require.Equal(t, "fourth", c.value("key"))
}

func TestASecretOutlivesWhatIsLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(v *rig){
		"its file":  func(v *rig) { require.NoError(t, os.RemoveAll(v.Files.Dir)) },
		"the Redis": func(v *rig) { require.NoError(t, v.raw.FlushDB(t.Context()).Err()) },
		"the Redis, and another one is named": func(v *rig) {
			require.NoError(t, v.raw.FlushDB(t.Context()).Err())
			_, err := v.Queue.Epoch(t.Context())
			require.NoError(t, err)
		},
		"the update of its file, by a crash": func(v *rig) {
			require.NoError(t,
				v.Files.Put(ns, "key", []byte("old")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newRig(t, chaintest.Redis(t), t.TempDir())
			require.NoError(t, v.Create(t.Context(), ns, "key", []byte("value")))
			v.sync()
			lose(v)
			v.sync()
			_, err := v.Queue.Epoch(t.Context())
			require.NoError(t, err)
			v.sync()
			require.Equal(t, "value", v.value("key"))
			names, err := v.List(t.Context(), ns)
			require.NoError(t, err)
			require.Equal(t, []string{"key"}, names)
			require.NoError(t, v.Delete(t.Context(), ns, "key"))
			require.NoError(t, v.Files.Put(ns, "key", []byte("value")), "a crash between Redis and the file")
			v.sync()
			require.Equal(t, "-", v.value("key"), "what was deleted does not come back")
		})
	}
}

func TestAnOldValueOfASecretIsNotTaken(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	v := newRig(t, chaintest.Redis(t), state)
	kept := func() string { return v.raw.HGet(t.Context(), "{hearth}:secrets", ns+"/key").Val() }
	require.NoError(t, v.Create(t.Context(), ns, "key", []byte("old")))
	old := kept()
	require.NoError(t, v.Update(t.Context(), ns, "key", []byte("new")))
	require.NoError(t, v.raw.HSet(t.Context(), "{hearth}:secrets", ns+"/key", old).Err(),
		"somebody put it back")
	again := newRig(t, v.raw, state) // after a restart, which must not forget
	again.sync()
	require.Equal(t, "new", again.value("key"))
	require.Empty(t, again.changed)
	require.NotEqual(t, old, kept(), "Redis has the present one again")
	require.Contains(t, again.log.String(), "an old value of a secret")
	require.Empty(t, again.Queue.BadRecords())

	require.NoError(t, again.Delete(t.Context(), ns, "key"))
	require.NoError(t, v.raw.HSet(t.Context(), "{hearth}:secrets", ns+"/key", old).Err())
	again.sync()
	require.Equal(t, "-", again.value("key"), "what was deleted does not come back")
	bad := again.Queue.BadRecords()
	require.Len(t, bad, 1)
	require.Equal(t, ns+"/key", bad[0].Name)
	require.NoError(t, again.Queue.RemoveRecord(t.Context(), redis.KindSecret, ns+"/key", "me"))
	require.Empty(t, kept())
}

func TestSecretsOfAVersionBeforeAreTakenOver(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	v := newRig(t, chaintest.Redis(t), state)
	require.NoError(t, os.WriteFile(filepath.Join(state, "secret-key"),
		[]byte("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n"), 0o600))
	v = newRig(t, v.raw, state)
	sealed := sealedByVersion1(t, []byte("0123456789abcdef0123456789abcdef"), ns+"/key", "kept")
	require.NoError(t, v.raw.HSet(t.Context(), "{hearth}:secrets", ns+"/key", sealed).Err())
	v.sync()
	require.Equal(t, "kept", v.value("key"))
	require.NoError(t, v.Update(t.Context(), ns, "key", []byte("new")))
	require.NoError(t, v.raw.HSet(t.Context(), "{hearth}:secrets", ns+"/key", sealed).Err())
	v.sync()
	require.Equal(t, "new", v.value("key"), "the older form is of an older version")
}

// sealedByVersion1 seals as versions did that gave a value no version.
func sealedByVersion1(t *testing.T, key []byte, name, value string) string {
	t.Helper()
	aead, err := chacha20poly1305.NewX(key)
	require.NoError(t, err)
	nonce := make([]byte, aead.NonceSize())
	id := sha256.Sum256(append([]byte("the name of a hearth's key: "), key...))
	return "1." + hex.EncodeToString(id[:6]) + "." +
		base64.RawStdEncoding.EncodeToString(aead.Seal(nonce, nonce, []byte(value), []byte(name)))
}

func TestASymbolicLinkDoesNotLeadOutOfTheSecrets(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	v := newRig(t, chaintest.Redis(t), state)
	require.NoError(t, v.Create(t.Context(), ns, "key", []byte("x")))
	require.NoError(t, os.WriteFile(filepath.Join(state, "basic-auth-password"), []byte("hush"), 0o600))
	require.NoError(t, os.Symlink("../../basic-auth-password", filepath.Join(v.Files.Dir, ns, "link")))
	require.NoError(t, os.Symlink("..", filepath.Join(v.Files.Dir, "up")))
	for _, n := range []struct{ namespace, name string }{{ns, "link"}, {"up", "basic-auth-password"},
		{"..", "basic-auth-password"}, {ns, "../../basic-auth-password"}} {
		_, err := v.Files.Read(n.namespace, n.name)
		require.Error(t, err, "%s/%s", n.namespace, n.name)
		f := hearth.Function{FunctionDeployment: types.FunctionDeployment{Service: "thief",
			Namespace: n.namespace, Secrets: []string{n.name}}}
		require.Equal(t, hearth.Invalid, hearth.CodeOf(v.Files.Require(f)), "%s/%s", n.namespace, n.name)
	}
}

func TestAnOperatorsFilesAreTakenOver(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	require.NoError(t, secrets.Files{Dir: filepath.Join(state, "secrets")}.Put(ns, "mine", []byte("by hand")))
	v := newRig(t, chaintest.Redis(t), state)
	v.sync()
	require.Equal(t, "by hand", v.value("mine"))
	made, err := v.Generate(t.Context(), ns, "mine")
	require.NoError(t, err)
	require.False(t, made)
	require.Equal(t, "by hand", v.value("mine"))
}

func TestAKeyThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "x", "c2hvcnQ="} {
		state := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(state, "secret-key"), []byte(text), 0o600))
		_, err := secrets.LoadKey(state)
		require.Equal(t, hearth.Invalid, hearth.CodeOf(err))
	}
}

func TestAFullRedisTakesSecretsLater(t *testing.T) {
	t.Parallel()
	full := chaintest.Full(t)
	v := newRig(t, full.Client, t.TempDir())
	require.NoError(t, v.Files.Put(ns, "mine", []byte("by hand")))
	full.Fill(t)
	v.sync()
	require.Equal(t, hearth.Unavailable, hearth.CodeOf(v.Create(t.Context(), ns, "new", []byte("x"))))
	require.Equal(t, "-", v.value("new"), "what was refused is not there")
	require.NoError(t, full.ConfigSet(t.Context(), "maxmemory", "0").Err())
	v.sync()
	names, err := v.List(t.Context(), ns)
	require.NoError(t, err)
	require.Equal(t, []string{"mine"}, names)
}
