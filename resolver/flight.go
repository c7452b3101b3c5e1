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
	through := q.forwarders()
	switch {
	case len(through) == 0:
		return r.refuse(wire.NotAuthoritative, "no zone here has this name, and the server block does not forward it")
	case !r.mayBlock:
		return result{outcome: pending}
	case !through[0].admit():
		return rejection().result(FromForward, asItCame)
	}
	defer through[0].leave()
	query := newQuery(r, q)
	f, kept := through[0].join(query, through, b.cacheOf(q), r)
	if kept != nil {
		return b.cache.result(r, kept, fresh)
	}
	m := f.wait(ctx)
	if old := r.stale; old != nil && m.outcome == wire.Failed {
		return b.cache.result(r, old, stale)
	}
	if m.outcome == wire.Failed && m.packet == nil && b.options.Errors != nil {
		b.options.Errors.Error(fmt.Sprintf("%d %s %s: %s", m.rcode, wire.NameString(q.name.Name()), dns.Type(q.qtype), m.text))
	}
	return m.result(FromForward, b.keep(f, query, q.scope.cached, m, r.Now))
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
func (f *forwarder) join(q query, through []*forwarder, c *cache, r *Request) (under *flight, kept *entry) {
	key := flightKey{query: q}
	key.tcp = false
	if len(through) > 1 && len(f.options.Next) > 0 {
		key.second = through[1]
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if under = f.flights[key]; under != nil {
		f.coalesced.Add(1)
		return under, nil
	}
	keep := cached{}
	if c != nil {
		if kept = c.look(r, &r.question); kept != nil && r.stale == nil {
			return nil, kept
		}
		keep = r.question.scope.cached
	}
	under = &flight{done: make(chan struct{}), cache: c}
	if f.stopped {
		under.message = interrupted()
		close(under.done)
		return under, nil
	}
	f.flights[key] = under
	f.wg.Go(func() {
		under.message = exchange(f.ctx, through, q)
		under.message.received = time.Now()
		if c != nil {
			c.add(q, keep, under.message, under.message.received)
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
	if b.cache == nil || !q.scope.cached.here {
		return nil
	}
	return b.cache
}

// keep puts m, the answer to q, into the block's cache, unless its flight has, and says how TTLs are shown.
func (b *block) keep(f *flight, q query, keep cached, m *message, now time.Time) aging {
	if b.cache == nil || !keep.here {
		return asItCame
	}
	if f.cache != b.cache {
		b.cache.add(q, keep, m, now)
	}
	return b.cache.shown(q, keep, m)
}

// exchange asks one `forward` after the other while their option next passes on what upstream said.
func exchange(ctx context.Context, through []*forwarder, q query) *message {
	m := through[0].exchange(ctx, q)
	for i, f := range through[1:] {
		if !through[i].passes(m) {
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
	var through []*forwarder
	for _, f := range forwarders {
		if f.takes(&name) {
			through = append(through, f)
		}
	}
	if len(through) == 0 {
		return interrupted()
	}
	f, _ := through[0].join(q, through, nil, nil)
	return f.wait(ctx)
}

// errStopped is why what was under way has no answer.
var errStopped = errors.New("shutting down")

// interrupted stands for an answer that was not waited for.
func interrupted() *message {
	m := unanswered(wire.ServerFailure, wire.Other, errStopped.Error())
	m.transient = true
	return m
}
