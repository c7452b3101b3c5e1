package resolver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// forward asks upstream. A question that may not wait here is left pending, and goes on here in Resume.
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
	f, hit := forwarders[0].join(query, forwarders, b.cacheOf(q), r)
	if hit != nil {
		return b.cache.result(r, hit, fresh)
	}
	m := f.wait(ctx)
	if old := r.fallback; old != nil && m.outcome == wire.Failed {
		return b.cache.result(r, old, stale)
	}
	if m.outcome == wire.Failed && m.packet == nil && b.options.Errors != nil {
		b.options.Errors.Error(fmt.Sprintf("%d %s %s: %s", m.rcode, wire.NameString(q.name.Name()), dns.Type(q.qtype), m.text))
	}
	return m.result(FromForward, b.store(f, query, q.scope.caching, m, r.Now))
}

// A flight is one question under way, and those who wait for its answer. Equal questions are asked once, which also takes away an attacker's
// gain from many outstanding ones (RFC 5452 section 5). Its answer is in the cache before the next equal question can begin another one.
type flight struct {
	done    chan struct{}
	message *message // set before done is closed
	cache   *cache   // that has the answer by then; nil for none
}

// flightKey tells flights apart. Over which transport the first of equal questions came makes no difference: what is cut over UDP is asked
// for again over TCP.
type flightKey struct {
	query
	second *forwarder // that the option next may hand the question to; nil without
}

// join is the flight of q through forwarders, of which f is the first: the one under way, or a new one, whose answer c keeps for r. When an
// equal flight has just ended, its answer is in c: kept is that entry. c is nil for none, and with it r.
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
		if hit = c.look(r, &r.question); hit != nil && r.fallback == nil {
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

// wait returns the answer, or says that it was not waited for when ctx ends before.
func (f *flight) wait(ctx context.Context) *message {
	select {
	case <-f.done:
		return f.message
	case <-ctx.Done():
		return interrupted()
	}
}

// cacheOf is the cache of the question's name, nil for none.
func (b *block) cacheOf(q *question) *cache {
	if b.cache == nil || !q.scope.caching.enabled {
		return nil
	}
	return b.cache
}

// keep puts m, the answer to q, into the block's cache, unless its flight has, and says how TTLs are shown.
func (b *block) store(f *flight, q query, policy cachePolicy, m *message, now time.Time) aging {
	if b.cache == nil || !policy.enabled {
		return unchangedTTLs
	}
	if f.cache != b.cache {
		b.cache.add(q, policy, m, now)
	}
	return b.cache.agingOf(q, policy, m)
}

// exchange asks one `forward` after the other while their option next passes on what upstream said.
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

// refetch is what the cache asks when it refreshes an entry: those of forwarders that take its name.
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

// errStopped is why what was under way has no answer.
var errStopped = errors.New(edeShutdown)

// interrupted stands for an answer that was not waited for.
func interrupted() *message {
	m := unanswered(wire.ServerFailure, wire.Other, errStopped.Error())
	m.transient = true
	return m
}
