package build

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Sources maps the files of a build context to the project. Compilers name files of the context, which is
// temporary; people want the file that they can edit.
type sources struct {
	context  string // the build context, as given to build.sh
	overlay  string // the folder of the context that has the handler
	handler  string // the handler's folder in the project
	template string // the template's folder in the project
}

// position matches a file, with or without folders, and a line, as compilers of most languages print it.
var position = regexp.MustCompile(`(^|[\s("'])((?:[\w.@+-]*/)*[\w@+-][\w.@+-]*\.\w+)(:\d+)`)

// rewrite replaces file names in the output of build.sh by those of the project. Other names are unchanged.
func (s sources) rewrite(output string) string {
	return position.ReplaceAllStringFunc(output, func(found string) string {
		part := position.FindStringSubmatch(found)
		if file := s.project(part[2]); file != "" {
			return part[1] + file + part[3]
		}
		return found
	})
}

// project returns the project's file for a name from a compiler: relative to the handler's folder of the
// context, relative to the context, or absolute. It returns "" if there is none.
func (s sources) project(named string) string {
	file := filepath.Clean(named)
	if filepath.IsAbs(file) {
		context, err := filepath.Abs(s.context)
		if err != nil {
			return ""
		}
		if file, err = filepath.Rel(context, file); err != nil || !filepath.IsLocal(file) {
			return ""
		}
	}
	inHandler := strings.TrimPrefix(file, filepath.Clean(s.overlay)+string(filepath.Separator))
	for _, candidate := range []string{
		filepath.Join(s.handler, inHandler),
		inHandler, // copied by configuration.copy
		filepath.Join(s.template, file),
		// the watchdog, which build.sh lays beside the handler
		filepath.Join(s.template, filepath.Base(file)),
	} {
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() {
			return candidate
		}
	}
	return ""
}
