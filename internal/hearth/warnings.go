package hearth

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/openfaas/faas-provider/types"
)

// OpenFaaS's annotations that only some of its editions read, and that Hearth stores without effect.
const (
	annotationProfile = "com.openfaas.profile"
	annotationAccount = "com.openfaas.serviceaccount"
	annotationQueue   = "com.openfaas.queue"
)

// templateCommand is the fprocess of Hearth's own template: the binary itself.
const templateCommand = "./handler"

// Warnings names the parts of a valid spec that have no effect, or an unexpected one, with a provider of these capabilities. It depends
// on nothing else, so it can be called again at any time. Each warning is a sentence without a full stop.
func Warnings(f Function, c Capabilities) []string {
	var list []string
	for _, warn := range []func(Function, Capabilities) []string{
		warnScale, warnEnvironment, warnTimeouts, warnMemory, warnCPU, warnRequests, warnProvider, warnProbes, warnAnnotations, warnTopics, warnNames,
	} {
		list = append(list, warn(f, c)...)
	}
	return list
}

// A readable is a label or an annotation of OpenFaaS whose default is used if its value is malformed.
type readable struct {
	name string
	ok   func(string) bool
	want string
}

var scaleLabels = []readable{
	{labelMin, atLeast(0), "a whole number from 0"},
	{labelMax, atLeast(1), "a whole number from 1"},
	{labelFactor, isPercent, "a whole number of percent, from 0 to 100"},
	{labelTarget, positive, "a number above 0"},
	{labelProportion, positive, "a number above 0, such as 0.9"},
	{labelZero, isBool, "true or false"},
	{labelZeroAfter, isDuration, "a duration such as 15m"},
	{labelDownWindow, isDuration, "a duration such as 5m"},
}

var retryAnnotations = []readable{
	{annotationTries, atLeast(1), "a whole number from 1"},
	{annotationMin, isDuration, "a duration such as 10s"},
	{annotationMax, isDuration, "a duration such as 2m"},
	{annotationCodes, func(v string) bool { return statusCodes(v) != nil }, "HTTP statuses separated by commas"},
}

func warnScale(f Function, c Capabilities) (list []string) {
	for _, l := range scaleLabels {
		if v := f.label(l.name); v != "" && !l.ok(v) {
			list = append(list, fmt.Sprintf("the label %s is %q, want %s: the default is used", l.name, clip(v), l.want))
		}
		if v := f.Annotation(l.name); v != "" && f.label(l.name) == "" {
			list = append(list, fmt.Sprintf("the annotation %s has no effect: it is only read as a label", l.name))
		}
	}
	if n, err := strconv.Atoi(f.label(labelMax)); err == nil && c.MaxReplicas > 0 && n > c.MaxReplicas {
		list = append(list, fmt.Sprintf("%s is %d, and Hearth allows a function at most %d replicas (--max-replicas)", labelMax, n, c.MaxReplicas))
	}
	if v := Signal(f.label(labelType)); !v.known() {
		list = append(list, fmt.Sprintf("the label %s is %q, which is not one of rps, capacity, cpu and queue: the function is scaled by its calls", labelType, clip(string(v))))
	}
	return list
}

func warnEnvironment(f Function, c Capabilities) (list []string) {
	if v := f.EnvVars["max_inflight"]; v != "" && !atLeast(0)(v) {
		list = append(list, fmt.Sprintf("max_inflight is %q, want a whole number: no limit is used", clip(v)))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Overrides)) {
		v, set := f.EnvVars[name]
		if set && (c.Overrides[name] == "" || v != c.Overrides[name]) {
			list = append(list, fmt.Sprintf("the environment variable %s is set by Hearth, and its value in the spec has no effect", name))
		}
	}
	return list
}

// warnTimeouts also warns of answers that would be cut off. That is only sure where both timeouts are given: the default of
// write_timeout is the watchdog's, of which there are several. See https://docs.openfaas.com/tutorials/expanded-timeouts/.
func warnTimeouts(f Function, _ Capabilities) (list []string) {
	for _, name := range []string{"exec_timeout", "exec_grace", "read_timeout", "write_timeout", "healthcheck_interval"} {
		v := f.EnvVars[name]
		switch d := duration(v); {
		case v == "":
		case d < 0:
			list = append(list, fmt.Sprintf("%s is %q, want seconds, or a duration such as 1m30s: the watchdog uses its default", name, clip(v)))
		case d > maxTimeout:
			list = append(list, fmt.Sprintf("%s is %s, and Hearth ends a call after %.0fh", name, clip(v), maxTimeout.Hours()))
		}
	}
	exec, write := duration(f.EnvVars["exec_timeout"]), duration(f.EnvVars["write_timeout"])
	if exec > 0 && write > 0 && write < exec {
		list = append(list, fmt.Sprintf("write_timeout is %s, less than exec_timeout, %s: a call that takes longer than write_timeout may lose its answer",
			clip(f.EnvVars["write_timeout"]), clip(f.EnvVars["exec_timeout"])))
	}
	return list
}

func warnMemory(f Function, c Capabilities) (list []string) {
	limits, requests := cmp.Or(f.Limits, &types.FunctionResources{}), cmp.Or(f.Requests, &types.FunctionResources{})
	for _, q := range [][2]string{{"limits.memory", limits.Memory}, {"requests.memory", requests.Memory}} {
		if n, docker, ok := parseMemory(q[1]); ok && docker {
			list = append(list, fmt.Sprintf("%s is %q, which Kubernetes reads differently: it is taken as Docker reads it, as %s", q[0], clip(q[1]), bytesText(n)))
		}
	}
	if n := resources(f.Limits).Memory; n > 0 && n < minMemory {
		list = append(list, fmt.Sprintf("limits.memory is %q: it is raised to %s, the minimum of container engines", clip(limits.Memory), bytesText(minMemory)))
	}
	if f.Limit().Memory > 0 && c.Memory == "" {
		list = append(list, "limits.memory is not enforced: "+c.Unlimited)
	}
	return list
}

