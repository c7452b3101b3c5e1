package listen

import (
	"context"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/resolver/datagram"
)

const (
	// maxStreams is how many requests or streams of one connection may be under way. HTTP/2 recommends no less (RFC 9113
	// section 6.5.2); more would be memory for who opens many and does not go on.
	maxStreams = 100
	// maxRequests is how many HTTP requests and QUIC streams of one address may be in work.
	maxRequests = 2048
	// requestsShare is the part of them that one client may have: one in so many.
	requestsShare = 4
	// longReply is from how many octets on a reply of a request has a place of its own while it is sent: a client that
	// does not read holds it.
	longReply = 4 << 10
	// maxLong is how many of those there may be, 64 KiB each at most.
	maxLong = 256
	// mostRefused is how many requests of one connection are refused before it is closed.
	mostRefused = 16
)

// caller is the connection that requests come by.
type caller struct {
	client  netip.AddrPort
	local   netip.Addr
	close   func()              // must not block
	asks    func() (end func()) // notes that its client waits for an answer, until end
	place   Place               // among the connections
	refused atomic.Int32
}

// requests are the HTTP requests and QUIC streams of one address that are in work.
type requests struct {
	all  *Places
	long *Places // those whose reply is long, while it is sent
}

func newRequests(l *Listener) *requests {
	return &requests{
		all:  NewPlaces(l.options.Requests, max(1, l.options.Requests/requestsShare)),
		long: NewPlaces(maxLong, maxLong/requestsShare),
	}
}

// take gives a request of c a place, or refuses it. A connection that goes on with what is refused is closed: each of its
// requests costs more than a query.
func (r *requests) take(place *Place, c *caller) bool {
	ok := r.all.TryTake(place, c.client.Addr(), c.close)
	if !ok && c.refused.Add(1) == mostRefused {
		c.close()
	}
	return ok
}

// send lets c be sent reply, unless too many that are long are not read. leave is to be called when it is sent.
func (r *requests) send(c *caller, reply []byte) (leave func(), ok bool) {
	if len(reply) < longReply {
		return func() {}, true
	}
	var place Place
	ok = r.long.TryTake(&place, c.client.Addr(), c.close)
	return func() { r.long.Leave(&place) }, ok
}

// blocked is a query whose goroutine waits for upstream.
type blocked struct {
	pendingQuery
	ended chan struct{}
}

func newBlocked() *blocked { return &blocked{ended: make(chan struct{})} }

// ready wakes the goroutine.
func (b *blocked) ready(*pendingQuery, *datagram.Cycle) { close(b.ended) }

// wait returns when there is an answer, or ctx has ended and there will be none.
func (b *blocked) wait(ctx context.Context) {
	select {
	case <-b.ended:
	case <-ctx.Done():
		b.interrupt()
		<-b.ended
	}
}

// ask answers a message of a request that has a goroutine of its own, which may wait for upstream. While it does, it
// holds nothing but its message. The reply is nil for a query that a rule drops, and foreign says that the message is
// none.
func (l *Listener) ask(ctx context.Context, message []byte, c *caller) (reply []byte, foreign bool) {
	defer l.survive()
	defer c.asks()()
	q := newBlocked()
	reply, foreign, waits := l.begin(q, message, c)
	for waits {
		q.wait(ctx)
		next := newBlocked()
		reply, waits = l.proceed(q, next)
		q = next
	}
	return reply, foreign
}

// begin answers message from memory, or has q wait for upstream.
func (l *Listener) begin(q *blocked, message []byte, c *caller) (reply []byte, foreign, waits bool) {
	a := l.answers.Get().(*answers)
	defer l.answers.Put(a)
	a.out = a.out[:0]
	w := &a.worker
	w.begin(time.Now(), l.options.Scheme.Proto())
	w.serving.users.Add(1)
	defer w.serving.users.Done()
	defer func() { w.end(time.Now()) }()
	buf := a.room()
	got, result := w.serve(message, buf, c.client, c.local)
	if result == resolver.Pending {
		got, result = w.await(&q.pendingQuery, q, buf)
	}
	if result == resolver.Send {
		reply = slices.Clone(got)
	}
	return reply, w.foreign, result == resolver.Pending
}

// proceed answers q, whose wait has ended, or has next wait in its place.
func (l *Listener) proceed(q, next *blocked) (reply []byte, waits bool) {
	a := l.answers.Get().(*answers)
	defer l.answers.Put(a)
	a.out = a.out[:0]
	defer l.pending.leave(&q.pendingQuery)
	again := func() *pendingQuery {
		next.to = next
		return &next.pendingQuery
	}
	got, result := a.worker.resume(&q.pendingQuery, a.room(), again)
	switch result {
	case resolver.Pending:
		return nil, true
	case resolver.Send:
		reply = slices.Clone(got)
	}
	a.worker.end(time.Now())
	return reply, false
}
