package resolver

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/resolver/datagram"
	"github.com/clusterdns/clusterdns/resolver/stream"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// forward has upstream asked: the question is pending, and Wait goes on with ask.
func (b *block) forward(_ *Request, q *question) result {
	if len(q.forwarders()) == 0 {
		return result{}
	}
	return result{outcome: pending}
}

// ask has w wait for what upstream says to q, and gives the result at once where nobody is to be asked.
func (b *block) ask(r *Request, q *question, w *Wait) result {
	if q.treated.late {
		return b.erratic.wait(r, w)
	}
	w.keep(r)
	left, limited := r.left()
	if limited && left <= 0 {
		w.end(cancelled)
		return b.resume(r, q, w)
	}
	forwarders := q.forwarders()
	hit, failed := forwarders[0].join(b.query(r, q), forwarders, b.cacheOf(q), r, r.observer(), w)
	switch {
	case hit != nil:
		return b.cache.result(r, hit, fresh)
	case failed != nil:
		w.end(failed)
		return b.resume(r, q, w)
	}
	stale := time.Duration(0) // how long a stale answer is held back
	if b.cache != nil && r.fallback != nil {
		stale = b.cache.options.StaleTimeout
	}
	switch {
	case stale > 0 && (!limited || stale < left):
		w.endAfter(stale, tooLate)
	case limited:
		w.endAfter(left, cancelled)
	}
	return result{outcome: pending}
}

// query is the query that asks q for r.
func (b *block) query(r *Request, q *question) query {
	query := newQuery(r, q)
	query.payload = b.payload()
	query.cutSuffices = r.Proto.Datagram() && b.cacheOf(q) == nil
	return query
}

// resume is the result of q after w has ended.
func (b *block) resume(r *Request, q *question, w *Wait) result {
	defer w.leave()
	m := w.message
	if r.trace != nil && w.flight != nil && w.flight.observer != nil {
		r.trace.connects(w.flight.observer.attempts)
	}
	if q.treated.late && m != cancelled {
		q.treated.late = false
		return b.erratic.write(r, q)
	}
	if r.noted.by != nil && !m.received.IsZero() && w.flight.place.asked.IsValid() { // the flight has landed
		r.noted.upstream = w.flight.place.asked.String()
	}
	if old := r.fallback; old != nil && !b.cache.supersedes(m, old, r.Now) {
		if m == tooLate || m == cancelled {
			b.cache.rest(old, r.Now)
		}
		return b.cache.result(r, old, stale)
	}
	if m == cancelled {
		r.limit.cancelled.Add(1)
	}
	if m.outcome == wire.Failed && m.packet == nil {
		b.logFailure(q, m.rcode, m.text+cause(m.text))
	}
	return m.result(FromForward, b.store(r, q, w.flight, m))
}

// flight is one question that an upstream is being asked, with all queries that wait for the answer. Equal questions
// share a flight, which also denies an attacker the gain from many outstanding queries (RFC 5452 section 5). The answer
// is in the cache before an equal question can start another flight.
type flight struct {
	refs     atomic.Int32 // who may still read it: what makes it land, what began it, and all that wait
	key      flightKey
	query    query
	through  []*forwarder
	place    *askedPlace // in the first of them
	observer *observer   // of those who are told of it; nil for nobody
	cache    *cache      // has the answer when the flight has landed; nil for none
	policy   cachePolicy // of the answer
	first    *Wait       // of those that wait, guarded by the mutex of the first forwarder
	last     *Wait
	landed   bool     // guarded likewise
	message  *message // set before any of them is woken

	at      int // of passage, in through
	passage passage
	asking  datagram.Query // of passage, over UDP
	packet  []byte         // of asking
	piping  stream.Query   // of passage, over TCP or TLS

	own askedPlace        // what place leads to
	end func(cause error) // cancel

	mu    sync.Mutex
	cause error                   // why the flight is to end
	stop  context.CancelCauseFunc // ends what runs in block
}

// flightKey tells flights apart. The transport of the first client makes no difference: an answer truncated over UDP is
// fetched again over TCP.
type flightKey struct {
	query
	second *forwarder // the forwarder that option next may hand the question to; nil without one
}

// join has w wait for the flight of q through forwarders, of which f is the first: the one under way, or a new one,
// whose answer c caches for the question of r. If an equal flight has just landed, join returns its cached answer
// instead, as hit, and if there is to be no flight, the message that says why. c and r are nil if nothing is to be
// cached.
func (f *forwarder) join(
	q query, forwarders []*forwarder, c *cache, r *Request, o *observer, w *Wait,
) (hit *entry, failed *message) {
	key := flightKey{query: q}
	key.tcp = false
	if len(forwarders) > 1 && f.mayPassOn() {
		key.second = forwarders[1]
	}
	under := newFlight()
	under.key, under.query, under.through, under.observer, under.cache = key, q, forwarders, o, c
	l := lane{}
	if r != nil {
		l.out = r.Out
	}
	hit, failed, begun := f.board(under, r, w)
	if begun {
		under.fly(l)
	} else {
		under.release() // it will not land
	}
	under.release()
	return hit, failed
}

