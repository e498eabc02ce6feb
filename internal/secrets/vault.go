package secrets

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// A Vault is the secrets of all hearths of one Redis, and keeps this one's files as they are there.
type Vault struct {
	Files    Files
	Key      Key
	Queue    *redis.Client
	Instance string
	Log      *slog.Logger
	// Changed is told of a secret's new value, for running replicas. It may be nil.
	Changed func(ctx context.Context, namespace, name string) error

	mu     sync.Mutex      // one change of the files at a time
	warned map[string]bool // sealed values that could not be opened, which were told of
}

// synced is the file that names the Redis which the files are a copy of.
const synced = ".synced"

func full(namespace, name string) string { return namespace + "/" + name }

// List are the names of a namespace's secrets, in order. Values are never told.
func (v *Vault) List(ctx context.Context, namespace string) ([]string, error) {
	if err := checkNamespace(namespace); err != nil {
		return nil, err
	}
	all, err := v.Queue.SecretNames(ctx)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, text := range all {
		if in, name, _ := strings.Cut(text, "/"); in == namespace {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Generate makes a secret with a random value, unless there is one. made tells which.
func (v *Vault) Generate(ctx context.Context, namespace, name string) (made bool, err error) {
	err = v.Create(ctx, namespace, name, []byte(rand.Text()))
	if hearth.CodeOf(err) == hearth.Conflict {
		return false, nil
	}
	return err == nil, err
}

// Create makes a secret. It returns an error of code Conflict if there is one of that name.
func (v *Vault) Create(ctx context.Context, namespace, name string, value []byte) error {
	if err := check(namespace, name); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	made, err := v.Queue.CreateSecret(ctx, full(namespace, name), v.Key.seal(full(namespace, name), value), v.Instance)
	if err != nil {
		return err
	}
	if !made {
		return hearth.Errorf(hearth.Conflict, "there is a secret %s in the namespace %s already: update it (faas-cli secret update %s)", name, namespace, name)
	}
	return v.Files.Put(namespace, name, value)
}

// Update gives a secret another value, which running functions see at once. It returns an error of code NotFound if there is no such
// secret.
func (v *Vault) Update(ctx context.Context, namespace, name string, value []byte) error {
	if err := check(namespace, name); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	found, err := v.Queue.UpdateSecret(ctx, full(namespace, name), v.Key.seal(full(namespace, name), value), v.Instance)
	if err != nil {
		return err
	}
	if !found {
		return notFound(namespace, name)
	}
	if err := v.Files.Put(namespace, name, value); err != nil {
		return err
	}
	if err := v.tell(ctx, namespace, name); err != nil {
		return hearth.Errorf(hearth.Unavailable, "the secret %s is changed, but some running replicas have the old value still: update it again: %w", name, err)
	}
	return nil
}

func (v *Vault) tell(ctx context.Context, namespace, name string) error {
	if v.Changed == nil {
		return nil
	}
	return v.Changed(ctx, namespace, name)
}

// Delete removes a secret. It returns an error of code NotFound if there is no such secret.
func (v *Vault) Delete(ctx context.Context, namespace, name string) error {
	if err := check(namespace, name); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	found, err := v.Queue.DeleteSecret(ctx, full(namespace, name), v.Instance)
	if err != nil {
		return err
	}
	if !found {
		return notFound(namespace, name)
	}
	return v.Files.Remove(namespace, name)
}

// Sync makes the files what Redis has. What a Redis has lost, or never had, is given to it from the files; a full one takes it later.
func (v *Vault) Sync(ctx context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	sealed, epoch, err := v.Queue.Secrets(ctx)
	if err != nil {
		return err
	}
	was, err := os.ReadFile(filepath.Join(v.Files.Dir, synced))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("secrets: %w", err)
	}
	mirrored := epoch != "" && string(was) == epoch
	here, err := v.Files.all()
	if err != nil {
		return err
	}
	var failed []error
	later := false
	for name := range here {
		if _, ok := sealed[name]; ok {
			continue
		}
		err := v.missing(ctx, name, mirrored)
		if hearth.CodeOf(err) == hearth.Unavailable {
			v.Log.Warn("a secret is not in Redis yet", "secret", name, "error", err)
			later, err = true, nil
		}
		failed = append(failed, err)
	}
	for name, text := range sealed {
		failed = append(failed, v.fetch(ctx, name, text, here[name]))
	}
	if err := errors.Join(failed...); err != nil || epoch == "" || later || mirrored {
		return err
	}
	return v.Files.write(synced, []byte(epoch))
}

// missing does with a file what is right for one that Redis does not have: it goes if Redis had it; otherwise Redis is given it.
func (v *Vault) missing(ctx context.Context, name string, mirrored bool) error {
	namespace, short, _ := strings.Cut(name, "/")
	if mirrored {
		return v.Files.Remove(namespace, short)
	}
	value, err := os.ReadFile(v.Files.Path(namespace, short))
	if err != nil {
		return fmt.Errorf("read secret %s: %w", name, err)
	}
	_, err = v.Queue.CreateSecret(ctx, name, v.Key.seal(name, value), v.Instance)
	return err
}

// fetch makes a file of a sealed secret, unless it is as it should be.
func (v *Vault) fetch(ctx context.Context, name, text string, there bool) error {
	namespace, short, _ := strings.Cut(name, "/")
	if check(namespace, short) != nil { // nobody may write a file elsewhere
		v.warn(name, text, errors.New("it has no name that a secret can have"))
		return nil
	}
	value, err := v.Key.open(name, text)
	if err != nil {
		v.warn(name, text, err)
		return nil
	}
	if there {
		if now, err := os.ReadFile(v.Files.Path(namespace, short)); err == nil && bytes.Equal(now, value) {
			return nil
		}
	}
	if err := v.Files.Put(namespace, short, value); err != nil {
		return err
	}
	if there {
		return v.tell(ctx, namespace, short)
	}
	return nil
}

// warn says once of each value why it cannot be opened.
func (v *Vault) warn(name, text string, why error) {
	if v.warned == nil {
		v.warned = map[string]bool{}
	}
	if key := name + " " + text; !v.warned[key] {
		v.warned[key] = true
		v.Log.Error("a secret cannot be opened, so this hearth goes on with the value it has, if any: copy the file secret-key from the state directory of the hearth that made it, or update the secret here",
			"secret", name, "error", why)
	}
}

func notFound(namespace, name string) error {
	return hearth.Errorf(hearth.NotFound, "there is no secret %s in the namespace %s", name, namespace)
}
