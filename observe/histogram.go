package observe

import "slices"

// MaxBounds is the most bounds that the buckets of a Histogram have.
const MaxBounds = 24

// Histogram counts values by buckets. The bounds are kept by its owner, in ascending order and the unit of the values: one list serves many
// histograms. It is a plain value; its owner locks it.
type Histogram struct {
	Counts [MaxBounds + 1]uint64 // up to each bound and above the one before; behind the last bound, what is above all
	Sum    int64                 // of the values
}

// Observe counts value.
func (h *Histogram) Observe(bounds []int64, value int64) {
	i := 0
	for i < len(bounds) && value > bounds[i] {
		i++
	}
	h.Counts[i]++
	h.Sum += value
}

// Add counts all that other has counted, with the same bounds.
func (h *Histogram) Add(other *Histogram) {
	for i, n := range other.Counts {
		h.Counts[i] += n
	}
	h.Sum += other.Sum
}

// Total is how many values were counted.
func (h *Histogram) Total() (n uint64) {
	for _, count := range h.Counts {
		n += count
	}
	return n
}

// Doubling is count bounds, the first one and each next twice as large.
func Doubling(first int64, count int) []int64 {
	bounds := slices.Repeat([]int64{first}, count)
	for i := range bounds {
		bounds[i] <<= i
	}
	return bounds
}
