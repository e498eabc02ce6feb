package gateway

import (
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/openfaas/faas-provider/types"
)

// A FunctionStatus is the status of a function: OpenFaaS's fields, and Hearth's own. It is what GET
// /system/functions answers and the command line reads. A gateway of OpenFaaS sets only OpenFaaS's fields.
type FunctionStatus struct {
	types.FunctionStatus

	Updating bool `json:"updating,omitempty"` // it has replicas of two revisions
	// It was removed, and its replicas finish their calls.
	Terminating bool `json:"terminating,omitempty"`
	// Replicas that take no more calls and finish those that they have.
	Draining int              `json:"draining,omitempty"`
	Failing  string           `json:"failing,omitempty"`  // why it cannot start
	Rollback *hearth.Rollback `json:"rollback,omitempty"` // what it was rolled back from
	// Crashes of replicas since this instance started.
	Restarts uint64       `json:"restarts"`
	LastExit *hearth.Exit `json:"last_exit,omitempty"` // the last of these crashes

	// LastError is the last failed attempt of a queued call or message that is retried.
	LastError *dispatch.Failure `json:"last_error,omitempty"`

	// The fields below are only in the status of one function.

	// Names this status; with ?wait=20s&etag=, the answer comes when it has changed.
	ETag string `json:"etag,omitempty"`
	// Parts of the spec that have no effect here, or an unexpected one.
	Warnings []string `json:"warnings,omitempty"`
	Enforced string   `json:"enforced,omitempty"` // what enforces its limits
}

// statusOf returns the status of a deployed function.
func (g *Gateway) statusOf(f hearth.Function) FunctionStatus {
	load, _ := g.cfg.Router.Load(f.Name())
	s := FunctionStatus{
		FunctionStatus: g.deployedAs(f),
		Updating:       load.Known > f.Replicas,
		Draining:       g.cfg.Router.Draining(f.Name()),
		Failing:        load.Failing,
		Rollback:       f.Rollback,
		Restarts:       load.Restarts,
		LastExit:       load.LastExit,
	}
	if g.cfg.Dispatch != nil {
		s.LastError = g.cfg.Dispatch.LastFailureOf(f.Name())
	}
	s.Replicas, s.AvailableReplicas, s.InvocationCount = uint64(f.Replicas), uint64(load.Available),
		float64(load.Calls)
	return s
}

// terminating returns the status of a function that was removed. It has no annotations: connectors find by
// them what to call.
func (g *Gateway) terminating(f hearth.Function) FunctionStatus {
	s := FunctionStatus{
		FunctionStatus: g.deployedAs(f),
		Terminating:    true,
		Draining:       g.cfg.Router.Draining(f.Name()),
	}
	s.Annotations = nil
	return s
}

// deployedAs returns the part of the status that is as it was deployed.
func (g *Gateway) deployedAs(f hearth.Function) types.FunctionStatus {
	return types.FunctionStatus{
		Name:                   f.Service,
		Namespace:              f.Namespace,
		Image:                  f.Image,
		EnvProcess:             f.EnvProcess,
		EnvVars:                f.EnvVars,
		Constraints:            f.Constraints,
		Secrets:                f.Secrets,
		Labels:                 f.Labels,
		Annotations:            f.Annotations,
		Limits:                 f.Limits,
		Requests:               f.Requests,
		ReadOnlyRootFilesystem: f.ReadOnlyRootFilesystem,
		CreatedAt:              f.CreatedAt,
	}
}
