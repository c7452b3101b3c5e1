package resolver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/resolver/datagram"
	"github.com/clusterdns/clusterdns/resolver/stream"
	"github.com/clusterdns/clusterdns/zones/wire"
)

const (
	// maxMismatches is how many replies that answer another question are ignored; after that, a query over UDP is asked
	// again over TCP (RFC 5452 section 9.1).
	maxMismatches = datagram.MostMismatches

	// connectTimeout is half of forwardTimeout, so that there is time to try another upstream.
	connectTimeout = 2500 * time.Millisecond
)

// The errors of upstreams that sent no usable reply.
var (
	errMalformed = errors.New("malformed reply")
	errSpoofed   = datagram.ErrSpoofed
	errOversized = errors.New("a UDP reply larger than was offered")
	errNoRoom    = stream.ErrNoRoom
)

// replyBuffer has room for the largest reply that is believed, and one octet more to tell that there is more.
type replyBuffer [MostBufsize + 1]byte

// upstream is one server to forward to.
type upstream struct {
	address     netip.AddrPort
	transport   Transport
	serverName  string      // of the certificate; "" without TLS
	tls         *tls.Config // nil without TLS
	source      netip.Addr  // where queries come from; the zero Addr for any
	readTimeout time.Duration
	dohGET      bool
	web         webTransport
	quic        quicTransport
	peer        datagram.Peer
	streams     stream.Pool
	idle        idleConns
	buffers     sync.Pool // of *replyBuffer
	edns        ednsSupport

	fails    atomic.Uint32 // failed health checks in a row
	checking atomic.Bool   // a health check is under way
	loops    atomic.Int32  // probes that have found that it forwards our queries back to us
	limiter  observe.Limiter
	counts   upstreamCounts
}

// ask asks the upstream, over UDP unless tcp is set. A truncated reply is fetched again over TCP. A server that does
// not take EDNS is asked again without it (RFC 6891 section 7). terms are asked for room for more octets of a reply
// over TCP.
func (u *upstream) ask(ctx context.Context, q query, tcp bool, terms terms) (*message, error) {
	begin := time.Now()
	edns := u.edns.wanted(begin)
	m, hasOPT, err := u.attempt(ctx, q, tcp, edns, terms)
	return u.settle(ctx, q, tcp, edns, begin, m, hasOPT, err, terms)
}

// settle is what ask makes of the first attempt, which began at begin.
func (u *upstream) settle(
	ctx context.Context, q query, tcp, edns bool, begin time.Time, m *message, hasOPT bool, err error, terms terms,
) (*message, error) {
	if err == nil && edns && m.rejectsEDNS(hasOPT) {
		m, err = u.askWithout(ctx, q, tcp, m, terms)
		hasOPT = false
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.address, err)
	}
	return u.settled(m, edns && hasOPT, begin), nil
}

// settled counts m, the answer to a question that was asked at begin. confirmed says that it has proved EDNS.
func (u *upstream) settled(m *message, confirmed bool, begin time.Time) *message {
	now := time.Now()
	if confirmed {
		u.edns.confirm(now)
	}
	u.counts.observe(m.rcode, now.Sub(begin))
	return m
}

// askWithout asks without EDNS what was answered with, by a message that may be about EDNS. It learns from a better
// answer; without one, the first stands.
func (u *upstream) askWithout(
	ctx context.Context, q query, tcp bool, with *message, terms terms,
) (*message, error) {
	m, _, err := u.attempt(ctx, q, tcp, false, terms)
	switch {
	case err != nil:
		return with, nil
	case m.rcode == with.rcode:
	case with.rcode == wire.ServerFailure: // which may be over by now
		u.edns.doubt(time.Now())
	default:
		u.edns.deny(time.Now())
	}
	return m, nil
}

// attempt asks once, over UDP and then over TCP if the reply over UDP was truncated or unusable.
func (u *upstream) attempt(ctx context.Context, q query, tcp, edns bool, terms terms) (m *message, hasOPT bool, err error) {
	if u.transport.overWeb() {
		return u.overHTTP(ctx, q, edns, terms)
	}
	if u.transport == OverQUIC {
		return u.overQUIC(ctx, q, edns, terms)
	}
	if u.tls != nil || tcp {
		return u.overTCP(ctx, q, edns, terms)
	}
	m, hasOPT, err = u.overUDP(ctx, q, edns, terms)
	return u.beyondUDP(ctx, q, edns, m, hasOPT, err, terms)
}

// beyondUDP goes on over TCP if the reply over UDP was truncated or unusable.
func (u *upstream) beyondUDP(
	ctx context.Context, q query, edns bool, m *message, hasOPT bool, err error, terms terms,
) (*message, bool, error) {
	unusable := errors.Is(err, errMalformed) || errors.Is(err, errSpoofed) || errors.Is(err, errOversized)
	if err == nil && m.flags&wire.FlagTC == 0 || err != nil && !unusable {
		return m, hasOPT, err
	}
	if err == nil && q.cutSuffices {
		return m, hasOPT, nil
	}
	whole, wholeOPT, errTCP := u.overTCP(ctx, q, edns, terms)
	switch {
	case errors.Is(errTCP, errNoRoom):
		return nil, false, errTCP
	case errTCP == nil && (err != nil || whole.flags&wire.FlagTC == 0):
		return whole, wholeOPT, nil
	case err == nil:
		m.stuck = true
	}
	return m, hasOPT, err
}

