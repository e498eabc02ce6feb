package hearth

import (
	"path"
	"strings"
	"time"
)

// A Probe is a GET request that is sent to a replica periodically. Statuses from 200 to 399 are a success,
// and so is 429: a busy replica is not broken. The annotations are OpenFaaS's; see
// https://docs.openfaas.com/reference/workloads/#custom-http-health-checks.
type Probe struct {
	Path      string
	Delay     time.Duration // after the start of the replica, before the first probe; 0 for readiness
	Period    time.Duration // between two probes
	Timeout   time.Duration // for an answer
	Successes int           // so many in a row end a failure
	Failures  int           // so many in a row are a failure
}

// probes sets the probes that have a path. Readiness is probed without a delay: an early probe does no harm,
// and a replica that is ready sooner serves sooner.
func (p *parser) probes(annotations map[string]string) {
	ready := p.readiness
	ready.Delay = 0
	if ready.Path == "" {
		ready.Path = p.liveness.Path
	}
	for _, probe := range []struct {
		from Probe
		to   **Probe
	}{{p.liveness, &p.Liveness}, {ready, &p.Readiness}} {
		if probe.from.Path != "" {
			probe.from.Path = path.Join("/", probe.from.Path)
			*probe.to = &probe.from
		}
	}
	if p.Readiness != nil {
		return
	}
	for name := range annotations {
		if strings.HasPrefix(name, healthPrefix) || strings.HasPrefix(name, readyPrefix) {
			p.warn("the annotations of probes have no effect without a path: want %spath or %spath",
				readyPrefix, healthPrefix)
			return
		}
	}
}
