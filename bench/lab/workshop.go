package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// roles are the four functions, in the order in which an order meets them.
var roles = []string{"cashier", "baker", "oven", "server"}

// A workshop is a copy of the bakery's sources, in which functions can be changed as their authors would.
type workshop struct {
	root, dir string
}

// newWorkshop copies what functions are built from.
func newWorkshop(root, dir string) (*workshop, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	for _, name := range []string{"functions", "bakery", "chain", "template"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(root, name))); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return nil, err
		}
	}
	return &workshop{root, dir}, nil
}

// A change is what one role has otherwise than stack.yml says.
type change struct {
	labels      map[string]string
	annotations map[string]string // "" takes one away
	environment map[string]string
}

// always is a fixed number of replicas, which no autoscaler changes.
func always(replicas int) change {
	n := fmt.Sprint(replicas)
	return change{labels: map[string]string{"com.openfaas.scale.min": n, "com.openfaas.scale.max": n}}
}

// stack writes a stack file with some of the roles, as the project's stack.yml has them
// but for the changes, and returns its path.
func (w *workshop) stack(name string, only []string, changes map[string]change) (string, error) {
	text, err := os.ReadFile(filepath.Join(w.root, "stack.yml"))
	if err != nil {
		return "", err
	}
	var stack map[string]any
	if err := yaml.Unmarshal(text, &stack); err != nil {
		return "", err
	}
	functions, ok := stack["functions"].(map[string]any)
	if !ok {
		return "", fmt.Errorf("stack.yml has no functions")
	}
	chosen := map[string]any{}
	for _, role := range only {
		f, ok := functions[role].(map[string]any)
		if !ok {
			return "", fmt.Errorf("stack.yml has no function %s", role)
		}
		for section, values := range map[string]map[string]string{"labels": changes[role].labels,
			"annotations": changes[role].annotations, "environment": changes[role].environment} {
			old, _ := f[section].(map[string]any)
			merged := maps.Clone(old) // the roles share some by YAML's anchors
			for key, value := range values {
				if value == "" {
					delete(merged, key)
				} else {
					merged[key] = value
				}
			}
			f[section] = merged
		}
		chosen[role] = f
	}
	stack["version"], stack["functions"] = "1.0", chosen // else YAML makes a number of the version
	text, err = yaml.Marshal(stack)
	if err != nil {
		return "", err
	}
	path := filepath.Join(w.dir, name+".yml")
	return path, os.WriteFile(path, text, 0o644)
}

// wrapped is what stands before a role's own handler: it tells a version, and
// has the bug that the environment asks for.
const wrapped = `package function

import (
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"

	"github.com/hearthfaas/hearth/chain/wire"
	handler "github.com/openfaas/templates-sdk/go-http"
)

const version = %q

func odds(name string) float64 { p, _ := strconv.ParseFloat(os.Getenv(name), 64); return p }

// Handle has the bug of the lab, if its environment says so.
func Handle(r handler.Request) (handler.Response, error) {
	if r.Method == http.MethodGet && r.QueryString == "view=version" {
		return handler.Response{StatusCode: http.StatusOK, Body: []byte(version)}, nil
	}
	if _, ok := wire.DeliveryOf(r.Header); ok {
		if rand.Float64() < odds("BUG_CRASH_%s") {
			os.Exit(1)
		}
		if rand.Float64() < odds("BUG_FAIL_%s") {
			return handler.Response{StatusCode: http.StatusInternalServerError, Body: []byte("lab bug")}, nil
		}
	}
	return handle(r)
}
`

// edit changes a role's source, so that it tells another version.
func (w *workshop) edit(role, version string) error {
	path := filepath.Join(w.dir, "functions", role, "handler.go")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), "func Handle(", "func handle(", 1)),
		0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(filepath.Dir(path), "version.go"),
		fmt.Appendf(nil, wrapped, version, role, role), 0o644)
}

// buildMonolith builds the monolith with the workshop's functions.
func (w *workshop) buildMonolith(ctx context.Context, binary string) error {
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for _, role := range roles {
		for _, name := range []string{"handler.go", "version.go"} {
			changed := filepath.Join(w.dir, "functions", role, name)
			if _, err := os.Stat(changed); err == nil {
				overlay.Replace[filepath.Join(w.root, "functions", role, name)] = changed
			}
		}
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return err
	}
	path := filepath.Join(w.dir, "overlay.json")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return err
	}
	// With the flags of build.sh, so that what both share is compiled once.
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", path, "-trimpath", "-buildvcs=false",
		"-gcflags=all=-dwarf=false", "-ldflags", "-s -w", "-o", binary, "./lab/monolith")
	cmd.Dir, cmd.Env = filepath.Join(w.root, "bench"), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the monolith: %w\n%s", err, out)
	}
	return nil
}
