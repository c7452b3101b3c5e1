package resolver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/resolver/datagram"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// passage is the way of a flight through the upstreams of one forwarder. It is a state machine, whose steps run in the
// goroutine that has what they wait for: depart in that of the first client's reader, attempted in the one that receives
// replies, or in one that tells of a query without reply. None of them waits: what takes longer than a query over UDP
// goes through block, which has a goroutine for it.
//
//	depart -> step -> ask -> attempted -> arrive -> land
//	           ^                 |           |
//	           +-----------------+           +-> depart, through the next forwarder (option next)
type passage struct {
	forwarder *forwarder
	place     *askedPlace
	until     time.Time // for all attempts
	tcp       bool
	order     []*upstream
	few       [2]*upstream // room for order
	most      int          // attempts
	turn      int          // in the order
	paused    int          // the turn before which it has paused
	down      int          // upstreams of this round that are down
	tries     int
	last      *message // the best answer so far
	why       error    // of the last attempt that failed, which was of failed
	failed    *upstream

	now time.Time // where the first attempt begins at once; zero from then on

	// The attempt under way.
	to    *upstream
	began time.Time
	edns  bool
	told  *exchange // nil where nobody is told
}

// lane is what a step needs to know of the goroutine that it runs in.
type lane struct {
	out   *datagram.Outbox // where queries are left to leave from; nil to send them at once
	cycle *datagram.Cycle  // of what has been received; nil elsewhere
}

// free reports whether the goroutine may wait, as for a log that takes no more lines.
func (l lane) free() bool { return l == lane{} }

// depart begins to ask the upstreams of f, where the flight has place p.
func (u *flight) depart(f *forwarder, p *askedPlace, l lane) {
	u.passage = passage{forwarder: f, place: p, until: p.since.Add(forwardTimeout), tcp: u.query.tcp}
	if f.options.PreferUDP || f.options.ForceTCP {
		u.passage.tcp = f.options.ForceTCP
	}
	select {
	case <-f.ready:
		u.passage.now = p.since
		u.choose(l)
	default:
		u.block(func(ctx context.Context) {
			f.await(ctx, u.query.name)
			u.choose(lane{})
		})
	}
}

// choose finds out who may be asked, and asks the first of them.
func (u *flight) choose(l lane) {
	p := &u.passage
	all := p.forwarder.upstreams()
	p.order = p.forwarder.order(all, p.few[:0])
	switch {
	case len(all) == 0:
		u.arrive(momentary(wire.ServerFailure, wire.NoReachableAuthority, edeNoAddress), l)
	case len(p.order) == 0:
		u.arrive(unanswered(wire.ServerFailure, wire.Other, edeForwardLoop), l)
	default:
		p.most = cmp.Or(p.forwarder.options.MaxAttempts, attemptsEach*len(p.order))
		u.step(l)
	}
}

// step asks the next upstream. It skips those that are down. If all are, it assumes that the health checks are wrong and
// tries one at random.
func (u *flight) step(l lane) {
	p := &u.passage
	f := p.forwarder
	for (p.tries < p.most || p.most == NoAttemptLimit) && (!p.now.IsZero() || !u.over()) {
		if p.turn%len(p.order) == 0 {
			if p.turn > 0 && p.most == NoAttemptLimit && p.paused != p.turn {
				p.paused = p.turn
				u.block(func(ctx context.Context) {
					observe.Pause(ctx, roundPause)
					u.step(lane{})
				})
				return
			}
			p.down = 0
		}
		to := p.order[p.turn%len(p.order)]
		p.turn++
		if to.down(f.options.MaxFails) {
			if p.down++; p.down < len(p.order) {
				continue
			}
			f.allDown.Add(1)
			if f.options.FailFast {
				u.arrive(f.unhealthy(p.last), l)
				return
			}
			to = p.order[rand.IntN(len(p.order))]
		}
		p.tries++
		p.place.asked = to.address
		u.ask(to, l)
		return
	}
	u.arrive(u.exhausted(), l)
}

// exhausted is the message when there are no more attempts.
func (u *flight) exhausted() *message {
	p := &u.passage
	switch {
	case p.last != nil:
		return p.last
	case u.through[0].ctx.Err() != nil || p.failed == nil:
		return interrupted()
	}
	info, text := p.failed.reason(p.why)
	text = fmt.Sprintf("upstream %s (%d upstreams, %d attempts)", text, len(p.order), p.tries)
	return unanswered(wire.ServerFailure, info, text)
}

