package hearth

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/schedule"
	"github.com/openfaas/faas-provider/types"
)

// A Function is one that is deployed: what the client asked for, word for word, and what Hearth made of it.
type Function struct {
	types.FunctionDeployment

	Replicas   int       `json:"replicas"`   // how many there should be
	CreatedAt  time.Time `json:"createdAt"`  // when it was first deployed
	DeployedAt time.Time `json:"deployedAt"` // when this spec was: only then a provider looks whether the image is another
	Revision   string    `json:"revision"`   // of the spec and the image: replicas of another revision are replaced
	// Generation grows with each spec that is kept of a name, also after a removal: one that is lower than was seen is an old one.
	Generation int64     `json:"generation,omitempty"`
	Rollback   *Rollback `json:"rollback,omitempty"`
}

// A Rollback says that this spec is in the place of a later one, whose replicas could not get ready.
type Rollback struct {
	At     time.Time `json:"at"`
	Image  string    `json:"image"`  // that was deployed
	Reason string    `json:"reason"` // why it could not get ready
}

// Name is the function's name in its namespace.
func (f Function) Name() Name { return Name{f.Service, f.Namespace} }

// Labels and annotations that Hearth reads. All values are strings; one that cannot be read counts as absent. Warnings tells
// of OpenFaaS's then, and Validate refuses Hearth's own. See https://docs.openfaas.com/architecture/autoscaling/ and /openfaas-pro/retries/.
const (
	labelMin         = "com.openfaas.scale.min"
	labelMax         = "com.openfaas.scale.max"
	labelFactor      = "com.openfaas.scale.factor"
	labelType        = "com.openfaas.scale.type"
	labelTarget      = "com.openfaas.scale.target"
	labelProportion  = "com.openfaas.scale.target-proportion"
	labelZero        = "com.openfaas.scale.zero"
	labelZeroAfter   = "com.openfaas.scale.zero-duration"
	labelDownWindow  = "com.openfaas.scale.down.window"
	annotationTopic  = "topic"
	annotationWhen   = "schedule"
	annotationTries  = "com.openfaas.retry.attempts"
	annotationMin    = "com.openfaas.retry.min_wait"
	annotationMax    = "com.openfaas.retry.max_wait"
	annotationCodes  = "com.openfaas.retry.codes"
	annotationSpread = "com.hearth.retry.backoff"
	annotationMaxAge = "com.hearth.max-age"
	annotationLength = "com.hearth.queue.length"
	annotationBytes  = "com.hearth.queue.bytes"
	annotationEmits  = "com.hearth.emits"
	annotationFrom   = "com.hearth.topics.from"
	annotationCORS   = "com.hearth.cors"
	annotationBack   = "com.hearth.callbacks"
	annotationRate   = "com.hearth.rate"
	annotationKeys   = "com.hearth.redis.keys"
)

// ownAnnotations are all that Hearth reads of its own. Any other with its prefix is warned of.
var ownAnnotations = []string{annotationSpread, annotationMaxAge, annotationLength, annotationBytes, annotationEmits, annotationFrom, annotationCORS,
	annotationBack, annotationRate, annotationKeys, annotationWarm}

// Defaults of a function that says nothing.
const (
	defaultTimeout     = 30 * time.Second // the watchdog's exec_timeout
	defaultConcurrency = 32               // queued calls that one replica is given at once, if it has no max_inflight
	defaultMaxReplicas = 20
	defaultFactor      = 20 // percent
)

func (f Function) label(name string) string {
	if f.Labels == nil {
		return ""
	}
	return (*f.Labels)[name]
}

// Annotation is the value of one, or "".
func (f Function) Annotation(name string) string {
	if f.Annotations == nil {
		return ""
	}
	return (*f.Annotations)[name]
}

// Timeout is how long one call may take: the watchdog's exec_timeout.
func (f Function) Timeout() time.Duration {
	if d := duration(f.EnvVars["exec_timeout"]); d > 0 {
		return min(d, maxTimeout)
	}
	if f.EnvVars["exec_timeout"] == "0" || f.EnvVars["exec_timeout"] == "0s" {
		return maxTimeout // the watchdog's "no limit" still needs an end
	}
	return defaultTimeout
}

