package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// A Memory is the lowest generation that a record may have, for each that was seen. It is a file of the state
// directory, which functions in containers cannot reach; those that run as processes are trusted.
type Memory struct {
	path string

	mu   sync.Mutex
	kept kept
}

type kept struct {
	Adopted bool             `json:"adopted"` // records without a MAC were taken over: none is any more
	Least   map[string]int64 `json:"least"`   // kind and name -> the lowest generation that is believed
}

// most is how many records a memory has; then the oldest are forgotten, to be
// believed again if they are put back.
const most = 20_000

// OpenMemory reads a memory's file, if there is one.
func OpenMemory(path string) (*Memory, error) {
	m := &Memory{path: path}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &m.kept)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read which records were seen: %s: %w; put back the file from a backup, or "+
			"remove it", path, err)
	}
	if m.kept.Least == nil {
		m.kept.Least = map[string]int64{}
	}
	return m, nil
}

// Adopted reports whether records without a MAC were taken over.
func (m *Memory) Adopted() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept.Adopted
}

// SetAdopted notes that records without a MAC were taken over.
func (m *Memory) SetAdopted() error {
	return m.change(func() bool {
		before := m.kept.Adopted
		m.kept.Adopted = true
		return !before
	})
}

// Least is the lowest generation of a record that is believed; 0 if none was seen.
func (m *Memory) Least(record string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept.Least[record]
}

// Saw notes the generation of a record: a lower one is not believed any more.
func (m *Memory) Saw(record string, generation int64) error {
	return m.change(func() bool {
		if m.kept.Least[record] >= generation {
			return false
		}
		m.kept.Least[record] = generation
		return true
	})
}

// Forget believes any generation of a record again.
func (m *Memory) Forget(record string) error {
	return m.change(func() bool {
		_, ok := m.kept.Least[record]
		delete(m.kept.Least, record)
		return ok
	})
}

// change writes the file if do says that there is something to write. What one that
// fails did not write, the next change writes.
func (m *Memory) change(do func() bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !do() {
		return nil
	}
	m.trim()
	text, err := json.Marshal(m.kept)
	if err != nil {
		return err
	}
	if err := replace(m.path, text); err != nil {
		return fmt.Errorf("note which records were seen: %w", err)
	}
	return nil
}

// trim forgets the oldest, as generations begin with the time. m.mu is held.
func (m *Memory) trim() {
	if len(m.kept.Least) <= most {
		return
	}
	names := slices.SortedFunc(maps.Keys(m.kept.Least), func(a, b string) int {
		return int(max(-1, min(1, m.kept.Least[a]-m.kept.Least[b])))
	})
	for _, name := range names[:len(names)-most*9/10] {
		delete(m.kept.Least, name)
	}
}

// replace writes a file beside its place and moves it there: a crash leaves the old one or the new one.
func replace(path string, text []byte) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
