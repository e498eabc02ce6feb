// Package harness builds and starts the real binaries in a copy of the project, for end-to-end tests.
package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Root is the project under test: the nearest directory above the working directory with a go.mod, or "". A
// binary built with -trimpath does not know its path.
func Root() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// Build copies the application into an empty directory and builds bin/hearth and bin/bakery there.
func Build(dir string) error {
	root := Root()
	for _, name := range []string{"bakery", "chain", "functions", "template", "go.mod",
		"go.sum", "stack.yml"} {
		if err := Copy(filepath.Join(root, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	build := exec.Command("make", "build", "BIN="+filepath.Join(dir, "bin"))
	build.Dir = root
	return run(build)
}

// Images builds the functions of a stack file of such a copy as images in a state directory.
func Images(dir, stack, state string) error {
	build := exec.Command(filepath.Join(dir, "bin", "hearth"), "build", "--file",
		filepath.Join(dir, stack), "--state", state)
	build.Dir = dir
	return run(build)
}

func run(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

// Copy copies a file or a folder.
func Copy(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.CopyFS(to, os.DirFS(from))
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}

// Without returns an environment without a variable.
func Without(env []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool { return strings.HasPrefix(v, name+"=") })
}
