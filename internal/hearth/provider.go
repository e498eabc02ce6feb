package hearth

import (
	"context"
	"time"
)

// A Provider runs the replicas of functions: as processes, containers, or on a cluster. What it is
// asked for is what a Kubernetes Deployment could be asked for, and what it tells are addresses;
// it has no pids, files or sockets to show.
//
// All methods may be called at once from several goroutines.
type Provider interface {
	// Apply makes a function run as its spec says, with f.Replicas replicas. It returns when that is
	// under way; Watch tells how it goes on. Replicas of another revision are replaced once the new ones
	// are ready. It returns an error of code Invalid if the function can never run, such as an image that
	// does not exist; then nothing is changed.
	Apply(ctx context.Context, f Function) error

	// Remove forgets a function, and begins to end its replicas: each takes no more calls, and has its
	// DrainTime for those that it has. gone is closed when the last of them has ended. A function of that
	// name may be applied again before. Removing what is not there does nothing.
	Remove(n Name) (gone <-chan struct{})

	// Watch tells the function's replicas after each change of them, and those that are ending until they are
	// gone, also if the function was removed. It must be set before the first Apply. The callback is never
	// called twice at once for one function, and must not call the provider.
	Watch(func(n Name, replicas []Replica))

	// WatchRollouts tells that the replicas of a spec which replaced another cannot get ready, and why: once
	// for each such Apply, while the replicas of the one before go on. It must be set before the first Apply.
	// The callback must not call the provider.
	WatchRollouts(failed func(n Name, why string))

	// Rollback goes back to the last spec whose replicas were all ready, with the image that it had, if those
	// of the present one cannot get ready: what WatchRollouts told still holds. It returns that spec, with
	// deployedAt for its DeployedAt: an Apply of a spec with the same does not look for another image. ok is
	// false if there is nothing to go back from, or to.
	Rollback(n Name, deployedAt time.Time) (f Function, ok bool)

	// Usage measures what a function's replicas use now, together. It takes a moment: processor time is
	// looked at twice. Where it cannot be told, and of a function without replicas, it is zero.
	Usage(ctx context.Context, n Name) (Usage, error)

	// Capabilities are what the provider can honour of a spec. They do not change while it runs.
	Capabilities() Capabilities

	// Info names the provider and what orchestrates it, as GET /system/info answers.
	Info() (provider, orchestration string)

	// Close ends all replicas, as Remove does, and returns when they are gone. It kills them when ctx ends.
	Close(ctx context.Context) error
}

// A Settler is a provider that keeps replicas over a restart. Settle is called once, when all deployed
// functions were applied, and ends the kept replicas that no function has claimed.
type Settler interface{ Settle(ctx context.Context) }

// A Sleeper is a provider whose functions may have a standby replica at zero. Standby returns how many a
// function has.
type Sleeper interface{ Standby(n Name) int }

// A Crasher is a provider that can end replicas without warning, as a crash would. Crash ends one replica of
// a function, or all of them, and returns how many. It is for demonstrations and tests.
type Crasher interface{ Crash(n Name, all bool) int }

// A SecretReceiver is a provider whose replicas have copies of secrets. ReceiveSecret is called after a
// secret has changed, and gives its new value to the replicas that may read it.
type SecretReceiver interface {
	ReceiveSecret(ctx context.Context, namespace, name string) error
}

// A Usage is what replicas use.
type Usage struct {
	CPU    float64 // millicores
	Memory int64   // bytes
}

// An Exit is the end of a replica that nobody asked for.
type Exit struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// A Replica is one running copy of a function.
type Replica struct {
	ID string
	// the Function.Revision that it runs; the provider may have added "-" and a name for the image
	Revision string
	Address  string // where it takes calls: http://HOST:PORT, or unix://PATH; "" before it has one
	Started  time.Time

	// Accepting means that a call sent to the address will be taken, though
	// perhaps only once the replica has started.
	Accepting bool
	// Ready means that it has started: it answered its ready check.
	Ready bool
	// Failing is why it cannot start, or "". A provider says so only after it has tried more than once.
	Failing string
	// Proven means that it has been ready before, so that what is wrong now may pass.
	Proven bool

	// Restarts is how often it has ended by itself and was started again; LastExit is the last time, or nil.
	Restarts int
	LastExit *Exit

	// Calls counts the calls that the router gives it. A provider that lets the router's calls end before it
	// ends the replica sets it; it stays the same as long as the replica lives.
	Calls *Calls
	// Ending means that it takes no more calls, and is gone after those that it has.
	Ending bool
}
