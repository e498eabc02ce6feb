package hearth

import "time"

// A Signal is the load that a function's number of replicas follows.
type Signal string

// The signals, by the name in the label com.openfaas.scale.type. Without the label and without a target, it
// is SignalWork. See https://docs.openfaas.com/architecture/autoscaling/.
const (
	// calls in flight, or the time to work off the queue: whichever needs more replicas
	SignalWork     Signal = ""
	SignalRate     Signal = "rps"      // calls per second
	SignalCapacity Signal = "capacity" // calls in flight, including held ones
	SignalCPU      Signal = "cpu"      // millicores
	SignalQueue    Signal = "queue"    // queued calls and calls in flight
)

// Defaults of scaling, as OpenFaaS documents them.
const (
	defaultTarget     = 50.0
	defaultProportion = 0.9
	defaultZeroAfter  = 15 * time.Minute
	maxDownWindow     = 5 * time.Minute // a longer one counts as this
)

// Scaling says how a function grows and shrinks.
type Scaling struct {
	Signal     Signal
	Target     float64       // load of one replica, in the signal's unit
	Proportion float64       // of the target, at which replicas are added
	Min, Max   int           // replicas, except at zero; the same number twice switches scaling off
	Zero       bool          // it may scale to zero
	ZeroAfter  time.Duration // without a call
	DownWindow time.Duration // it shrinks to the most that it wanted within this time; 0 is at once
}

// readSignal reads the label com.openfaas.scale.type. It may be the name of a rule of somebody's Prometheus.
func readSignal(p *parser, value string) error {
	switch s := Signal(value); s {
	case SignalRate, SignalCapacity, SignalCPU, SignalQueue:
		p.Scaling.Signal = s
		return nil
	}
	return errMalformed
}

// Fixed reports whether the number of replicas never changes, except to zero and back.
func (s Scaling) Fixed() bool { return s.Min == s.Max }