// ask asks an upstream: over UDP, TCP and TLS by the engines, and else in a goroutine.
func (u *flight) ask(to *upstream, l lane) {
	p := &u.passage
	if p.to, p.began = to, p.now; p.began.IsZero() {
		p.began = time.Now()
	}
	p.now = time.Time{}
	if to.transport != OverDNS || p.tcp {
		u.stay()
	}
	outcome := datagram.Unable
	if to.transport == OverDNS && !p.tcp {
		outcome = u.send(l)
	} else if u.pipes() {
		outcome = u.pipe(l)
	}
	switch outcome {
	case datagram.Waits:
		return
	case datagram.Cancelled:
		u.attempted(nil, u.ended(), l)
		return
	}
	u.block(func(ctx context.Context) {
		q := u.query
		q.tcp = p.tcp
		m, err := to.ask(ctx, q, p.tcp, u.terms())
		u.attempted(m, err, lane{})
	})
}

// send has the engine ask over UDP. An upstream that has sent no OPT lately may drop queries that have one. After half of
// the time it is asked without, and then either reply will do.
func (u *flight) send(l lane) datagram.Outcome {
	p := &u.passage
	to, now := p.to, p.began
	p.edns = to.edns.wanted(now)
	asked := datagram.Asked{Now: now, Out: l.out, End: min(to.readTimeout, p.until.Sub(now))}
	if p.edns && !to.edns.sure(now) && to.readTimeout/2 < asked.End {
		asked.Half = to.readTimeout / 2
	}
	u.packet = u.query.pack(slices.Grow(u.packet[:0], u.query.size()), 0, p.edns)
	asked.Packet = u.packet
	if u.observer != nil {
		asked.Sent = func(local netip.AddrPort) {
			told := u.observer.exchange(to, net.UDPAddrFromAddrPort(local), UDP)
			told.sent(u.packet)
			p.told = &told
		}
	}
	outcome, reused := p.forwarder.engine.Ask(&u.asking, u, &to.peer, asked)
	if outcome == datagram.Waits {
		to.counts.dialled(viaUDP, reused)
	}
	return outcome
}

// Again packs the query without EDNS.
func (u *flight) Again(id uint16) []byte {
	packet := u.query.pack(make([]byte, 0, u.query.size()), id, false)
	u.passage.told.sent(packet)
	return packet
}

// Reply goes on with the reply to the query that send has sent, or to what Again has packed.
func (u *flight) Reply(reply []byte, second bool, c *datagram.Cycle) {
	defer u.survive()
	p := &u.passage
	p.told.received(reply)
	if second {
		p.to.edns.doubt(time.Now())
	}
	var m *message
	hasOPT, err := false, error(errOversized)
	if len(reply) <= u.query.offered(p.edns && !second) {
		m, hasOPT, err = read(reply)
	}
	if err != nil || m.flags&wire.FlagTC != 0 && !u.query.cutSuffices || p.edns && m.rejectsEDNS(hasOPT) {
		u.detour(m, hasOPT, err)
		return
	}
	u.attempted(p.to.settled(m, p.edns && hasOPT, p.began), nil, lane{cycle: c})
}

// Fail goes on without a reply.
func (u *flight) Fail(err error) {
	defer u.survive()
	if errors.Is(err, errSpoofed) {
		u.detour(nil, false, err)
		return
	}
	u.attempted(nil, fmt.Errorf("%s: %w", u.passage.to.address, err), lane{})
}

// detour goes on where UDP has not given a usable reply: it asks over TCP, or without EDNS.
func (u *flight) detour(m *message, hasOPT bool, err error) {
	p := &u.passage
	u.block(func(ctx context.Context) {
		m, hasOPT, err := p.to.beyondUDP(ctx, u.query, p.edns, m, hasOPT, err, u.terms())
		m, err = p.to.settle(ctx, u.query, false, p.edns, p.began, m, hasOPT, err, u.terms())
		u.attempted(m, err, lane{})
	})
}

