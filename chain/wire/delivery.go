package wire

import (
	"net/http"
	"strconv"
)

// The headers of a delivery. A gateway strips all of DeliveryHeaders from calls that come from outside, so
// that a function behind it can trust them; behind a gateway that does not, the token still protects every
// commit.
const (
	// the topic; TopicCron on scheduled invocations; else absent on a function's own calls
	HeaderTopic        = "X-Topic"
	HeaderSubscription = "X-Subscription"    // the consumer group
	HeaderMessageID    = "X-Message-Id"      // the stream entry's id
	HeaderToken        = "X-Delivery-Token"  // random, one for each delivery
	HeaderAttempt      = "X-Attempt"         // 1 on the first try
	HeaderConnector    = "X-Connector"       // who delivers, such as "hearth"
	HeaderRecord       = "X-Delivery-Record" // see Delivery.Record
	HeaderCallID       = "X-Call-Id"         // OpenFaaS's id of the call; the same on each try
	HeaderTraceparent  = "Traceparent"       // https://www.w3.org/TR/trace-context/

	// HeaderScheduleTime is on scheduled invocations: the time of the tick, RFC 3339 and UTC. Each tick makes
	// one invocation, so it is an idempotency key. It is in the past if no instance ran at that time.
	HeaderScheduleTime = "X-Schedule-Time"

	// HeaderSettled is set on the answer of a step whose commit has settled its message. Its value is the
	// message's id. The dispatcher then need not settle the message. A wrong id only delays the next
	// delivery, as the message is still pending.
	HeaderSettled = "X-Settled"

	// HeaderCommitTime is set beside HeaderSettled: how long the commit took, in milliseconds, with decimals.
	HeaderCommitTime = "X-Commit-Time"

	// HeaderInternal marks an error of the platform, not of the function. Such an answer is always retried.
	HeaderInternal = "X-Openfaas-Internal"

	// HeaderAnswer is on every answer of a function; the template's watchdog sets it. It distinguishes the
	// function's own 404 or 503 from that of a gateway that did not reach the function.
	HeaderAnswer = "X-Function-Answer"
)

// DeliveryHeaders are the headers that only a dispatcher may set.
var DeliveryHeaders = []string{
	HeaderTopic,
	HeaderSubscription,
	HeaderMessageID,
	HeaderToken,
	HeaderAttempt,
	HeaderConnector,
	HeaderScheduleTime,
	HeaderRecord,
}

// A Delivery is the message that a call brings, and its subscription.
type Delivery struct {
	Topic       string // "" for a call of the function's own queue
	Group       string
	ID          string
	Token       string // "" from a connector that issues none
	Attempt     int
	CallID      string
	Traceparent string

	// Record is what the commit adds to the record of calls when it settles the message, as JSON. It is the
	// connector's, and a step passes it on as it is. "" adds nothing.
	Record string
}

// SetHeader writes the delivery's headers.
func (d Delivery) SetHeader(h http.Header) {
	set := func(name, value string) {
		if value != "" {
			h[name] = []string{value}
		}
	}
	set(HeaderTopic, d.Topic)
	set(HeaderSubscription, d.Group)
	set(HeaderMessageID, d.ID)
	set(HeaderToken, d.Token)
	set(HeaderAttempt, strconv.Itoa(d.Attempt))
	set(HeaderCallID, d.CallID)
	set(HeaderTraceparent, d.Traceparent)
	set(HeaderRecord, d.Record)
}

// DeliveryOf reads a delivery from a call's headers. ok is false if the call brings no message of a topic.
func DeliveryOf(h http.Header) (d Delivery, ok bool) {
	d = Delivery{
		Topic: h.Get(HeaderTopic), Group: h.Get(HeaderSubscription), ID: h.Get(HeaderMessageID),
		Token: h.Get(HeaderToken), CallID: h.Get(HeaderCallID), Traceparent: h.Get(HeaderTraceparent),
		Record: h.Get(HeaderRecord),
	}
	d.Attempt, _ = strconv.Atoi(h.Get(HeaderAttempt))
	_, err := Stream(d.Topic) // that of a scheduled invocation has none
	return d, err == nil && d.ID != ""
}
