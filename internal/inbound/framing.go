package inbound

import (
	"bytes"
	"strconv"
	"strings"
	"sync/atomic"
)

// maxLine is how many bytes of a line are kept. No honest Content-Length or Transfer-Encoding is longer.
const maxLine = 256

// A framing follows the bytes of an HTTP/1 connection and finds requests with both Content-Length and
// Transfer-Encoding. net/http obeys Transfer-Encoding and hides Content-Length, but a proxy in between may
// have obeyed Content-Length. Then it is uncertain where the next request begins, and the connection must be
// closed (RFC 9112, 6.1).
type framing struct {
	twice atomic.Bool // a request had both, or could not be followed
	old   atomic.Bool // a request of HTTP/1.0 had Transfer-Encoding, which means nothing there

	at    part
	skip  int64 // bytes of a body, or of a chunk
	line  []byte
	long  bool // the line is longer than what is kept
	first bool // the head's first line was read
	http0 bool // it says HTTP/1.0
	te    bool
	cl    bool
	size  int64
	named bool // the line before was of one of both
}

type part int

const (
	head part = iota
	body
	chunkSize
	chunkData
	chunkEnd
	trailer
	lost // the connection can no longer be followed
)

// read processes the next bytes of the connection.
func (f *framing) read(p []byte) {
	for len(p) > 0 && f.at != lost {
		if f.at == body || f.at == chunkData {
			n := min(f.skip, int64(len(p)))
			p = p[n:]
			if f.skip -= n; f.skip > 0 {
				return
			}
			if f.at == chunkData {
				f.at = chunkEnd
			} else {
				f.begin()
			}
			continue
		}
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			f.keep(p)
			return
		}
		f.keep(p[:end])
		p = p[end+1:]
		f.ended(bytes.TrimSuffix(f.line, []byte("\r")))
		f.line, f.long = f.line[:0], false
	}
}

// keep adds to the line: it keeps the end of the request line, which has the version, and the beginning of
// others.
func (f *framing) keep(p []byte) {
	f.long = f.long || len(f.line)+len(p) > maxLine
	if f.at == head && !f.first {
		f.line = append(f.line, p[max(0, len(p)-maxLine):]...)
		if over := len(f.line) - maxLine; over > 0 {
			f.line = append(f.line[:0], f.line[over:]...)
		}
		return
	}
	f.line = append(f.line, p[:min(len(p), maxLine-len(f.line))]...)
}

// begin resets the state before a request.
func (f *framing) begin() {
	f.at, f.first, f.http0, f.te, f.cl, f.size, f.named = head, false, false, false, false, 0, false
}

// ended processes a complete line.
func (f *framing) ended(line []byte) {
	switch f.at {
	case head:
		switch {
		case !f.first && len(line) == 0: // before a request
		case !f.first:
			f.first, f.http0 = true, bytes.HasSuffix(line, []byte("HTTP/1.0"))
		case len(line) > 0:
			f.field(line)
		default:
			f.headEnded()
		}
	case chunkSize:
		digits, _, _ := strings.Cut(string(line), ";")
		n, err := strconv.ParseInt(strings.TrimRight(digits, " \t"), 16, 64)
		switch {
		case err != nil || n < 0:
			f.lose()
		case n == 0:
			f.at = trailer
		default:
			f.at, f.skip = chunkData, n
		}
	case chunkEnd:
		if f.at = chunkSize; len(line) > 0 {
			f.lose()
		}
	case trailer:
		if len(line) == 0 {
			f.begin()
		}
	}
}

// field processes the line of a header.
func (f *framing) field(line []byte) {
	if line[0] == ' ' || line[0] == '\t' { // a fold
		if f.named {
			f.lose()
		}
		return
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	length := bytes.EqualFold(name, []byte("Content-Length"))
	encoding := bytes.EqualFold(name, []byte("Transfer-Encoding"))
	f.named = length || encoding
	f.te, f.cl = f.te || encoding, f.cl || length
	if f.named && f.long {
		f.lose()
	}
	if length {
		var err error
		f.size, err = strconv.ParseInt(string(bytes.Trim(value, " \t")), 10, 64)
		if err != nil || f.size < 0 {
			f.lose()
		}
	}
}

func (f *framing) headEnded() {
	switch {
	case f.te && f.http0:
		f.old.Store(true)
		f.at = lost
	case f.te:
		if f.cl {
			f.twice.Store(true)
		}
		f.at = chunkSize
	case f.size > 0:
		f.at, f.skip = body, f.size
	default:
		f.begin()
	}
}

// lose stops following: a connection that is not understood is treated as one to close.
func (f *framing) lose() {
	f.at = lost
	f.twice.Store(true)
}
