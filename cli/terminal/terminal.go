/*
Package terminal prints text of others without letting it control the terminal.

Terminals obey control characters: they move the cursor, set the clipboard, change the title or hide text.
Function names, log lines, responses, dead letters and error messages come from others. A [Writer] prints
their control characters as escapes (\x1b, \u009b) if its output is a terminal, and unchanged otherwise.

The package also lays out tables that fit the terminal. It reads no input.
*/
package terminal

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"reflect"
	"sync"

	"golang.org/x/term"
)

// Text is safe to print: its only control characters are line feeds, tabs and our own colours.
type Text string

// A Writer escapes control characters if it writes to a terminal. It may be used
// by several goroutines at once.
type Writer struct {
	out    io.Writer
	file   *os.File // nil if out is not a terminal
	colour bool
	raw    func() bool

	mu   sync.Mutex
	held []byte // the beginning of an incomplete character
}

// NewWriter wraps out, or returns it if it is a Writer. While raw returns true,
// nothing is escaped; raw may be nil.
func NewWriter(out io.Writer, raw func() bool) *Writer {
	if w, ok := out.(*Writer); ok {
		return w
	}
	w := &Writer{out: out, raw: raw}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		w.file = f
		w.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	return w
}

// IsTerminal reports whether the output is a terminal.
func (w *Writer) IsTerminal() bool { return w.file != nil }

// Unwrap returns the underlying output, for a program that writes to it directly.
func (w *Writer) Unwrap() io.Writer { return w.out }

// Size is the terminal's size in characters, or 0, 0 if the output is no terminal.
func (w *Writer) Size() (width, height int) {
	if w.file == nil {
		return 0, 0
	}
	width, height, err := term.GetSize(int(w.file.Fd()))
	if err != nil || width <= 0 {
		return 80, 24
	}
	return width, height
}

func (w *Writer) escapes() bool { return w.file != nil && (w.raw == nil || !w.raw()) }

// Write writes p, and escapes control characters if the output is a terminal.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.escapes() {
		return w.out.Write(p)
	}
	if len(w.held) == 0 && harmless(p) {
		return w.out.Write(p)
	}
	text, rest := appendEscaped(nil, append(w.held, p...), false)
	w.held = bytes.Clone(rest)
	if _, err := w.out.Write(text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes an incomplete character whose remaining bytes never arrived.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.held) == 0 {
		return nil
	}
	text, _ := appendEscaped(nil, w.held, true)
	w.held = nil
	_, err := w.out.Write(text)
	return err
}

// Print writes text unchanged.
func (w *Writer) Print(text Text) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = io.WriteString(w.out, string(text))
}

// Control sends a control sequence to a terminal, and nothing to any other output.
func (w *Writer) Control(sequence string) {
	if w.file != nil {
		w.Print(Text(sequence))
	}
}

// Sprintf formats text for this writer. Arguments other than Text and numbers
// are escaped if the output is a terminal.
func (w *Writer) Sprintf(format string, args ...any) Text {
	if w.escapes() {
		safe := make([]any, len(args))
		for i, arg := range args {
			safe[i] = safely(arg)
		}
		args = safe
	}
	return Text(fmt.Sprintf(format, args...))
}

// safely returns arg in a form that Sprintf may print.
func safely(arg any) any {
	switch arg.(type) {
	case Text, nil:
		return arg
	case error, fmt.Stringer:
		return Escape(fmt.Sprint(arg))
	}
	if kind := reflect.TypeOf(arg).Kind(); kind >= reflect.Bool && kind <= reflect.Complex128 {
		return arg
	}
	return Escape(fmt.Sprint(arg))
}

// Colours, as Paint takes them.
const (
	Faint  = "2"
	Red    = "31"
	Green  = "32"
	Yellow = "33"
	Cyan   = "36"
)

// Paint returns text in a colour, or plain if the output has no colours.
func (w *Writer) Paint(colour, text string) Text {
	t := w.Sprintf("%s", text)
	if !w.colour || colour == "" {
		return t
	}
	return "\x1b[" + Text(colour) + "m" + t + "\x1b[0m"
}
