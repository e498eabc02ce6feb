package redis

import (
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
)

const (
	consumer = "hearth" // the one consumer of every group: leases say who works, not consumers

	keyFunctions     = "{hearth}:functions"     // hash NAME.NAMESPACE -> the function as JSON
	keySubscriptions = "{hearth}:subscriptions" // hash STREAM GROUP -> when it was made, ms
	keyChanges       = "{hearth}:changes"       // stream of what was changed lately: function or secret, by
	// random: another one, or none, is a Redis that has lost what it had
	keyEpoch      = "{hearth}:epoch"
	keyNamespaces = "{hearth}:namespaces" // hash NAMESPACE -> it as JSON
	keySecrets    = "{hearth}:secrets"    // hash NAMESPACE/NAME -> the sealed value
	// hash NAME.NAMESPACE -> its last specs as JSON
	keyRevisions = "{hearth}:revisions"
	keyInstances = "{hearth}:instances" // hash INSTANCE -> its announcement as JSON, see Instance
	// hash NAME.NAMESPACE -> streams that a removed function may have groups of
	keyRemoved = "{hearth}:removed"
	// hash STREAM GROUP -> the id up to which a group had read when it was removed
	keyLeft = "{hearth}:left"
)

const keyUsageOf = "{hearth}:usage:"

// groupOf is the consumer group of a function: the same for its calls and its topics, which are different
// streams.
func groupOf(n hearth.Name) string { return n.String() }

func fnTag(n hearth.Name) string { return "{fn:" + n.String() + "}" }

// CallsOf is the subscription of a function's own calls.
func CallsOf(n hearth.Name) wire.Subscription {
	return wire.Subscription{Stream: fnTag(n) + ".calls", Group: groupOf(n)}
}

// CallbacksOf is the subscription of the callbacks of a function's own calls.
func CallbacksOf(n hearth.Name) wire.Subscription {
	return wire.Subscription{Stream: fnTag(n) + ".callbacks", Group: groupOf(n)}
}

// TopicOf is a function's subscription to a topic. The topic must be one that wire.Stream takes.
func TopicOf(n hearth.Name, topic string) wire.Subscription {
	stream, _ := wire.Stream(topic)
	return wire.Subscription{Stream: stream, Group: groupOf(n)}
}

// A Queue says which queue a subscription is, as people see it.
type Queue struct {
	Name     string // FUNCTION:calls, FUNCTION:callbacks or FUNCTION:TOPIC
	Function hearth.Name
	Topic    string // "" for the function's own calls and its callbacks
}

// QueueOf returns which queue a subscription is. ok is false for a subscription that is not of a function.
func QueueOf(s wire.Subscription) (q Queue, ok bool) {
	n, err := hearth.ParseName(s.Group)
	if err != nil {
		return q, false
	}
	switch s {
	case CallsOf(n):
		return Queue{Name: n.Short() + ":calls", Function: n}, true
	case CallbacksOf(n):
		return Queue{Name: n.Short() + ":callbacks", Function: n}, true
	}
	topic, ok := wire.Topic(s.Stream)
	return Queue{Name: n.Short() + ":" + topic, Function: n, Topic: topic}, ok
}

// keyKeys is a hash: the calls of a function that came with an Idempotency-Key, by the hash of that.
// queue.lua says more.
func keyKeys(n hearth.Name) string { return fnTag(n) + ".calls:keys" }

// keyEnded is a sorted set: until when the keys of calls that have ended are remembered.
func keyEnded(n hearth.Name) string { return fnTag(n) + ".calls:ended" }

// keyOnce is where versions before this one kept the call that an Idempotency-Key was used for. It is read as
// long as it may be there, which is a day, and never written.
func keyOnce(n hearth.Name, digest string) string { return fnTag(n) + ":once:" + digest }

// keyBytes is how many bytes a function's own calls have together, with what is noted of their failures.
func keyBytes(n hearth.Name) string { return fnTag(n) + ".calls:bytes" }

// keyCallbackBytes is that of its callbacks.
func keyCallbackBytes(n hearth.Name) string { return fnTag(n) + ".callbacks:bytes" }

// keyPaused is a string: since when a subscription is paused, ms. While it is there, nothing is taken.
func keyPaused(s wire.Subscription) string { return s.Stream + ":" + s.Group + ":paused" }

// keyEdits is a hash: the dead letters of a subscription that were edited lately, and their copies.
func keyEdits(s wire.Subscription) string { return s.Stream + ":" + s.Group + ":edits" }

// keyCron is a string: the cursor of a function's schedule as JSON, with a MAC.
func keyCron(n hearth.Name) string { return fnTag(n) + ":cron" }

// keyUsage is a hash: what functions used on a day, by function and instance.
func keyUsage(day time.Time) string { return keyUsageOf + day.UTC().Format(time.DateOnly) }

// keyChanging is the lease of the instance that changes a function.
func keyChanging(n hearth.Name) string { return "{hearth}:changing:" + n.String() }

// keyInstance is the lease of an instance on its name.
func keyInstance(instance string) string { return "{hearth}:instance:" + instance }

func subscriptionField(s wire.Subscription) string { return s.Stream + " " + s.Group }
