package hearth

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hearthfaas/hearth/internal/schedule"
	"github.com/openfaas/faas-provider/types"
)

// A Function is a deployed function: the deployment as the client sent it, its options, and its state.
// Parse and ParseRecord make one.
type Function struct {
	types.FunctionDeployment

	Replicas  int       `json:"replicas"`  // the desired number
	CreatedAt time.Time `json:"createdAt"` // when it was first deployed
	// when this spec was deployed: then a provider looks for a new image
	DeployedAt time.Time `json:"deployedAt"`
	// of the spec and the image; replicas of another revision are replaced
	Revision string `json:"revision"`
	// Generation grows with each spec that is stored under a name, even after a removal. A
	// lower one than was seen is an old record.
	Generation int64     `json:"generation,omitempty"`
	Rollback   *Rollback `json:"rollback,omitempty"`

	Options `json:"-"`
}

// Options are what the settings and the resources of a deployment say, as Parse has read them.
type Options struct {
	Timeout     time.Duration // the longest that a call may take
	DrainTime   time.Duration // how long a replica may take to end: its pause, and then the write timeout
	MaxInflight int           // calls that one replica gets at once; 0 is no limit
	Concurrency int           // queued calls that one replica gets at once

	MinReplicas int // at the start and after scaling up from zero; 0 is to start with the first call
	MaxReplicas int
	ScaleStep   int // replicas that an alert adds; 0 is none
	Scaling     Scaling
	Warm        WarmTimes

	Topics     []string // that Hearth delivers to the function
	Emits      []string // topics that the function publishes to: their subscribers start when it is called
	TopicsFrom []string // namespaces whose functions may use the same topics
	RedisKeys  []string // patterns of the keys that the function's Redis user reaches
	Schedule   schedule.Schedule

	Retry     RetryPolicy
	Queue     QueueLimit // of a zero field, the instance's limit holds
	Callbacks bool       // a queued call may have a callback
	Rate      Rate
	// the bodies of queued calls are recorded
	RecordBodies bool
	// whose pages may call the function from a browser, or AnyOrigin; none: the function decides
	Origins []string

	Liveness  *Probe // a replica that fails it is replaced; nil without one
	Readiness *Probe // a replica that fails it gets no calls until it succeeds again; nil without one

	Limit   Resources // the most that a replica may use
	Request Resources // what is reserved for a replica; at most the limit

	writeTimeout time.Duration
	warnings     []string // what Warnings says, whatever the provider
}

// A Rollback says that a function runs this spec because the replicas of a later one did not become ready.
type Rollback struct {
	At     time.Time `json:"at"`
	Image  string    `json:"image"`  // of the later spec
	Reason string    `json:"reason"` // why its replicas did not become ready
}

// Name is the function's name in its namespace.
func (f Function) Name() Name { return Name{f.Service, f.Namespace} }

// SharesTopics reports whether two functions of different namespaces may use the same topics: one of them
// names the other's namespace in its annotation com.hearth.topics.from.
func (f Function) SharesTopics(other Function) bool {
	return slices.Contains(f.TopicsFrom, other.Namespace) || slices.Contains(other.TopicsFrom, f.Namespace)
}

// drainPause is how long a replica accepts calls after SIGTERM: those that the router
// sent just before it learned of the end. It is the watchdog's healthcheck_interval,
// whose own, longer default is made for clusters.
const drainPause = "200ms"

// Environment returns the environment of the function's process, without what a provider adds: what the
// deployment says, and what OpenFaaS promises. See https://docs.openfaas.com/reference/workloads/.
func (f Function) Environment() map[string]string {
	env := map[string]string{
		"healthcheck_interval": drainPause,
		"OPENFAAS_NAME":        f.Service,
		"OPENFAAS_NAMESPACE":   f.Namespace,
	}
	if limit := f.Limit.Memory; limit > 0 {
		env["GOMEMLIMIT"] = fmt.Sprint(limit / 10 * 9) // a hint to Go's collector, below the limit itself
	}
	if f.writeTimeout > defaultTimeout {
		env[envWriteTimeout] = f.writeTimeout.String()
	}
	maps.Copy(env, f.EnvVars)
	if f.EnvProcess != "" {
		env["fprocess"] = f.EnvProcess
	}
	return env
}
