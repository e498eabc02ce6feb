package redisserver

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Repair makes the append-only file of a redis-server that does not run end with a whole command, or a whole
// transaction, and returns how many bytes it took off: they are of a write that a death interrupted, and that
// nobody was told of. dir is where the server keeps its data.
//
// Redis does this itself when it starts, but where it finds half a command within a transaction it takes off
// only that, and leaves the transaction open. What it writes next then falls into it, and after one more
// restart the half of a script is done that never was. See https://github.com/valkey-io/valkey/pull/4342.
func Repair(dir string) (cut int64, err error) {
	path, err := lastAppended(filepath.Join(dir, "appendonlydir"))
	if err != nil || path == "" {
		return 0, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	whole, err := wholeUpTo(f)
	if err != nil || whole == info.Size() {
		return 0, err
	}
	if err := f.Truncate(whole); err != nil {
		return 0, err
	}
	return info.Size() - whole, f.Sync()
}

// lastAppended is the file that the server appended to last, or "". Its manifest has a line for each, such as
// "file appendonly.aof.2.incr.aof seq 2 type i".
func lastAppended(dir string) (string, error) {
	manifest, err := os.ReadFile(filepath.Join(dir, "appendonly.aof.manifest"))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	last := ""
	for line := range strings.Lines(string(manifest)) {
		if words := strings.Fields(line); len(words) == 6 && words[5] == "i" &&
			!strings.ContainsAny(words[1], `"/`) {
			last = filepath.Join(dir, words[1])
		}
	}
	return last, nil
}

// wholeUpTo is how far a file has whole commands and transactions. It is all of it if what it ends with
// cannot be read as commands: then it is for Redis to say what is wrong.
func wholeUpTo(f *os.File) (int64, error) {
	in := &appended{in: bufio.NewReaderSize(f, 1<<20)}
	whole, open := int64(0), false
	for {
		command, err := in.command()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return whole, nil
		case errors.Is(err, errFormat):
			info, err := f.Stat()
			return info.Size(), err
		case err != nil:
			return 0, fmt.Errorf("read %s: %w", f.Name(), err)
		}
		switch strings.ToUpper(command) {
		case "MULTI":
			open = true
		case "EXEC":
			open = false
		}
		if !open {
			whole = in.read
		}
	}
}

// appended reads commands as Redis writes them: *ARGUMENTS, then $LENGTH and the bytes of each; and comments,
// from # to the end of the line.
type appended struct {
	in   *bufio.Reader
	read int64 // bytes
}

var errFormat = errors.New("not a command")

// command is the name of the next one; "" for a comment.
func (a *appended) command() (name string, err error) {
	line, err := a.line()
	if err != nil || line[0] == '#' {
		return "", err
	}
	arguments, err := number(line, '*')
	for i := 0; i < arguments && err == nil; i++ {
		if line, err = a.line(); err != nil {
			break
		}
		var length int
		if length, err = number(line, '$'); err != nil {
			break
		}
		var skip int
		if i == 0 && length < 16 {
			word := make([]byte, length)
			skip, err = io.ReadFull(a.in, word)
			a.read, name, length = a.read+int64(skip), string(word), 0
		}
		if err == nil {
			skip, err = a.in.Discard(length + len("\r\n"))
			a.read += int64(skip)
		}
	}
	return name, err
}

func (a *appended) line() ([]byte, error) {
	line, err := a.in.ReadSlice('\n')
	a.read += int64(len(line))
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, errFormat
	}
	return line, err
}

// number reads a line such as "*3\r\n".
func number(line []byte, sign byte) (int, error) {
	n, err := strconv.Atoi(string(bytes.TrimSuffix(line[1:], []byte("\r\n"))))
	if line[0] != sign || err != nil || n < 0 {
		return 0, errFormat
	}
	return n, nil
}
