package chain

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hearthfaas/hearth/chain/wire"
)

//go:embed lua/plan.lua
var planLua string

//go:embed lua/commit.lua
var commitLua string

// A Key is a Redis key that a script uses.
type Key struct {
	Name string // in the script: keys.NAME
	Key  string // the key itself, with the chain's hash tag, such as "{bakery}:fridge"
	Type string // "hash", "list", "set", "string", "zset" or "stream"; Redis must have no other at that key
}

// A Script changes shared state: a plan and an apply half, in Lua. See "Plan and apply".
type Script struct {
	name  string
	keys  []Key
	emits []string
	tag   string

	finishes *wire.Lua // as the commit of a message: it empties a full Redis
	accepts  *wire.Lua // without a message: it takes on work, and is refused by a full Redis
}

// NewScript declares a script: a name for error messages, its Lua, the keys that it uses and the topics that
// it emits to.
//
// All keys and topics must have one hash tag, so that they are in one slot of a Redis Cluster. NewScript
// panics if they do not: a chain is declared when the program starts, and this is a mistake in the program.
func NewScript(name, source string, keys []Key, emits ...string) *Script {
	s := &Script{name: name, keys: keys, emits: emits}
	var names, types []string
	for _, k := range keys {
		s.mustShareTag(k.Key, wire.Tag(k.Key))
		names, types = append(names, k.Name), append(types, k.Type)
	}
	for _, topic := range emits {
		s.mustShareTag("topic "+topic, tagOf(topic))
		types = append(types, "stream")
	}
	lua := strings.Join([]string{
		wire.SettleLua,
		"local names = " + luaList(names),
		"local types = " + luaList(types),
		"local topics = " + luaList(emits),
		planLua,
		"local function plan()", source, "end",
		commitLua,
	}, "\n")
	s.finishes, s.accepts = wire.NewLua(lua, true), wire.NewLua(lua, false)
	return s
}

// Drains marks a script that finishes work although it brings no message, such as one that cancels: a full
// Redis runs it. It returns the script.
func (s *Script) Drains() *Script {
	s.accepts = s.finishes
	return s
}

// Forward declares a script that changes no state and hands on a Commit's messages to these topics.
func Forward(topics ...string) *Script {
	return NewScript("forward", "return function() end", nil, topics...)
}

// acknowledge is the script of a Commit that names none.
var acknowledge = Forward()

func (s *Script) mustShareTag(what, tag string) {
	switch {
	case tag == "":
		panic(fmt.Sprintf("chain: script %s: %s has no hash tag such as {bakery}", s.name, what))
	case s.tag != "" && s.tag != tag:
		panic(fmt.Sprintf("chain: script %s: %s has the tag {%s}, the others have {%s}: "+
			"one script can only change keys of one tag", s.name, what, tag, s.tag))
	}
	s.tag = tag
}

// redisKeys returns KEYS of the script, without those of the subscription.
func (s *Script) redisKeys() []string {
	keys := make([]string, 0, len(s.keys)+len(s.emits))
	for _, k := range s.keys {
		keys = append(keys, k.Key)
	}
	for _, topic := range s.emits {
		stream, _ := wire.Stream(topic) // mustShareTag has checked it
		keys = append(keys, stream)
	}
	return keys
}

func (s *Script) declares(topic string) bool { return slices.Contains(s.emits, topic) }

// tagOf returns the hash tag of a topic's stream, or "" if the topic is malformed.
func tagOf(topic string) string {
	stream, err := wire.Stream(topic)
	if err != nil {
		return ""
	}
	return wire.Tag(stream)
}

func luaList(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	return "{" + strings.Join(quoted, ", ") + "}"
}
