package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// stateLock ensures that one instance at a time uses a state directory. It is a kernel lock, which ends with
// the process. The file records who holds it.
type stateLock struct {
	path string
	file *os.File
}

// holder is the content of the lock file.
type holder struct {
	PID     int       `json:"pid"`
	Address string    `json:"address"`
	Since   time.Time `json:"since"`
	API     string    `json:"api,omitempty"` // URL of the management API, if it is not at Address
}

// lockState takes the lock of a state directory. Its error has code Conflict and names the holder.
func lockState(dir string) (*stateLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the state directory: %w", err)
	}
	path := filepath.Join(dir, "lock")
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			var h holder
			_ = json.NewDecoder(f).Decode(&h)
			_ = f.Close()
			return nil, hearth.Errorf(hearth.Conflict,
				"the state directory %s is in use by process %d, at %s, since %s; stop that instance, or "+
					"use another directory with --state", dir, h.PID, h.Address,
				h.Since.Local().Format("15:04:05"))
		}
		// The previous holder may have removed the file between open and lock: then lock the new file.
		ours, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if now, err := os.Stat(path); err == nil && os.SameFile(ours, now) {
			return &stateLock{path, f}, nil
		}
		_ = f.Close()
	}
}

// holderOf reads who holds, or held, a state directory. It is not ok if the lock file does not say.
func holderOf(state string) (h holder, ok bool) {
	text, err := os.ReadFile(filepath.Join(state, "lock"))
	return h, err == nil && json.Unmarshal(text, &h) == nil && h.Address != ""
}

// say records the holder in the lock file.
func (l *stateLock) say(h holder) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err = l.file.WriteAt(append(text, '\n'), 0)
	return err
}

func (l *stateLock) release() {
	_ = os.Remove(l.path) // before unlocking, so that others create a new file
	_ = l.file.Close()
}