// DrainTime is how long a replica may take to end: it pauses for healthcheck_interval, and then drains for write_timeout.
func (f Function) DrainTime() time.Duration {
	return max(duration(f.EnvVars["healthcheck_interval"]), 0) + f.writeTimeout()
}

// writeTimeout is the watchdog's, for which it also drains. Unless it is given, it is long enough for the longest call, so that
// exec_timeout is the one timeout to set.
func (f Function) writeTimeout() time.Duration {
	if write := duration(f.EnvVars["write_timeout"]); write >= 0 {
		return write
	}
	return min(max(duration(f.EnvVars["exec_timeout"]), defaultTimeout), maxTimeout)
}

// drainPause is how long a replica goes on to take calls after SIGTERM: for those that were sent to it just before the router
// heard. It is the watchdog's healthcheck_interval, whose own default is made for clusters, and longer.
const drainPause = "200ms"

// Environment is what the function's process finds in its environment, besides what a provider needs: what the spec says,
// and what OpenFaaS promises. See https://docs.openfaas.com/reference/workloads/.
func (f Function) Environment() map[string]string {
	env := map[string]string{"healthcheck_interval": drainPause, "OPENFAAS_NAME": f.Service, "OPENFAAS_NAMESPACE": f.Namespace}
	if limit := f.Limit().Memory; limit > 0 {
		env["GOMEMLIMIT"] = fmt.Sprint(limit / 10 * 9) // a hint to Go's collector, below the limit itself
	}
	if write := f.writeTimeout(); write > defaultTimeout {
		env["write_timeout"] = write.String()
	}
	maps.Copy(env, f.EnvVars)
	if f.EnvProcess != "" {
		env["fprocess"] = f.EnvProcess
	}
	return env
}

// Concurrency is how many queued calls one replica is given at once.
func (f Function) Concurrency() int {
	return cmp.Or(f.MaxInflight(), defaultConcurrency)
}

// MaxInflight is how many calls one replica is given at once, the watchdog's max_inflight. 0 is no limit.
func (f Function) MaxInflight() int {
	if n, err := strconv.Atoi(f.EnvVars["max_inflight"]); err == nil && n > 0 {
		return n
	}
	return 0
}

// MinReplicas is the initial count, and what a function that was idle wakes to. 0 means that it starts with its first call.
func (f Function) MinReplicas() int {
	if n, err := strconv.Atoi(f.label(labelMin)); err == nil && n >= 0 {
		return n
	}
	return 1
}

// MaxReplicas is the most that may be asked for.
func (f Function) MaxReplicas() int {
	if n, err := strconv.Atoi(f.label(labelMax)); err == nil && n > 0 {
		return n
	}
	return max(defaultMaxReplicas, f.MinReplicas())
}

// ScaleStep is how many replicas an alert adds: a share of the most there may be, rounded up. 0 is none.
func (f Function) ScaleStep() int {
	percent := defaultFactor
	if n, err := strconv.Atoi(f.label(labelFactor)); err == nil && n >= 0 && n <= 100 {
		percent = n
	}
	return (f.MaxReplicas()*percent + 99) / 100
}

// Topics are what the function subscribes to: its annotation topic, a list with commas. What is no topic of Hearth's, such as
// cron-function, is left out.
func (f Function) Topics() []string {
	var topics []string
	for _, t := range f.listed() {
		if _, err := wire.Stream(t); err == nil && !IsReservedTopic(t) && !slices.Contains(topics, t) {
			topics = append(topics, t)
		}
	}
	return topics
}

// reservedTag is the first word of no topic: the platform's own records have it as their tag.
const reservedTag = "hearth"

// IsReservedTopic reports whether a topic would be among the platform's own keys.
func IsReservedTopic(topic string) bool {
	tag, _, _ := strings.Cut(topic, ".")
	return tag == reservedTag
}

// Emits are the topics that the function puts messages on: its annotation com.hearth.emits, a list with commas. Functions that
// subscribe to them are woken when it is called.
func (f Function) Emits() []string {
	var topics []string
	for t := range strings.SplitSeq(f.Annotation(annotationEmits), ",") {
		if t = strings.TrimSpace(t); t != "" && !slices.Contains(topics, t) {
			topics = append(topics, t)
		}
	}
	return topics
}

