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

// instanceOf names this hearth in leases. It stays the same over restarts, so that a
// hearth ends the leases of its former life.
func instanceOf(state string) (string, error) {
	path := filepath.Join(state, "instance")
	text, err := os.ReadFile(path)
	if id := strings.TrimSpace(string(text)); err == nil && id != "" {
		return id, nil
	}
	id := strings.ToLower(rand.Text())[:12]
	if err := os.WriteFile(path, []byte(id+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("name this hearth: %w", err)
	}
	return id, nil
}

// hasInstance reports whether a state directory was used before.
func hasInstance(state string) bool {
	_, err := os.Stat(filepath.Join(state, "instance"))
	return err == nil
}

// claimName makes sure that no other hearth of this Redis has the same name:
// each would end the leases of the other.
func claimName(ctx context.Context, queue *redis.Client, instance string,
	cfg nodeConfig) (release func(), err error) {
	home, err := homeOf(cfg.State)
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	note := fmt.Sprintf("process %d on %s, state directory %s", os.Getpid(), host, cfg.State)
	return queue.ClaimInstance(ctx, instance, home, note, func() {
		cfg.Log.Warn("a hearth of this name was here a moment ago; waiting to see whether it is alive",
			"instance", instance)
	}, func(note string) {
		cfg.Log.Error("another hearth has taken the name of this one, and may end its leases: end one of "+
			"them, and remove the file instance of its state directory",
			"instance", instance, "other", note)
	})
}

// homeOf tells one state directory from a copy of it: by the file with the name, and the boot of the machine
// that it is on. Who holds the lock of a state directory knows that another hearth of the same home is dead.
func homeOf(state string) (string, error) {
	var file syscall.Stat_t
	if err := syscall.Stat(filepath.Join(state, "instance"), &file); err != nil {
		return "", fmt.Errorf("name this hearth: %w", err)
	}
	return fmt.Sprintf("%s:%d:%d", bootID(), file.Dev, file.Ino), nil
}
