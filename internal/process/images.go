package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// Images are the functions that were built on this machine: a binary for each image's name. They are for this
// provider what a registry is for containers.
type Images struct{ Dir string }

// An Image is a binary that can run as a function.
type Image struct {
	Path   string // of the binary
	Digest string // of its content
}

// path returns where an image is. The default tag is latest.
func (i Images) path(ref string) string {
	if name := ref[strings.LastIndex(ref, "/")+1:]; !strings.ContainsAny(name, ":@") {
		ref += ":latest"
	}
	return filepath.Join(i.Dir, url.PathEscape(ref))
}

// Put stores a binary as an image. It replaces an older one at once. The older binary stays for the replicas
// that run it.
func (i Images) Put(_ context.Context, ref, binary string) error {
	digest, err := digestOf(binary)
	if err != nil {
		return fmt.Errorf("store image %s: %w", ref, err)
	}
	if current, err := i.Find(ref); err == nil && current.Digest == digest {
		return nil
	}
	if err := os.MkdirAll(i.path(ref), 0o700); err != nil {
		return fmt.Errorf("store image %s: %w", ref, err)
	}
	if err := copyFile(binary, filepath.Join(i.path(ref), digest)); err != nil {
		return fmt.Errorf("store image %s: %w", ref, err)
	}
	if err := replaceFile(filepath.Join(i.path(ref), "current"), []byte(digest)); err != nil {
		return fmt.Errorf("store image %s: %w", ref, err)
	}
	return nil
}

// Find returns the image of a name. It returns an error of code Invalid if it was not built here.
func (i Images) Find(ref string) (Image, error) {
	digest, err := os.ReadFile(filepath.Join(i.path(ref), "current"))
	if err != nil {
		return Image{}, hearth.Errorf(hearth.Invalid,
			"image %s was not built on this machine, where functions run as processes; build it with "+
				"\"hearth build\", or start Hearth with --provider docker to run container images", ref)
	}
	return Image{Path: filepath.Join(i.path(ref), string(digest)), Digest: string(digest)}, nil
}

// Prune removes the binaries that newer ones have replaced. It must only be called while no replica runs,
// because a crashed replica is started from its own binary again.
func (i Images) Prune() {
	refs, _ := os.ReadDir(i.Dir)
	for _, ref := range refs {
		dir := filepath.Join(i.Dir, ref.Name())
		current, err := os.ReadFile(filepath.Join(dir, "current"))
		if err != nil {
			continue
		}
		binaries, _ := os.ReadDir(dir)
		for _, b := range binaries {
			if b.Name() != string(current) && b.Name() != "current" {
				_ = os.Remove(filepath.Join(dir, b.Name()))
			}
		}
	}
}

func digestOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)[:12]), nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.CreateTemp(filepath.Dir(to), ".new-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(out.Name()) }()
	_, err = io.Copy(out, in)
	if e := out.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Chmod(out.Name(), 0o700)
	}
	if err == nil {
		err = os.Rename(out.Name(), to)
	}
	return err
}

func replaceFile(path string, content []byte) error {
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
