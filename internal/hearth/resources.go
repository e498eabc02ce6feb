package hearth

import (
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/openfaas/faas-provider/types"
)

// Resources are what a replica may use, and what is kept for it. 0 is no limit.
type Resources struct {
	Memory   int64 // bytes
	MilliCPU int64 // thousandths of a core
}

// Limit is the most that a replica may use. A quantity that cannot be read is no limit, and one that is too low to start anything
// with is raised.
func (f Function) Limit() Resources {
	r := resources(f.Limits)
	if r.Memory > 0 {
		r.Memory = max(r.Memory, minMemory)
	}
	if r.MilliCPU > 0 {
		r.MilliCPU = max(r.MilliCPU, minCPU)
	}
	return r
}

// Request is what is kept for a replica when others want it too. It is at most the limit.
func (f Function) Request() Resources {
	r, limit := resources(f.Requests), f.Limit()
	if limit.Memory > 0 {
		r.Memory = min(r.Memory, limit.Memory)
	}
	if limit.MilliCPU > 0 {
		r.MilliCPU = min(r.MilliCPU, limit.MilliCPU)
	}
	return r
}

func resources(r *types.FunctionResources) Resources {
	if r == nil {
		return Resources{}
	}
	memory, _, _ := parseMemory(r.Memory)
	return Resources{Memory: memory, MilliCPU: quantity(r.CPU, 1000)}
}

// dockerSize matches a size in Docker's notation, as in stack files for Docker Swarm, such as 40m or 128MB.
var dockerSize = regexp.MustCompile(`(?i)^([0-9]+(?:\.[0-9]+)?) ?([kmgtp]?)(?:i?b)?$`)

// parseMemory reads a Kubernetes quantity, or else a size as Docker has it; docker is true for one that Kubernetes reads differently,
// or not at all. In it m is a megabyte: thousandths of a byte, as Kubernetes has it, are nobody's memory.
func parseMemory(text string) (n int64, docker, ok bool) {
	text = strings.TrimSpace(text)
	if n, ok = parseQuantity(text, 1); ok && !strings.HasSuffix(text, "m") {
		return n, false, true
	}
	m := dockerSize.FindStringSubmatch(text)
	if m == nil {
		return 0, false, false
	}
	unit := map[string]string{"": "", "k": "Ki", "m": "Mi", "g": "Gi", "t": "Ti", "p": "Pi"}[strings.ToLower(m[2])]
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

// ParseBytes reads a size such as 64Mi or 1Gi, as limits of memory are written. It returns an error of code Invalid.
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

// decimal is a Kubernetes quantity without its suffix. What else strconv reads, such as Inf or 0x1p4, is none.
var decimal = regexp.MustCompile(`^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$`)

// parseQuantity reads a Kubernetes quantity, such as 128Mi, 0.5 or 500m, in 1/parts of its unit, rounded up. See
// https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/.
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
