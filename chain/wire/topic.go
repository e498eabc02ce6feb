package wire

import (
	"fmt"
	"regexp"
	"strings"
)

// TopicCron is the X-Topic of a scheduled invocation, which brings no message. It is OpenFaaS's name: a
// function has it in its annotation topic, beside the annotation schedule. See
// https://docs.openfaas.com/reference/cron/.
const TopicCron = "cron-function"

// topicName is two or more words joined by dots, so that a topic always has a tag and a name within it.
var topicName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+$`)

// Stream returns the key of the stream that holds the messages of a topic: topic "bakery.dough" is stream
// "{bakery}.dough".
//
// The braces are a Redis Cluster hash tag: all topics whose names begin with the same word live in one slot,
// which is what lets one script take a message from one of them and hand on to another.
//
// It returns an error if the topic is not two or more words of letters, digits, "_" or "-", joined by dots.
func Stream(topic string) (string, error) {
	if !topicName.MatchString(topic) {
		return "", fmt.Errorf("topic %q: want two or more words of letters, digits, _ or -, "+
			"joined by dots, such as bakery.dough", topic)
	}
	tag, rest, _ := strings.Cut(topic, ".")
	return "{" + tag + "}." + rest, nil
}

// Topic returns the topic of a stream; it is the inverse of Stream. ok is false if the key is not the stream
// of a topic.
func Topic(stream string) (topic string, ok bool) {
	tag, rest, found := strings.Cut(strings.TrimPrefix(stream, "{"), "}.")
	topic = tag + "." + rest
	if !found || !strings.HasPrefix(stream, "{") || !topicName.MatchString(topic) {
		return "", false
	}
	return topic, true
}

// Tag returns the Redis Cluster hash tag of a key, or "" if it has none.
// See "Hash tags" in https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/.
func Tag(key string) string {
	_, rest, found := strings.Cut(key, "{")
	if !found {
		return ""
	}
	tag, _, found := strings.Cut(rest, "}")
	if !found {
		return ""
	}
	return tag
}

// A Subscription is a consumer group of a stream. It gets every message of the stream.
type Subscription struct {
	Stream string // the stream's key, such as "{bakery}.dough"
	Group  string // the consumer group, such as "oven.openfaas-fn"
}

// String returns the stream and the group, for people and logs.
func (s Subscription) String() string { return s.Stream + " for " + s.Group }

// Keys returns the stream and the five keys with the state of its pending messages, in the order that
// SettleLua documents. All have the stream's hash tag.
func (s Subscription) Keys() []string {
	p := s.Stream + ":" + s.Group + ":"
	return []string{s.Stream, p + "leased", p + "due", p + "dead", p + "deliveries", p + "failures"}
}

// Record returns the key of the stream with the calls of the subscription that have ended. It has the
// stream's hash tag. SettleLua documents its entries.
func (s Subscription) Record() string { return s.Stream + ":" + s.Group + ":record" }
