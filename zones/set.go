package zones

import (
	"fmt"
	"slices"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// Set is a set of zones that finds the longest zone of a name. It never changes, so any number of goroutines may read
// it; the zero Set is empty.
type Set struct {
	depths []int          // the label counts of its zones except 0, largest first
	index  map[string]int // by name in wire form
	root   int            // the index of the root zone plus 1; 0 without a root zone
}

// NewSet makes a set of the zones called names, such as "cluster.local.". It returns an error if a name is invalid.
func NewSet(names []string) (Set, error) {
	s := Set{index: make(map[string]int, len(names))}
	for i, name := range names {
		zone, err := wire.ParseName(name)
		if err != nil {
			return s, fmt.Errorf("zone %q: %w", name, err)
		}
		s.index[string(zone)] = i
		switch n := wire.Labels(zone); {
		case n == 0:
			s.root = i + 1
		case !slices.Contains(s.depths, n):
			s.depths = append(s.depths, n)
		}
	}
	slices.SortFunc(s.depths, func(a, b int) int { return b - a })
	return s, nil
}

// Match finds the longest zone that name is at or below: its index in the names that the set was made of, and its
// number of labels. If a zone occurs twice, the last one counts.
func (s *Set) Match(name *wire.QName) (index, labels int, ok bool) {
	for _, depth := range s.depths {
		if depth > name.Labels() {
			continue
		}
		if index, ok = s.index[string(name.Suffix(name.Labels()-depth))]; ok {
			return index, depth, true
		}
	}
	return s.root - 1, 0, s.root > 0
}

// Contains reports whether name is at or below a zone of the set.
func (s *Set) Contains(name *wire.QName) bool {
	_, _, ok := s.Match(name)
	return ok
}
