package hearth

import (
	"slices"
	"strings"
	"time"
)

// A Kind is the part of a deployment that a setting is in.
type Kind string

// The kinds of settings.
const (
	KindLabel       Kind = "label"
	KindAnnotation  Kind = "annotation"
	KindEnvironment Kind = "environment"
)

// noun names a setting of the kind in a sentence.
func (k Kind) noun() string {
	if k == KindEnvironment {
		return "environment variable"
	}
	return string(k)
}

// A Setting is a label, an annotation or an environment variable of a deployment that Hearth
// reads. The table of settings is the only place where one is read: Parse follows it, and the
// reference in the documentation is generated from it.
type Setting struct {
	Name    string
	Kind    Kind
	Type    string // of the value, such as "a duration such as 24h"
	Default string // what holds without the setting
	Doc     string // what it does, in a sentence

	// read reads a value that is not empty. It returns errMalformed if the value has not the Type.
	read func(p *parser, value string) error
	// lenient says what happens to a value that is not valid. If it is empty, the deployment
	// is refused: the setting is Hearth's own, and a wrong value can only be a mistake.
	// OpenFaaS's settings are lenient, as OpenFaaS is.
	lenient string
}

// Settings returns all settings, in the order in which the documentation lists them.
func Settings() []Setting { return slices.Clone(settings) }

// The names of settings that messages about others mention.
const (
	labelMin         = "com.openfaas.scale.min"
	labelMax         = "com.openfaas.scale.max"
	annotationTopic  = "topic"
	annotationWhen   = "schedule"
	annotationEmits  = "com.hearth.emits"
	annotationKeys   = "com.hearth.redis.keys"
	annotationWarm   = "com.hearth.warm"
	envExecTimeout   = "exec_timeout"
	envWriteTimeout  = "write_timeout"
	healthPrefix     = "com.openfaas.health.http."
	readyPrefix      = "com.openfaas.ready.http."
	ownPrefix        = "com.hearth."
	defaultIsUsed    = "the default is used"
	watchdogsDefault = "the watchdog uses its default"
)

// settings is the table. OpenFaaS's settings come first; see
// https://docs.openfaas.com/architecture/autoscaling/, https://docs.openfaas.com/openfaas-pro/retries/ and
// https://docs.openfaas.com/reference/workloads/.
var settings = slices.Concat(scaleSettings, callSettings, topicSettings, probeSettings, ignoredSettings,
	environmentSettings)

var scaleSettings = []Setting{
	{
		Name: labelMin, Kind: KindLabel, Type: "a whole number from 0", Default: "1",
		Doc: "The fewest replicas of an active function; 0 deploys it without any, to start with its " +
			"first call.",
		read:    whole(0, maxNumber, func(p *parser) *int { return &p.MinReplicas }),
		lenient: defaultIsUsed,
	},
	{
		Name: labelMax, Kind: KindLabel, Type: "a whole number from 1",
		Default: "20, or " + labelMin + " if that is more",
		Doc:     "The most replicas of the function.",
		read:    whole(1, maxNumber, func(p *parser) *int { return &p.MaxReplicas }),
		lenient: defaultIsUsed,
	},
	{
		Name: "com.openfaas.scale.factor", Kind: KindLabel,
		Type: "a whole number of percent, from 0 to 100", Default: "20",
		Doc:     "The share of the most replicas that an alert adds; 0 ignores alerts.",
		read:    whole(0, 100, func(p *parser) *int { return &p.factor }),
		lenient: defaultIsUsed,
	},
	{
		Name: "com.openfaas.scale.type", Kind: KindLabel, Type: "rps, capacity, cpu or queue",
		Default: "rps if there is a target; else the calls in flight and the queue",
		Doc:     "The load that the number of replicas follows.",
		read:    readSignal,
		lenient: defaultIsUsed,
	},
	{
		Name: "com.openfaas.scale.target", Kind: KindLabel, Type: "a number above 0",
		Default: "50 if there is a type; else the calls that a replica takes at once",
		Doc:     "The load of one replica, in the unit of the type.",
		read:    number(func(p *parser) *float64 { return &p.target }),
		lenient: defaultIsUsed,
	},
	{
		Name: "com.openfaas.scale.target-proportion", Kind: KindLabel, Type: "a number above 0, such as 0.9",
		Default: "0.9 if there is a type or a target; else 1",
		Doc:     "The part of the target at which replicas are added.",
		read:    number(func(p *parser) *float64 { return &p.proportion }),
		lenient: defaultIsUsed,
	},
	{
		Name: "com.openfaas.scale.zero", Kind: KindLabel, Type: "true or false", Default: "false",
		Doc:     "Lets the function scale to zero when it is idle.",
		read:    truth(func(p *parser) *bool { return &p.Scaling.Zero }),
		lenient: defaultIsUsed,
	},
	{
		Name: "com.openfaas.scale.zero-duration", Kind: KindLabel,
		Type: "a duration above 0 such as 15m", Default: "15m",
		Doc:     "The time without a call after which the function scales to zero.",
		read:    length(1, func(p *parser) *time.Duration { return &p.Scaling.ZeroAfter }),
		lenient: defaultIsUsed,
	},
	{
		Name: "com.openfaas.scale.down.window", Kind: KindLabel,
		Type: "a duration such as 5m", Default: "none",
		Doc: "The function shrinks only to the most replicas that it needed within this time; 5m at " +
			"most.",
		read:    length(0, func(p *parser) *time.Duration { return &p.Scaling.DownWindow }),
		lenient: defaultIsUsed,
	},
	{
		Name: annotationWarm, Kind: KindAnnotation,
		Type: "REPLICAS from SCHEDULE for DURATION, separated by semicolons",
		Doc: "Keeps at least so many replicas ready at certain times, such as \"2 from 30 6 * * 1-6 for " +
			"4h\".",
		read: readWarm,
	},
}

