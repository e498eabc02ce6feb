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

// A Line is one that a replica has printed.
type Line struct {
	At      time.Time
	Replica string
	Stream  string // stdout or stderr
	Text    string // without the end of the line
}

// A Query says which lines are wanted.
type Query struct {
	Replica string    // "" for all
	Since   time.Time // zero for all
	Tail    int       // the last so many that there are now; 0 or less for all
	Follow  bool      // also those that are yet to come
}

// stamp is how a line begins.
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

// Read gives the lines of a query to tell, in the order in which they were printed. It returns when there are no more; with Follow
// when the log is closed, as that of a function that is removed, or with ctx's error when that ends; or with tell's error. However slow tell
// is, those who write do not wait. A reader that is more than two files behind, of 16 MiB each, is told of a gap by a line of hearth's.
func (l *File) Read(ctx context.Context, q Query, tell func(Line) error) error {
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
			if err := tell(last[(next+i)%len(last)]); err != nil {
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
			return errors.Join(ctx.Err(), tell(line))
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

// more is a channel that is closed when there is more to read than when it was called, and whether there will never be.
func (l *File) more() (changed <-chan struct{}, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed, l.closed
}

// tell lets readers look again. l.mu is held.
func (l *File) tell() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// reader is at a place in a log.
type reader struct {
	log     *File
	older   *os.File // that was put aside, before it
	file    *os.File // nil if there is none yet
	turn    int      // of the log, when file was opened
	partial []byte   // a line whose end was not there yet
}

func (r *reader) close() {
	for _, f := range []*os.File{r.older, r.file} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// open opens what there is, at one moment.
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

// all reads to the end of what there is, also of a file that was begun meanwhile.
func (r *reader) all(tell func(Line) error) error {
	for {
		if r.older != nil {
			if err := r.lines(r.older, tell); err != nil {
				return err
			}
			_ = r.older.Close()
			r.older, r.partial = nil, nil
		}
		r.log.mu.Lock()
		same := r.turn == r.log.turn // before it is read: what is put aside is complete
		r.log.mu.Unlock()
		if r.file != nil {
			if err := r.lines(r.file, tell); err != nil {
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
			if err := tell(Line{At: time.Now().UTC(), Stream: "hearth", Text: "hearth: lines are missing here, as they were printed faster than they are read"}); err != nil {
				return err
			}
		}
	}
}

// next opens the file after the one that is open, or the oldest that is left: then something was missed.
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

// lines reads from where a file is up to its end.
func (r *reader) lines(f *os.File, tell func(Line) error) error {
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
				if err := tell(l); err != nil {
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
