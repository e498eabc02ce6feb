package main

import (
	"math"
	"math/bits"
	"time"
)

// A heap has the earliest on top.
type heap[T any] struct{ items []item[T] }

type item[T any] struct {
	at   time.Duration
	what T
}

func (h *heap[T]) first() (at time.Duration, ok bool) {
	if len(h.items) == 0 {
		return 0, false
	}
	return h.items[0].at, true
}

func (h *heap[T]) push(at time.Duration, what T) {
	h.items = append(h.items, item[T]{})
	i := len(h.items) - 1
	for i > 0 && h.items[(i-1)/2].at > at {
		h.items[i] = h.items[(i-1)/2]
		i = (i - 1) / 2
	}
	h.items[i] = item[T]{at, what}
}

func (h *heap[T]) pop() T {
	top, last := h.items[0].what, h.items[len(h.items)-1]
	h.items = h.items[:len(h.items)-1]
	n := len(h.items)
	for i := 0; n > 0; {
		child := 2*i + 1
		if child+1 < n && h.items[child+1].at < h.items[child].at {
			child++
		}
		if child >= n || h.items[child].at >= last.at {
			h.items[i] = last
			break
		}
		h.items[i] = h.items[child]
		i = child
	}
	return top
}

// places are a set of small numbers.
type places []uint64

func (p *places) set(i int, in bool) {
	for i/64 >= len(*p) {
		*p = append(*p, 0)
	}
	if in {
		(*p)[i/64] |= 1 << (i % 64)
	} else {
		(*p)[i/64] &^= 1 << (i % 64)
	}
}

func (p places) first() (i int, ok bool) {
	for word, set := range p {
		if set != 0 {
			return 64*word + bits.TrailingZeros64(set), true
		}
	}
	return 0, false
}

// A fifo gives back the oldest first.
type fifo struct {
	calls []call
	head  int
}

func (q *fifo) len() int { return len(q.calls) - q.head }

func (q *fifo) push(c call) { q.calls = append(q.calls, c) }

func (q *fifo) pop() call {
	c := q.calls[q.head]
	if q.head++; q.head == len(q.calls) {
		q.calls, q.head = q.calls[:0], 0
	}
	return c
}

// A histogram counts times by their logarithm: quantiles are right to 2%, from 10 µs on. Its mean is exact.
type histogram struct {
	counts [1024]uint64
	count  uint64
	sum    time.Duration
}

const (
	finest = float64(10 * time.Microsecond)
	width  = 0.02 // of a class
)

func (h *histogram) add(d time.Duration) { h.addMany(d, 1) }

func (h *histogram) addMany(d time.Duration, times uint64) {
	class := 0
	if v := float64(d) / finest; v > 1 {
		class = min(1+int(math.Log(v)/width), len(h.counts)-1)
	}
	h.counts[class] += times
	h.count += times
	h.sum += d * time.Duration(times)
}

// merge adds what another one has, so many times.
func (h *histogram) merge(other *histogram, times uint64) {
	for i, n := range other.counts {
		h.counts[i] += n * times
	}
	h.count += other.count * times
	h.sum += other.sum * time.Duration(times)
}

func (h *histogram) mean() time.Duration {
	if h.count == 0 {
		return 0
	}
	return h.sum / time.Duration(h.count)
}

// quantile is at least as much as this part of all; 0 for what is shorter than can be told.
func (h *histogram) quantile(part float64) time.Duration {
	rank := uint64(math.Ceil(part * float64(h.count)))
	seen := uint64(0)
	for class, n := range h.counts {
		if seen += n; seen >= rank && rank > 0 {
			if class == 0 {
				return 0
			}
			return time.Duration(finest * math.Exp((float64(class)-0.5)*width))
		}
	}
	return 0
}