var callSettings = []Setting{
	{
		Name: "com.openfaas.retry.attempts", Kind: KindAnnotation,
		Type: "a whole number from 1", Default: "10",
		Doc:     "How often a queued call is attempted before it becomes a dead letter.",
		read:    whole(1, maxNumber, func(p *parser) *int { return &p.Retry.Attempts }),
		lenient: defaultIsUsed,
	},
	{
		Name: "com.openfaas.retry.min_wait", Kind: KindAnnotation,
		Type: "a duration such as 10s", Default: "10s",
		Doc:     "The wait before the second attempt; it doubles with each further attempt.",
		read:    length(0, func(p *parser) *time.Duration { return &p.Retry.MinWait }),
		lenient: defaultIsUsed,
	},
	{
		Name: "com.openfaas.retry.max_wait", Kind: KindAnnotation,
		Type: "a duration such as 2m", Default: "2m",
		Doc:     "The longest wait between two attempts.",
		read:    length(0, func(p *parser) *time.Duration { return &p.Retry.MaxWait }),
		lenient: defaultIsUsed,
	},
	{
		Name: "com.openfaas.retry.codes", Kind: KindAnnotation, Type: "HTTP statuses separated by commas",
		Default: "408,425,429,500,502,503,504",
		Doc:     "The statuses of an answer after which a queued call is attempted again.",
		read:    readCodes,
		lenient: defaultIsUsed,
	},
	{
		Name: "com.hearth.retry.backoff", Kind: KindAnnotation, Type: "exponential, full or equal",
		Default: "the instance's --retry-backoff",
		Doc: "How the waits between attempts are spread: all of the wait, 0 to 100 % of it, or 50 to " +
			"100 % of it.",
		read: parsed(ParseBackoff, func(p *parser) *Backoff { return &p.Retry.Backoff }),
	},
	{
		Name: "com.hearth.max-age", Kind: KindAnnotation,
		Type: "a duration above 0 such as 24h", Default: "24h",
		Doc:  "How long a queued call may wait for a replica before it becomes a dead letter.",
		read: length(1, func(p *parser) *time.Duration { return &p.Retry.MaxAge }),
	},
	{
		Name: "com.hearth.queue.length", Kind: KindAnnotation, Type: "a whole number of calls from 1",
		Default: "the instance's --queue-length",
		Doc: "The most calls, callbacks and dead letters that the function's queue may hold; further " +
			"calls get 429.",
		read: whole(1, maxNumber, func(p *parser) *int { return &p.Queue.Length }),
	},
	{
		Name: "com.hearth.queue.bytes", Kind: KindAnnotation, Type: "bytes such as 64Mi",
		Default: "the instance's --queue-bytes",
		Doc:     "The most bytes that the function's queue may hold; further calls get 429.",
		read:    parsed(ParseBytes, func(p *parser) *int64 { return &p.Queue.Bytes }),
	},
	{
		Name: "com.hearth.callbacks", Kind: KindAnnotation, Type: "true or false", Default: "true",
		Doc:  "Whether an asynchronous call of the function may have a callback URL.",
		read: truth(func(p *parser) *bool { return &p.Callbacks }),
	},
	{
		Name: "com.hearth.record", Kind: KindAnnotation, Type: "bodies", Default: "no bodies",
		Doc: "Records the bodies of queued calls and messages, so that calls can be replayed. Headers that " +
			"may hold secrets are left out.",
		read: func(p *parser, value string) error {
			if value != "bodies" {
				return errMalformed
			}
			p.RecordBodies = true
			return nil
		},
	},
	{
		Name: "com.hearth.rate", Kind: KindAnnotation, Type: "calls per second, minute or hour, such as 10/s",
		Default: "no limit",
		Doc:     "How often one caller may call the function; further calls get 429.",
		read:    parsed(ParseRate, func(p *parser) *Rate { return &p.Rate }),
	},
	{
		Name: "com.hearth.cors", Kind: KindAnnotation,
		Type:    "* or origins such as https://shop.example.com, separated by commas",
		Default: "the function decides",
		Doc:     "The origins whose pages may call the function from a browser.",
		read:    readOrigins,
	},
}

