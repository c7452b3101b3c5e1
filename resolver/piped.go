package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/clusterdns/clusterdns/resolver/datagram"
	"github.com/clusterdns/clusterdns/resolver/stream"
)

// piped is a flight, as its question is asked over a connection that others share.
type piped flight

// pipes reports whether the upstream takes the query over a connection that others share.
func (u *flight) pipes() bool {
	p := &u.passage
	over := p.to.transport == OverTLS || p.to.transport == OverDNS && p.tcp
	return over && p.forwarder.streams.Takes(&p.to.streams, p.began)
}

// pipe has the engine ask over TCP or TLS.
func (u *flight) pipe(l lane) datagram.Outcome {
	p := &u.passage
	to, f, place := p.to, p.forwarder, p.place
	p.edns = to.edns.wanted(p.began)
	asked := stream.Asked{
		Packet: u.query.pack(make([]byte, lengthSize, lengthSize+u.query.size()), 0, p.edns),
		Now:    p.began, Wait: to.readTimeout, Until: p.until, Out: l.out,
		Grow: func(octets int) bool { return f.grow(place, octets) },
	}
	if u.observer != nil {
		asked.Sent = func(local netip.AddrPort) {
			told := u.observer.exchange(to, net.TCPAddrFromAddrPort(local), TCP)
			told.sent(asked.Packet[lengthSize:])
			p.told = &told
		}
	}
	return f.streams.Ask(&u.piping, (*piped)(u), &to.streams, asked)
}

// Reply goes on with the reply to the query that pipe has sent.
func (s *piped) Reply(reply []byte, c *datagram.Cycle) {
	u := (*flight)(s)
	defer u.survive()
	p := &u.passage
	p.told.received(reply)
	m, hasOPT, err := read(reply)
	if err == nil && !(p.edns && m.rejectsEDNS(hasOPT)) {
		u.attempted(p.to.settled(m, p.edns && hasOPT, p.began), nil, lane{cycle: c})
		return
	}
	u.block(func(ctx context.Context) { // asked without EDNS, or logged
		m, err := p.to.settle(ctx, u.query, p.tcp, p.edns, p.began, m, hasOPT, err, u.terms())
		u.attempted(m, err, lane{})
	})
}

// Fail goes on without a reply. A query that may have been lost behind others is asked alone, and its answer shows that it
// was.
func (s *piped) Fail(err error) {
	u := (*flight)(s)
	defer u.survive()
	p := &u.passage
	alone := errors.Is(err, stream.ErrAlone)
	if !alone && !errors.Is(err, stream.ErrFull) {
		u.attempted(nil, fmt.Errorf("%s: %w", p.to.address, err), lane{})
		return
	}
	u.block(func(ctx context.Context) {
		m, err := p.to.ask(ctx, u.query, p.tcp, u.terms())
		if alone && err == nil {
			p.forwarder.streams.Alone(&p.to.streams, time.Now())
		}
		u.attempted(m, err, lane{})
	})
}
