package meter

import "time"

// A Usage is what a function used in some time.
type Usage struct {
	Calls      uint64 // that came
	ColdStarts uint64 // of these, that found no replica that takes calls
	Denied     uint64 // of these, that got none

	// In ms.
	Busy    uint64 // that calls were in flight
	Replica uint64 // that replicas lived

	// In MB-ms, of 2^20 bytes: the same times the limit of memory.
	BusyMemory    uint64
	ReplicaMemory uint64

	// Queued calls, when they were first taken.
	Queued      uint64
	Waited      uint64 // ms, together
	LongestWait uint64 // ms

	Cold    Histogram // of the ms that cold starts were held that got a replica
	Assumed bool      // some of the memory is an assumption: the function had no limit
}

// DefaultMemory is what a function without a limit of memory counts as, in MB: the least that AWS Lambda has.
const DefaultMemory = 128

// Add adds what another time or another instance has.
func (u *Usage) Add(o Usage) {
	for i, field := range u.fields() {
		if field == &u.LongestWait {
			u.LongestWait = max(u.LongestWait, o.LongestWait)
			continue
		}
		*field += *o.fields()[i]
	}
	u.Cold.add(o.Cold)
	u.Assumed = u.Assumed || o.Assumed
}

// fields are all numbers, in the order in which they are written: new ones come last.
func (u *Usage) fields() [10]*uint64 {
	return [...]*uint64{&u.Calls, &u.ColdStarts, &u.Denied, &u.Busy, &u.Replica, &u.BusyMemory,
		&u.ReplicaMemory, &u.Queued, &u.Waited, &u.LongestWait}
}

// none reports whether nothing was used.
func (u *Usage) none() bool {
	for _, field := range u.fields() {
		if *field != 0 {
			return false
		}
	}
	return len(u.Cold) == 0
}

// GBSeconds are MB-ms as bills have them.
func GBSeconds(mbMs uint64) float64 { return float64(mbMs) / 1024 / 1000 }

// milliseconds are whole ones; none of a negative time.
func milliseconds(d time.Duration) uint64 { return uint64(max(0, d.Milliseconds())) }
