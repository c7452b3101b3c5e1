package resolver

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// To add a step: its options in options.go, its compiled form in block, its place in newBlock and in steps, its goroutine, if it has one,
// in (*Resolver).Run, and its counters in counts.go.

// block is one compiled server block.
type block struct {
	options     *Block
	bufsize     uint16
	rotate      bool
	recursive   bool   // it forwards: RA is set
	hosts       *hosts // nil for none
	authorities []*authority
	cache       *cache // nil for none
	forwarders  []*forwarder
	loop        *loop // nil without `loop`
	transfers   []transferRule
	notify      []*notifier
}

// steps is what a server block does with a question, in this order whatever the order in the Corefile. Each step answers, passes to
// the next one, or leads to an alias.
func (b *block) steps(ctx context.Context, r *Request, q question) step {
	switch {
	case b == nil:
		return r.refuse(wire.NotAuthoritative, "no server block has a zone for this name")
	case r.Query.Class != wire.ClassIN:
		return r.refuse(wire.Other, "only class IN is served")
	case r.Query.Type == wire.TypeAXFR || r.Query.Type == wire.TypeIXFR:
		return b.transfer(r, q)
	}
	if b.loop != nil && b.loop.caught(&r.Query) {
		return b.loop.answer(r)
	}
	if b.hosts != nil {
		if s := b.hosts.answer(r, q); s != pass {
			return s
		}
	}
	for _, a := range b.authorities {
		if s := a.answer(r, q); s != pass {
			return s
		}
	}
	return b.onward(ctx, r, q)
}

func newBlock(o *Block, previous *Resolver, log *slog.Logger) (*block, error) {
	b := &block{options: o, bufsize: o.Bufsize, rotate: o.Rotate, recursive: len(o.Forwards) > 0}
	var err error
	if o.Hosts != nil {
		if b.hosts, err = newHosts(*o.Hosts, o.Zones, log); err != nil {
			return nil, err
		}
	}
	for _, k := range o.Kubernetes {
		a, err := newAuthority(k)
		if err != nil {
			return nil, fmt.Errorf("kubernetes: %w", err)
		}
		b.authorities = append(b.authorities, a)
	}
	for _, options := range o.Forwards {
		f, err := newForwarder(options, log)
		if err != nil {
			return nil, err
		}
		b.forwarders = append(b.forwarders, f)
	}
	if b.transfers, err = newTransferRules(o.Transfers); err != nil {
		return nil, err
	}
	b.notify = b.notifiers(log)
	if o.Loop {
		if b.loop, err = newLoop(o.Zones[0], b.forwarders, log); err != nil {
			return nil, err
		}
	}
	if o.Cache != nil {
		if b.cache = previous.cacheLike(o); b.cache == nil {
			b.cache, err = newCache(*o.Cache, o.Zones)
		}
	}
	return b, err
}

// cacheLike is the cache of a block with the same zones, cache options and upstreams as o; nil when there is none.
func (r *Resolver) cacheLike(o *Block) *cache {
	if r == nil {
		return nil
	}
	for _, b := range r.blocks {
		if reflect.DeepEqual(b.options.Zones, o.Zones) && reflect.DeepEqual(b.options.Cache, o.Cache) && reflect.DeepEqual(b.options.Forwards, o.Forwards) {
			return b.cache
		}
	}
	return nil
}
