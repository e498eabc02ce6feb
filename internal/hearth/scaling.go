package hearth

import (
	"strconv"
	"time"
)

// A Signal is what a function's number of replicas follows.
type Signal string

// The signals that the label com.openfaas.scale.type names. Without it, and without a target, it is SignalWork.
// See https://docs.openfaas.com/architecture/autoscaling/.
const (
	SignalWork     Signal = ""         // calls in flight, and the time to work off what is queued: the larger wins
	SignalRate     Signal = "rps"      // calls a second
	SignalCapacity Signal = "capacity" // calls in flight, held ones too
	SignalCPU      Signal = "cpu"      // thousandths of a core
	SignalQueue    Signal = "queue"    // calls that are queued, or under way
)

// Defaults of scaling, as OpenFaaS documents them.
const (
	defaultTarget     = 50.0
	defaultProportion = 0.9
	defaultZeroAfter  = 15 * time.Minute
	maxDownWindow     = 5 * time.Minute
)

// Scaling says how a function grows and shrinks.
type Scaling struct {
	Signal     Signal
	Target     float64 // load of one replica, in the signal's unit
	Proportion float64 // of the target at which there are to be more
	Min, Max   int     // replicas, while it does not sleep. The same number twice switches scaling off
	Zero       bool    // it may sleep
	ZeroAfter  time.Duration
	DownWindow time.Duration // it shrinks to the most that was wanted within; 0 is at once
}

// Scaling is what the function's labels com.openfaas.scale.* say. One that cannot be read counts as absent, and so does a type that
// is the name of somebody's Prometheus rule.
func (f Function) Scaling() Scaling {
	s := Scaling{Signal: Signal(f.label(labelType)), Target: defaultTarget, Proportion: defaultProportion, ZeroAfter: defaultZeroAfter,
		Min: f.MinReplicas(), Max: f.MaxReplicas()}
	if !s.Signal.known() {
		s.Signal = SignalWork
	}
	switch target, ok := number(f.label(labelTarget)); {
	case ok:
		s.Target = target
		if s.Signal == SignalWork {
			s.Signal = SignalRate // OpenFaaS's default type
		}
	case s.Signal == SignalWork: // a replica that has as many calls as it takes is full, and not overloaded
		s.Target, s.Proportion = float64(f.Concurrency()), 1
	}
	if p, ok := number(f.label(labelProportion)); ok {
		s.Proportion = p
	}
	s.Zero, _ = strconv.ParseBool(f.label(labelZero))
	s.Zero = s.Zero || s.Min == 0
	s.Min = max(s.Min, 1)
	if d := duration(f.label(labelZeroAfter)); d > 0 {
		s.ZeroAfter = d
	}
	if d := duration(f.label(labelDownWindow)); d > 0 {
		s.DownWindow = min(d, maxDownWindow)
	}
	return s
}

// Still tells that a function never has another number of replicas, but for sleeping if it may.
func (s Scaling) Still() bool { return s.Min == s.Max }

func (s Signal) known() bool {
	switch s {
	case SignalWork, SignalRate, SignalCapacity, SignalCPU, SignalQueue:
		return true
	}
	return false
}

// number reads a number above 0.
func number(text string) (v float64, ok bool) {
	if !positive(text) {
		return 0, false
	}
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil
}