// attempted goes on when an upstream has answered with m, or has failed to.
func (u *flight) attempted(m *message, err error, l lane) {
	p := &u.passage
	f, q := p.forwarder, &u.query
	u.observer.attempted(p.to.address, p.began)
	if lost, ok := u.ended().(overtaken); ok {
		f.learn(q, p.place, nil)
		own := *lost.message // another question may have lost its place for the same reason
		u.arrive(&own, l)
		return
	}
	if errors.Is(err, errNoRoom) {
		u.arrive(momentary(wire.ServerFailure, wire.Other, edeManyOctets), l)
		return
	}
	if err != nil {
		p.why, p.failed = err, p.to
		f.report(p.to, err)
		if errors.Is(err, os.ErrDeadlineExceeded) && p.tries >= len(p.order) && f.learn(q, p.place, nil) {
			u.arrive(u.exhausted(), l) // the second attempt of all that ask for a silent domain helps nobody
			return
		}
		u.step(l)
		return
	}
	f.learn(q, p.place, m)
	if p.last = m; p.tries >= len(p.order) || !slices.Contains(f.options.Failover, uint16(m.rcode)) {
		u.arrive(m, l)
		return
	}
	u.step(l)
}

// arrive goes on with the message of a forwarder: to the next one for as long as option next or next_on_nodata hands the
// question on, and then home. The next forwarder has a place for it too.
func (u *flight) arrive(m *message, l lane) {
	u.leave()
	for u.at+1 < len(u.through) && u.ended() == nil && u.through[u.at].passesOn(m) {
		u.at++
		f := u.through[u.at]
		p := &askedPlace{client: u.place.client, end: u.end}
		f.mu.Lock()
		failed := f.enter(&u.query, p)
		f.mu.Unlock()
		if failed == nil {
			u.depart(f, p, l)
			return
		}
		m = failed
	}
	if m.packet == nil && !l.free() { // it may be logged
		go u.land(m, lane{})
		return
	}
	u.land(m, l)
}

// leave gives the place at a forwarder behind the first one back.
func (u *flight) leave() {
	p := u.passage.place
	if p == nil || p == u.place {
		return
	}
	u.place.asked = cmp.Or(p.asked, u.place.asked)
	f := u.passage.forwarder
	f.mu.Lock()
	f.places.leave(p)
	f.mu.Unlock()
	u.passage.place = nil
}

// terms are those of the attempts.
func (u *flight) terms() terms {
	f, p := u.passage.forwarder, u.passage.place
	return terms{grow: func(octets int) bool { return f.grow(p, octets) }, observer: u.observer}
}

// block runs what may wait in a goroutine. ctx ends with the flight, or when there is no time left.
func (u *flight) block(do func(ctx context.Context)) {
	u.stay()
	ctx, stop := context.WithCancelCause(u.through[0].ctx)
	ctx, cancel := context.WithDeadline(ctx, u.passage.until)
	u.mu.Lock()
	u.stop = stop
	if u.cause != nil {
		stop(u.cause)
	}
	u.mu.Unlock()
	go func() {
		defer stop(nil)
		defer cancel()
		defer u.survive()
		do(ctx)
	}()
}

// cancel ends the flight. The caller may hold the mutex of a forwarder.
func (u *flight) cancel(cause error) {
	u.mu.Lock()
	if u.cause == nil {
		u.cause = cause
	}
	if u.stop != nil {
		u.stop(cause)
	}
	u.mu.Unlock()
	if u.takeBack() {
		go func() {
			defer u.survive()
			u.attempted(nil, cause, lane{})
		}()
	}
}

// takeBack takes back what the engines have been asked, and reports whether that was anything.
func (u *flight) takeBack() bool {
	f := u.through[0]
	sent, piped := f.engine.Cancel(&u.asking), f.streams.Cancel(&u.piping)
	return sent || piped
}

// ended is why the flight is to end, nil as long as it is not.
func (u *flight) ended() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.cause
}

// over reports whether there is no time for another attempt.
func (u *flight) over() bool { return u.ended() != nil || !time.Now().Before(u.passage.until) }

// survive is deferred where steps begin: a panic costs this question, not the process.
func (u *flight) survive() {
	if cause := recover(); cause != nil {
		m := u.through[0].recovered(cause)
		u.takeBack()
		u.leave()
		u.land(m, lane{})
	}
}