func warnCPU(f Function, c Capabilities) (list []string) {
	limits := cmp.Or(f.Limits, &types.FunctionResources{})
	if n := resources(f.Limits).MilliCPU; n > 0 && n < minCPU {
		list = append(list, fmt.Sprintf("limits.cpu is %q: it is raised to %dm, the minimum that the kernel enforces", clip(limits.CPU), minCPU))
	}
	if most := int64(c.Cores) * 1000; most > 0 && f.Limit().MilliCPU > most {
		list = append(list, fmt.Sprintf("limits.cpu is %q, and the machine has %d cores: a replica gets no more", clip(limits.CPU), c.Cores))
	}
	if f.Limit().MilliCPU > 0 && c.CPU == "" {
		list = append(list, "limits.cpu is not enforced: "+c.Unlimited)
	}
	return list
}

func warnRequests(f Function, c Capabilities) (list []string) {
	limit, request := f.Limit(), resources(f.Requests)
	if limit.Memory > 0 && request.Memory > limit.Memory {
		list = append(list, fmt.Sprintf("requests.memory is %s, more than limits.memory, %s: the limit is used", clip(f.Requests.Memory), clip(f.Limits.Memory)))
	}
	if limit.MilliCPU > 0 && request.MilliCPU > limit.MilliCPU {
		list = append(list, fmt.Sprintf("requests.cpu is %s, more than limits.cpu, %s: the limit is used", clip(f.Requests.CPU), clip(f.Limits.CPU)))
	}
	if request != (Resources{}) && !c.Requests {
		list = append(list, "requests have no effect: "+cmp.Or(c.Unlimited, "nothing is kept free for "+c.Runs))
	}
	return list
}

// warnProvider warns of what this provider cannot do.
func warnProvider(f Function, c Capabilities) (list []string) {
	if f.EnvProcess != "" && f.EnvProcess != templateCommand && !c.Command {
		list = append(list, fmt.Sprintf("fprocess %q has no effect: functions run as %s, and the binary from hearth build is started directly", clip(f.EnvProcess), c.Runs))
	}
	if f.ReadOnlyRootFilesystem && !c.ReadOnlyRoot {
		list = append(list, "readonly_root_filesystem has no effect: functions run as "+c.Runs+", which may write wherever this user may")
	}
	if len(f.Constraints) > 0 && !c.Placement {
		list = append(list, "constraints have no effect: functions run on this machine")
	}
	for _, r := range []*types.FunctionResources{f.Limits, f.Requests} {
		if r != nil && (r.NvidiaGPU != "" || r.AmdGPU != "" || r.IntelGPU != "") && !c.GPU {
			return append(list, "GPUs in limits or requests have no effect: functions get no devices")
		}
	}
	return list
}

func warnAnnotations(f Function, _ Capabilities) (list []string) {
	for _, a := range retryAnnotations {
		if v := f.Annotation(a.name); v != "" && !a.ok(v) {
			list = append(list, fmt.Sprintf("the annotation %s is %q, want %s: the default is used", a.name, clip(v), a.want))
		}
	}
	for _, a := range [][2]string{
		{annotationProfile, "Hearth has no profiles"}, {annotationAccount, "Hearth has no service accounts"},
		{annotationQueue, "every function has a queue of its own"},
	} {
		if f.Annotation(a[0]) != "" {
			list = append(list, fmt.Sprintf("the annotation %s has no effect: %s", a[0], a[1]))
		}
	}
	return list
}

func warnTopics(f Function, _ Capabilities) (list []string) {
	for _, topic := range f.listed() {
		if _, err := wire.Stream(topic); err != nil && topic != "" && topic != wire.TopicCron {
			list = append(list, fmt.Sprintf("Hearth does not serve the topic %q: only your own connector can deliver it (%v)", clip(topic), err))
		}
	}
	if f.Annotation(annotationWhen) != "" && !slices.Contains(f.listed(), wire.TopicCron) {
		list = append(list, fmt.Sprintf("the annotation %s has no effect without the topic %s", annotationWhen, wire.TopicCron))
	}
	return list
}

// warnNames warns of names with Hearth's prefix that Hearth does not know: most are misspelt.
func warnNames(f Function, _ Capabilities) (list []string) {
	const prefix = "com.hearth."
	for what, m := range map[string]*map[string]string{"annotation": f.Annotations, "label": f.Labels} {
		if m == nil {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(*m)) {
			switch known := slices.Contains(ownAnnotations, name); {
			case !strings.HasPrefix(name, prefix):
			case known && what == "label":
				list = append(list, fmt.Sprintf("the label %s has no effect: it is only read as an annotation", name))
			case !known:
				list = append(list, fmt.Sprintf("the %s %s has no effect: Hearth does not know it", what, clip(name)))
			}
		}
	}
	slices.Sort(list)
	return list
}

func isPercent(v string) bool {
	n, err := strconv.Atoi(v)
	return err == nil && n >= 0 && n <= 100
}

func isBool(v string) bool {
	_, err := strconv.ParseBool(v)
	return err == nil
}
