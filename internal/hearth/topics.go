package hearth

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/hearthfaas/hearth/chain/wire"
)

// reservedTag is the first word of the platform's own records, so no topic may begin with it.
const reservedTag = "hearth"

// IsReservedTopic reports whether a topic would be among the platform's own keys.
func IsReservedTopic(topic string) bool {
	tag, _, _ := strings.Cut(topic, ".")
	return tag == reservedTag
}

func errReserved(topic string) error {
	return fmt.Errorf("the topic %q is Hearth's own: begin it with another word than %q",
		clip(topic), reservedTag)
}

// readTopics reads the annotation topic. It leaves out what is not a topic of
// Hearth's, such as cron-function.
func readTopics(p *parser, value string) error {
	p.topics = splitList(value)
	for _, topic := range p.topics {
		switch _, err := wire.Stream(topic); {
		case err == nil && IsReservedTopic(topic):
			return errReserved(topic)
		case err == nil:
			p.Topics = append(p.Topics, topic)
		case topic != wire.TopicCron:
			p.warn("Hearth does not serve the topic %q: only your own connector can deliver it (%v)",
				clip(topic), err)
		}
	}
	return nil
}

// readEmits reads the annotation com.hearth.emits.
func readEmits(p *parser, value string) error {
	p.Emits = splitList(value)
	for _, topic := range p.Emits {
		if _, err := wire.Stream(topic); err != nil {
			return err
		}
		if IsReservedTopic(topic) {
			return errReserved(topic)
		}
	}
	return nil
}

// readTopicsFrom reads the annotation com.hearth.topics.from.
func readTopicsFrom(p *parser, value string) error {
	p.TopicsFrom = splitList(value)
	for _, namespace := range p.TopicsFrom {
		if !IsDNSLabel(namespace) {
			return errMalformed
		}
	}
	return nil
}

// keyPattern matches a key of Redis, or what keys begin with.
var keyPattern = regexp.MustCompile(`^[A-Za-z0-9_.:/{}-]*\*?$`)

// readKeys reads the annotation com.hearth.redis.keys.
func readKeys(p *parser, value string) error {
	p.keys = splitList(value)
	for _, pattern := range p.keys {
		if !keyPattern.MatchString(pattern) {
			return fmt.Errorf("%q is not a key pattern: want letters, digits and _ . : - / { }, and an "+
				"asterisk at the end "+
				"if more may follow, such as cart:*", clip(pattern))
		}
		start, more := strings.CutSuffix(pattern, "*")
		for _, ours := range []string{"{" + reservedTag + "}", "{fn:"} {
			if strings.HasPrefix(start, ours) || more && strings.HasPrefix(ours, start) {
				return fmt.Errorf("%q matches Hearth's own keys, which begin with %s: begin it otherwise, "+
					"such as cart:*",
					clip(pattern), ours)
			}
		}
	}
	return nil
}
