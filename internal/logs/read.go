package logs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// A Line is a line that a replica printed.
type Line struct {
	At      time.Time
	Replica string
	Stream  string // stdout or stderr
	Text    string // without the end of the line
}

// A Query selects lines.
type Query struct {
	Replica string    // "" for all
	Since   time.Time // zero for all
	Tail    int       // only so many of the last lines; 0 or less for all
	Follow  bool      // also lines that are yet to come
}

// stamp is the form of the time at the beginning of a line.
const stamp = "2006-01-02T15:04:05.000000Z"

func parse(text string) (l Line, ok bool) {
	at, rest, _ := strings.Cut(text, " ")
	replica, rest, _ := strings.Cut(rest, " ")
	stream, rest, found := strings.Cut(rest, " ")
	when, err := time.Parse(stamp, at)
	return Line{when, replica, stream, rest}, found && err == nil
}

func (q Query) wants(l Line) bool {
	return (q.Replica == "" || l.Replica == q.Replica) && !l.At.Before(q.Since)
}

// Read calls visit with the lines of a query, in the order in which they were printed. It returns when there
// are no more lines, with Follow when the log is closed, or with the error of ctx or visit. A slow visit does
// not slow the writers: a reader that is more than two files behind, of 16 MiB each, gets a line that says
// that lines are missing.
func (l *File) Read(ctx context.Context, q Query, visit func(Line) error) error {
	r := &reader{log: l}
	defer r.close()
	if err := r.open(); err != nil {
		return err
	}
	if q.Tail > 0 {
		last := make([]Line, 0, min(q.Tail, 1024))
		next := 0 // of a ring, once it is full
		err := r.all(func(line Line) error {
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case !q.wants(line):
			case len(last) < q.Tail:
				last = append(last, line)
			default:
				last[next], next = line, (next+1)%q.Tail
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i := range last {
			if err := visit(last[(next+i)%len(last)]); err != nil {
				return err
			}
		}
		if !q.Follow {
			return nil
		}
	}
	for {
		changed, closed := l.more()
		err := r.all(func(line Line) error {
			if !q.wants(line) {
				return ctx.Err()
			}
			return errors.Join(ctx.Err(), visit(line))
		})
		if err != nil || closed || !q.Follow {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// more returns a channel that is closed when there is more to read, and whether the log is closed, so that
// there never will be.
func (l *File) more() (changed <-chan struct{}, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed, l.closed
}

// notify wakes the readers. l.mu is held.
func (l *File) notify() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// reader is a position in a log.
type reader struct {
	log     *File
	older   *os.File // the rotated one, which is read first
	file    *os.File // nil if there is none yet
	turn    int      // the log's, when file was opened
	partial []byte   // a line that was not complete yet
}

func (r *reader) close() {
	for _, f := range []*os.File{r.older, r.file} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// open opens both files at one moment.
func (r *reader) open() (err error) {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	if r.log.file != nil {
		_ = r.log.out.Flush()
	}
	if r.older, err = r.log.openIfThere(r.log.name + ".1"); err != nil {
		return err
	}
	r.file, err = r.log.openIfThere(r.log.name)
	r.turn = r.log.turn
	return err
}

func (l *File) openIfThere(name string) (*os.File, error) {
	f, err := os.OpenInRoot(l.dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return f, err
}

// all reads to the end, with files that are begun meanwhile.
func (r *reader) all(visit func(Line) error) error {
	for {
		if r.older != nil {
			if err := r.lines(r.older, visit); err != nil {
				return err
			}
			_ = r.older.Close()
			r.older, r.partial = nil, nil
		}
		r.log.mu.Lock()
		same := r.turn == r.log.turn // before it is read, because a rotated file is complete
		r.log.mu.Unlock()
		if r.file != nil {
			if err := r.lines(r.file, visit); err != nil {
				return err
			}
		}
		if same && r.file != nil {
			return nil
		}
		next, turn, missed, err := r.next()
		if err != nil || next == nil {
			return err
		}
		if r.file != nil {
			_ = r.file.Close()
		}
		r.file, r.turn, r.partial = next, turn, nil
		if missed {
			if err := visit(Line{
				At:     time.Now().UTC(),
				Stream: "hearth",
				Text:   "hearth: lines are missing here, because they were printed faster than they are read",
			}); err != nil {
				return err
			}
		}
	}
}

// next opens the file after the open one. If that is gone, it opens the oldest one that is left, and missed
// is true.
func (r *reader) next() (f *os.File, turn int, missed bool, err error) {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	want := r.turn
	if r.file != nil {
		want++
	}
	name, turn := r.log.name, r.log.turn
	if turn > want {
		name, turn = name+".1", turn-1
	}
	f, err = r.log.openIfThere(name)
	return f, turn, turn > want, err
}

// lines reads from the position of a file to its end.
func (r *reader) lines(f *os.File, visit func(Line) error) error {
	in := bufio.NewReaderSize(f, 64<<10)
	for {
		part, err := in.ReadSlice('\n')
		if whole := bytes.HasSuffix(part, []byte("\n")); !whole || len(r.partial) > 0 {
			r.partial = append(r.partial, part...)
			if whole {
				part, r.partial = r.partial, nil
			}
		}
		if err == nil {
			if l, ok := parse(string(bytes.TrimSuffix(part, []byte("\n")))); ok {
				if err := visit(l); err != nil {
					return err
				}
			}
			continue
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}
