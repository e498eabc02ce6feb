/*
Package build turns a stack.yml into images of a provider and into deployments, as faas-cli turns it into
container images and deployments: with OpenFaaS's own reading of the file, its templates and its build context. It knows no
language: a template brings a build.sh that makes one binary of a context.
*/
package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/openfaas/faas-provider/types"
	"github.com/openfaas/go-sdk/builder"
	"github.com/openfaas/go-sdk/stack"
	"go.yaml.in/yaml/v3"
)

// A Stack is a stack.yml.
type Stack struct {
	services *stack.Services
	Names    []string // of its functions, sorted
}

// Read reads a stack.yml, with the environment put in. It must be in the current directory, as its paths are relative to
// that.
func Read(path string) (*Stack, error) {
	services, err := stack.ParseYAMLFile(path, "", "", true)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(services.Functions) == 0 {
		return nil, fmt.Errorf("read %s: it has no functions", path)
	}
	return &Stack{services: services, Names: slices.Sorted(maps.Keys(services.Functions))}, nil
}

// Secrets are the names of all secrets that functions of the stack ask for, by namespace.
func (s *Stack) Secrets(defaultNamespace string) map[string][]string {
	secrets := map[string][]string{}
	for _, f := range s.services.Functions {
		namespace := f.Namespace
		if namespace == "" {
			namespace = defaultNamespace
		}
		for _, name := range f.Secrets {
			if !slices.Contains(secrets[namespace], name) {
				secrets[namespace] = append(secrets[namespace], name)
			}
		}
	}
	return secrets
}

// Progress is told when the build of a function begins, and how it ended.
type Progress interface {
	Begin(function string)
	End(function string, took time.Duration, err error)
}

// A Failure is a function that could not be built.
type Failure struct {
	Function string
	Err      error
	Output   string // of build.sh
}

func (f *Failure) Error() string {
	return strings.TrimRight(fmt.Sprintf("build %s: %v\n%s", f.Function, f.Err, f.Output), "\n")
}

func (f *Failure) Unwrap() error { return f.Err }

// Images are where functions go that were built: binaries by the names of their images.
type Images interface {
	Put(ctx context.Context, ref, binary string) error
}

// Build builds the stack's functions, as many at a time as there are cores, and stores them as images. dir is where build
// contexts are laid out. The error has a *Failure for each function that failed.
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
	fail := func(err error, output []byte) error {
		return &Failure{Function: name, Err: err, Output: string(output)}
	}
	if f.Language == "" || f.Handler == "" {
		return fail(errors.New("it has no lang or no handler in stack.yml"), nil)
	}
	template := filepath.Join("template", f.Language)
	if _, err := os.Stat(filepath.Join(template, "build.sh")); err != nil {
		return fail(fmt.Errorf("the template %s has no build.sh, so it can only be built as a container: faas-cli build", f.Language), nil)
	}
	opts := []builder.BuildContextOption{builder.WithBuildDir(dir)}
	if t, err := stack.LoadLanguageTemplate(f.Language); err == nil && t.HandlerFolder != "" {
		opts = append(opts, builder.WithHandlerOverlay(t.HandlerFolder))
	}
	built, err := builder.CreateBuildContext(name, f.Handler, f.Language, s.services.StackConfiguration.CopyExtraPaths, opts...)
	if err != nil {
		return fail(err, nil)
	}
	binary, err := filepath.Abs(filepath.Join(dir, name+".bin"))
	if err != nil {
		return fail(err, nil)
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, "sh", filepath.Join(built, "build.sh"), binary)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // static, whatever our own environment says: an image has no libc
	cmd.Stdout, cmd.Stderr = &output, &output
	// What build.sh has started ends with it: a compiler that goes on would keep us waiting for its output.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fail(err, output.Bytes())
	}
	if err := images.Put(ctx, imageOf(f.Image), binary); err != nil {
		return fail(err, nil)
	}
	return nil
}

// imageOf is an image's name as faas-cli deploys it.
func imageOf(image string) string {
	if last := image[strings.LastIndex(image, "/")+1:]; !strings.Contains(last, ":") && !strings.Contains(image, "@") {
		return image + ":latest"
	}
	return image
}

// Deployment is what faas-cli would deploy of a function.
func (s *Stack) Deployment(name string) (types.FunctionDeployment, error) {
	f := s.services.Functions[name]
	d := types.FunctionDeployment{Service: name, Image: imageOf(f.Image), Namespace: f.Namespace, EnvProcess: f.FProcess,
		Secrets: f.Secrets, ReadOnlyRootFilesystem: f.ReadOnlyRootFilesystem, EnvVars: map[string]string{},
		Labels: &map[string]string{}, Annotations: &map[string]string{}}
	if d.EnvProcess == "" && f.Language != "" {
		if t, err := stack.LoadLanguageTemplate(f.Language); err == nil && t != nil {
			d.EnvProcess = t.FProcess
		}
	}
	maps.Copy(d.EnvVars, f.Environment)
	for _, path := range f.EnvironmentFile {
		text, err := os.ReadFile(path)
		if err != nil {
			return d, fmt.Errorf("function %s: %w", name, err)
		}
		var file stack.EnvironmentFile
		if err := yaml.Unmarshal(text, &file); err != nil {
			return d, fmt.Errorf("function %s: read %s: %w", name, path, err)
		}
		maps.Copy(d.EnvVars, file.Environment)
	}
	if f.Labels != nil {
		d.Labels = f.Labels
	}
	if f.Annotations != nil {
		d.Annotations = f.Annotations
	}
	if f.Constraints != nil {
		d.Constraints = *f.Constraints
	}
	d.Limits, d.Requests = resources(f.Limits), resources(f.Requests)
	return d, nil
}

func resources(r *stack.FunctionResources) *types.FunctionResources {
	if r == nil || (r.Memory == "" && r.CPU == "") {
		return nil
	}
	return &types.FunctionResources{Memory: r.Memory, CPU: r.CPU}
}
