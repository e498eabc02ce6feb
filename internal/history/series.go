package history

import (
	"math"
	"time"
)

// The two resolutions.
const (
	fineStep     = 15 * time.Second
	fineSpan     = 15 * time.Minute
	coarseStep   = 5 * time.Minute
	coarseSpan   = 24 * time.Hour
	finePoints   = int(fineSpan / fineStep)
	coarsePoints = int(coarseSpan / coarseStep)
)

// A sample is one step of a series.
type sample struct {
	step          int64 // since 1970
	calls, errors uint32
	quantiles     [3]float32 // of quantile, in milliseconds
	replicas      uint32
	queued        uint32
}

// quantile are the quantiles that a sample has.
var quantile = [3]float64{0.5, 0.95, 0.99}

// empty reports whether a sample says nothing.
func (s sample) empty() bool { return s.calls+s.replicas+s.queued == 0 }

// A ring has the last samples that say something.
type ring struct {
	most int
	list []sample
	next int // where the next one goes, once the ring is full
}

func (r *ring) add(s sample) {
	if s.empty() {
		return
	}
	if len(r.list) < r.most {
		r.list = append(r.list, s)
		return
	}
	r.list[r.next] = s
	r.next = (r.next + 1) % r.most
}

// last returns the newest sample, or nil.
func (r *ring) last() *sample {
	if len(r.list) == 0 {
		return nil
	}
	return &r.list[(r.next+len(r.list)-1)%len(r.list)]
}

// buckets counts durations. Bucket i ends at least * growth^i; the last one has no end.
type buckets [80]uint32

const (
	least  = 0.1 // milliseconds
	growth = 1.2
)

var logGrowth = math.Log(growth)

func (b *buckets) add(d time.Duration) {
	ms, i := float64(d)/float64(time.Millisecond), 0
	if ms > least {
		i = min(int(math.Ceil(math.Log(ms/least)/logGrowth)), len(b)-1)
	}
	b[i]++
}

func (b *buckets) merge(other *buckets) {
	for i, n := range other {
		b[i] += n
	}
}

// quantiles returns the durations in milliseconds below which the parts of quantile are.
func (b *buckets) quantiles() (q [3]float32) {
	total := 0.0
	for _, n := range b {
		total += float64(n)
	}
	for k, part := range quantile {
		before, want := 0.0, part*total
		for i, n := range b {
			if n == 0 || before+float64(n) < want {
				before += float64(n)
				continue
			}
			low, high := 0.0, least*math.Pow(growth, float64(i))
			if i > 0 {
				low = high / growth
			}
			q[k] = float32(low + (high-low)*(want-before)/float64(n))
			break
		}
	}
	return q
}

// A series has the steps of one resolution, and what is counted of the present one.
type series struct {
	ring
	length time.Duration // of a step
	began  int64         // the first step

	step          int64 // the present one
	calls, errors uint32
	buckets       *buckets // nil before the first call of the step
}

func newSeries(length time.Duration, most int, now time.Time) series {
	step := now.UnixNano() / int64(length)
	return series{ring: ring{most: most}, length: length, began: step, step: step}
}

// close ends the present step if another one has begun, and returns its buckets.
func (s *series) close(now time.Time, replicas, queued uint32) (ended *buckets) {
	step := now.UnixNano() / int64(s.length)
	if step <= s.step { // also if the clock was set back
		return nil
	}
	done := sample{step: s.step, calls: s.calls, errors: s.errors, replicas: replicas, queued: queued}
	if ended = s.buckets; ended != nil {
		done.quantiles = ended.quantiles()
	}
	s.add(done)
	s.step, s.calls, s.errors, s.buckets = step, 0, 0, nil
	return ended
}

// count adds calls to the present step.
func (s *series) count(calls, errors uint32) *buckets {
	s.calls, s.errors = s.calls+calls, s.errors+errors
	if s.buckets == nil {
		s.buckets = &buckets{}
	}
	return s.buckets
}

// points returns the steps of the last span that have ended, the oldest first; those that say nothing are
// zero.
func (s *series) points(now time.Time) []Point {
	end := now.UnixNano() / int64(s.length)
	first := max(end-int64(s.most), s.began)
	list := make([]Point, 0, max(end-first, 0))
	for step := first; step < end; step++ {
		list = append(list, Point{T: time.Unix(0, step*int64(s.length)).UTC()})
	}
	for _, one := range s.list {
		i := one.step - first
		if i < 0 || i >= int64(len(list)) {
			continue
		}
		p := &list[i]
		p.Rate = float64(one.calls) / s.length.Seconds()
		p.Errors = float64(one.errors) / s.length.Seconds()
		p.Replicas, p.Queued = int(one.replicas), int(one.queued)
		if one.calls > 0 {
			q := one.quantiles
			p.P50, p.P95, p.P99 = rounded(q[0]), rounded(q[1]), rounded(q[2])
		}
	}
	return list
}

// rounded returns milliseconds to three digits.
func rounded(ms float32) *float64 {
	scale := math.Pow(10, 2-math.Floor(math.Log10(max(float64(ms), 0.001))))
	v := math.Round(float64(ms)*scale) / scale
	return &v
}
