package hearth

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/openfaas/faas-provider/types"
)

// templateCommand is the fprocess of Hearth's own template: the binary itself.
const templateCommand = "./handler"

// Warnings names the parts of a parsed function that have no effect, or an unexpected one, with a
// provider of these capabilities. It depends on nothing else, so it can be called again at any time. Each
// warning is a sentence without a full stop.
func Warnings(f Function, c Capabilities) []string {
	list := slices.Clone(f.warnings)
	for _, warn := range []func(Function, Capabilities) []string{
		warnScale, warnEnvironment, warnRedis, warnLimits, warnProvider,
	} {
		list = append(list, warn(f, c)...)
	}
	return list
}

func warnScale(f Function, c Capabilities) []string {
	if c.MaxReplicas == 0 || f.MaxReplicas <= c.MaxReplicas || f.Labels == nil ||
		(*f.Labels)[labelMax] == "" {
		return nil
	}
	return []string{fmt.Sprintf("%s is %d, and Hearth allows a function at most %d replicas (--max-replicas)",
		labelMax,
		f.MaxReplicas, c.MaxReplicas)}
}

func warnEnvironment(f Function, c Capabilities) (list []string) {
	for _, name := range slices.Sorted(maps.Keys(c.Overrides)) {
		v, set := f.EnvVars[name]
		if set && (c.Overrides[name] == "" || v != c.Overrides[name]) {
			list = append(list, fmt.Sprintf(
				"the environment variable %s is set by Hearth, and its value in the spec has no effect",
				name))
		}
	}
	return list
}

// warnRedis warns of a subscriber without the address of Redis: with package chain
// it would be ready and fail every message.
func warnRedis(f Function, _ Capabilities) []string {
	if len(f.Topics) == 0 || f.EnvVars["REDIS_URL"] != "" {
		return nil
	}
	return []string{fmt.Sprintf("REDIS_URL is not set: if the function uses chain, every message of the "+
		"topic %s fails",
		f.Topics[0])}
}

// warnLimits warns of resources that this provider does not enforce.
func warnLimits(f Function, c Capabilities) (list []string) {
	if f.Limit.Memory > 0 && c.Memory == "" {
		list = append(list, "limits.memory is not enforced: "+c.Unlimited)
	}
	if most := int64(c.Cores) * 1000; most > 0 && f.Limit.MilliCPU > most {
		list = append(list, fmt.Sprintf("limits.cpu is %q, and the machine has %d cores: a replica gets "+
			"no more",
			clip(f.Limits.CPU), c.Cores))
	}
	if f.Limit.MilliCPU > 0 && c.CPU == "" {
		list = append(list, "limits.cpu is not enforced: "+c.Unlimited)
	}
	if f.Request != (Resources{}) && !c.Requests {
		list = append(list, "requests have no effect: "+cmp.Or(c.Unlimited,
			"nothing is reserved for "+c.Runs))
	}
	return list
}

// warnProvider warns of what this provider cannot do.
func warnProvider(f Function, c Capabilities) (list []string) {
	if f.EnvProcess != "" && f.EnvProcess != templateCommand && !c.Command {
		list = append(list, fmt.Sprintf("fprocess %q has no effect: functions run as %s, and the binary "+
			"from hearth build is started directly", clip(f.EnvProcess), c.Runs))
	}
	if f.ReadOnlyRootFilesystem && !c.ReadOnlyRoot {
		list = append(list, "readonly_root_filesystem has no effect: functions run as "+c.Runs+
			", which may write wherever this user may")
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
