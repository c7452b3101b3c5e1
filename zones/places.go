package zones

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"time"
)

// Where an endpoint is has a number, so that it takes two octets wherever an address is kept. What a slice says of who
// should reach the endpoint is in the same number: endpoints of one node differ in it seldom.

// Where is where an endpoint is, by its slice, and the hints there: who should reach it.
type Where struct {
	Node, Zone         string // "" for not known
	ForNodes, ForZones []string
}

// Place is a Where as a number of one index; 0 for nothing.
type Place uint16

// sizePlace is the octets of a packed Place.
const sizePlace = 2

// Locality is the name of a node or of a topology zone as a number of one snapshot; 0 for none.
type Locality uint16

const (
	mostPlaces = 1<<16 - 1
	// mostLocalities is how many names of nodes and zones have numbers.
	mostLocalities = 60_000
	// firstSet is where the numbers of sets begin: hints of an endpoint for several nodes or zones.
	firstSet = mostLocalities + 1
	mostSets = 5000
	// elsewhere is a name, or a set of them, for which there is no number: it is that of no client.
	elsewhere Locality = 1<<16 - 1
)

// place is a Where as the index keeps it.
type place struct{ node, zone, forNodes, forZones Locality }

// places is what the numbers of one snapshot mean. It never changes.
type places struct {
	list  []place    // by Place
	names []string   // by Locality
	sets  [][]string // by Locality, from firstSet on
}

// at is what a number means.
func (p *places) at(n Place) place {
	if p == nil || int(n) >= len(p.list) {
		return place{}
	}
	return p.list[n]
}

// name is the name of a node or a zone, "" for none.
func (p *places) name(n Locality) string {
	if p == nil || int(n) >= len(p.names) {
		return ""
	}
	return p.names[n]
}

// includes reports whether hints, a name or a set of them, have the name n, which is not 0.
func (p *places) includes(hints, n Locality) bool {
	if hints < firstSet || hints == elsewhere {
		return hints == n
	}
	return slices.Contains(p.sets[hints-firstSet], p.name(n))
}

// placeAt is the i-th of packed numbers; 0 where there are none.
func placeAt(packed string, i int) Place {
	if packed == "" {
		return 0
	}
	return Place(packed[i*sizePlace])<<8 | Place(packed[i*sizePlace+1])
}

// Places gives numbers. It is bounded, and what a namespace has numbers for leaves as many to the others: where there
// are none left, nothing is known of a place. The zero value is ready, and nil gives no numbers. It is safe for concurrent
// use.
type Places struct {
	mu       sync.Mutex
	places   // of which a snapshot has what is before shown
	shown    [3]int
	view     *places // the last one that a snapshot was given
	byPlace  map[place]Place
	byName   map[string]Locality // sets by their names behind zero octets
	free     [3][]uint16         // numbers that are given again: of places, names, sets
	given    [3]map[string]int   // by namespace
	lately   map[Place]struct{}  // given since the last sweep: an object may hold them that is on its way
	swept    time.Time
	crowdsAt int // places at which it is time for another sweep
}

// Kinds of numbers, as indices of free and given.
const (
	ofPlaces = iota
	ofNames
	ofSets
)

var mostNumbers = [3]int{mostPlaces, mostLocalities, mostSets}

// Number is the number of w, which a slice of the namespace says.
func (p *Places) Number(namespace string, w Where) Place {
	if p == nil || w.Node == "" && w.Zone == "" && len(w.ForNodes)+len(w.ForZones) == 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.init()
	key := place{p.known(namespace, w.Node), p.known(namespace, w.Zone),
		p.hints(namespace, w.ForNodes), p.hints(namespace, w.ForZones)}
	if key == (place{}) {
		return 0
	}
	n, ok := p.byPlace[key]
	if !ok {
		number, ok := p.take(ofPlaces, namespace, len(p.list))
		if !ok {
			return 0
		}
		n = Place(number)
		p.list = put(p.list, number, key, &p.shown[ofPlaces])
		p.byPlace[key] = n
	}
	p.lately[n] = struct{}{}
	return n
}

// init makes the maps. Number 0 of places and of names is that of none.
func (p *Places) init() {
	if p.byPlace != nil {
		return
	}
	p.list, p.names = make([]place, 1), make([]string, 1)
	p.byPlace, p.byName, p.lately = map[place]Place{}, map[string]Locality{}, map[Place]struct{}{}
	for kind := range p.given {
		p.given[kind] = map[string]int{}
	}
	p.crowdsAt = leastCrowd
}

// take is a number that is free, the next one if none was given back. A namespace may have as many as are left to the
// others; "" may have all: it is the cluster itself.
func (p *Places) take(kind int, namespace string, next int) (number int, ok bool) {
	left := mostNumbers[kind] - next + len(p.free[kind])
	if left <= 0 || namespace != "" && p.given[kind][namespace] >= left {
		return 0, false
	}
	p.given[kind][namespace]++
	if free := p.free[kind]; len(free) > 0 {
		p.free[kind] = free[:len(free)-1]
		return int(free[len(free)-1]), true
	}
	return next, true
}

