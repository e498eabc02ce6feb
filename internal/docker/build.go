package docker

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/hearthfaas/hearth/internal/notices"
)

// certificates are the files where Linux distributions keep the certificate authorities that the machine
// trusts.
const certificates = "/etc/ssl/certs/ca-certificates.crt"

// OpenImages connects to the engine that the environment names, to store images in it.
func OpenImages(ctx context.Context) (*Images, error) {
	api, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	return &Images{api: api, policy: PullNever, log: slog.New(slog.DiscardHandler)}, nil
}

// Close ends the connection.
func (i *Images) Close() error { return i.api.Close() }

// A Program is a static binary from which an image is made.
type Program struct {
	Binary     string // path of the file
	Entrypoint string // its path in the image, such as /handler
	Args       []string
	WorkDir    string
	User       string
	Labels     map[string]string
}

// Put stores a static binary as a function's image.
func (i *Images) Put(ctx context.Context, ref, binary string) error {
	title, _, _ := strings.Cut(ref[strings.LastIndex(ref, "/")+1:], ":")
	return i.Make(ctx, ref, Program{Binary: binary, Entrypoint: "/handler", User: nobody,
		Labels: map[string]string{"org.opencontainers.image.title": title,
			"org.opencontainers.image.description": "a function, made by hearth build"}})
}

// Make makes an image from a program and stores it in the engine. It needs no builder and no base image: the
// image has the binary, /tmp, the machine's certificate authorities, and the licences of a Go binary's
// modules. GOARCH says what the binary was built for. The same binary gives the same image.
func (i *Images) Make(ctx context.Context, ref string, program Program) error {
	image, err := imageOf(program, cmp.Or(os.Getenv("GOARCH"), runtime.GOARCH))
	if err != nil {
		return fmt.Errorf("make image %s: %w", ref, err)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		return fmt.Errorf("make image %s: %w", ref, err)
	}
	from, to := io.Pipe()
	go func() { to.CloseWithError(tarball.Write(tag, image, to)) }()
	loaded, err := i.api.ImageLoad(ctx, from)
	if err != nil {
		_ = from.Close()
		return fmt.Errorf("store image %s in the Docker engine: %w", ref, err)
	}
	defer func() { _ = loaded.Close() }()
	answer, err := io.ReadAll(loaded)
	if err == nil && bytes.Contains(answer, []byte(`"errorDetail"`)) {
		err = fmt.Errorf("%s", bytes.TrimSpace(answer))
	}
	if err != nil {
		return fmt.Errorf("store image %s in the Docker engine: %w", ref, err)
	}
	return nil
}

func imageOf(program Program, arch string) (v1.Image, error) {
	files, err := layerOf(program)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files)), nil
	})
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", arch, v1.Time{Time: time.Unix(0, 0).UTC()}
	file.Config = v1.Config{
		User:         program.User,
		Entrypoint:   []string{program.Entrypoint},
		Cmd:          program.Args,
		WorkingDir:   program.WorkDir,
		ExposedPorts: map[string]struct{}{"8080/tcp": {}},
		Labels:       program.Labels,
	}
	return mutate.ConfigFile(image, file)
}

// layerOf returns the files of the image as a tar archive.
func layerOf(p Program) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	add := func(h tar.Header, content []byte) error {
		h.Size, h.ModTime = int64(len(content)), time.Unix(0, 0)
		if err := w.WriteHeader(&h); err != nil {
			return err
		}
		_, err := w.Write(content)
		return err
	}
	program, err := os.ReadFile(p.Binary)
	if err != nil {
		return nil, err
	}
	if err := add(tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777}, nil); err != nil {
		return nil, err
	}
	if trusted, err := os.ReadFile(certificates); err == nil {
		if err := add(tar.Header{
			Name:     strings.TrimPrefix(certificates, "/"),
			Typeflag: tar.TypeReg,
			Mode:     0o644,
		}, trusted); err != nil {
			return nil, err
		}
	}
	if text := licences(p.Binary); text != nil {
		if err := add(tar.Header{Name: "licenses/", Typeflag: tar.TypeDir, Mode: 0o755}, nil); err != nil {
			return nil, err
		}
		if err := add(tar.Header{
			Name:     "licenses/third-party.txt",
			Typeflag: tar.TypeReg,
			Mode:     0o644,
		}, text); err != nil {
			return nil, err
		}
	}
	if err := add(tar.Header{
		Name:     strings.TrimPrefix(p.Entrypoint, "/"),
		Typeflag: tar.TypeReg,
		Mode:     0o755,
	}, program); err != nil {
		return nil, err
	}
	return out.Bytes(), w.Close()
}

// licences returns the licence texts of the modules linked into a binary, or nil if it is not a Go binary or
// was not built on this machine.
func licences(binary string) []byte {
	modules, err := notices.OfBinary(binary)
	if err != nil {
		return nil
	}
	text, err := notices.Text(modules)
	if err != nil {
		return nil
	}
	return text
}
