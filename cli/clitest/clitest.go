// Package clitest gives tests a pseudo-terminal: they read what a command prints and
// type input. It does not emulate a screen.
package clitest

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
)

// A Terminal is a pseudo-terminal.
type Terminal struct {
	TTY *os.File // the command's end

	t      *testing.T
	person *os.File // the other end
	ended  chan struct{}

	mu   sync.Mutex
	seen strings.Builder
}

// New opens a terminal with the given number of columns, and 24 lines.
func New(t *testing.T, columns int) *Terminal {
	t.Helper()
	person, tty, err := pty.Open()
	require.NoError(t, err)
	require.NoError(t, pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: uint16(columns)}))
	term := &Terminal{TTY: tty, t: t, person: person, ended: make(chan struct{})}
	go term.read()
	t.Cleanup(func() {
		_ = tty.Close()
		_ = person.Close()
		<-term.ended
	})
	return term
}

func (term *Terminal) read() {
	defer close(term.ended)
	part := make([]byte, 4096)
	for {
		n, err := term.person.Read(part)
		term.mu.Lock()
		term.seen.Write(part[:n])
		term.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Output returns the output so far, with plain line feeds.
func (term *Terminal) Output() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return strings.ReplaceAll(term.seen.String(), "\r\n", "\n")
}

// Await waits until text is printed and returns the output.
func (term *Terminal) Await(text string) string {
	term.t.Helper()
	require.Eventually(term.t, func() bool { return strings.Contains(term.Output(), text) }, time.Minute,
		2*time.Millisecond,
		"%q is not printed", text)
	return term.Output()
}

// Type types text.
func (term *Terminal) Type(text string) {
	term.t.Helper()
	_, err := term.person.WriteString(text)
	require.NoError(term.t, err)
}
