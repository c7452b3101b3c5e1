package resolver

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/resolver/datagram"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Wait is a query that waits for upstream: what Resume needs of its Request, in some hundred octets instead of
// thousands. It has no goroutine. Many may wait for one flight.
type Wait struct {
	waker   Waker
	next    *Wait       // of those that wait for the same flight
	ended   atomic.Bool // the flight has landed, Interrupt was called, or the time of endAfter is over
	flight  *flight
	message *message                   // what there is by then
	timer   atomic.Pointer[time.Timer] // of endAfter

	data     []byte // the packet, the reply so far, and the question's name unless it is the packet's
	packet   int    // octets of the packet in data
	written  int    // octets of the reply in data
	reply    wire.Kept
	question question // without its name
	block    int
	zone     int
	source   Source
	proto    Proto
	rotate   bool
	client   netip.AddrPort
	local    netip.Addr
	port     uint16 // of local
	now      time.Time
	fallback *entry
	limit    *cancel
	taps     *taps
	shadow   *shadowing
	trace    *traced
	unusual  *unusual // nil for most
}

// unusual is what only questions behind an alias, in a wrapper or of a block with metadata have.
type unusual struct {
	wrapped []wrapped
	visited []hop
	noted   noted
}

// A Waker is told when a Wait has ended. Wake may be called by any goroutine, and does not block it. What it sends may
// wait for the end of the cycle, unless that is nil.
type Waker interface{ Wake(c *datagram.Cycle) }

// keep takes from r what unpack needs.
func (w *Wait) keep(r *Request) {
	q := &r.question
	*w = Wait{
		waker: w.waker, data: w.data[:0], reply: r.Reply.Keep(), packet: len(r.Query.Packet), written: r.Reply.Len(),
		question: *q, block: r.Block, zone: r.Zone, source: r.Source, proto: r.Proto, rotate: r.rotate,
		client: r.Client, local: r.Local, port: r.LocalPort, now: r.Now, fallback: r.fallback, limit: r.limit,
		taps: r.taps, shadow: r.shadow, trace: r.trace,
	}
	w.question.name = nil
	name := q.name.Name()
	if q.asked {
		name = nil
	}
	reply := r.Reply.Bytes()
	w.data = slices.Grow(w.data, len(r.Query.Packet)+len(reply)+len(name))
	w.data = append(append(append(w.data, r.Query.Packet...), reply...), name...)
	if len(r.wrapped) > 0 || r.links > 0 || r.noted.by != nil {
		w.unusual = &unusual{slices.Clone(r.wrapped), slices.Clone(r.visited[:r.links]), r.noted}
	}
}

// restore makes r what keep has taken. The reply goes on in buf.
func (w *Wait) restore(r *Request, buf []byte) {
	packet, rest := w.data[:w.packet:w.packet], w.data[w.packet:]
	r.Query.Parse(packet) // which was valid before
	r.Reply.Restore(w.reply, rest[:w.written], &r.Query, buf)
	r.Client, r.Local, r.LocalPort, r.Proto, r.Now = w.client, w.local, w.port, w.proto, w.now
	r.Block, r.Zone, r.Source = w.block, w.zone, w.source
	r.question, r.fallback, r.rotate, r.limit = w.question, w.fallback, w.rotate, w.limit
	r.affine = false // upstream has none
	r.taps, r.shadow, r.trace = w.taps, w.shadow, w.trace
	if r.subnet, r.wrongSubnet = (wire.Subnet{}), false; r.question.scope.block.nearest {
		r.readSubnet()
	}
	if r.question.asked {
		r.question.name = &r.Query.QName
	} else {
		r.name.Set(rest[w.written:])
		r.question.name = &r.name
	}
	r.wrapped, r.links, r.noted = r.wrapped[:0], 0, noted{}
	if w.unusual != nil {
		r.noted = w.unusual.noted
		r.wrapped, r.links = append(r.wrapped, w.unusual.wrapped...), copy(r.visited[:], w.unusual.visited)
	}
}

// end ends the wait with m, unless it has ended before.
func (w *Wait) end(m *message) bool {
	if w.ended.Swap(true) {
		return false
	}
	w.message = m
	if t := w.timer.Load(); t != nil {
		t.Stop()
	}
	return true
}

// leave says that what the flight has is known.
func (w *Wait) leave() {
	if u := w.flight; u != nil {
		w.flight = nil
		u.release()
	}
}

// Reset makes w, whose result Resume has given, ready for another query, and keeps its buffer. It reports false if
// somebody may still end the wait that it was, as a timer, or a flight that it has not waited for: then w must not be used
// again.
func (w *Wait) Reset() bool {
	if w.timer.Load() != nil || w.message == nil || w.message.received.IsZero() {
		return false
	}
	*w = Wait{data: w.data[:0]}
	return true
}

// Interrupt ends the wait without an answer. It reports false if there is one already, and Wake has been called, or
// will be.
func (w *Wait) Interrupt() bool { return w.end(interrupted()) }

// tooLate is the message of a wait that has lasted for as long as a stale answer may be held back.
var tooLate = momentary(wire.ServerFailure, wire.NoReachableAuthority, edeStale)

// endAfter ends the wait with m after d, while the flight goes on for the cache. It is called once at most.
func (w *Wait) endAfter(d time.Duration, m *message) {
	w.timer.Store(time.AfterFunc(d, func() {
		if w.end(m) {
			w.waker.Wake(nil)
		}
	}))
	if w.ended.Load() { // perhaps before end could find the timer, which would keep w until then
		w.timer.Load().Stop()
	}
}