// SharesTopics reports whether two functions of different namespaces may use the same topics: one of them names the namespace of the other
// in its annotation com.hearth.topics.from, a list with commas.
func (f Function) SharesTopics(other Function) bool {
	return slices.Contains(f.topicsFrom(), other.Namespace) || slices.Contains(other.topicsFrom(), f.Namespace)
}

func (f Function) topicsFrom() (namespaces []string) {
	for n := range strings.SplitSeq(f.Annotation(annotationFrom), ",") {
		if n = strings.TrimSpace(n); n != "" {
			namespaces = append(namespaces, n)
		}
	}
	return namespaces
}

// RedisKeys are the patterns of the keys that the function's user of Redis reaches: of the tags of its topics and of those that it
// puts messages on, and its annotation com.hearth.redis.keys, a list with commas.
func (f Function) RedisKeys() []string {
	var patterns []string
	add := func(pattern string) {
		if !slices.Contains(patterns, pattern) {
			patterns = append(patterns, pattern)
		}
	}
	for _, topic := range append(f.Topics(), f.Emits()...) {
		if stream, err := wire.Stream(topic); err == nil && !IsReservedTopic(topic) {
			add("{" + wire.Tag(stream) + "}*")
		}
	}
	for _, pattern := range f.ownKeys() {
		add(pattern)
	}
	return patterns
}

// ownKeys are the patterns of the annotation com.hearth.redis.keys.
func (f Function) ownKeys() []string {
	var patterns []string
	for p := range strings.SplitSeq(f.Annotation(annotationKeys), ",") {
		if p = strings.TrimSpace(p); p != "" {
			patterns = append(patterns, p)
		}
	}
	return patterns
}

// Schedule is when the clock calls the function: its annotation schedule, if its topics have cron-function among them; else it is
// zero. It returns an error of code Invalid if the annotation is missing then, or cannot be read.
// See https://docs.openfaas.com/reference/cron/.
func (f Function) Schedule() (schedule.Schedule, error) {
	if !slices.Contains(f.listed(), wire.TopicCron) {
		return schedule.Schedule{}, nil
	}
	if strings.TrimSpace(f.Annotation(annotationWhen)) == "" {
		return schedule.Schedule{}, Errorf(Invalid, "function %s: the topic %s needs the annotation %s, such as \"0 6 * * *\" or \"@every 5m\"", f.Service, wire.TopicCron, annotationWhen)
	}
	s, err := schedule.Parse(f.Annotation(annotationWhen))
	if err != nil {
		return schedule.Schedule{}, Errorf(Invalid, "function %s: %w", f.Service, err)
	}
	return s, nil
}

// listed are the names in the annotation topic.
func (f Function) listed() []string {
	names := strings.Split(f.Annotation(annotationTopic), ",")
	for i, name := range names {
		names[i] = strings.TrimSpace(name)
	}
	return names
}

// A RetryPolicy says what becomes of a queued call that failed.
type RetryPolicy struct {
	Attempts int           // at most; 1 is no retry
	MinWait  time.Duration // before the second attempt; it doubles with each
	MaxWait  time.Duration
	Codes    []int         // the statuses that are tried again
	MaxAge   time.Duration // for how long a call that finds no room is kept trying
	Backoff  Backoff       // how the waits are spread; "" as hearth was told for all functions
}

// A Backoff says how the waits between attempts are spread, so that calls that failed together do not come back together.
// The names are OpenFaaS's; see https://docs.openfaas.com/openfaas-pro/retries/, and "Exponential Backoff And Jitter",
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
type Backoff string

// The ways of spreading. The wait doubles with each attempt in all of them.
const (
	BackoffExponential Backoff = "exponential" // all of the wait
	BackoffFull        Backoff = "full"        // 0 to 100 % of it
	BackoffEqual       Backoff = "equal"       // 50 to 100 % of it
)

// ParseBackoff reads one of the three. It returns an error of code Invalid.
func ParseBackoff(text string) (Backoff, error) {
	switch b := Backoff(text); b {
	case BackoffExponential, BackoffFull, BackoffEqual:
		return b, nil
	}
	return "", Errorf(Invalid, "the backoff is %q, want exponential, full or equal", clip(text))
}

