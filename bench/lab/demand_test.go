package main

import (
	"testing"
	"time"
)

func TestDemand(t *testing.T) {
	s := series{step: time.Second, values: []float64{0, 1, 4, 5, 9, 0}}
	got := demandOf(s)
	want := demand{Mean: 19.0 / 6 / 4, Most: 9, ForMean: 1, ForPeak: 3, Oracle: 0 + 1 + 1 + 2 + 3}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestSpansAreCountedWhileTheyLast(t *testing.T) {
	began := time.UnixMilli(1000)
	got := spans(began, 3*time.Second, time.Second, [][2]int64{{1000, 3000}, {1500, 0}, {0, 0}, {2000, 2000}})
	for i, want := range []float64{1, 2, 1, 1} {
		if got.values[i] != want {
			t.Errorf("at %d s there are %v, want %v", i, got.values[i], want)
		}
	}
}

func TestBackUnder(t *testing.T) {
	var waits []wait
	for second, ms := range []int{100, 900, 500, 150, 150, 900} { // the burst is from 1 s to 5 s
		waits = append(waits, wait{time.Duration(second) * time.Second,
			time.Duration(ms) * time.Millisecond, true})
	}
	if after, ok := backUnder(waits, time.Second, 5*time.Second, 200); !ok || after != 2*time.Second {
		t.Errorf("got %v %v, want 2s", after, ok)
	}
	waits[4].served = false
	if after, ok := backUnder(waits, time.Second, 5*time.Second, 200); ok {
		t.Errorf("got %v, want never", after)
	}
}
