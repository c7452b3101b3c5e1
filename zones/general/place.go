package general

import "sync/atomic"

// Place is where a zone is published: one writes, and any number of goroutines read.
type Place struct {
	zone atomic.Pointer[Zone]
	Changes
}

// NewPlace is a place without a zone.
func NewPlace() *Place { return &Place{Changes: NewChanges()} }

// Zone is the zone now; nil for none.
func (p *Place) Zone() *Zone { return p.zone.Load() }

// Publish replaces the zone; nil takes it away.
func (p *Place) Publish(z *Zone) {
	p.zone.Store(z)
	p.Change()
}

// Changes tells any number of goroutines of the next change. The zero Changes is not ready: use NewChanges.
type Changes struct {
	next *atomic.Pointer[chan struct{}]
}

// NewChanges is a Changes without a change.
func NewChanges() Changes {
	c := Changes{new(atomic.Pointer[chan struct{}])}
	next := make(chan struct{})
	c.next.Store(&next)
	return c
}

// Changed is closed at the next change. To miss none, take it before you look at what changes.
func (c Changes) Changed() <-chan struct{} { return *c.next.Load() }

// Change says that there is a change.
func (c Changes) Change() {
	next := make(chan struct{})
	close(*c.next.Swap(&next))
}
