package terminal_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/cli/clitest"
	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/stretchr/testify/require"
)

// hostile sets the clipboard, clears the screen by an 8-bit control, hides text and reverses some.
const hostile = "\x1b]52;c;cm0gLXJmIH4=\x07 \x9b2J \u009b2J \x1b[8m \x7f\b\rok \u202egpj.exe " +
	"\u2066x\u2069\u2028"

const harmless = `\x1b]52;c;cm0gLXJmIH4=\x07 \x9b2J \u009b2J \x1b[8m ` +
	`\u007f\x08\rok \u202egpj.exe \u2066x\u2069\u2028`

func TestEscapeRemovesAllControlCharacters(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		hostile:                    harmless,
		"plain\ttext\nof lines":    "plain\ttext\nof lines",
		"lines\r\nof Windows\r":    "lines\r\nof Windows\\r",
		"Grüße, 世界, שלום, 🍪":       "Grüße, 世界, שלום, 🍪",
		"cut \xe4\xb8":             `cut \xe4\xb8`,
		"replacement \ufffd stays": "replacement \ufffd stays",
		"\x00":                     `\x00`,
	} {
		require.Equal(t, want, terminal.Escape(in), "%q", in)
	}
}

func TestWriterEscapesOnATerminalOnly(t *testing.T) {
	t.Parallel()
	screen := clitest.New(t, 80)
	raw := false
	w := terminal.NewWriter(screen.TTY, func() bool { return raw })
	require.True(t, w.IsTerminal())
	_, err := fmt.Fprintf(w, "%s\n", hostile)
	require.NoError(t, err)
	require.Equal(t, harmless+"\n", screen.Await("\n"))

	raw = true
	_, err = fmt.Fprint(w, "\x1b[7m end")
	require.NoError(t, err)
	require.Contains(t, screen.Await("end"), "\x1b[7m end")

	var pipe bytes.Buffer
	w = terminal.NewWriter(&pipe, nil)
	_, err = fmt.Fprint(w, hostile)
	require.NoError(t, err)
	require.Equal(t, hostile, pipe.String())
	require.Equal(t, terminal.Text("red"), w.Paint(terminal.Red, "red"))
}

// TestWriterJoinsSplitCharacters writes byte by byte, as a stream may arrive.
func TestWriterJoinsSplitCharacters(t *testing.T) {
	t.Parallel()
	screen := clitest.New(t, 80)
	w := terminal.NewWriter(screen.TTY, nil)
	for _, b := range []byte("世界 \u009b \xe4\xb8 \x9b a\r\nb\rc" + "end\xe4\xb8") {
		n, err := w.Write([]byte{b})
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
	require.NoError(t, w.Flush())
	require.Contains(t, screen.Await(`end\xe4\xb8`), `世界 \u009b \xe4\xb8 \x9b a`)
	require.Contains(t, screen.Output(), `b\rcend`)
}

func TestOnlyOurColoursReachATerminal(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	screen := clitest.New(t, 80)
	w := terminal.NewWriter(screen.TTY, nil)
	w.Print(w.Sprintf("%s %s %d %v %v.\n", w.Paint(terminal.Green, "\x1b[8mready"), "\x1b[31mred", uint16(7),
		errors.New("\x1b[2J"), []string{"\x07"}))
	require.Equal(t, "\x1b[32m\\x1b[8mready\x1b[0m \\x1b[31mred 7 \\x1b[2J [\\x07].\n", screen.Await(".\n"))
}

func TestTableFitsTheTerminal(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a-long-name-", 8)
	rows := [][]string{{"NAME", "CALLS", "ID", "REASON"},
		{long, "12", "1795437512656-0", strings.Repeat("失敗した ", 20)}, {"total"},
		{"b\nc", "1", "2", "\x1b[8m"}}
	for _, columns := range []int{60, 80, 132} {
		screen := clitest.New(t, columns)
		terminal.Table{Rows: rows, Whole: []int{2}}.Print(screen.TTY)
		text := screen.Await(`\x1b[8m` + "\n")
		require.Contains(t, text, "1795437512656-0", "columns %d", columns)
		require.Contains(t, text, "…")
		require.Contains(t, text, `b\nc`)
		for line := range strings.Lines(text) {
			wide := strings.Count(line, "失") + strings.Count(line, "敗") + strings.Count(line, "し") +
				strings.Count(line, "た")
			require.LessOrEqual(t, len([]rune(strings.TrimSpace(line)))+wide, columns, line)
		}
	}
	var pipe bytes.Buffer
	terminal.Table{Rows: rows}.Print(&pipe)
	require.Contains(t, pipe.String(), long+"  12     1795437512656-0  失敗した")
	require.Contains(t, pipe.String(), "\ntotal\n")
}
