package listen

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/resolver/datagram"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// streamPipeline is how many queries of one connection may wait for upstream; the connection is not read on until there
// are fewer.
const streamPipeline = 32

// stream is one connection. Queries are answered as they come; replies of queries that had to wait for upstream follow
// when they are there, in any order (RFC 7766 section 6.2.1.1).
type stream struct {
	s       *streams
	conn    net.Conn
	secure  *secureConn // conn with TLS; nil without
	client  netip.AddrPort
	local   netip.Addr
	in      framer
	queries int // that it has sent
	pace    pace
	closing atomic.Bool // set by closeRead when it can only set a deadline
	writing sync.Mutex
	place   Place
	gone    context.Context // ends with the connection
	leave   func()          // ends gone

	answering sync.Mutex // held by whoever has answers: a connection has one at most
	mu        sync.Mutex
	waiting   int            // queries that wait for upstream, or whose reply is not sent
	answered  *sync.Cond     // there are fewer of them
	ended     []*streamQuery // those whose wait has ended
	draining  bool           // a goroutine answers them
}

func newStream(s *streams, conn net.Conn) *stream {
	c := &stream{
		s:      s,
		secure: secureOf(conn),
		conn:   conn,
		client: addrPortOf(conn.RemoteAddr()),
		local:  addrPortOf(conn.LocalAddr()).Addr(),
	}
	c.in = framer{from: conn, begun: c.begun}
	c.answered = sync.NewCond(&c.mu)
	c.gone, c.leave = context.WithCancel(s.late)
	return c
}

// end closes the connection. Any goroutine may call it, and call it again.
func (c *stream) end() {
	c.leave()
	c.conn.Close()
}

// addrPortOf is the address of a TCP or UDP socket, zero for any other.
func addrPortOf(a net.Addr) netip.AddrPort {
	if socket, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		return unmap(socket.AddrPort())
	}
	return netip.AddrPort{}
}

// serve answers queries until the client ends the connection, is too slow, or ctx ends. What a client may have sent
// before the end is still answered.
func (c *stream) serve(ctx context.Context) {
	defer c.s.forget(c)
	defer c.end()
	defer c.s.open.Leave(&c.place)
	defer c.secure.farewell()
	defer c.await(1) // a client that has sent its last query still waits for its answers
	defer c.s.l.survive()
	if c.secure != nil && !c.secure.handshake(ctx, c.s.l.options.ReadTimeout) {
		return
	}
	limit := c.s.l.options.ReadTimeout // for the first query
	for {
		c.await(streamPipeline)
		c.expect(limit)
		message, err := c.in.read()
		before := c.queries
		if err != nil || !c.batch(message) || ctx.Err() != nil {
			return
		}
		if c.spent() {
			c.refuseMore()
			return
		}
		time.Sleep(c.pace.pause(time.Now(), c.queries-before))
		limit = c.s.l.options.IdleTimeout
	}
}

// expect gives the client d for what it sends next.
func (c *stream) expect(d time.Duration) {
	c.conn.SetReadDeadline(time.Now().Add(d))
	if c.closing.Load() {
		c.conn.SetReadDeadline(time.Now()) // again: the line above may have undone it
	}
}

// begun gives the client one deadline for the rest of a query: who sends octet by octet gains nothing (RFC 7766 section
// 6.2.3). The first query has one already.
func (c *stream) begun() {
	if c.queries > 0 {
		c.expect(c.s.l.options.ReadTimeout)
	}
}

// spent reports whether the client has asked as often as a connection may.
func (c *stream) spent() bool { return c.s.l.options.Queries > 0 && c.queries >= c.s.l.options.Queries }

// refuseMore says the end when all is answered, and passes over what the client has sent beyond: closing with that
// unread would reset the connection, and the last replies with it.
func (c *stream) refuseMore() {
	c.await(1)
	if c.secure != nil {
		c.secure.farewell()
	} else if half, ok := c.conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	c.expect(c.s.l.options.ReadTimeout)
	io.Copy(io.Discard, c.conn)
}

// await returns when fewer than limit queries wait for upstream.
func (c *stream) await(limit int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.waiting >= limit {
		c.answered.Wait()
	}
}

// full reports whether no more queries may wait.
func (c *stream) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting >= streamPipeline
}

