package chaintest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Seeds are the seeds of a property test's random runs: n of them, or as many as HEARTH_SEEDS says, or the
// one that HEARTH_SEED names, which replays a run that failed.
func Seeds(t testing.TB, n int) []uint64 {
	t.Helper()
	if one, err := strconv.ParseUint(os.Getenv("HEARTH_SEED"), 10, 64); err == nil {
		return []uint64{one}
	}
	if more, err := strconv.Atoi(os.Getenv("HEARTH_SEEDS")); err == nil {
		n = more
	}
	s := make([]uint64, n)
	for i := range s {
		s[i] = rand.Uint64()
	}
	return s
}