// overUDP asks from a socket of its own, and waits: what the server asks itself, and what the engine cannot ask.
func (u *upstream) overUDP(ctx context.Context, q query, edns bool, terms terms) (*message, bool, error) {
	var local *net.UDPAddr
	if u.source.IsValid() {
		local = net.UDPAddrFromAddrPort(netip.AddrPortFrom(u.source, 0))
	}
	conn, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(u.address))
	if err != nil {
		return nil, false, err
	}
	defer conn.Close()
	u.counts.dialled(viaUDP, false)
	reportErrors(conn)
	defer u.limit(ctx, conn)()
	id, again := randomID(), randomID()
	packet := q.pack(make([]byte, 0, 512), id, edns)
	if _, err := conn.Write(packet); err != nil {
		return nil, false, err
	}
	told := terms.observer.exchange(u, conn.LocalAddr(), UDP)
	told.sent(packet)
	// An upstream that has sent no OPT lately may drop queries that have one. After half of the time it is asked without,
	// and then either reply will do.
	unsure, without := edns && !u.edns.sure(time.Now()), false
	if unsure {
		u.halve(ctx, conn)
	}
	for range maxMismatches {
		buffer, n, err := u.receive(conn)
		if unsure && errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
			unsure, without = false, true
			u.halve(ctx, conn)
			packet := q.pack(make([]byte, 0, 512), again, false)
			if _, err = conn.Write(packet); err == nil {
				told.sent(packet)
				continue
			}
		}
		if err != nil {
			return nil, false, err
		}
		reply := buffer[:n]
		first := wire.IsReply(reply, id, q.question(packet))
		if first || without && wire.IsReply(reply, again, q.question(packet)) {
			defer u.buffers.Put(buffer)
			told.received(reply)
			if !first {
				u.edns.doubt(time.Now())
			}
			if n > q.offered(edns && first) {
				return nil, false, errOversized
			}
			return read(reply)
		}
		u.buffers.Put(buffer)
		u.counts.mismatches.Add(1)
	}
	return nil, false, errSpoofed
}

// halve has reads from conn end after half of the read timeout, unless ctx has ended and with it all reads.
func (u *upstream) halve(ctx context.Context, conn net.Conn) {
	conn.SetReadDeadline(time.Now().Add(u.readTimeout / 2))
	if ctx.Err() != nil {
		conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// buffer is one of the upstream's buffers, to be put back.
func (u *upstream) buffer() *replyBuffer {
	if b, ok := u.buffers.Get().(*replyBuffer); ok {
		return b
	}
	return new(replyBuffer)
}

// limit bounds operations on conn by the read timeout and by ctx. Call the result to stop watching ctx.
func (u *upstream) limit(ctx context.Context, conn net.Conn) func() bool {
	deadline := time.Now().Add(u.readTimeout)
	if end, ok := ctx.Deadline(); ok && end.Before(deadline) {
		deadline = end
	}
	conn.SetDeadline(deadline)
	return context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
}

// read parses packet, which IsReply has found to answer the question.
func read(packet []byte) (*message, bool, error) {
	var parsed wire.Message
	if !parsed.Read(packet) {
		return nil, false, errMalformed
	}
	return newMessage(packet, &parsed), parsed.EDNS, nil
}

// close ends the connections of an upstream that is not asked any more.
func (u *upstream) close() {
	u.idle.stop()
	u.closeWeb()
	u.closeQUIC()
}

// grow reports whether there is room for more octets of a reply that is coming, and takes it.
type grow func(octets int) bool

// terms are what a question is asked on.
type terms struct {
	grow
	observer *observer // of those who are told of it; nil for nobody
}

// unbounded is for what the server asks itself, one question for each upstream at a time.
var unbounded = terms{grow: func(int) bool { return true }}

// check asks the upstream whether it is alive. Any reply will do.
func (u *upstream) check(ctx context.Context, q query, tcp bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, _, err := u.attempt(ctx, q, tcp, false, unbounded)
	if errors.Is(err, errMalformed) || errors.Is(err, errOversized) {
		return nil
	}
	return err
}

// down reports whether more health checks failed in a row than are allowed.
func (u *upstream) down(maxFails int) bool { return maxFails > 0 && int(u.fails.Load()) > maxFails }

// isLocal reports whether err is about this server, such as a lack of sockets, and says nothing about the upstream.
func isLocal(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) ||
		errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, context.Canceled)
}

// logPause is the least time between two log lines about failures of one upstream.
const logPause = 10 * time.Second
