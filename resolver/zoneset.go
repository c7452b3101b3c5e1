package resolver

import (
	"fmt"
	"slices"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// zoneSet maps zones to numbers and finds the longest one that a name is in.
type zoneSet struct {
	depths []int          // label counts that occur, longest first
	values map[string]int // by name in wire form
}

// newZoneSet is the set of names, each with its index as value.
func newZoneSet(names []string) (zoneSet, error) {
	set := zoneSet{values: make(map[string]int, len(names))}
	for i, name := range names {
		zone, err := wire.ParseName(name)
		if err != nil {
			return set, fmt.Errorf("zone %q: %w", name, err)
		}
		set.values[string(zone)] = i
		if n := wire.Labels(zone); !slices.Contains(set.depths, n) {
			set.depths = append(set.depths, n)
		}
	}
	slices.SortFunc(set.depths, func(a, b int) int { return b - a })
	return set, nil
}

// match is the value of the longest zone that name is in, and that zone's labels.
func (s *zoneSet) match(name *wire.QName) (value, labels int, ok bool) {
	for _, depth := range s.depths {
		if depth > name.Labels() {
			continue
		}
		if value, ok = s.values[string(name.Suffix(name.Labels()-depth))]; ok {
			return value, depth, true
		}
	}
	return 0, 0, false
}

// contains reports whether name is in a zone of the set.
func (s *zoneSet) contains(name *wire.QName) bool {
	_, _, ok := s.match(name)
	return ok
}