// closeRead ends what the client may send. A TCP connection delivers what has arrived by now, and then its end; one
// that cannot be shut down for reading alone delivers nothing more.
func (c *stream) closeRead() {
	if half, ok := c.conn.(interface{ CloseRead() error }); ok {
		half.CloseRead()
		return
	}
	c.closing.Store(true)
	c.conn.SetReadDeadline(time.Now())
}

// answers is what a connection needs while its queries are answered; an idle one has none of it.
type answers struct {
	worker worker
	out    []byte
}

// batch answers message and those that have arrived behind it, with one write if they are few, until too many wait for
// upstream. It reports whether the connection is still good.
func (c *stream) batch(message []byte) bool {
	if !c.s.open.Touch(&c.place) { // it was closed in the meantime, to make room
		return false
	}
	a := c.take()
	defer c.put(a)
	a.worker.begin(time.Now(), c.s.proto)
	a.worker.serving.users.Add(1)
	defer a.worker.serving.users.Done()
	defer func() { a.worker.end(time.Now()) }()
	for ok := true; ok; message, ok = c.next() {
		if !c.answer(a, message) || len(a.out) > streamReplies && !c.flush(a) {
			return false
		}
		if c.full() || c.spent() {
			break
		}
	}
	return c.flush(a)
}

// next is the next message that has arrived. With TLS each message is a record of its own most of the time, and several
// records have come with one read.
func (c *stream) next() ([]byte, bool) {
	message, ok := c.in.buffered()
	for !ok && c.secure != nil && c.secure.ahead(&c.in) {
		message, ok = c.in.buffered()
	}
	return message, ok
}

// take gives the caller what it needs to answer queries of this connection, when nobody else does.
func (c *stream) take() *answers {
	c.answering.Lock()
	a := c.s.l.answers.Get().(*answers)
	a.out = a.out[:0]
	return a
}

func (c *stream) put(a *answers) {
	c.s.l.answers.Put(a)
	c.answering.Unlock()
}

// answer answers one message into a.out. It reports false for a message that is not a query: the connection cannot be
// trusted then.
func (c *stream) answer(a *answers, message []byte) bool {
	c.queries++
	buf := a.room()
	reply, result := a.worker.serve(message, buf, c.client, c.local)
	if result == resolver.Transfer {
		return c.transfer(a, buf)
	}
	if result == resolver.Pending {
		q := c.wait()
		if q == nil {
			return false
		}
		if reply, result = a.worker.await(&q.pendingQuery, q, buf); result != resolver.Pending {
			q.end()
		}
	}
	if result == resolver.Send {
		a.append(reply)
	}
	return !a.worker.foreign
}

// append adds a reply that was written behind out, with room for its length.
func (a *answers) append(reply []byte) {
	a.out = append(a.out, byte(len(reply)>>8), byte(len(reply)))
	a.out = append(a.out, reply...) // onto itself, unless the resolver has taken memory of its own
}

// room is where the next reply is written.
func (a *answers) room() []byte {
	start := len(a.out) + lengthSize
	return a.out[start : start : start+wire.MaxMessage]
}

// transfer sends a zone, a write for each message. Meanwhile the connection has no place among the others: a secondary
// that reads slowly holds up nobody but other secondaries, and not for long.
func (c *stream) transfer(a *answers, buf []byte) (ok bool) {
	if !c.flush(a) {
		return false
	}
	var place Place
	if !c.awaitTransfer(&place) {
		if c.gone.Err() != nil {
			return false
		}
		reply := servfail(&a.worker.request, buf, "too many zone transfers are under way")
		a.worker.note(reply, resolver.Send)
		a.append(reply)
		return true
	}
	c.s.open.Leave(&c.place)
	defer func() {
		c.s.transfers.Leave(&place)
		ok = ok && c.s.open.Take(&c.place, c.client.Addr(), c.end)
	}()
	defer func() {
		if cause := recover(); cause != nil {
			a.worker.recovered(cause, buf)
			ok = false
		}
	}()
	return c.sendZone(a, buf, &place)
}

// awaitTransfer waits for a place among the transfers. Where another connection needs the place that c has until then,
// c is closed.
func (c *stream) awaitTransfer(place *Place) bool {
	ctx, cancel := context.WithTimeout(c.gone, transferWait)
	defer cancel()
	return c.s.transfers.Await(ctx, place, c.client.Addr(), c.end)
}

