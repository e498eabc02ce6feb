package hearth

import (
	"cmp"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/openfaas/faas-provider/types"
)

// Resources are an amount of memory and of processor time. 0 is no limit.
type Resources struct {
	Memory   int64 // bytes
	MilliCPU int64 // thousandths of a core
}

// The lowest limits: a container engine starts nothing with less memory, and the kernel hands out processor
// time in pieces of a millisecond in 100. A lower limit is raised.
const (
	minMemory = 6 << 20
	minCPU    = 10 // millicores
)

// resources sets the limits and requests of a replica.
func (p *parser) resources(d types.FunctionDeployment) {
	limits, requests := cmp.Or(d.Limits, &types.FunctionResources{}), cmp.Or(d.Requests,
		&types.FunctionResources{})
	for _, q := range [][2]string{{"limits.memory", limits.Memory}, {"requests.memory", requests.Memory}} {
		if n, docker, ok := parseMemory(q[1]); ok && docker {
			p.warn("%s is %q, which Kubernetes reads differently: it is taken as Docker reads it, as %s",
				q[0], clip(q[1]),
				bytesText(n))
		}
	}
	p.Limit, p.Request = resources(limits), resources(requests)
	limit, request := &p.Limit, &p.Request
	if limit.Memory > 0 && limit.Memory < minMemory {
		p.warn("limits.memory is %q: it is raised to %s, the minimum of container engines",
			clip(limits.Memory),
			bytesText(minMemory))
		limit.Memory = minMemory
	}
	if limit.MilliCPU > 0 && limit.MilliCPU < minCPU {
		p.warn("limits.cpu is %q: it is raised to %dm, the minimum that the kernel enforces",
			clip(limits.CPU), minCPU)
		limit.MilliCPU = minCPU
	}
	if limit.Memory > 0 && request.Memory > limit.Memory {
		p.warn("requests.memory is %s, more than limits.memory, %s: the limit is used", clip(requests.Memory),
			clip(limits.Memory))
		request.Memory = limit.Memory
	}
	if limit.MilliCPU > 0 && request.MilliCPU > limit.MilliCPU {
		p.warn("requests.cpu is %s, more than limits.cpu, %s: the limit is used",
			clip(requests.CPU), clip(limits.CPU))
		request.MilliCPU = limit.MilliCPU
	}
}

func resources(r *types.FunctionResources) Resources {
	memory, _, _ := parseMemory(r.Memory)
	return Resources{Memory: memory, MilliCPU: quantity(r.CPU, 1000)}
}

// dockerSize matches a size in Docker's notation, as in stack files for Docker Swarm, such as 40m or 128MB.
var dockerSize = regexp.MustCompile(`(?i)^([0-9]+(?:\.[0-9]+)?) ?([kmgtp]?)(?:i?b)?$`)

// parseMemory reads a Kubernetes quantity, or else a size as Docker has it; docker is true for one
// that Kubernetes reads differently, or not at all. In it m is a megabyte: thousandths of a byte,
// as Kubernetes has it, are nobody's memory.
func parseMemory(text string) (n int64, docker, ok bool) {
	text = strings.TrimSpace(text)
	if n, ok = parseQuantity(text, 1); ok && !strings.HasSuffix(text, "m") {
		return n, false, true
	}
	m := dockerSize.FindStringSubmatch(text)
	if m == nil {
		return 0, false, false
	}
	unit := map[string]string{"": "", "k": "Ki", "m": "Mi", "g": "Gi", "t": "Ti",
		"p": "Pi"}[strings.ToLower(m[2])]
	n, ok = parseQuantity(m[1]+unit, 1)
	return n, ok, ok
}

// bytesText formats a size for people, such as 128Mi.
func bytesText(n int64) string {
	for _, u := range [...]struct {
		worth int64
		name  string
	}{{1 << 30, "Gi"}, {1 << 20, "Mi"}, {1 << 10, "Ki"}} {
		if n >= u.worth && n%u.worth == 0 {
			return strconv.FormatInt(n/u.worth, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// ParseBytes reads a size such as 64Mi or 1Gi, as limits of memory are written.
// It returns an error of code Invalid.
func ParseBytes(text string) (int64, error) {
	if n := quantity(text, 1); n > 0 {
		return n, nil
	}
	return 0, Errorf(Invalid, "the size is %q, want bytes such as 64Mi or 1Gi", clip(text))
}

// quantity is parseQuantity, and 0 for what cannot be read.
func quantity(text string, parts float64) int64 {
	n, _ := parseQuantity(text, parts)
	return n
}

// decimal is a Kubernetes quantity without its suffix. What else strconv reads,
// such as Inf or 0x1p4, is none.
var decimal = regexp.MustCompile(`^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$`)

// parseQuantity reads a Kubernetes quantity, such as 128Mi, 0.5 or 500m, in 1/parts of its unit, rounded up.
// See https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/.
func parseQuantity(text string, parts float64) (n int64, ok bool) {
	text, unit := strings.TrimSpace(text), 1.0
	for _, u := range [...]struct {
		suffix string
		worth  float64
	}{{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40}, {"Pi", 1 << 50}, {"Ei", 1 << 60},
		{"m", 1e-3}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"P", 1e15}, {"E", 1e18}} {
		if number, found := strings.CutSuffix(text, u.suffix); found {
			text, unit = number, u.worth
			break
		}
	}
	if !decimal.MatchString(text) {
		return 0, false
	}
	v, err := strconv.ParseFloat(text, 64)
	if v *= unit * parts; err != nil || v > math.MaxInt64/2 {
		return 0, false
	}
	return int64(math.Ceil(v)), true
}
