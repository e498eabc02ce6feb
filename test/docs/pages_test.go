package docs

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// maxColumns is the width of prose. A table's row and a line with a link may be longer.
const maxColumns = 110

var (
	fence   = regexp.MustCompile("^\\s*```")
	heading = regexp.MustCompile(`^#{1,6} +(.+?) *$`)
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	anchor  = regexp.MustCompile(`<a (?:id|name)="([^"]+)">`)
	code    = regexp.MustCompile("`[^`]*`")
	page    = regexp.MustCompile(`\bdocs/[a-zA-Z/-]+\.(?:md|svg)\b`)
)

// files returns the files of the project with one of these endings, as paths from its root.
func files(t *testing.T, endings ...string) (list []string) {
	t.Helper()
	root := filepath.Join("..", "..")
	require.NoError(t, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		name := e.Name()
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "bin" || name == "build"):
			return fs.SkipDir
		case !e.IsDir() && slices.Contains(endings, filepath.Ext(name)):
			path, err = filepath.Rel(root, path)
			list = append(list, filepath.ToSlash(path))
		}
		return err
	}))
	require.NotEmpty(t, list)
	return list
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(path)))
	require.NoError(t, err)
	return string(text)
}

// prose returns the lines of a page, with those of code blocks empty.
func prose(text string) []string {
	lines, inside := strings.Split(text, "\n"), false
	for i, line := range lines {
		if fence.MatchString(line) {
			inside = !inside
			lines[i] = ""
		} else if inside {
			lines[i] = ""
		}
	}
	return lines
}

// anchors returns the anchors that GitHub gives to the headings of a page.
func anchors(text string) (list []string) {
	for _, line := range prose(text) {
		for _, found := range anchor.FindAllStringSubmatch(line, -1) {
			list = append(list, found[1])
		}
		found := heading.FindStringSubmatch(line)
		if found == nil {
			continue
		}
		slug := strings.Map(func(r rune) rune {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			case r == ' ':
				return '-'
			}
			return -1
		}, found[1])
		list = append(list, slug)
	}
	return list
}

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	for _, file := range files(t, ".md") {
		for number, line := range prose(read(t, file)) {
			for _, found := range link.FindAllStringSubmatch(code.ReplaceAllString(line, ""), -1) {
				to, err := url.Parse(found[1])
				require.NoError(t, err, "%s:%d", file, number+1)
				if to.IsAbs() {
					continue
				}
				target := file
				if to.Path != "" {
					target = filepath.ToSlash(filepath.Join(filepath.Dir(file), to.Path))
				}
				info, err := os.Stat(filepath.Join("..", "..", filepath.FromSlash(target)))
				if !assertLink(t, err == nil, file, number, found[1], "the file does not exist") ||
					to.Fragment == "" {
					continue
				}
				assertLink(t, !info.IsDir() && slices.Contains(anchors(read(t, target)),
					to.Fragment), file, number,
					found[1], "the page has no such heading")
			}
		}
	}
}

func assertLink(t *testing.T, ok bool, file string, number int, link, why string) bool {
	t.Helper()
	if !ok {
		t.Errorf("%s:%d: %s: %s", file, number+1, link, why)
	}
	return ok
}

// TestPagesThatCodeNamesExist looks for the pages that comments, messages and configuration files name.
func TestPagesThatCodeNamesExist(t *testing.T) {
	t.Parallel()
	for _, file := range files(t, ".go", ".yml", ".yaml", ".service", ".conf", ".sh", ".lua") {
		for _, name := range page.FindAllString(read(t, file), -1) {
			_, err := os.Stat(filepath.Join("..", "..", filepath.FromSlash(name)))
			require.NoError(t, err, "%s names %s", file, name)
		}
	}
}

// TestEachPageIsInTheIndex looks for links from docs/README.md.
func TestEachPageIsInTheIndex(t *testing.T) {
	t.Parallel()
	index := read(t, "docs/README.md")
	for _, file := range files(t, ".md") {
		if name, ok := strings.CutPrefix(file, "docs/"); ok && name != "README.md" &&
			!strings.HasPrefix(name, "lab/") {
			require.Contains(t, index, "("+name+")")
		}
	}
}

func TestProseIsNarrowAndTablesHaveHeaders(t *testing.T) {
	t.Parallel()
	for _, file := range files(t, ".md") {
		if strings.HasPrefix(file, "docs/lab/") { // written by make lab
			continue
		}
		lines := prose(read(t, file))
		for i, line := range lines {
			if strings.HasPrefix(line, "|--") {
				for column := range strings.SplitSeq(strings.Trim(lines[i-1], "|"), "|") {
					require.NotEmpty(t, strings.TrimSpace(column), "%s:%d: a column has no header", file, i)
				}
			}
			if !strings.HasPrefix(line, "|") && !strings.Contains(line, "](") {
				require.LessOrEqual(t, utf8.RuneCountInString(line), maxColumns, "%s:%d", file, i+1)
			}
		}
	}
}

func TestReadmeFitsInOneSitting(t *testing.T) {
	t.Parallel()
	require.LessOrEqual(t, strings.Count(read(t, "README.md"), "\n"), 150)
}
