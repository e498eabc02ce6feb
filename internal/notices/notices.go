/*
Package notices collects the licence texts of the modules that are linked into a binary, since most of those
licences want their text to go with it. It judges no licence, and knows nothing of modules that are not
Go's.
*/
package notices

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"unicode"
)

// A Module is a Go module that is linked into a binary.
type Module struct {
	Name string   // path and version
	Dirs []string // of the module, and of its packages that are linked
}

// licence matches the names of files with a licence text, or with notices that a
// licence requires to be passed on.
var licence = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([.-].*)?$`)

// Text returns the licence texts of modules and of Go itself, whose library is
// in every binary. Each text appears once.
func Text(modules []Module) ([]byte, error) {
	goroot, err := goEnv("GOROOT")
	if err != nil {
		return nil, err
	}
	users := map[string][]string{} // of each text
	for _, m := range append([]Module{{Name: "the Go standard library",
		Dirs: []string{goroot}}}, modules...) {
		found := 0
		for _, dir := range m.Dirs {
			files, err := os.ReadDir(dir)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
			for _, f := range files {
				if f.IsDir() || !licence.MatchString(f.Name()) {
					continue
				}
				text, err := os.ReadFile(filepath.Join(dir, f.Name()))
				if err != nil {
					return nil, err
				}
				found++
				key := strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n"))
				if !slices.Contains(users[key], m.Name) {
					users[key] = append(users[key], m.Name)
				}
			}
		}
		if found == 0 {
			return nil, fmt.Errorf("collect licence texts: module %s has none in %s", m.Name,
				strings.Join(m.Dirs, ", "))
		}
	}
	texts := slices.SortedFunc(maps.Keys(users), func(a, b string) int {
		return strings.Compare(strings.Join(users[a], " ")+a, strings.Join(users[b], " ")+b)
	})
	var out bytes.Buffer
	out.WriteString("This program contains software of others, under these licences.\n")
	for _, text := range texts {
		fmt.Fprintf(&out, "\n%s\n", strings.Repeat("=", 80))
		for _, name := range users[text] {
			fmt.Fprintln(&out, name)
		}
		fmt.Fprintf(&out, "%s\n\n%s\n", strings.Repeat("-", 80), text)
	}
	return out.Bytes(), nil
}

// OfPackages returns the third-party modules that packages are linked with on any of the systems.
func OfPackages(dir string, systems []string, packages ...string) ([]Module, error) {
	all := map[string]*Module{}
	for _, system := range systems {
		cmd := exec.Command("go", append([]string{"list", "-deps", "-f",
			"{{if .Module}}{{if not .Module.Main}}{{.Module.Path}} " +
				"{{.Module.Version}}\t{{.Module.Dir}}\t{{.Dir}}{{end}}{{end}}"}, packages...)...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0",
			"GOFLAGS=-mod=readonly")
		out, err := output(cmd)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(out) {
			part := strings.Split(strings.TrimSpace(line), "\t")
			if len(part) != 3 {
				continue
			}
			m := all[part[0]]
			if m == nil {
				m = &Module{Name: part[0], Dirs: []string{part[1]}}
				all[part[0]] = m
			}
			for d := part[2]; len(d) > len(part[1]); d = filepath.Dir(d) {
				if !slices.Contains(m.Dirs, d) {
					m.Dirs = append(m.Dirs, d)
				}
			}
		}
	}
	return sorted(all), nil
}

// OfBinary returns the third-party modules that a binary was linked with, as far as
// they are in this machine's module cache.
func OfBinary(path string) ([]Module, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the modules of %s: %w", path, err)
	}
	cache, err := goEnv("GOMODCACHE")
	if err != nil {
		return nil, err
	}
	all := map[string]*Module{}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		dir := filepath.Join(cache, escaped(dep))
		if _, err := os.Stat(dir); err == nil {
			all[dep.Path] = &Module{Name: dep.Path + " " + dep.Version, Dirs: []string{dir}}
		}
	}
	return sorted(all), nil
}

// escaped returns a module's folder in the module cache, where "!" precedes capital letters.
func escaped(m *debug.Module) string {
	var b strings.Builder
	for _, r := range m.Path + "@" + m.Version {
		if unicode.IsUpper(r) {
			b.WriteByte('!')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return filepath.FromSlash(b.String())
}

func sorted(all map[string]*Module) (list []Module) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		slices.Sort(all[name].Dirs)
		list = append(list, *all[name])
	}
	return list
}

func goEnv(name string) (string, error) {
	out, err := output(exec.Command("go", "env", name))
	return strings.TrimSpace(out), err
}

func output(cmd *exec.Cmd) (string, error) {
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args[:2], " "), err, &problems)
	}
	return string(out), nil
}