// flights are those that nobody reads any more. A miss would else leave most of a kilobyte to the garbage collector, whose
// work goes with what is allocated.
var flights = sync.Pool{New: func() any { return new(flight) }}

// newFlight is an empty flight, which its caller must release: once, and once more if it will not land.
func newFlight() *flight {
	u := flights.Get().(*flight)
	u.refs.Store(2)
	u.place = &u.own
	if u.end == nil {
		u.end = u.cancel
	}
	return u
}

// release says that one of those who read the flight does so no more. A panic on the way leaves the flight to the garbage
// collector, and so does a client that does not wait for its answer.
func (u *flight) release() {
	if u.refs.Add(-1) == 0 {
		*u = flight{end: u.end, packet: u.packet[:0]}
		flights.Put(u)
	}
}

// board has w wait for the flight that asks what new asks. begun says that it is new itself.
func (f *forwarder) board(new *flight, r *Request, w *Wait) (hit *entry, failed *message, begun bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if under := f.flights[new.key]; under != nil {
		f.coalesced.Add(1)
		under.add(w)
		return nil, nil, false
	}
	client := netip.Addr{}
	if r != nil {
		client = Host(r.Client.Addr())
	}
	if c := new.cache; c != nil {
		hit = c.look(r, &r.question)
		if hit != nil && (r.fallback == nil || hit.kind != upstreamFailure) {
			return hit, nil, false
		}
		new.policy = r.question.scope.caching
	}
	if f.stopped {
		return nil, interrupted(), false
	}
	new.own.client, new.own.end = client, new.end
	if failed = f.enter(&new.query, new.place); failed != nil {
		return nil, failed, false
	}
	new.add(w)
	f.flights[new.key] = new
	f.wg.Add(1)
	return nil, nil, true
}

// add has w wait for the flight, behind those that wait already.
func (u *flight) add(w *Wait) {
	w.flight = u
	u.refs.Add(1)
	if u.last == nil {
		u.first = w
	} else {
		u.last.next = w
	}
	u.last = w
}

// stay leaves the flight to the garbage collector: a connection may know of it for longer than it takes. Of the engine
// over UDP it is known that it does not.
func (u *flight) stay() { u.refs.Add(1) }

// fly asks, without waiting. When there is an answer, land is called.
func (u *flight) fly(l lane) {
	defer u.survive()
	u.depart(u.through[0], u.place, l)
}

// land caches the answer and wakes all that wait for it. It comes last: the flight may be another one's afterwards.
func (u *flight) land(m *message, l lane) {
	m.received = time.Now()
	u.keep(m)
	f := u.through[0]
	f.mu.Lock()
	if u.landed {
		f.mu.Unlock()
		return
	}
	u.landed, u.message = true, m
	delete(f.flights, u.key)
	f.places.leave(u.place)
	w := u.first
	u.first, u.last = nil, nil
	f.mu.Unlock()
	defer f.wg.Done()
	for w != nil {
		next := w.next
		w.next = nil
		if w.end(m) {
			u.wake(w, l)
		}
		w = next
	}
	u.release()
}

// wake wakes w. A panic costs w, not the others that wait.
func (u *flight) wake(w *Wait, l lane) {
	f := u.through[0]
	defer f.panics.Survive(f.log, "forward")
	w.waker.Wake(l.cycle)
}

// keep caches m, the answer. A panic costs the entry, not those that wait.
func (u *flight) keep(m *message) {
	f := u.through[0]
	defer f.panics.Survive(f.log, "cache")
	if u.cache == nil {
		return
	}
	kept := m
	if kept.stuck { // its client asks again over TCP, and upstream need not be
		kept = unanswered(wire.ServerFailure, wire.InvalidData, edeCut)
	}
	u.cache.add(u.query, u.policy, kept, m.received)
}

// cacheOf is the cache for the question's name, nil for none.
func (b *block) cacheOf(q *question) *cache {
	if b.cache == nil || !q.scope.caching.enabled {
		return nil
	}
	return b.cache
}

// store caches m, the answer to q, in the block's cache unless its flight has done so, and returns how its TTLs change.
func (b *block) store(r *Request, q *question, f *flight, m *message) aging {
	policy := q.scope.caching
	if b.cache == nil || !policy.enabled {
		return unchangedTTLs
	}
	if f == nil || f.cache != b.cache {
		b.cache.add(b.query(r, q), policy, m, r.Now)
	}
	return b.cache.agingOf(q.recurse, policy, m)
}

// refetch asks the forwarders that take q's name, when the cache refreshes an entry.
func refetch(ctx context.Context, forwarders []*forwarder, q query, o *observer) *message {
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
	woken := make(signal)
	w := &Wait{waker: woken}
	if _, failed := takers[0].join(q, takers, nil, nil, o, w); failed != nil {
		return failed
	}
	woken.await(ctx, w)
	return w.message
}

// errStopped is the error of work that the end of the process, or of ctx, cut short.
var errStopped = errors.New(edeShutdown)

// interrupted is the message that stands in for an answer nobody waited for.
func interrupted() *message {
	return momentary(wire.ServerFailure, wire.Other, errStopped.Error())
}
