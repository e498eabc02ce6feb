package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hearthfaas/hearth/internal/redis"
)

// instanceOf returns the name of this instance in leases. It stays the same after a restart, so that the
// instance can end the leases of its previous run.
func instanceOf(state string) (string, error) {
	path := filepath.Join(state, "instance")
	text, err := os.ReadFile(path)
	if id := strings.TrimSpace(string(text)); err == nil && id != "" {
		return id, nil
	}
	id := strings.ToLower(rand.Text())[:12]
	if err := os.WriteFile(path, []byte(id+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("name this instance: %w", err)
	}
	return id, nil
}

// hasInstance reports whether a state directory was used before.
func hasInstance(state string) bool {
	_, err := os.Stat(filepath.Join(state, "instance"))
	return err == nil
}

// claimName makes sure that no other instance on this Redis has the same name:
// each would end the other's leases.
func claimName(ctx context.Context, queue *redis.Client, instance string,
	cfg nodeConfig) (release func(), err error) {
	home, err := homeOf(cfg.State)
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	note := fmt.Sprintf("process %d on %s, state directory %s", os.Getpid(), host, cfg.State)
	return queue.ClaimInstance(ctx, instance, home, note, func() {
		cfg.Log.Warn("an instance with this name was active a moment ago; waiting to see whether it still is",
			"instance", instance)
	}, func(note string) {
		cfg.Log.Error("another instance uses the name of this one and may end its leases; stop one of "+
			"them and remove the file instance from its state directory",
			"instance", instance, "other", note)
	})
}

// homeOf distinguishes a state directory from a copy of it, by the file with the instance's name
// and the boot of its machine. The process that holds the lock of a state directory knows that
// another instance with the same home is dead.
func homeOf(state string) (string, error) {
	var file syscall.Stat_t
	if err := syscall.Stat(filepath.Join(state, "instance"), &file); err != nil {
		return "", fmt.Errorf("name this instance: %w", err)
	}
	return fmt.Sprintf("%s:%d:%d", bootID(), file.Dev, file.Ino), nil
}
