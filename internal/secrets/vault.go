package secrets

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/record"
	"github.com/hearthfaas/hearth/internal/redis"
)

// A Vault is the secrets of all instances of one Redis, and keeps this one's files as they are there.
type Vault struct {
	Files    Files
	Key      Key
	Memory   *record.Memory // of the versions that were seen; nil remembers none
	Queue    *redis.Client
	Instance string
	Log      *slog.Logger
	// Changed is told of a secret's new value, for running replicas. It may be nil.
	Changed func(ctx context.Context, namespace, name string) error

	mu sync.Mutex // one change of the files at a time
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
		if in, name, _ := strings.Cut(text, "/"); in == namespace && hearth.IsSecretName(name) {
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
	made, err := v.create(ctx, full(namespace, name), value)
	if err != nil {
		return err
	}
	if !made {
		return hearth.Errorf(hearth.Conflict,
			"there is a secret %s in the namespace %s already: update it (faas-cli secret update %s)",
			name, namespace, name)
	}
	return v.Files.Put(namespace, name, value)
}

// Update gives a secret another value, which running functions see at once. It returns an error of
// code NotFound if there is no such secret.
func (v *Vault) Update(ctx context.Context, namespace, name string, value []byte) error {
	if err := check(namespace, name); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	found, err := v.update(ctx, full(namespace, name), value)
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
		return hearth.Errorf(hearth.Unavailable,
			"the secret %s is changed, but some running replicas have the old value still: update it "+
				"again: %w", name, err)
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
	v.gone(full(namespace, name))
	return v.Files.Remove(namespace, name)
}

// create and update give Redis a new version of a secret.
func (v *Vault) create(ctx context.Context, name string, value []byte) (made bool, err error) {
	version := v.next(name)
	if made, err = v.Queue.CreateSecret(ctx, name, v.Key.seal(name, version, value), v.Instance); made {
		v.saw(name, version)
	}
	return made, err
}

func (v *Vault) update(ctx context.Context, name string, value []byte) (found bool, err error) {
	version := v.next(name)
	if found, err = v.Queue.UpdateSecret(ctx, name, v.Key.seal(name, version, value), v.Instance); found {
		v.saw(name, version)
	}
	return found, err
}

// next is the number of a secret's next version: above all that were seen, and in the order of time.
func (v *Vault) next(name string) int64 { return max(v.least(name)+1, time.Now().UnixNano()) }

// least is the lowest version of a secret that is believed.
func (v *Vault) least(name string) int64 {
	if v.Memory == nil {
		return 0
	}
	return v.Memory.Least(redis.KindSecret + " " + name)
}

// saw remembers a version of a secret, which is good: an older one is not believed any more.
func (v *Vault) saw(name string, version int64) {
	v.Queue.Judge(redis.KindSecret, name, nil)
	if v.Memory == nil {
		return
	}
	if err := v.Memory.Saw(redis.KindSecret+" "+name, version); err != nil {
		v.Log.Error("could not save which version of a secret was seen", "secret", name, "error", err)
	}
}

// gone remembers that a secret was deleted.
func (v *Vault) gone(name string) { v.saw(name, v.least(name)+1) }

// Sync makes the files what Redis has. What a Redis has lost, or never had, is given to it
// from the files; a full one takes it later.
func (v *Vault) Sync(ctx context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	sealed, epoch, err := v.Queue.Secrets(ctx)
	if err != nil {
		return err
	}
	was, err := v.Files.read(synced)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
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
	for _, r := range v.Queue.BadRecords() {
		if _, ok := sealed[r.Name]; r.Kind == redis.KindSecret && !ok {
			v.Queue.Judge(redis.KindSecret, r.Name, nil)
		}
	}
	for name, text := range sealed {
		failed = append(failed, v.fetch(ctx, name, text, here[name]))
	}
	if err := errors.Join(failed...); err != nil || epoch == "" || later || mirrored {
		return err
	}
	return v.Files.write(synced, []byte(epoch))
}

// missing does with a file what is right for one that Redis does not have: it goes if
// Redis had it; otherwise Redis is given it.
func (v *Vault) missing(ctx context.Context, name string, mirrored bool) error {
	namespace, short, _ := strings.Cut(name, "/")
	if mirrored {
		v.gone(name)
		return v.Files.Remove(namespace, short)
	}
	value, err := v.Files.Read(namespace, short)
	if err != nil {
		return err
	}
	_, err = v.create(ctx, name, value)
	return err
}

// fetch makes a file of a sealed secret, unless it is as it should be.
func (v *Vault) fetch(ctx context.Context, name, text string, there bool) error {
	namespace, short, _ := strings.Cut(name, "/")
	if check(namespace, short) != nil { // nobody may write a file elsewhere
		v.Queue.Judge(redis.KindSecret, name, errors.New("it has no name that a secret can have"))
		return nil
	}
	value, version, err := v.Key.open(name, text)
	if err != nil { // this instance goes on with the value that it has, if any
		v.Queue.Judge(redis.KindSecret, name, fmt.Errorf("it cannot be opened: %w", err))
		return nil
	}
	now, unread := v.Files.Read(namespace, short)
	if version < v.least(name) {
		return v.outdated(ctx, name, now, there && unread == nil)
	}
	v.saw(name, version)
	if there && unread == nil && bytes.Equal(now, value) {
		return nil
	}
	if err := v.Files.Put(namespace, short, value); err != nil {
		return err
	}
	if there {
		return v.tell(ctx, namespace, short)
	}
	return nil
}

// outdated gives Redis the present value again, if it is here, in the place of an older one.
func (v *Vault) outdated(ctx context.Context, name string, value []byte, here bool) error {
	if here {
		v.Log.Warn("an old value of a secret was in Redis, and is replaced by the present one", "secret",
			name)
		_, err := v.update(ctx, name, value)
		if hearth.CodeOf(err) != hearth.Unavailable {
			return err
		}
	}
	v.Queue.Judge(redis.KindSecret, name,
		errors.New("it is older than one that was seen here before, or was deleted"))
	return nil
}

func notFound(namespace, name string) error {
	return hearth.Errorf(hearth.NotFound, "there is no secret %s in the namespace %s", name, namespace)
}