var topicSettings = []Setting{
	{
		Name: annotationTopic, Kind: KindAnnotation, Type: "topics separated by commas",
		Doc:  "The topics that the function subscribes to; cron-function runs it on a schedule.",
		read: readTopics,
	},
	{
		Name: annotationWhen, Kind: KindAnnotation, Type: "cron expressions separated by semicolons",
		Doc: "When the function runs, if it has the topic cron-function, such as \"0 6 * * *\" or " +
			"\"@every 5m\".",
		read: func(p *parser, value string) error { p.schedule = value; return nil },
	},
	{
		Name: annotationEmits, Kind: KindAnnotation, Type: "topics separated by commas",
		Doc:  "The topics that the function publishes to; their subscribers start when it is called.",
		read: readEmits,
	},
	{
		Name: "com.hearth.topics.from", Kind: KindAnnotation, Type: "namespaces separated by commas",
		Doc:  "The namespaces whose functions may use the same topics as this function.",
		read: readTopicsFrom,
	},
	{
		Name: annotationKeys, Kind: KindAnnotation, Type: "key patterns separated by commas, such as cart:*",
		Default: "the keys of its topics",
		Doc:     "Further keys that the function's Redis user may reach.",
		read:    readKeys,
	},
}

var environmentSettings = []Setting{
	{
		Name: "max_inflight", Kind: KindEnvironment, Type: "a whole number from 0", Default: "no limit",
		Doc: "The most calls that one replica runs at once; further calls wait for a free or a new " +
			"replica.",
		read:    whole(0, maxNumber, func(p *parser) *int { return &p.MaxInflight }),
		lenient: "no limit is used",
	},
	{
		Name: envExecTimeout, Kind: KindEnvironment,
		Type: "seconds, or a duration such as 1m30s", Default: "30s",
		Doc:     "The longest that a call may take; 0, and more than 24h, mean 24h.",
		read:    timeout(envExecTimeout, func(p *parser) *time.Duration { return &p.exec }),
		lenient: watchdogsDefault,
	},
	{
		Name: "exec_grace", Kind: KindEnvironment, Type: "seconds, or a duration such as 1m30s",
		Default: "the watchdog's",
		Doc:     "How long the watchdog lets a process end after exec_timeout.",
		read:    timeout("exec_grace", nil),
		lenient: watchdogsDefault,
	},
	{
		Name: "read_timeout", Kind: KindEnvironment, Type: "seconds, or a duration such as 1m30s",
		Default: "the watchdog's",
		Doc:     "How long the watchdog waits for a request's body.",
		read:    timeout("read_timeout", nil),
		lenient: watchdogsDefault,
	},
	{
		Name: envWriteTimeout, Kind: KindEnvironment, Type: "seconds, or a duration such as 1m30s",
		Default: "exec_timeout, and at least 30s",
		Doc:     "How long the watchdog may take for an answer, and how long a replica drains.",
		read:    timeout(envWriteTimeout, func(p *parser) *time.Duration { return &p.write }),
		lenient: watchdogsDefault,
	},
	{
		Name: "healthcheck_interval", Kind: KindEnvironment, Type: "seconds, or a duration such as 1m30s",
		Default: drainPause,
		Doc:     "How long a replica that stops still accepts calls before it drains.",
		read:    timeout("healthcheck_interval", func(p *parser) *time.Duration { return &p.pause }),
		lenient: watchdogsDefault,
	},
}

