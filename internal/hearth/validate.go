package hearth

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/hearthfaas/hearth/chain"
	"github.com/openfaas/faas-provider/types"
)

// maxTimeout is the most that a call may take: what its lease is renewed for, and what exec_timeout 0 stands for.
const maxTimeout = 24 * time.Hour

// minMemory is the least that a limit may be: an engine starts no container with less.
const minMemory = 6 << 20

// Validate returns an error of code Invalid that says what is wrong with a deployment, in words for whoever wrote the
// stack.yml: the first thing, with the field's name. Unknown labels and annotations are nobody's fault; com.openfaas.retry's
// fall back to the defaults, as documented for OpenFaaS.
func Validate(d types.FunctionDeployment) error {
	if err := (Name{d.Service, d.Namespace}).Validate(); err != nil {
		return err
	}
	f := Function{FunctionDeployment: d}
	for _, check := range []func(Function) error{validImage, validScale, validSchedule, validEnvironment, validTimeouts, validResources, validAnnotations, validLists} {
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
	for _, l := range []struct {
		name string
		ok   func(string) bool
		want string
	}{
		{labelMin, atLeast(0), "a whole number from 0"},
		{labelMax, atLeast(1), "a whole number from 1"},
		{labelFactor, func(v string) bool { n, err := strconv.Atoi(v); return err == nil && n >= 0 && n <= 100 }, "a whole number of percent, from 0 to 100"},
		{labelTarget, positive, "a number above 0"},
		{labelProportion, positive, "a number above 0, such as 0.9"},
		{labelZero, func(v string) bool { _, err := strconv.ParseBool(v); return err == nil }, "true or false"},
		{labelZeroAfter, isDuration, "a duration such as 15m"},
		{labelDownWindow, isDuration, "a duration such as 5m"},
	} {
		if v := f.label(l.name); v != "" && !l.ok(v) {
			return f.wrong("the label %s is %q, want %s", l.name, clip(v), l.want)
		}
	}
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
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r == '=' || unicode.IsSpace(r) || unicode.IsControl(r) }) || strings.Contains(f.EnvVars[name], "\x00") {
			return f.wrong("the environment variable %q cannot be set", clip(name))
		}
	}
	if v := f.EnvVars["max_inflight"]; v != "" && !atLeast(0)(v) {
		return f.wrong("max_inflight is %q, want a whole number; 0 is no limit", clip(v))
	}
	return nil
}

// validTimeouts also refuses an answer that would be cut off. That is only sure where both timeouts are given: the default of
// write_timeout is the watchdog's, of which there are several. See https://docs.openfaas.com/tutorials/expanded-timeouts/.
func validTimeouts(f Function) error {
	for _, name := range []string{"exec_timeout", "read_timeout", "write_timeout", "healthcheck_interval"} {
		v := f.EnvVars[name]
		switch d := duration(v); {
		case v == "":
		case d < 0:
			return f.wrong("%s is %q, want seconds, or a duration such as 1m30s", name, clip(v))
		case d > maxTimeout:
			return f.wrong("%s is %s, want at most %.0fh", name, clip(v), maxTimeout.Hours())
		}
	}
	exec, write := duration(f.EnvVars["exec_timeout"]), duration(f.EnvVars["write_timeout"])
	if exec > 0 && write > 0 && write < exec {
		return f.wrong("write_timeout is %s, less than exec_timeout, %s: a call that takes longer would lose its answer", clip(f.EnvVars["write_timeout"]), clip(f.EnvVars["exec_timeout"]))
	}
	return nil
}

func validResources(f Function) error {
	limits, requests := cmp.Or(f.Limits, &types.FunctionResources{}), cmp.Or(f.Requests, &types.FunctionResources{})
	for _, q := range [...]struct {
		field, text string
		parts       float64
		such        string
	}{
		{"limits.memory", limits.Memory, 1, "128Mi"}, {"requests.memory", requests.Memory, 1, "128Mi"},
		{"limits.cpu", limits.CPU, 1000, "500m or 0.5"}, {"requests.cpu", requests.CPU, 1000, "500m or 0.5"},
	} {
		switch _, ok := parseQuantity(q.text, q.parts); {
		case q.text == "":
		case !ok:
			return f.wrong("%s is %q, want a quantity such as %s", q.field, clip(q.text), q.such)
		case q.parts == 1 && strings.HasSuffix(strings.TrimSpace(q.text), "m"):
			return f.wrong("%s is %q, which is in thousandths of a byte: did you mean %sMi?", q.field, clip(q.text), strings.TrimSuffix(strings.TrimSpace(q.text), "m"))
		}
	}
	limit, request := f.Limit(), f.Request()
	switch {
	case limit.Memory > 0 && limit.Memory < minMemory:
		return f.wrong("limits.memory is %q, want at least 6Mi", clip(limits.Memory))
	case limit.Memory > 0 && request.Memory > limit.Memory:
		return f.wrong("requests.memory is %s, more than limits.memory, %s", clip(requests.Memory), clip(limits.Memory))
	case limit.MilliCPU > 0 && request.MilliCPU > limit.MilliCPU:
		return f.wrong("requests.cpu is %s, more than limits.cpu, %s", clip(requests.CPU), clip(limits.CPU))
	}
	return nil
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
	for _, topic := range f.Emits() {
		if _, err := chain.Stream(topic); err != nil {
			return f.wrong("the annotation %s: %w", annotationEmits, err)
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
	for _, c := range f.Constraints {
		if strings.TrimSpace(c) == "" || strings.ContainsFunc(c, unicode.IsControl) {
			return f.wrong("the constraint %q is not valid", clip(c))
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

// IsSecretName tells whether a string may name a secret: a DNS-1123 subdomain, which also never leaves its folder.
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
