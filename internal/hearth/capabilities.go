package hearth

import "strings"

// Capabilities are the parts of a spec that a provider can honour. Warnings names the parts that it cannot.
type Capabilities struct {
	// Runs names what replicas are, for messages: "processes" or "containers".
	Runs string

	// Memory and CPU name what enforces limits.memory and limits.cpu, such as
	// "cgroup v2". Empty means that nothing does.
	Memory, CPU string
	// Requests is true if requests.memory and requests.cpu have an effect.
	Requests bool
	// Unlimited says why limits are not enforced, and how to change that. It is
	// set if Memory or CPU is empty.
	Unlimited string

	Command      bool // fprocess chooses what the watchdog runs
	ReadOnlyRoot bool // the root filesystem can be read-only
	Placement    bool // constraints choose a machine
	GPU          bool // GPUs can be asked for

	Cores       int // that a replica can have at most; 0 is not known
	MaxReplicas int // of one function; 0 is no bound

	// Overrides are environment variables that the provider sets itself, with
	// their values; "" is a value that varies.
	Overrides map[string]string
}

// Enforcement names what enforces the limits of a function, such as "memory and cpu by cgroup v2". It is ""
// for a function without limits, and if nothing enforces them.
func (c Capabilities) Enforcement(f Function) string {
	limit := f.Limit
	var parts []string
	switch {
	case limit.Memory > 0 && limit.MilliCPU > 0 && c.Memory != "" && c.Memory == c.CPU:
		return "memory and cpu by " + c.Memory
	case limit.Memory > 0 && c.Memory != "":
		parts = append(parts, "memory by "+c.Memory)
	}
	if limit.MilliCPU > 0 && c.CPU != "" {
		parts = append(parts, "cpu by "+c.CPU)
	}
	return strings.Join(parts, ", ")
}
