package terminal

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Escape replaces everything that a terminal could obey or that disguises text: control characters (C0, DEL
// and C1) except line feed, tab and carriage return before line feed; bytes that are not UTF-8; line and
// paragraph separators; and the controls that reorder text, such as U+202E.
func Escape(s string) string {
	if harmless([]byte(s)) {
		return s
	}
	text, _ := appendEscaped(nil, []byte(s), true)
	return string(text)
}

// harmless reports whether there is nothing to escape. It is fast for the common case of plain ASCII.
func harmless(p []byte) bool {
	for _, b := range p {
		if (b < ' ' && b != '\n' && b != '\t') || b >= 0x7f {
			return false
		}
	}
	return true
}

// appendEscaped appends p to text. Unless p is the end, it returns an incomplete
// character at the end of p as the rest.
func appendEscaped(text, p []byte, all bool) (escaped, rest []byte) {
	for len(p) > 0 {
		if p[0] == '\r' {
			if len(p) == 1 && !all {
				return text, p
			}
			if len(p) > 1 && p[1] == '\n' {
				text, p = append(text, "\r\n"...), p[2:]
			} else {
				text, p = append(text, `\r`...), p[1:]
			}
			continue
		}
		if !all && !utf8.FullRune(p) {
			return text, p
		}
		r, size := utf8.DecodeRune(p)
		switch {
		case r == utf8.RuneError && size == 1:
			text = fmt.Appendf(text, `\x%02x`, p[0])
		case r == '\n' || r == '\t' || !dangerous(r):
			text = append(text, p[:size]...)
		case r < ' ':
			text = fmt.Appendf(text, `\x%02x`, r)
		default: // the escape of JSON, so that JSON stays valid
			text = fmt.Appendf(text, `\u%04x`, r)
		}
		p = p[size:]
	}
	return text, nil
}

// dangerous reports whether a terminal could obey r, or r reorders or breaks the text around it.
func dangerous(r rune) bool {
	return unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 ||
		r == 0x2028 || r == 0x2029
}
