package meter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// hoursOfDay is what a function used in each hour of a day, in UTC; nil for nothing.
type hoursOfDay [24]*Usage

// format is the first byte of a value. A value of another format is not read.
const format = 1

// assumed is the bit above those of the fields, and histogram the next.
const (
	bitAssumed = 1 << 20
	bitCold    = 1 << 21
)

// encode packs a day: its format, and for each hour that has something the hour, a set of bits that says
// which numbers follow, and these, all as varints (encoding/binary). A histogram is the number of its
// buckets, and of each by how much its index is above the one before, and its count.
func (h *hoursOfDay) encode() []byte {
	b := []byte{format}
	for hour, u := range h {
		if u == nil || u.none() {
			continue
		}
		var set uint64
		for i, field := range u.fields() {
			if *field != 0 {
				set |= 1 << i
			}
		}
		if u.Assumed {
			set |= bitAssumed
		}
		if len(u.Cold) > 0 {
			set |= bitCold
		}
		b = binary.AppendUvarint(b, uint64(hour))
		b = binary.AppendUvarint(b, set)
		for _, field := range u.fields() {
			if *field != 0 {
				b = binary.AppendUvarint(b, *field)
			}
		}
		if len(u.Cold) == 0 {
			continue
		}
		b = binary.AppendUvarint(b, uint64(len(u.Cold)))
		before := 0
		for _, bucket := range slices.Sorted(maps.Keys(u.Cold)) {
			b = binary.AppendUvarint(b, uint64(bucket-before))
			b = binary.AppendUvarint(b, u.Cold[bucket])
			before = bucket
		}
	}
	return b
}

var errCut = errors.New("it ends too early")

// decode reads what encode has written. It returns an error if that is anything else.
func decode(b []byte) (h hoursOfDay, err error) {
	if len(b) == 0 || b[0] != format {
		return h, errors.New("its format is not known")
	}
	b = b[1:]
	next := func() (v uint64) {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			err, b = errCut, nil
			return 0
		}
		b = b[n:]
		return v
	}
	for len(b) > 0 {
		hour, set := next(), next()
		u := &Usage{Assumed: set&bitAssumed != 0}
		if err == nil && (hour > 23 || h[hour] != nil ||
			set&^(bitAssumed|bitCold|(1<<len(u.fields())-1)) != 0) {
			return h, fmt.Errorf("it has an hour %d with the numbers %b", hour, set)
		}
		for i, field := range u.fields() {
			if set&(1<<i) != 0 {
				*field = next()
			}
		}
		if set&bitCold != 0 {
			n, bucket := next(), uint64(0)
			if n > buckets {
				return h, fmt.Errorf("it has a histogram of %d buckets", n)
			}
			u.Cold = Histogram{}
			for range n {
				if bucket += next(); bucket >= buckets {
					return h, fmt.Errorf("it has a histogram with a bucket %d", bucket)
				}
				u.Cold[int(bucket)] += next()
			}
		}
		if err != nil {
			return h, err
		}
		h[hour] = u
	}
	return h, nil
}
