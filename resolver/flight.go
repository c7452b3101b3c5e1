package resolver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// forward asks upstream. If the query may not block yet, it becomes pending, and Resume calls forward again.
func (b *block) forward(ctx context.Context, r *Request, q *question) result {
	forwarders := q.forwarders()
	switch {
	case len(forwarders) == 0:
		return r.refuse(wire.NotAuthoritative, edeNoForward)
	case !r.mayBlock:
		return result{outcome: pending}
	case !forwarders[0].admit():
		return rejection().result(FromForward, unchangedTTLs)
	}
	defer forwarders[0].leave()
	query := newQuery(r, q)
	query.payload = b.payload()
	f, hit := forwarders[0].join(query, forwarders, b.cacheOf(q), r)
	if hit != nil {
		return b.cache.result(r, hit, fresh)
	}
	m := f.wait(ctx)
	if old := r.fallback; old != nil && !m.refreshes() {
		return b.cache.result(r, old, stale)
	}
	if m.outcome == wire.Failed && m.packet == nil && b.options.Errors != nil {
		name := wire.NameString(q.name.Name())
		b.options.Errors.Error(fmt.Sprintf("%d %s %s: %s", m.rcode, name, dns.Type(q.qtype), m.text+cause(m.text)))
	}
	return m.result(FromForward, b.store(f, query, q.scope.caching, m, r.Now))
}

// flight is one question that an upstream is being asked, with all queries that wait for the answer. Equal questions
// share a flight, which also denies an attacker the gain from many outstanding queries (RFC 5452 section 5). The answer
// is in the cache before an equal question can start another flight.
type flight struct {
	done    chan struct{}
	message *message // set before done is closed
	cache   *cache   // has the answer by then; nil for none
}

// flightKey tells flights apart. The transport of the first client makes no difference: an answer truncated over UDP is
// fetched again over TCP.
type flightKey struct {
	query
	second *forwarder // the forwarder that option next may hand the question to; nil without one
}

// join returns the flight of q through forwarders, of which f is the first: the one under way, or a new one, whose
// answer c caches for the question of r. If an equal flight has just ended, join returns its cached answer instead, as
// hit. c and r are nil if nothing is to be cached.
func (f *forwarder) join(q query, forwarders []*forwarder, c *cache, r *Request) (under *flight, hit *entry) {
	key := flightKey{query: q}
	key.tcp = false
	if len(forwarders) > 1 && len(f.options.Next) > 0 {
		key.second = forwarders[1]
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if under = f.flights[key]; under != nil {
		f.coalesced.Add(1)
		return under, nil
	}
	policy := cachePolicy{}
	if c != nil {
		hit = c.look(r, &r.question)
		if hit != nil && (r.fallback == nil || hit.kind != upstreamFailure) {
			return nil, hit
		}
		policy = r.question.scope.caching
	}
	under = &flight{done: make(chan struct{}), cache: c}
	if f.stopped {
		under.message = interrupted()
		close(under.done)
		return under, nil
	}
	f.flights[key] = under
	f.wg.Go(func() {
		under.message = exchange(f.ctx, forwarders, q)
		under.message.received = time.Now()
		if c != nil {
			c.add(q, policy, under.message, under.message.received)
		}
		f.mu.Lock()
		delete(f.flights, key)
		f.mu.Unlock()
		close(under.done)
	})
	return under, nil
}

// wait returns the answer, or a substitute if ctx ends first.
func (f *flight) wait(ctx context.Context) *message {
	select {
	case <-f.done:
		return f.message
	case <-ctx.Done():
		return interrupted()
	}
}

// cacheOf is the cache for the question's name, nil for none.
func (b *block) cacheOf(q *question) *cache {
	if b.cache == nil || !q.scope.caching.enabled {
		return nil
	}
	return b.cache
}

// store caches m, the answer to q, in the block's cache unless its flight has done so, and returns how its TTLs change.
func (b *block) store(f *flight, q query, policy cachePolicy, m *message, now time.Time) aging {
	if b.cache == nil || !policy.enabled {
		return unchangedTTLs
	}
	if f.cache != b.cache {
		b.cache.add(q, policy, m, now)
	}
	return b.cache.agingOf(q, policy, m)
}

// exchange asks the first forwarder, and the next ones for as long as option next hands the question on because of the
// rcode.
func exchange(ctx context.Context, forwarders []*forwarder, q query) *message {
	m := forwarders[0].exchange(ctx, q)
	for i, f := range forwarders[1:] {
		if !forwarders[i].passesOn(m) {
			break
		}
		if !f.admit() {
			return rejection()
		}
		m = f.exchange(ctx, q)
		f.leave()
	}
	return m
}

// refetch asks the forwarders that take q's name, when the cache refreshes an entry.
func refetch(ctx context.Context, forwarders []*forwarder, q query) *message {
	var name wire.QName
	name.SetString(q.name)
	var takers []*forwarder
	for _, f := range forwarders {
		if f.takes(&name) {
			takers = append(takers, f)
		}
	}
	if len(takers) == 0 {
		return interrupted()
	}
	f, _ := takers[0].join(q, takers, nil, nil)
	return f.wait(ctx)
}

// errStopped is the error of work that the end of the process, or of ctx, cut short.
var errStopped = errors.New(edeShutdown)

// interrupted is the message that stands in for an answer nobody waited for.
func interrupted() *message {
	m := unanswered(wire.ServerFailure, wire.Other, errStopped.Error())
	m.transient = true
	return m
}
