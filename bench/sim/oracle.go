package main

import "time"

// An oracle knows all calls, when they come and how long they run, and has the fewest replicas with which
// none ever waits: as many at each moment as the calls that run then fill, if none has waited. Its replicas
// start in no time and end in no time, calls move between them for free, and it has never less than the
// floor. So nothing that does not make calls wait can be cheaper.
//
// It decides as often as the autoscaler does: in each tick it has what the tick's busiest moment needs. One
// that may change its mind at each call is told too, as Instant; no machine could follow it.
type oracle struct {
	concurrency, floor int
	from, until        time.Duration

	now     time.Duration
	running heap[struct{}]
	most    int // calls in this tick
	ticks   time.Duration
	instant time.Duration
	load    time.Duration
	peak    int
}

func (o *oracle) arrive(c call) {
	o.pass(c.at)
	o.running.push(c.at+c.run, struct{}{})
	o.most = max(o.most, len(o.running.items))
}

// pass lets time pass, and calls end.
func (o *oracle) pass(to time.Duration) {
	for {
		at, ok := o.running.first()
		if !ok || at > to {
			break
		}
		o.count(at)
		o.running.pop()
	}
	o.count(to)
}

// count adds the time up to a moment at which something changes, tick by tick.
func (o *oracle) count(to time.Duration) {
	for o.now < to {
		n := len(o.running.items)
		end := min(to, (o.now/tick+1)*tick)
		if n == 0 && o.most == 0 { // nothing happens up to then
			end = max(end, to/tick*tick)
		}
		if counted := min(end, o.until) - max(o.now, o.from); counted > 0 {
			o.instant += time.Duration(max(o.floor, o.replicas(n))) * counted
			o.load += time.Duration(n) * counted
		}
		if end%tick == 0 {
			begin := end - tick
			if n == 0 && o.most == 0 {
				begin = o.now / tick * tick
			}
			if counted := min(end, o.until) - max(begin, o.from); counted > 0 {
				r := max(o.floor, o.replicas(o.most))
				o.ticks += time.Duration(r) * counted
				o.peak = max(o.peak, r)
			}
			o.most = n
		}
		o.now = end
	}
}

func (o *oracle) replicas(calls int) int { return (calls + o.concurrency - 1) / o.concurrency }

func (o *oracle) result() (ticks, instant time.Duration, most int, load time.Duration) {
	o.pass(max(o.now, (o.until+tick-1)/tick*tick))
	return o.ticks, o.instant, o.peak, o.load
}