// ignoredSettings are OpenFaaS's annotations that only some of its editions read.
var ignoredSettings = []Setting{
	ignored("com.openfaas.profile", "Hearth has no profiles"),
	ignored("com.openfaas.serviceaccount", "Hearth has no service accounts"),
	ignored("com.openfaas.queue", "every function has a queue of its own"),
}

func ignored(name, why string) Setting {
	return Setting{
		Name: name, Kind: KindAnnotation, Type: "any text", Doc: "Has no effect: " + why + ".",
		read: func(p *parser, _ string) error {
			p.warn("the annotation %s has no effect: %s", name, why)
			return nil
		},
	}
}

// probeSettings are the annotations of both probes.
var probeSettings = slices.Concat(
	probeSettingsOf(healthPrefix, "liveness", func(p *parser) *Probe { return &p.liveness }),
	probeSettingsOf(readyPrefix, "readiness", func(p *parser) *Probe { return &p.readiness }),
)

func probeSettingsOf(prefix, name string, probe func(*parser) *Probe) []Setting {
	seconds := "seconds, or a duration such as 2s"
	duration := func(suffix, fallback, doc string, least time.Duration,
		field func(*Probe) *time.Duration) Setting {
		return Setting{
			Name:    prefix + suffix,
			Kind:    KindAnnotation,
			Type:    seconds,
			Default: fallback,
			Doc:     doc,
			lenient: defaultIsUsed,
			read:    length(least, func(p *parser) *time.Duration { return field(probe(p)) }),
		}
	}
	count := func(suffix, fallback, doc string, field func(*Probe) *int) Setting {
		return Setting{
			Name:    prefix + suffix,
			Kind:    KindAnnotation,
			Type:    "a whole number from 1",
			Default: fallback,
			Doc:     doc,
			lenient: defaultIsUsed,
			read:    whole(1, maxNumber, func(p *parser) *int { return field(probe(p)) }),
		}
	}
	path := Setting{
		Name: prefix + "path", Kind: KindAnnotation, Type: "a path such as /ready",
		Doc:  "The path that the " + name + " probe requests.",
		read: func(p *parser, value string) error { probe(p).Path = strings.TrimSpace(value); return nil },
	}
	delayDoc := "The wait after the start of a replica before its first probe."
	if prefix == readyPrefix {
		path.Default = "the path of the liveness probe"
		delayDoc = "Has no effect: the readiness probe begins at once."
	}
	delay := func(p *Probe) *time.Duration { return &p.Delay }
	return []Setting{
		path,
		duration("initialDelay", "0", delayDoc, 0, delay),
		duration("initialDelaySeconds", "0", delayDoc, 0, delay),
		duration("periodSeconds", "2s", "The time between two probes.", time.Millisecond,
			func(p *Probe) *time.Duration { return &p.Period }),
		duration("timeoutSeconds", "1s", "How long a probe waits for an answer.", time.Millisecond,
			func(p *Probe) *time.Duration { return &p.Timeout }),
		count("successThreshold", "1", "How many successes in a row end a failure.",
			func(p *Probe) *int { return &p.Successes }),
		count("failureThreshold", "3", "How many failed probes in a row are a failure.",
			func(p *Probe) *int { return &p.Failures }),
	}
}