var errTransferTime = errors.New("the transfer takes too long")

// sendZone sends the zone and counts that.
func (c *stream) sendZone(a *answers, buf []byte, place *Place) bool {
	var framed []byte
	sent, began := 0, time.Now()
	err := a.worker.serving.answerer.SendZone(&a.worker.request, buf, func(message []byte) error {
		c.s.transfers.Touch(place)
		if time.Since(began) > transferTime {
			return errTransferTime
		}
		framed = append(framed[:0], byte(len(message)>>8), byte(len(message)))
		framed = append(framed, message...)
		sent += len(message)
		a.worker.request.Replied(message)
		return c.write(framed)
	})
	a.worker.noteAll(framed[min(lengthSize, len(framed)):], sent, resolver.Send)
	return err == nil
}

// flush writes what is collected.
func (c *stream) flush(a *answers) bool {
	if len(a.out) == 0 {
		return true
	}
	err := c.write(a.out)
	a.out = a.out[:0]
	return err == nil
}

// write sends whole messages. After an error the connection is closed, because a part of a message may be on its way,
// and what follows it could not be understood.
//
// Each caller has the write timeout for its messages from the moment that it has them: what is ready later gives no
// more time to what a client does not take, and no query holds its place for longer.
func (c *stream) write(messages []byte) error {
	deadline := time.Now().Add(c.s.l.options.WriteTimeout)
	c.writing.Lock()
	defer c.writing.Unlock()
	c.conn.SetWriteDeadline(deadline)
	_, err := c.conn.Write(messages)
	if err != nil {
		if tcp, ok := c.conn.(interface{ SetLinger(int) error }); ok {
			tcp.SetLinger(0) // the kernel need not keep what the client has not read
		}
		c.end()
	}
	return err
}

// streamQuery is a query that waits for upstream.
type streamQuery struct {
	pendingQuery
	c    *stream
	done func() // ends what began at the place of c
}

// wait counts one more query that waits for upstream. It returns nil if the connection has been closed.
func (c *stream) wait() *streamQuery {
	done, ok := c.s.open.begin(&c.place)
	if !ok {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting++
	return &streamQuery{c: c, done: done}
}

// end counts the query no more.
func (q *streamQuery) end() {
	q.done()
	c := q.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting--
	c.answered.Broadcast()
}

// ready leaves the query to the goroutine that answers those of its connection whose wait has ended. Only while there
// are any does it run.
func (q *streamQuery) ready(*pendingQuery, *datagram.Cycle) {
	c := q.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = append(c.ended, q)
	if !c.draining {
		c.draining = true
		go c.drain()
	}
}

// drain answers the queries whose wait has ended, until there are none.
func (c *stream) drain() {
	for {
		c.mu.Lock()
		ended := c.ended
		c.ended = nil
		c.draining = len(ended) > 0
		c.mu.Unlock()
		if len(ended) == 0 {
			return
		}
		c.resumeAll(ended)
	}
}

// resumeAll answers queries whose wait has ended with one write if they are few, and gives their places back.
func (c *stream) resumeAll(ended []*streamQuery) {
	defer func() {
		for _, q := range ended {
			c.s.l.pending.leave(&q.pendingQuery)
			q.end()
		}
	}()
	defer c.s.l.survive()
	a := c.take()
	defer c.put(a)
	for _, q := range ended {
		c.resume(a, q)
	}
	c.flush(a)
}

// resume answers q, whose wait has ended, into a.out.
func (c *stream) resume(a *answers, q *streamQuery) {
	var next *streamQuery
	again := func() *pendingQuery {
		if next = c.wait(); next == nil {
			return nil
		}
		next.to = next
		return &next.pendingQuery
	}
	reply, result := a.worker.resume(&q.pendingQuery, a.room(), again)
	if next != nil && result != resolver.Pending { // there was an answer to the second question at once
		next.end()
	}
	switch result {
	case resolver.Pending:
		return
	case resolver.Send:
		a.append(reply)
		if len(a.out) > streamReplies {
			c.flush(a)
		}
	}
	a.worker.end(time.Now())
}
