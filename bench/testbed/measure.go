package testbed

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Quantile is by nearest rank, of a sorted list.
func Quantile(sorted []time.Duration, percent int) time.Duration {
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}

// MS is a duration in milliseconds.
func MS(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// DescribeMachine is the processor, the system, and the versions of what matters.
func DescribeMachine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.SplitSeq(string(text), "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	parts := []string{fmt.Sprintf("%d x %s", runtime.NumCPU(), model), runtime.GOOS, runtime.Version()}
	if out, err := exec.Command("redis-server", "--version").Output(); err == nil {
		if fields := strings.Fields(string(out)); len(fields) > 2 {
			parts = append(parts, "redis "+strings.TrimPrefix(fields[2], "v="))
		}
	}
	return strings.Join(parts, ", ")
}
