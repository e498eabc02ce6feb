package hearth

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/openfaas/faas-provider/types"
)

// validate returns what is wrong with the parts of a deployment that are no settings.
func validate(d types.FunctionDeployment) error {
	for _, check := range []func(types.FunctionDeployment) error{
		validImage, validEnvironment, validResources, validLists,
	} {
		if err := check(d); err != nil {
			return err
		}
	}
	return nil
}

func validImage(d types.FunctionDeployment) error {
	switch image := strings.TrimSpace(d.Image); {
	case image == "":
		return errors.New("the image is missing")
	case strings.ContainsFunc(image, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return fmt.Errorf("the image %q is not valid: it has a space in it", clip(image))
	}
	return nil
}

func validEnvironment(d types.FunctionDeployment) error {
	for _, name := range slices.Sorted(maps.Keys(d.EnvVars)) {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(d.EnvVars[name], "\x00") {
			return fmt.Errorf("the environment variable %q cannot be set: names must not contain =, and "+
				"values no zero byte", clip(name))
		}
	}
	return nil
}

func validResources(d types.FunctionDeployment) error {
	limits, requests := cmp.Or(d.Limits, &types.FunctionResources{}), cmp.Or(d.Requests,
		&types.FunctionResources{})
	for _, q := range [...]struct {
		field, text string
		read        func(string) bool
		such        string
	}{
		{"limits.memory", limits.Memory, isMemory, "128Mi"},
		{"requests.memory", requests.Memory, isMemory, "128Mi"},
		{"limits.cpu", limits.CPU, isCPU, "500m or 0.5"},
		{"requests.cpu", requests.CPU, isCPU, "500m or 0.5"},
	} {
		if q.text != "" && !q.read(q.text) {
			return fmt.Errorf("%s is %q, want a quantity such as %s", q.field, clip(q.text), q.such)
		}
	}
	return nil
}

func isMemory(text string) bool {
	_, _, ok := parseMemory(text)
	return ok
}

func isCPU(text string) bool {
	_, ok := parseQuantity(text, 1000)
	return ok
}

func validLists(d types.FunctionDeployment) error {
	for _, secret := range d.Secrets {
		if !IsSecretName(secret) {
			return fmt.Errorf("the secret name %q is not valid: want lower-case letters, digits, dashes "+
				"and dots", clip(secret))
		}
	}
	for what, list := range map[string]*map[string]string{"label": d.Labels, "annotation": d.Annotations} {
		if list == nil {
			continue
		}
		if _, ok := (*list)[""]; ok {
			return fmt.Errorf("a %s has no name", what)
		}
	}
	return nil
}

// IsSecretName reports whether a string may name a secret: a DNS-1123 subdomain,
// which also never leaves its folder.
func IsSecretName(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	for part := range strings.SplitSeq(s, ".") {
		if !IsDNSLabel(part) {
			return false
		}
	}
	return true
}
