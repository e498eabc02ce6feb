package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// Input wraps in so that reads end with ctx. Otherwise a read from a terminal or
// a pipe would continue after Ctrl-C.
func Input(ctx context.Context, in io.Reader) io.Reader {
	f, ok := in.(*os.File)
	if !ok {
		return in
	}
	return &input{ctx: ctx, file: f}
}

type input struct {
	ctx  context.Context
	file *os.File
}

// Read abandons a read in progress when ctx ends. Its data is lost, but the process is about to end.
func (i *input) Read(p []byte) (int, error) {
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text := make([]byte, len(p))
		n, err := i.file.Read(text)
		done <- result{text[:n], err}
	}()
	select {
	case r := <-done:
		return copy(p, r.text), r.err
	case <-i.ctx.Done():
		return 0, i.ctx.Err()
	}
}

// ReadPassword asks for a line on a terminal without showing it. It restores the terminal when ctx ends.
func ReadPassword(ctx context.Context, terminal *os.File, prompt io.Writer, question string) ([]byte, error) {
	fd := int(terminal.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	_, _ = fmt.Fprint(prompt, question)
	type result struct {
		line []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := term.ReadPassword(fd)
		done <- result{line, err}
	}()
	defer func() { _, _ = fmt.Fprintln(prompt) }()
	select {
	case r := <-done:
		return r.line, r.err
	case <-ctx.Done():
		_ = term.Restore(fd, before)
		return nil, ctx.Err()
	}
}
