package terminal

import (
	"io"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// A Table has rows of cells in columns. The first row has the headers. A row of one cell is a line of its
// own. Line breaks and tabs in a cell are printed as escapes.
//
// On a terminal, cells are shortened with an ellipsis until a row fits, the widest column
// first. Elsewhere they are printed whole.
type Table struct {
	Rows  [][]string
	Whole []int // columns that are never shortened, since people copy them
}

const (
	gap      = 2 // spaces between columns
	ellipsis = "…"
	leastLen = 6 // characters that a shortened cell keeps, its ellipsis included
)

var oneLine = strings.NewReplacer("\r\n", `\n`, "\n", `\n`, "\t", `\t`, "\r", `\r`)

// Print writes the table.
func (t Table) Print(out io.Writer) {
	w := NewWriter(out, nil)
	limit, _ := w.Size()
	var widths []int
	rows := make([][]string, len(t.Rows))
	for i, row := range t.Rows {
		rows[i] = make([]string, len(row))
		for j, cell := range row {
			rows[i][j] = string(w.Sprintf("%s", oneLine.Replace(cell)))
			if len(row) == 1 {
				continue
			}
			if j == len(widths) {
				widths = append(widths, 0)
			}
			widths[j] = max(widths[j], columns(rows[i][j]))
		}
	}
	if limit > 0 {
		t.fit(widths, limit)
	}
	var text strings.Builder
	for _, row := range rows {
		line := ""
		for j, cell := range row {
			if len(row) == 1 {
				line = Shorten(cell, limit)
				break
			}
			if limit > 0 {
				cell = Shorten(cell, widths[j])
			}
			line += cell + strings.Repeat(" ", widths[j]+gap-columns(cell))
		}
		text.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	w.Print(Text(text.String()))
}

// fit narrows the widest column by one character at a time until a row fits.
func (t Table) fit(widths []int, limit int) {
	for {
		total := 0
		widest := -1
		for j, n := range widths {
			if n == 0 {
				continue
			}
			total += n + gap
			if !slices.Contains(t.Whole, j) && n > leastLen && (widest < 0 || n > widths[widest]) {
				widest = j
			}
		}
		if total-gap <= limit || widest < 0 {
			return
		}
		widths[widest]--
	}
}

// Shorten cuts s to a number of columns and marks the cut with an ellipsis; 0 is no limit.
func Shorten(s string, limit int) string {
	if limit <= 0 || columns(s) <= limit {
		return s
	}
	room := limit - 1
	for i, r := range s {
		if room -= runeColumns(r); room < 0 {
			return s[:i] + ellipsis
		}
	}
	return s
}

func columns(s string) (n int) {
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

// runeColumns is how many columns of a terminal a character takes.
func runeColumns(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
