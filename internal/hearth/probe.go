package hearth

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

// A Probe is a GET request that is sent to a replica periodically. Statuses from 200 to 399 are a success, and so is 429: busy is not
// broken.
// The annotations are OpenFaaS's; see https://docs.openfaas.com/reference/workloads/#custom-http-health-checks.
type Probe struct {
	Path      string
	Delay     time.Duration // after the start of the replica, before the first question
	Period    time.Duration // between two questions
	Timeout   time.Duration // for an answer
	Successes int           // so many in a row end a failure
	Failures  int           // so many in a row are one
}

// Prefixes of the annotations of probes.
const (
	probeHealth = "com.openfaas.health.http."
	probeReady  = "com.openfaas.ready.http."
)

// Liveness is the probe of com.openfaas.health.http: a replica that fails it is replaced. ok is false if the function has none.
func (f Function) Liveness() (p Probe, ok bool) {
	return f.probe(probeHealth, f.Annotation(probeHealth+"path"))
}

// Readiness is the probe of com.openfaas.ready.http: a replica that fails it gets no calls until it succeeds again. Its path defaults to
// that of the liveness probe. ok is false if the function has neither. Its delay is zero: asking early does no harm, and a replica
// that is ready sooner serves sooner.
func (f Function) Readiness() (p Probe, ok bool) {
	at := f.Annotation(probeReady + "path")
	if at == "" {
		at = f.Annotation(probeHealth + "path")
	}
	p, ok = f.probe(probeReady, at)
	p.Delay = 0
	return p, ok
}

func (f Function) probe(family, at string) (p Probe, ok bool) {
	if at = strings.TrimSpace(at); at == "" {
		return p, false
	}
	p = Probe{Path: path.Join("/", at), Period: 2 * time.Second, Timeout: time.Second, Successes: 1, Failures: 3}
	for _, d := range []struct {
		name string
		to   *time.Duration
		min  time.Duration
	}{
		{"initialDelay", &p.Delay, 0}, {"initialDelaySeconds", &p.Delay, 0},
		{"periodSeconds", &p.Period, time.Millisecond}, {"timeoutSeconds", &p.Timeout, time.Millisecond},
	} {
		if v := duration(f.Annotation(family + d.name)); v >= d.min {
			*d.to = v
		}
	}
	for name, to := range map[string]*int{"successThreshold": &p.Successes, "failureThreshold": &p.Failures} {
		if n, err := strconv.Atoi(f.Annotation(family + name)); err == nil && n >= 1 {
			*to = n
		}
	}
	return p, true
}

func warnProbes(f Function, _ Capabilities) (list []string) {
	for _, family := range []string{probeHealth, probeReady} {
		for _, name := range []string{"initialDelay", "initialDelaySeconds", "periodSeconds", "timeoutSeconds", "successThreshold", "failureThreshold"} {
			v, ok, want := f.Annotation(family+name), isDuration, "seconds, or a duration such as 2s"
			if strings.HasSuffix(name, "Threshold") {
				ok, want = atLeast(1), "a whole number from 1"
			}
			if v != "" && !ok(v) {
				list = append(list, fmt.Sprintf("the annotation %s%s is %q, want %s: the default is used", family, name, clip(v), want))
			}
		}
	}
	_, asked := f.Readiness()
	if f.Annotations == nil || asked {
		return list
	}
	for name := range *f.Annotations {
		if strings.HasPrefix(name, probeHealth) || strings.HasPrefix(name, probeReady) {
			return append(list, fmt.Sprintf("the probe's annotations have no effect without a path: want %spath or %spath", probeReady, probeHealth))
		}
	}
	return list
}
