package hearth

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/openfaas/faas-provider/types"
)

// maxTimeout is the most that a call may take: what its lease is renewed for, and what exec_timeout 0 stands for.
const maxTimeout = 24 * time.Hour

// keyPattern is a key of Redis, or what keys begin with.
var keyPattern = regexp.MustCompile(`^[A-Za-z0-9_.:/{}-]*\*?$`)

// The least that limits may be: an engine starts no container with less memory, and the kernel gives out processor time in
// pieces of a millisecond in 100. A lower limit is raised.
const (
	minMemory = 6 << 20
	minCPU    = 10 // thousandths of a core
)

// Validate returns an error of code Invalid that says what is wrong with a deployment, in words for whoever wrote the
// stack.yml: the first thing, with the field's name. It refuses only what cannot work, or what is Hearth's own and can only be
// misspelt. What works all the same is accepted, and Warnings says how.
func Validate(d types.FunctionDeployment) error {
	if err := (Name{d.Service, d.Namespace}).Validate(); err != nil {
		return err
	}
	f := Function{FunctionDeployment: d}
	for _, check := range []func(Function) error{validImage, validScale, validSchedule, validEnvironment, validResources, validAnnotations, validLists} {
		if err := check(f); err != nil {
			return err
		}
	}
	return nil
}

// wrong is the error of a field.
func (f Function) wrong(format string, args ...any) error {
	return Errorf(Invalid, "function %s: "+format, append([]any{f.Service}, args...)...)
}

func validImage(f Function) error {
	switch image := strings.TrimSpace(f.Image); {
	case image == "":
		return f.wrong("the image is missing")
	case strings.ContainsFunc(image, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return f.wrong("the image %q is not valid: it has a space in it", clip(image))
	}
	return nil
}

func validScale(f Function) error {
	if f.MinReplicas() > f.MaxReplicas() {
		return f.wrong("%s is %d, more than %s, %d", labelMin, f.MinReplicas(), labelMax, f.MaxReplicas())
	}
	return nil
}

func validSchedule(f Function) error {
	_, err := f.Schedule()
	return err
}

func validEnvironment(f Function) error {
	for _, name := range slices.Sorted(maps.Keys(f.EnvVars)) {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(f.EnvVars[name], "\x00") {
			return f.wrong("the environment variable %q cannot be set: names must not contain =, and values no zero byte", clip(name))
		}
	}
	return nil
}

func validResources(f Function) error {
	limits, requests := cmp.Or(f.Limits, &types.FunctionResources{}), cmp.Or(f.Requests, &types.FunctionResources{})
	for _, q := range [...]struct {
		field, text string
		read        func(string) bool
		such        string
	}{
		{"limits.memory", limits.Memory, isMemory, "128Mi"}, {"requests.memory", requests.Memory, isMemory, "128Mi"},
		{"limits.cpu", limits.CPU, isCPU, "500m or 0.5"}, {"requests.cpu", requests.CPU, isCPU, "500m or 0.5"},
	} {
		if q.text != "" && !q.read(q.text) {
			return f.wrong("%s is %q, want a quantity such as %s", q.field, clip(q.text), q.such)
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

func validAnnotations(f Function) error {
	for _, a := range []struct {
		name string
		ok   func(string) bool
		want string
	}{
		{annotationSpread, func(v string) bool { _, err := ParseBackoff(v); return err == nil }, "exponential, full or equal"},
		{annotationMaxAge, func(v string) bool { return duration(v) > 0 }, "a duration such as 24h"},
		{annotationLength, atLeast(1), "a whole number of calls"},
		{annotationBytes, func(v string) bool { _, err := ParseBytes(v); return err == nil }, "bytes such as 64Mi"},
		{annotationBack, func(v string) bool { _, err := strconv.ParseBool(v); return err == nil }, "true or false"},
		{annotationRate, func(v string) bool { _, err := ParseRate(v); return err == nil }, "calls per second, minute or hour, such as 10/s"},
	} {
		if v := f.Annotation(a.name); v != "" && !a.ok(v) {
			return f.wrong("the annotation %s is %q, want %s", a.name, clip(v), a.want)
		}
	}
	times, err := parseWarm(f.Annotation(annotationWarm))
	if err != nil {
		return f.wrong("the annotation %s: %w", annotationWarm, err)
	}
	for _, w := range times {
		if w.replicas > f.MaxReplicas() {
			return f.wrong("the annotation %s has %d replicas, more than %s, %d", annotationWarm, w.replicas, labelMax, f.MaxReplicas())
		}
	}
	for _, namespace := range f.topicsFrom() {
		if !IsDNSLabel(namespace) {
			return f.wrong("the annotation %s is %q, want namespaces separated by commas", annotationFrom, clip(f.Annotation(annotationFrom)))
		}
	}
	for _, o := range f.Origins() {
		if !isOrigin(o) {
			return f.wrong("the annotation %s has %q, want * or origins such as https://shop.example.com, separated by commas", annotationCORS, clip(o))
		}
	}
	for _, topic := range f.Emits() {
		if _, err := wire.Stream(topic); err != nil {
			return f.wrong("the annotation %s: %w", annotationEmits, err)
		}
		if IsReservedTopic(topic) {
			return f.wrong("the annotation %s: the topic %q is Hearth's own: begin it with another word than %q", annotationEmits, clip(topic), reservedTag)
		}
	}
	for _, pattern := range f.ownKeys() {
		if !keyPattern.MatchString(pattern) {
			return f.wrong("the annotation %s: %q is no pattern of keys: want letters, digits and _ . : - / { }, and an asterisk at the end if more may follow, such as cart:*",
				annotationKeys, clip(pattern))
		}
		start, more := strings.CutSuffix(pattern, "*")
		for _, ours := range []string{"{" + reservedTag + "}", "{fn:"} {
			if strings.HasPrefix(start, ours) || more && strings.HasPrefix(ours, start) {
				return f.wrong("the annotation %s: %q has keys of Hearth's own, which begin with %s: begin it otherwise, such as cart:*", annotationKeys, clip(pattern), ours)
			}
		}
	}
	for _, topic := range f.listed() {
		if _, err := wire.Stream(topic); err == nil && IsReservedTopic(topic) {
			return f.wrong("the annotation %s: the topic %q is Hearth's own: begin it with another word than %q", annotationTopic, clip(topic), reservedTag)
		}
	}
	return nil
}

func validLists(f Function) error {
	for _, secret := range f.Secrets {
		if !IsSecretName(secret) {
			return f.wrong("the secret name %q is not valid: want lower-case letters, digits, dashes and dots", clip(secret))
		}
	}
	for what, list := range map[string]*map[string]string{"label": f.Labels, "annotation": f.Annotations} {
		if list == nil {
			continue
		}
		if _, ok := (*list)[""]; ok {
			return f.wrong("a %s has no name", what)
		}
	}
	return nil
}

func atLeast(least int) func(string) bool {
	return func(v string) bool { n, err := strconv.Atoi(v); return err == nil && n >= least }
}

func positive(v string) bool {
	n, err := strconv.ParseFloat(v, 64)
	return err == nil && n > 0 && n < 1e18
}

func isDuration(v string) bool { return duration(v) >= 0 }

// IsSecretName reports whether a string may name a secret: a DNS-1123 subdomain, which also never leaves its folder.
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
