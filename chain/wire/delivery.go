package wire

import (
	"net/http"
	"strconv"
)

// The headers of a delivery. A gateway strips all of DeliveryHeaders from calls that come from outside, so that a function
// behind it can trust them; behind a gateway that does not, the token still protects every commit.
const (
	HeaderTopic        = "X-Topic"          // the topic; absent on a call of a function's own queue, but TopicCron if the clock made it
	HeaderSubscription = "X-Subscription"   // the consumer group
	HeaderMessageID    = "X-Message-Id"     // the stream entry's id
	HeaderToken        = "X-Delivery-Token" // random, one for each delivery
	HeaderAttempt      = "X-Attempt"        // 1 on the first try
	HeaderConnector    = "X-Connector"      // who delivers, such as "hearth"
	HeaderCallID       = "X-Call-Id"        // OpenFaaS's id of the call; the same on each try
	HeaderTraceparent  = "Traceparent"      // https://www.w3.org/TR/trace-context/

	// HeaderScheduleTime is on calls that the clock makes: the time of the schedule that it is for, RFC 3339 and UTC. Each of them
	// is called for once, so it is an idempotency key; it lies in the past if there was nobody to call when it came.
	HeaderScheduleTime = "X-Schedule-Time"

	// HeaderSettled is on the answer of a step whose commit has settled its message: the message's id. It spares the
	// dispatcher the settling; a wrong one only delays the next delivery, for the message is still pending then.
	HeaderSettled = "X-Settled"

	// HeaderInternal marks an error that the platform made and not the function; such an answer is always retried.
	HeaderInternal = "X-Openfaas-Internal"

	// HeaderAnswer is on every answer of a function: the template's watchdog sets it. It tells the function's own 404 or 503
	// from one that a gateway made because it did not reach the function.
	HeaderAnswer = "X-Function-Answer"
)

// DeliveryHeaders are the headers that only a dispatcher may set.
var DeliveryHeaders = []string{HeaderTopic, HeaderSubscription, HeaderMessageID, HeaderToken, HeaderAttempt, HeaderConnector, HeaderScheduleTime}

// A Delivery says which message a call brings, and for whom.
type Delivery struct {
	Topic       string // "" for a call of the function's own queue
	Group       string
	ID          string
	Token       string // "" from a connector that issues none
	Attempt     int
	CallID      string
	Traceparent string
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
}

// DeliveryOf reads a delivery from a call's headers. ok is false if the call brings no message of a topic.
func DeliveryOf(h http.Header) (d Delivery, ok bool) {
	d = Delivery{
		Topic: h.Get(HeaderTopic), Group: h.Get(HeaderSubscription), ID: h.Get(HeaderMessageID),
		Token: h.Get(HeaderToken), CallID: h.Get(HeaderCallID), Traceparent: h.Get(HeaderTraceparent),
	}
	d.Attempt, _ = strconv.Atoi(h.Get(HeaderAttempt))
	_, err := Stream(d.Topic) // that of a call by the clock has none
	return d, err == nil && d.ID != ""
}
