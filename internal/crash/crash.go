// Package crash finds out why a process ended from its output: Go's panic or fatal error and where it
// happened, or else the last line that it printed. Source files are named as in the project. The package does
// not decide what happens next.
package crash

import (
	"debug/buildinfo"
	"path"
	"regexp"
	"strings"
	"sync"
)

// maxReason is how many bytes of a line are kept.
const maxReason = 500

// A Reader reads the lines that a process prints. It is safe for concurrent use.
type Reader struct {
	function string
	module   string // of the program, if that is known

	mu    sync.Mutex
	last  string // line of output
	fatal string // Go's panic or fatal error
	where string // the first frame of the program after it
	sure  bool   // where is of the program
}

// NewReader returns a reader for a function's process. module is its main module, or "" if unknown.
func NewReader(function, module string) *Reader { return &Reader{function: function, module: module} }

// Module returns the main module of a Go program, or "" if it cannot be read.
func Module(binary string) string {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return ""
	}
	return info.Main.Path
}

// Reset forgets all lines, before the next process starts.
func (r *Reader) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.fatal, r.where, r.sure = "", "", "", false
}

var (
	// fatal matches the first line with which Go's runtime ends a program. Log lines of programs begin with a
	// time.
	fatal = regexp.MustCompile(`^(panic|fatal error|runtime: out of memory): ?.`)
	frame = regexp.MustCompile(`^\t(\S+\.go:\d+)( \+0x[0-9a-f]+)?$`)
	// access matches a line of the watchdog's access log, which does not explain why a process ended.
	access = regexp.MustCompile(` - \d{3} [A-Za-z' -]* - ContentLength: \d+B \(`)
)

// watchdog is the file of the template's own part, beside the function's module.
const watchdog = "/_watchdog/main.go:"

// Line reads a line.
func (r *Reader) Line(line string) {
	line = strings.TrimRight(line, "\r\n")
	r.mu.Lock()
	defer r.mu.Unlock()
	if fatal.MatchString(line) {
		r.fatal, r.where, r.sure = clip(line), "", false
		return
	}
	if r.fatal != "" {
		if m := frame.FindStringSubmatch(line); m != nil {
			r.frame(m[1])
		}
		return
	}
	if text := strings.TrimSpace(line); text != "" && !access.MatchString(line) {
		r.last = clip(text)
	}
}

// frame reads the line of a stack trace that has a file. r.mu is held.
func (r *Reader) frame(at string) {
	module := r.module
	if i := strings.Index(at, watchdog); i >= 0 {
		if module == "" && !r.sure { // now the name of the module is known
			r.where = r.inProject(r.where, at[:i])
		}
		return
	}
	switch {
	case r.sure:
	case module != "" && strings.HasPrefix(at, module+"/"):
		r.where, r.sure = r.inProject(at, module), true
	case module == "" && r.where == "" && strings.Contains(strings.SplitN(at, "/", 2)[0], ".") &&
		!strings.Contains(at, "@"):
		r.where = at // neither of the standard library nor of a required module
	}
}

// inProject returns the path of a module's file in the project: the module's root is the function's folder,
// and other packages were copied from the project's root. With -trimpath, Go names files by their module.
func (r *Reader) inProject(at, module string) string {
	rest, ok := strings.CutPrefix(at, module+"/")
	switch {
	case !ok:
		return at
	case strings.Contains(rest, "/"):
		return rest
	}
	return path.Join("functions", r.function, rest)
}

// Reason returns why the process ended, as far as its output shows; "" if there was none.
func (r *Reader) Reason() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.fatal == "":
		return r.last
	case r.where == "":
		return r.fatal
	}
	return r.fatal + ", at " + r.where
}

func clip(s string) string {
	if len(s) > maxReason {
		return strings.ToValidUTF8(s[:maxReason], "") + "…"
	}
	return s
}
