/*
Package build turns a stack file into images of a provider and into deployments, as faas-cli turns it into
container images and deployments: with OpenFaaS's templates, its build context and its reading of the file.
It knows no language: a template brings a build.sh that makes one binary of a build context. It does not
deploy, and it does not run containers.
*/
package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/openfaas/go-sdk/builder"
	"github.com/openfaas/go-sdk/stack"
)

// Progress is told when the build of a function begins, and how it ended.
type Progress interface {
	Begin(function string)
	End(function string, took time.Duration, err error)
}

// A Failure is a function that could not be built.
type Failure struct {
	Function string
	Err      error
	Output   string // of build.sh, with paths as they are in the project
}

func (f *Failure) Error() string {
	return strings.TrimRight(fmt.Sprintf("build %s: %v\n%s", f.Function, f.Err, f.Output), "\n")
}

func (f *Failure) Unwrap() error { return f.Err }

// Failures returns the functions that an error of Build is about.
func Failures(err error) []*Failure {
	var all []*Failure
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, Failures(e)...)
		}
		return all
	}
	var f *Failure
	if errors.As(err, &f) {
		all = append(all, f)
	}
	return all
}

// Images are where built functions go: binaries by the names of their images.
type Images interface {
	Put(ctx context.Context, ref, binary string) error
}

// Build builds the stack's functions, as many at a time as there are cores, and stores them as
// images. dir is where build contexts are laid out. A function that fails does not stop the others.
// The error has a *Failure for each that failed.
func (s *Stack) Build(ctx context.Context, dir string, images Images, progress Progress) error {
	var (
		mu      sync.Mutex
		failed  []error
		workers sync.WaitGroup
		room    = make(chan struct{}, max(2, runtime.NumCPU()))
	)
	for _, name := range s.Names {
		if s.services.Functions[name].SkipBuild {
			continue
		}
		workers.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			progress.Begin(name)
			began := time.Now()
			err := s.build(ctx, name, dir, images)
			progress.End(name, time.Since(began), err)
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, err)
			}
		})
	}
	workers.Wait()
	return errors.Join(failed...)
}

func (s *Stack) build(ctx context.Context, name, dir string, images Images) error {
	f := s.services.Functions[name]
	fail := func(err error, output string) error {
		return &Failure{Function: name, Err: err, Output: output}
	}
	if f.Language == "" || f.Handler == "" {
		return fail(errors.New("stack file names no lang or no handler; give both, or set skip_build: "+
			"true for an image "+
			"that exists already"), "")
	}
	template := filepath.Join("template", f.Language)
	switch _, err := os.Stat(filepath.Join(template, "build.sh")); {
	case err == nil:
	case !isDir(template):
		return fail(fmt.Errorf("there is no template/%s; fetch it with \"faas-cli template store pull\"",
			f.Language), "")
	default:
		return fail(fmt.Errorf("template %s has no build.sh, so it makes container images only: build it "+
			"with "+
			"\"faas-cli build\", and run it with \"hearth up --provider docker\"", f.Language), "")
	}
	overlay := "function"
	if t, err := stack.LoadLanguageTemplate(f.Language); err == nil && t.HandlerFolder != "" {
		overlay = t.HandlerFolder
	}
	if !filepath.IsLocal(overlay) {
		return fail(fmt.Errorf("handler_folder of template %s is %q, want a folder inside of the template",
			f.Language, overlay), "")
	}
	built, err := builder.CreateBuildContext(name, f.Handler, f.Language,
		s.services.StackConfiguration.CopyExtraPaths,
		builder.WithBuildDir(dir), builder.WithHandlerOverlay(overlay))
	if err != nil {
		return fail(err, "")
	}
	binary, err := filepath.Abs(filepath.Join(dir, name+".bin"))
	if err != nil {
		return fail(err, "")
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, "sh", filepath.Join(built, "build.sh"), binary)
	// static, whatever our own environment says: an image has no libc
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = &output, &output
	// What build.sh has started ends with it: a compiler that goes on would keep us waiting for its output.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		paths := sources{context: built, overlay: overlay, handler: f.Handler, template: template}
		return fail(err, paths.rewrite(output.String()))
	}
	if err := images.Put(ctx, imageOf(f.Image), binary); err != nil {
		return fail(err, "")
	}
	return nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
