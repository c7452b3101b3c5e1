package general

import "sync/atomic"

// Place is where a zone is published: one writes, and any number of goroutines read.
type Place struct {
	zone    atomic.Pointer[Zone]
	changed atomic.Pointer[chan struct{}]
}

// NewPlace is a place without a zone.
func NewPlace() *Place {
	p := &Place{}
	changed := make(chan struct{})
	p.changed.Store(&changed)
	return p
}

// Zone is the zone now; nil for none.
func (p *Place) Zone() *Zone { return p.zone.Load() }

// Changed is closed when the zone changes. To miss no change, take it before Zone.
func (p *Place) Changed() <-chan struct{} { return *p.changed.Load() }

// Publish replaces the zone; nil takes it away.
func (p *Place) Publish(z *Zone) {
	p.zone.Store(z)
	next := make(chan struct{})
	close(*p.changed.Swap(&next))
}