// DefaultRetry is OpenFaaS's documented default, with 425 and 503, which say by themselves that a later try may succeed.
// See https://docs.openfaas.com/openfaas-pro/retries/.
var DefaultRetry = RetryPolicy{Attempts: 10, MinWait: 10 * time.Second, MaxWait: 120 * time.Second,
	Codes: []int{408, 425, 429, 500, 502, 503, 504}, MaxAge: 24 * time.Hour}

// Retry is the function's policy. An annotation that cannot be read falls back to the default.
func (f Function) Retry() RetryPolicy {
	p := DefaultRetry
	if n, err := strconv.Atoi(f.Annotation(annotationTries)); err == nil && n >= 1 {
		p.Attempts = n
	}
	if d := duration(f.Annotation(annotationMin)); d >= 0 {
		p.MinWait = d
	}
	if d := duration(f.Annotation(annotationMax)); d >= 0 {
		p.MaxWait = d
	}
	p.MaxWait = max(p.MaxWait, p.MinWait)
	if d := duration(f.Annotation(annotationMaxAge)); d > 0 {
		p.MaxAge = d
	}
	if b, err := ParseBackoff(f.Annotation(annotationSpread)); err == nil {
		p.Backoff = b
	}
	if codes := statusCodes(f.Annotation(annotationCodes)); codes != nil {
		p.Codes = codes
	}
	return p
}

// A QueueLimit is how much one function's own calls and their callbacks may take, dead letters among them. What is more is refused.
type QueueLimit struct {
	Length int   // calls and callbacks
	Bytes  int64 // of all their fields
}

// DefaultQueueLimit is the limit of a function that says nothing, on a hearth that was told nothing.
var DefaultQueueLimit = QueueLimit{Length: 100_000, Bytes: 256 << 20}

// QueueLimit is the function's limit: its annotations, or else what is given.
func (f Function) QueueLimit(l QueueLimit) QueueLimit {
	if n, err := strconv.Atoi(f.Annotation(annotationLength)); err == nil && n > 0 {
		l.Length = n
	}
	if n, err := ParseBytes(f.Annotation(annotationBytes)); err == nil {
		l.Bytes = n
	}
	return l
}

// Callbacks reports whether a queued call of the function may have a callback: unless its annotation com.hearth.callbacks says false.
func (f Function) Callbacks() bool {
	is, err := strconv.ParseBool(f.Annotation(annotationBack))
	return err != nil || is
}

// A Rate is how often one caller may call a function.
type Rate struct {
	Calls int // 0 is no limit
	Per   time.Duration
}

var rateUnits = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

// ParseRate reads one such as 10/s, 600/m or 5000/h. It returns an error of code Invalid.
func ParseRate(text string) (Rate, error) {
	calls, unit, _ := strings.Cut(text, "/")
	n, err := strconv.Atoi(calls)
	if err != nil || n < 1 || n > 1_000_000 || rateUnits[unit] == 0 {
		return Rate{}, Errorf(Invalid, "the rate is %q, want calls per second, minute or hour, such as 10/s, 600/m or 5000/h", clip(text))
	}
	return Rate{n, rateUnits[unit]}, nil
}

func (r Rate) String() string {
	for unit, per := range rateUnits {
		if per == r.Per {
			return fmt.Sprintf("%d/%s", r.Calls, unit)
		}
	}
	return "any number of"
}

// Rate is how often one caller may call the function: its annotation com.hearth.rate. Without it there is no limit.
func (f Function) Rate() Rate {
	if text := f.Annotation(annotationRate); text != "" {
		r, _ := ParseRate(text)
		return r
	}
	return Rate{}
}

func statusCodes(list string) []int {
	var codes []int
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 100 || n > 599 {
			return nil
		}
		codes = append(codes, n)
	}
	return codes
}

// duration reads a Go duration or a whole number of seconds; -1 if it is neither.
func duration(text string) time.Duration {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 && n < math.MaxInt32 {
		return time.Duration(n) * time.Second
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return d
	}
	return -1
}
