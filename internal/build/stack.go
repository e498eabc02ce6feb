package build

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/openfaas/faas-provider/types"
	"github.com/openfaas/go-sdk/stack"
	"go.yaml.in/yaml/v3"
)

// DefaultFiles are the names of a stack file, in the order in which faas-cli looks for them.
var DefaultFiles = []string{"stack.yaml", "stack.yml"}

// A Stack is a stack file: functions, where their code is, and how they are deployed.
type Stack struct {
	services *stack.Services
	Names    []string // of its functions, sorted
}

// Find returns the path of the stack file: the given one, or else the first of
// DefaultFiles in the current directory.
func Find(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	for _, name := range DefaultFiles {
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			return name, nil
		}
	}
	return "", hearth.Errorf(hearth.NotFound, "there is no %s here; name the stack file with --file",
		strings.Join(DefaultFiles, " or "))
}

// Read reads a stack file and substitutes environment variables. The file must be in the current
// directory, since its paths are relative to it. Names that are paths are refused: they could lead
// out of the project. All other rules of names are the gateway's, so that one bad name does not keep
// the other functions from being deployed.
func Read(file string) (*Stack, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the stack file: %w", err)
	}
	services, err := parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return &Stack{services: services, Names: slices.Sorted(maps.Keys(services.Functions))}, nil
}

func parse(text string) (*stack.Services, error) {
	marked, environment := mark(text)
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(marked), &document); err != nil {
		return nil, err
	}
	if err := environment.expand(&document, false); err != nil {
		return nil, err
	}
	var s stack.Services
	if err := document.Decode(&s); err != nil {
		return nil, err
	}
	if s.Provider.Name != "openfaas" {
		return nil, fmt.Errorf("provider.name is %q, want openfaas", s.Provider.Name)
	}
	if s.Version != "" && !stack.IsValidSchemaVersion(s.Version) {
		return nil, fmt.Errorf("version is %q, want %s", s.Version,
			strings.Join(stack.ValidSchemaVersions, " or "))
	}
	if len(s.Functions) == 0 {
		return nil, errors.New("it has no functions")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Functions)) {
		f := s.Functions[name]
		if !isFileName(name) {
			return nil, fmt.Errorf("function name %q is not valid: it is a path", name)
		}
		if f.Namespace != "" && !isFileName(f.Namespace) {
			return nil, fmt.Errorf("function %s: namespace %q is not valid: it is a path", name, f.Namespace)
		}
		if f.Language != "" && !isFileName(f.Language) {
			return nil, fmt.Errorf("function %s: lang is %q, want the name of a folder in template/", name,
				f.Language)
		}
	}
	return &s, nil
}

// isFileName reports whether a name is a single path element, so that joining it
// to a folder cannot leave the folder.
func isFileName(name string) bool {
	return filepath.IsLocal(name) && name != "." && !strings.ContainsAny(name, `/\`)
}

// Filter keeps the functions whose names match a pattern, in which * matches any
// text. An empty pattern keeps all.
func (s *Stack) Filter(pattern string) error {
	if pattern == "" {
		return nil
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return fmt.Errorf("--filter %q: %w", pattern, err)
	}
	names := slices.DeleteFunc(slices.Clone(s.Names), func(name string) bool {
		ok, _ := path.Match(pattern, name)
		return !ok
	})
	if len(names) == 0 {
		return fmt.Errorf("--filter %q matches none of %s", pattern, strings.Join(s.Names, ", "))
	}
	s.Names = names
	return nil
}

// Secrets are the names of all secrets that functions of the stack ask for, by namespace.
func (s *Stack) Secrets(defaultNamespace string) map[string][]string {
	secrets := map[string][]string{}
	for _, name := range s.Names {
		f := s.services.Functions[name]
		namespace := cmp.Or(f.Namespace, defaultNamespace)
		for _, secret := range f.Secrets {
			if !slices.Contains(secrets[namespace], secret) {
				secrets[namespace] = append(secrets[namespace], secret)
			}
		}
	}
	return secrets
}

// Deployment returns a function as faas-cli would deploy it.
func (s *Stack) Deployment(name string) (types.FunctionDeployment, error) {
	f := s.services.Functions[name]
	d := types.FunctionDeployment{
		Service:                name,
		Image:                  imageOf(f.Image),
		Namespace:              f.Namespace,
		EnvProcess:             f.FProcess,
		Secrets:                f.Secrets,
		ReadOnlyRootFilesystem: f.ReadOnlyRootFilesystem,
		EnvVars:                map[string]string{},
		Labels:                 &map[string]string{},
		Annotations:            &map[string]string{},
	}
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

// imageOf returns an image's name as faas-cli deploys it.
func imageOf(image string) string {
	if last := image[strings.LastIndex(image, "/")+1:]; !strings.Contains(last, ":") &&
		!strings.Contains(image, "@") {
		return image + ":latest"
	}
	return image
}

func resources(r *stack.FunctionResources) *types.FunctionResources {
	if r == nil || (r.Memory == "" && r.CPU == "") {
		return nil
	}
	return &types.FunctionResources{Memory: r.Memory, CPU: r.CPU}
}

// Gateway returns the gateway that the stack file names, or "".
func (s *Stack) Gateway() string { return s.services.Provider.GatewayURL }
