package observe

import (
	"math"
	"slices"
)

// MaxBounds is the largest number of bounds of a Histogram.
const MaxBounds = 24

// Histogram counts values by buckets. Its owner keeps the bounds, in ascending order and in the unit of the values:
// many histograms can share one list of bounds. It is a plain value; its owner locks it.
type Histogram struct {
	Counts [MaxBounds + 1]uint64 // values up to each bound; behind the last bound, values above all bounds
	Sum    int64                 // sum of the values, which are not negative; it stays at the largest number
}

// Observe counts value.
func (h *Histogram) Observe(bounds []int64, value int64) { h.ObserveMany(bounds, value, 1) }

// ObserveMany counts value n times.
func (h *Histogram) ObserveMany(bounds []int64, value int64, n uint64) {
	i := 0
	for i < len(bounds) && value > bounds[i] {
		i++
	}
	h.Counts[i] += n
	if n > 0 && uint64(value) > math.MaxInt64/n {
		h.Sum = math.MaxInt64
		return
	}
	h.Sum = saturated(h.Sum, value*int64(n))
}

// Add adds the counts of other, which has the same bounds.
func (h *Histogram) Add(other *Histogram) {
	for i, n := range other.Counts {
		h.Counts[i] += n
	}
	h.Sum = saturated(h.Sum, other.Sum)
}

// saturated is the sum of two numbers that are not negative. A counter that went round would go down.
func saturated(a, b int64) int64 {
	if sum := a + b; sum >= a {
		return sum
	}
	return math.MaxInt64
}

// Total is the number of values.
func (h *Histogram) Total() (n uint64) {
	for _, count := range h.Counts {
		n += count
	}
	return n
}

// Doubling is count bounds: the first one, and each next one twice as large.
func Doubling(first int64, count int) []int64 {
	bounds := slices.Repeat([]int64{first}, count)
	for i := range bounds {
		bounds[i] <<= i
	}
	return bounds
}
