package providertest

import (
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// Probe returns the path of the suite's function, which is built once for each test binary, by the template
// as any function is.
func Probe(t testing.TB) string {
	t.Helper()
	path, err := probe()
	if err != nil {
		t.Fatalf("providertest: %v", err)
	}
	return path
}

var probe = sync.OnceValues(func() (string, error) {
	_, here, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(here), "..", "..")
	sum := crc32.ChecksumIEEE([]byte(root)) // each checkout has a probe of its own
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("hearth-probe-%d-%08x", os.Getuid(), sum))
	lock, err := lockFile(dir + ".lock") // test binaries run at once, and share the build
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	context := filepath.Join(dir, "context")
	if err := os.RemoveAll(context); err != nil {
		return "", err
	}
	for _, from := range []string{filepath.Join(root, "template", "go-http"),
		filepath.Join(filepath.Dir(here), "testdata", "probe")} {
		to := context
		if filepath.Base(from) == "probe" {
			to = filepath.Join(context, "function")
			_ = os.Remove(filepath.Join(to, "handler.go"))
		}
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			return "", err
		}
	}
	binary := filepath.Join(dir, "probe")
	build := exec.Command("sh", filepath.Join(context, "build.sh"), binary)
	// The race detector needs a libc, which an image does not have.
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the probe: %w\n%s", err, out)
	}
	return binary, nil
})
