package observe

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	bounds := Doubling(10, 3)
	if !slices.Equal(bounds, []int64{10, 20, 40}) {
		t.Fatalf("bounds %v", bounds)
	}
	var h, sum Histogram
	for _, value := range []int64{0, 10, 11, 40, 41, 1000} {
		h.Observe(bounds, value)
	}
	sum.Add(&h)
	sum.Add(&h)
	if want := []uint64{4, 2, 2, 4}; !slices.Equal(sum.Counts[:4], want) || sum.Sum != 2*1102 || sum.Total() != 12 {
		t.Errorf("counts %v, sum %d, total %d", sum.Counts, sum.Sum, sum.Total())
	}
}

// TestHistogramSumStays: sums never go down.
func TestHistogramSumStays(t *testing.T) {
	bounds := Doubling(10, 3)
	var h, sum Histogram
	for range 3 {
		h.Observe(bounds, math.MaxInt64/2)
		sum.Add(&h)
	}
	if h.Sum != math.MaxInt64 || sum.Sum != math.MaxInt64 {
		t.Errorf("sums %d and %d, want the largest number", h.Sum, sum.Sum)
	}
}

// TestLimiter: one line in a while, with the number of those between.
func TestLimiter(t *testing.T) {
	var l Limiter
	now := time.Unix(1, 0)
	for i, want := range []struct {
		after   time.Duration
		omitted int
		ok      bool
	}{
		{0, 0, true},
		{time.Second, 0, false},
		{9 * time.Second, 0, false},
		{10 * time.Second, 2, true},
		{11 * time.Second, 0, false},
		{20 * time.Second, 1, true},
	} {
		if omitted, ok := l.Allow(now.Add(want.after), 10*time.Second); omitted != want.omitted || ok != want.ok {
			t.Errorf("line %d: %d omitted, allowed %v", i, omitted, ok)
		}
	}
}
