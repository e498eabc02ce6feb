/*
Package serverlog bounds the log of hearth itself, which strangers can make it write: it rotates the file,
clips long attributes, and leaves out repeated messages.

It does not choose what is logged, or in which format. Package logs has what functions print.
*/
package serverlog

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// maxFile is the size in bytes at which a log file is rotated to FILE.1. Only one older file is kept.
const maxFile = 16 << 20

// A File is a log file of at most maxFile bytes. Writes may come from several goroutines at once.
type File struct {
	path string
	max  int64

	mu   sync.Mutex
	file *os.File
	size int64
}

// Open opens a log file for appending, and creates its directory.
func Open(path string) (*File, error) { return open(path, maxFile) }

func open(path string, limit int64) (*File, error) {
	f := &File{path: path, max: limit}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return f, f.reopen()
}

func (f *File) reopen() error {
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return fmt.Errorf("open log: %w", err)
	}
	f.file, f.size = file, info.Size()
	return nil
}

// Write appends a record, and first rotates the file if it is full. If that fails, the record goes to the
// current file.
func (f *File) Write(record []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return 0, os.ErrClosed
	}
	if f.size > 0 && f.size+int64(len(record)) > f.max {
		full := f.file
		if err := os.Rename(f.path, f.path+".1"); err == nil {
			if err := f.reopen(); err == nil {
				_ = full.Close()
			}
		}
	}
	n, err := f.file.Write(record)
	f.size += int64(n)
	return n, err
}

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}
