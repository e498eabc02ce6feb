// Package logs keeps what functions print, in a file for each function, and reads it again, also while it is
// written. It does not search or serve logs: package gateway does.
package logs

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

const (
	maxLine = 64 << 10 // bytes of a line; a longer one becomes several
	maxLog  = 16 << 20 // bytes of a file before it is rotated; one older file is kept
)

// A Dir is a directory of logs. No name of a function makes it read or write outside of the directory.
type Dir struct {
	Path string

	mu    sync.Mutex
	files map[string]*File
}

// File returns the log of a function.
func (d *Dir) File(function string) *File {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files == nil {
		d.files = map[string]*File{}
	}
	f := d.files[function]
	if f == nil {
		f = &File{dir: d.Path, name: function + ".log"}
		d.files[function] = f
	}
	return f
}

// Close closes a function's log, and ends its readers. The log opens again when there is more to write.
func (d *Dir) Close(function string) {
	d.mu.Lock()
	f := d.files[function]
	delete(d.files, function)
	d.mu.Unlock()
	if f != nil {
		f.close()
	}
}

// CloseAll closes all logs.
func (d *Dir) CloseAll() {
	d.mu.Lock()
	files := d.files
	d.files = nil
	d.mu.Unlock()
	for _, f := range files {
		f.close()
	}
}

// A File is the log of a function. Each line has a time, a replica, a stream and a text.
type File struct {
	dir, name string
	mu        sync.Mutex
	file      *os.File
	out       *bufio.Writer
	size      int64

	turn    int           // counts the rotations
	changed chan struct{} // closed when there is more to read; nil while nobody waits
	closed  bool
}

// CopyLines copies a replica's output into the log until it ends, and calls last with each line.
func (l *File) CopyLines(replica, stream string, from io.Reader, last func(string)) {
	r := bufio.NewReaderSize(from, 4096)
	for {
		line, err := readLine(r)
		if line != "" || err == nil {
			last(line)
			rest, _ := r.Peek(r.Buffered()) // if the next line is not complete, it may come much later
			l.write(replica, stream, line, bytes.IndexByte(rest, '\n') < 0)
		}
		if err != nil {
			return
		}
	}
}

// readLine reads up to the end of a line, or maxLine bytes of it.
func readLine(r *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > 0 && line[len(line)-1] == '\n' {
			return string(line[:len(line)-1]), nil
		}
		if errors.Is(err, bufio.ErrBufferFull) && len(line) < maxLine {
			continue
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			err = nil
		}
		return string(line), err
	}
}

// write adds a line. With flush, the line is in the file when write returns.
func (l *File) write(replica, stream, line string, flush bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil || l.size > maxLog {
		l.open()
	}
	if l.file == nil {
		return
	}
	b := time.Now().UTC().AppendFormat(l.out.AvailableBuffer(), stamp)
	b = append(append(append(append(b, ' '), replica...), ' '), stream...)
	b = append(append(append(b, ' '), line...), '\n')
	n, _ := l.out.Write(b)
	l.size += int64(n)
	if flush {
		_ = l.out.Flush()
		l.notify()
	}
}

// open opens the file, and rotates a full one. Its errors are ignored: a function runs on when its log cannot
// be written.
func (l *File) open() {
	_ = os.MkdirAll(l.dir, 0o700)
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return
	}
	defer func() { _ = root.Close() }()
	if l.file != nil {
		_ = l.out.Flush()
		_ = l.file.Close()
		l.file = nil
		_ = root.Rename(l.name, l.name+".1")
		l.turn++
	}
	f, err := root.OpenFile(l.name, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return
	}
	l.file, l.out, l.size = f, bufio.NewWriter(f), 0
	if info, err := f.Stat(); err == nil {
		l.size = info.Size()
	}
	end := make([]byte, 1)
	if _, err := f.ReadAt(end, l.size-1); err == nil && end[0] != '\n' {
		// An earlier run was killed in the middle of a line.
		n, _ := l.out.WriteString("\n")
		l.size += int64(n)
	}
}

func (l *File) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.out.Flush()
		_ = l.file.Close()
		l.file = nil
	}
	l.closed = true
	l.notify()
}
