package resolver

import (
	"context"
	"fmt"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// onward answers q from the cache, and what is not there from upstream. Nothing of our own zones passes through the cache: it stands
// behind authority (RFC 1035 section 6.1.2). When blocking is allowed, Answer has asked the cache already.
func (b *block) onward(ctx context.Context, r *Request, q question) step {
	first := b.forwarder(q.name, 0)
	if first == len(b.forwarders) {
		return r.refuse(wire.NotAuthoritative, "no zone here has this name, and the server block does not forward it")
	}
	var kept *entry
	if b.cache != nil && (!r.mayBlock || b.cache.options.StaleVerify) {
		e, found := b.cache.get(r, q)
		if found == fresh || found == stale {
			return b.fromCache(r, q, e, found)
		}
		kept = e
	}
	if !r.mayBlock {
		return ask
	}
	query := newQuery(r, q)
	m := b.exchange(ctx, query, q.name, first)
	shown := asItCame
	if b.cache != nil {
		shown = b.cache.add(query, m, r.Now)
	}
	if kept != nil && m.outcome == wire.Failed {
		return b.fromCache(r, q, kept, stale)
	}
	if m.outcome == wire.Failed && m.packet == nil && b.options.Errors != nil {
		b.options.Errors.Error(fmt.Sprintf("%d %s %s: %s", m.rcode, wire.NameString(q.name.Name()), dns.Type(r.Query.Type), m.text))
	}
	r.Source = FromForward
	m.write(r, q, shown)
	return done
}

func (b *block) fromCache(r *Request, q question, e *entry, found freshness) step {
	r.Source = FromCache
	b.cache.write(r, q, e, found)
	return done
}

// forwarder is the index of the first `forward` from the at-th on that takes name; the number of them when none does.
func (b *block) forwarder(name *wire.QName, at int) int {
	for at < len(b.forwarders) && !b.forwarders[at].takes(name) {
		at++
	}
	return at
}

// exchange asks one `forward` after the other while their option next passes on what upstream said.
func (b *block) exchange(ctx context.Context, query query, name *wire.QName, at int) *message {
	for {
		f := b.forwarders[at]
		m := f.exchange(ctx, query)
		if at = b.forwarder(name, at+1); at == len(b.forwarders) || !f.passes(m) {
			return m
		}
	}
}

// passes reports whether the option next hands m's rcode to the next `forward`.
func (f *forwarder) passes(m *message) bool {
	for _, rcode := range f.options.Next {
		if wire.Rcode(rcode) == m.rcode {
			return true
		}
	}
	return false
}

// fetch is what the cache asks when it refreshes an entry.
func (b *block) fetch(ctx context.Context, query query) *message {
	var name wire.QName
	name.SetString(query.name)
	at := b.forwarder(&name, 0)
	if at == len(b.forwarders) {
		return interrupted()
	}
	return b.exchange(ctx, query, &name, at)
}
