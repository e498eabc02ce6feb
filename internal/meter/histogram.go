package meter

import (
	"maps"
	"math/bits"
	"slices"
)

// A Histogram counts whole milliseconds in buckets that grow with them: below 8 each has its own, above there
// are eight from one power of two to the next, so that a bucket is at most an eighth wider than it begins.
// Only those are there that have something.
type Histogram map[int]uint64

// buckets is how many there can be. The last one takes what is longer than 2^24 ms, some five hours, too.
const buckets = 22 * 8

func bucketOf(ms uint64) int {
	if ms < 8 {
		return int(ms)
	}
	shift := bits.Len64(ms) - 4
	return min(shift*8+int(ms>>shift), buckets-1) // ms>>shift is from 8 to 15
}

// upper is the highest value of a bucket.
func upper(bucket int) uint64 {
	if bucket < 16 {
		return uint64(bucket)
	}
	shift := bucket/8 - 1
	return (uint64(bucket%8)+9)<<shift - 1
}

// Observe counts a value. The histogram is made if there is none.
func (h *Histogram) Observe(ms uint64) {
	if *h == nil {
		*h = Histogram{}
	}
	(*h)[bucketOf(ms)]++
}

func (h *Histogram) add(o Histogram) {
	if *h == nil && len(o) > 0 {
		*h = Histogram{}
	}
	for bucket, n := range o {
		(*h)[bucket] += n
	}
}

// Count is how many values there are.
func (h Histogram) Count() (n uint64) {
	for _, some := range h {
		n += some
	}
	return n
}

// Quantile is the value that a share of all values, 0 to 1, do not exceed: up to an eighth too much, and
// never too little. It is 0 if there are no values.
func (h Histogram) Quantile(share float64) (ms uint64) {
	left := uint64(share * float64(h.Count()))
	if float64(left) < share*float64(h.Count()) {
		left++
	}
	left = max(left, 1)
	for _, bucket := range slices.Sorted(maps.Keys(h)) {
		if h[bucket] >= left {
			return upper(bucket)
		}
		left -= h[bucket]
	}
	return 0
}