// put is list with v at an index, or behind its end. What snapshots have of it stays as it is: a list is copied before a
// number is given again.
func put[T any](list []T, at int, v T, shown *int) []T {
	if at == len(list) {
		return append(list, v)
	}
	if at < *shown {
		list, *shown = slices.Clone(list), 0
	}
	list[at] = v
	return list
}

// known is the number of the name of a node or a zone; 0 for "", or where there is none left.
func (p *Places) known(namespace, name string) Locality {
	if name == "" {
		return 0
	}
	if n, ok := p.byName[name]; ok {
		return n
	}
	number, ok := p.take(ofNames, namespace, len(p.names))
	if !ok {
		return 0
	}
	name = strings.Clone(name) // it is part of an object
	p.names = put(p.names, number, name, &p.shown[ofNames])
	p.byName[name] = Locality(number)
	return Locality(number)
}

// locality is the number of the name of a node or a zone; 0 for "", or where there is none left.
func (p *Places) locality(name string) Locality {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.init()
	return p.known("", name)
}

// numberOf is the number that the name of a node or a zone has; 0 for none.
func (p *Places) numberOf(name string) Locality {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byName[name]
}

// hints is the number of a name, or of a set of several; 0 for none.
func (p *Places) hints(namespace string, names []string) Locality {
	switch len(names) {
	case 0:
		return 0
	case 1:
		if n := p.known(namespace, names[0]); n != 0 {
			return n
		}
		return elsewhere // it is a hint, if not for a client that is known
	}
	names = slices.Clone(names)
	slices.Sort(names)
	key := "\x00" + strings.Join(names, "\x00")
	if n, ok := p.byName[key]; ok {
		return n
	}
	number, ok := p.take(ofSets, namespace, len(p.sets))
	if !ok {
		return elsewhere
	}
	p.sets = put(p.sets, number, strings.Split(key[1:], "\x00"), &p.shown[ofSets])
	p.byName[key] = Locality(firstSet + number)
	return Locality(firstSet + number)
}

// snapshot is what the numbers mean that have been given so far; nil for none.
func (p *Places) snapshot() *places {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byPlace == nil {
		return nil
	}
	shown := [3]int{len(p.list), len(p.names), len(p.sets)}
	if p.view == nil || p.shown != shown {
		p.view = &places{p.list, p.names, p.sets}
		p.shown = shown
	}
	return p.view
}

const (
	leastCrowd = 1024
	// sweepEvery is longer than an object is on its way from the decoder to the state.
	sweepEvery = 10 * time.Minute
)

// crowded reports whether it is time to look which numbers are in use.
func (p *Places) crowded(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byPlace != nil && len(p.byPlace) >= p.crowdsAt && now.Sub(p.swept) >= sweepEvery
}

// sweep takes back the numbers that nobody has: of places that are not in use, by the namespaces that have them, and of
// names that neither these nor nodes have.
func (p *Places) sweep(now time.Time, used map[Place]string, nodes map[Locality]struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for kind := range p.given {
		p.given[kind] = map[string]int{}
	}
	names := map[Locality]string{0: "", elsewhere: ""} // with the namespaces that have them
	for n := range nodes {
		names[n] = ""
	}
	for key, n := range p.byPlace {
		namespace, ok := used[n]
		if _, late := p.lately[n]; !ok && !late {
			delete(p.byPlace, key)
			p.free[ofPlaces] = append(p.free[ofPlaces], uint16(n))
			continue
		}
		p.given[ofPlaces][namespace]++
		for _, name := range [...]Locality{key.node, key.zone, key.forNodes, key.forZones} {
			if _, ok := names[name]; !ok {
				names[name] = namespace
			}
		}
	}
	for text, n := range p.byName {
		kind, number := ofNames, uint16(n)
		if n >= firstSet {
			kind, number = ofSets, uint16(n-firstSet)
		}
		if namespace, ok := names[n]; ok {
			p.given[kind][namespace]++
			continue
		}
		delete(p.byName, text)
		p.free[kind] = append(p.free[kind], number)
	}
	clear(p.lately)
	p.swept, p.crowdsAt = now, 2*len(p.byPlace)+leastCrowd
}

// appendPlace appends a packed Place.
func appendPlace(to []byte, p Place) []byte { return binary.BigEndian.AppendUint16(to, uint16(p)) }

// All is what each number means, for a file.
func (p *Places) All() []Where {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Where, len(p.list))
	for i, at := range p.list {
		list[i] = Where{p.name(at.node), p.name(at.zone), p.hinted(at.forNodes), p.hinted(at.forZones)}
	}
	return list
}

// hinted are the names of hints.
func (p *places) hinted(hints Locality) []string {
	switch {
	case hints == 0 || hints == elsewhere:
		return nil
	case hints >= firstSet:
		return p.sets[hints-firstSet]
	}
	return []string{p.name(hints)}
}
