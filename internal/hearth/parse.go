package hearth

import (
	"cmp"
	"encoding/json"
	"errors"
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

// Defaults of a function without settings.
const (
	defaultTimeout     = 30 * time.Second // the watchdog's exec_timeout
	defaultConcurrency = 32               // queued calls that one replica gets at once, without max_inflight
	defaultMaxReplicas = 20
	defaultFactor      = 20 // percent
)

// maxTimeout is the longest that a call may take: for so long its lease is renewed,
// and this is what exec_timeout 0 stands for.
const maxTimeout = 24 * time.Hour

// maxNumber bounds whole numbers, so that sums and products of them do not overflow.
const maxNumber = math.MaxInt32

// Parse reads a deployment. It is called once for each: when a function is deployed, and when its record is
// read. An empty namespace means DefaultNamespace.
//
// It returns an error of code Invalid that names the first field that is wrong, for the author of the
// stack.yml. It refuses only what cannot work, and mistakes in Hearth's own settings. Of everything else
// it makes the best, and Warnings says how.
func Parse(d types.FunctionDeployment) (Function, error) {
	f := Function{FunctionDeployment: d}
	if err := f.parse(); err != nil {
		return Function{}, err
	}
	return f, nil
}

// Defaults returns a function of which only the name is known, with the options of one without settings.
func Defaults(n Name) Function {
	p := newParser()
	_ = p.read(types.FunctionDeployment{})
	return Function{
		FunctionDeployment: types.FunctionDeployment{Service: n.Function, Namespace: n.Namespace},
		Options:            p.Options,
	}
}

// ParseRecord reads a function that was written as JSON, as Parse does.
func ParseRecord(object []byte) (f Function, err error) {
	if err := json.Unmarshal(object, &f); err != nil {
		return Function{}, fmt.Errorf("it is not a function: %w", err)
	}
	if err := f.parse(); err != nil {
		return Function{}, err
	}
	return f, nil
}

// parse sets f.Options by f.FunctionDeployment.
func (f *Function) parse() error {
	f.Namespace = cmp.Or(f.Namespace, DefaultNamespace)
	if err := f.Name().Validate(); err != nil {
		return err
	}
	if err := validate(f.FunctionDeployment); err != nil {
		return Errorf(Invalid, "function %s: %w", f.Service, err)
	}
	p := newParser()
	if err := p.read(f.FunctionDeployment); err != nil {
		return Errorf(Invalid, "function %s: %w", f.Service, err)
	}
	f.Options = p.Options
	return nil
}

// A parser holds the options of one deployment while its settings are read, and
// what other options follow from.
type parser struct {
	Options
	// exec_timeout, write_timeout and healthcheck_interval; below 0 if absent
	exec, write, pause  time.Duration
	factor              int     // percent
	target, proportion  float64 // 0 if absent
	liveness, readiness Probe
	topics              []string // all names of the annotation topic
	keys                []string // of the annotation com.hearth.redis.keys
	schedule            string
}

func newParser() *parser {
	probe := Probe{Period: 2 * time.Second, Timeout: time.Second, Successes: 1, Failures: 3}
	p := &parser{
		exec: -1, write: -1, pause: -1,
		factor:   defaultFactor,
		liveness: probe, readiness: probe,
	}
	p.MinReplicas, p.Callbacks, p.Retry = 1, true, DefaultRetry
	p.Scaling.ZeroAfter = defaultZeroAfter
	return p
}

// warn notes a sentence for Warnings.
func (p *parser) warn(format string, args ...any) {
	p.warnings = append(p.warnings, fmt.Sprintf(format, args...))
}

// errMalformed is the error of a value that has not the Type of its setting.
var errMalformed = errors.New("malformed")

// read reads all settings of a deployment, and then what follows from them.
func (p *parser) read(d types.FunctionDeployment) error {
	values := map[Kind]map[string]string{KindEnvironment: d.EnvVars}
	if d.Labels != nil {
		values[KindLabel] = *d.Labels
	}
	if d.Annotations != nil {
		values[KindAnnotation] = *d.Annotations
	}
	for _, s := range settings {
		value := values[s.Kind][s.Name]
		if value == "" {
			continue
		}
		err := s.read(p, value)
		switch {
		case err == nil:
		case s.lenient != "":
			p.warn("the %s %s is %q, want %s: %s", s.Kind.noun(), s.Name, clip(value), s.Type, s.lenient)
		case errors.Is(err, errMalformed):
			return fmt.Errorf("the %s %s is %q, want %s", s.Kind.noun(), s.Name, clip(value), s.Type)
		default:
			return fmt.Errorf("the %s %s: %w", s.Kind.noun(), s.Name, err)
		}
	}
	p.timeouts(d)
	p.resources(d)
	p.probes(values[KindAnnotation])
	p.warnNames(values)
	p.redisKeys()
	if err := p.replicas(); err != nil {
		return err
	}
	return p.times()
}

// timeouts sets what follows from the watchdog's timeouts. See
// https://docs.openfaas.com/tutorials/expanded-timeouts/.
func (p *parser) timeouts(d types.FunctionDeployment) {
	p.Concurrency = cmp.Or(p.MaxInflight, defaultConcurrency)
	switch {
	case p.exec < 0:
		p.Timeout = defaultTimeout
	case p.exec == 0: // the watchdog's "no limit", which needs an end all the same
		p.Timeout = maxTimeout
	default:
		p.Timeout = min(p.exec, maxTimeout)
	}
	// Without a write_timeout, a replica drains for as long as its longest call, so
	// that exec_timeout is the one timeout to set.
	p.writeTimeout = p.write
	if p.write < 0 {
		p.writeTimeout = min(max(p.exec, defaultTimeout), maxTimeout)
	}
	p.DrainTime = max(p.pause, 0) + p.writeTimeout
	if p.exec > 0 && p.write > 0 && p.write < p.exec {
		p.warn("write_timeout is %s, less than exec_timeout, %s: a call that takes longer than "+
			"write_timeout may lose its answer",
			clip(d.EnvVars[envWriteTimeout]), clip(d.EnvVars[envExecTimeout]))
	}
}

// replicas sets what follows from the settings of scaling, and checks the bounds of warm times.
func (p *parser) replicas() error {
	if p.MaxReplicas == 0 {
		p.MaxReplicas = max(defaultMaxReplicas, p.MinReplicas)
	}
	if p.MinReplicas > p.MaxReplicas {
		return fmt.Errorf("%s is %d, more than %s, %d", labelMin, p.MinReplicas, labelMax, p.MaxReplicas)
	}
	for _, w := range p.Warm {
		if w.Replicas > p.MaxReplicas {
			return fmt.Errorf("the annotation %s has %d replicas, more than %s, %d", annotationWarm,
				w.Replicas, labelMax,
				p.MaxReplicas)
		}
	}
	p.ScaleStep = (p.MaxReplicas*p.factor + 99) / 100
	s := &p.Scaling
	s.Min, s.Max = max(p.MinReplicas, 1), p.MaxReplicas
	s.Zero = s.Zero || p.MinReplicas == 0
	s.DownWindow = min(s.DownWindow, maxDownWindow)
	if p.target > 0 && s.Signal == SignalWork {
		s.Signal = SignalRate // OpenFaaS's default type
	}
	s.Target, s.Proportion = defaultTarget, defaultProportion
	if s.Signal == SignalWork { // a replica that has as many calls as it takes is full, not overloaded
		s.Target, s.Proportion = float64(p.Concurrency), 1
	}
	s.Target, s.Proportion = cmp.Or(p.target, s.Target), cmp.Or(p.proportion, s.Proportion)
	p.Retry.MaxWait = max(p.Retry.MaxWait, p.Retry.MinWait)
	return nil
}

// times sets the schedule, if the function has the topic cron-function. See
// https://docs.openfaas.com/reference/cron/.
func (p *parser) times() (err error) {
	switch scheduled := slices.Contains(p.topics, wire.TopicCron); {
	case !scheduled && p.schedule != "":
		p.warn("the annotation %s has no effect without the topic %s", annotationWhen, wire.TopicCron)
		return nil
	case !scheduled:
		return nil
	case strings.TrimSpace(p.schedule) == "":
		return fmt.Errorf("the topic %s needs the annotation %s, such as \"0 6 * * *\" or \"@every 5m\"",
			wire.TopicCron,
			annotationWhen)
	}
	p.Schedule, err = schedule.Parse(p.schedule)
	return err
}

// redisKeys sets the patterns of the keys that the function's user of Redis reaches.
func (p *parser) redisKeys() {
	for _, topic := range slices.Concat(p.Topics, p.Emits) {
		if stream, err := wire.Stream(topic); err == nil {
			p.RedisKeys = append(p.RedisKeys, "{"+wire.Tag(stream)+"}*")
		}
	}
	p.RedisKeys = unique(append(p.RedisKeys, p.keys...))
}

// kinds are those of all settings, by name.
var kinds = func() map[string]Kind {
	m := map[string]Kind{}
	for _, s := range settings {
		m[s.Name] = s.Kind
	}
	return m
}()

// warnNames warns of settings in the wrong place, and of names with Hearth's
// prefix that are none: most are misspelt.
func (p *parser) warnNames(values map[Kind]map[string]string) {
	for _, place := range []Kind{KindAnnotation, KindLabel} {
		for _, name := range slices.Sorted(maps.Keys(values[place])) {
			kind, known := kinds[name]
			switch {
			case known && kind != place && kind != KindEnvironment && values[kind][name] == "":
				p.warn("the %s %s has no effect: it is only read as %s", place, name, article(kind))
			case !known && strings.HasPrefix(name, ownPrefix):
				p.warn("the %s %s has no effect: Hearth does not know it", place, clip(name))
			}
		}
	}
}

func article(k Kind) string {
	if k == KindLabel {
		return "a label"
	}
	return "an annotation"
}

// whole reads a whole number.
func whole(least, most int, field func(*parser) *int) func(*parser, string) error {
	return func(p *parser, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < least || n > most {
			return errMalformed
		}
		*field(p) = n
		return nil
	}
}

// length reads a duration.
func length(least time.Duration, field func(*parser) *time.Duration) func(*parser, string) error {
	return func(p *parser, value string) error {
		d := duration(value)
		if d < least {
			return errMalformed
		}
		*field(p) = d
		return nil
	}
}

// timeout reads a timeout of the watchdog. Without a field, it is only checked.
func timeout(name string, field func(*parser) *time.Duration) func(*parser, string) error {
	return func(p *parser, value string) error {
		d := duration(value)
		if d < 0 {
			return errMalformed
		}
		if d > maxTimeout {
			p.warn("%s is %s, and Hearth ends a call after %.0fh", name, clip(value), maxTimeout.Hours())
		}
		if field != nil {
			*field(p) = d
		}
		return nil
	}
}

// truth reads a boolean.
func truth(field func(*parser) *bool) func(*parser, string) error {
	return func(p *parser, value string) error {
		is, err := strconv.ParseBool(value)
		if err != nil {
			return errMalformed
		}
		*field(p) = is
		return nil
	}
}

// number reads a number above 0.
func number(field func(*parser) *float64) func(*parser, string) error {
	return func(p *parser, value string) error {
		v, err := strconv.ParseFloat(value, 64)
		if err != nil || !(v > 0 && v < 1e18) {
			return errMalformed
		}
		*field(p) = v
		return nil
	}
}

// parsed reads what a function of the package parses.
func parsed[T any](parse func(string) (T, error), field func(*parser) *T) func(*parser, string) error {
	return func(p *parser, value string) error {
		v, err := parse(value)
		if err != nil {
			return errMalformed
		}
		*field(p) = v
		return nil
	}
}

// splitList splits a value at its commas, without empty and repeated items.
func splitList(value string) []string {
	var items []string
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return unique(items)
}

// unique returns the items of a list without repetitions.
func unique(items []string) []string {
	var once []string
	for _, item := range items {
		if !slices.Contains(once, item) {
			once = append(once, item)
		}
	}
	return once
}

// duration reads a Go duration or a whole number of seconds; it returns -1 if the text is neither.
func duration(text string) time.Duration {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 && n < math.MaxInt32 {
		return time.Duration(n) * time.Second
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return d
	}
	return -1
}
