package listen

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
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
	client  netip.AddrPort
	local   netip.Addr
	in      framer
	waiting chan struct{} // one element for each query that waits for upstream
	late    sync.WaitGroup
	closing atomic.Bool // set by closeRead when it can only set a deadline
	writing sync.Mutex
	place   Place
	gone    context.Context // ends with the connection
	leave   func()          // ends gone
}

func newStream(s *streams, conn net.Conn) *stream {
	c := &stream{
		s:       s,
		conn:    conn,
		client:  addrPortOf(conn.RemoteAddr()),
		local:   addrPortOf(conn.LocalAddr()).Addr(),
		in:      framer{from: conn},
		waiting: make(chan struct{}, streamPipeline),
	}
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
	defer c.late.Wait() // a client that has sent its last query still waits for its answers
	defer c.s.l.survive()
	for {
		// One deadline for a whole query: a client that sends octet by octet gains nothing (RFC 7766 section 6.2.3).
		c.conn.SetReadDeadline(time.Now().Add(c.s.l.options.IdleTimeout))
		if c.closing.Load() {
			c.conn.SetReadDeadline(time.Now()) // again: the line above may have undone it
		}
		message, err := c.in.read()
		if err != nil || !c.batch(message) || ctx.Err() != nil {
			return
		}
	}
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

// batch answers message and those that have arrived behind it, with one write if they are few. It reports whether the
// connection is still good.
func (c *stream) batch(message []byte) bool {
	if !c.s.open.Touch(&c.place) { // it was closed in the meantime, to make room
		return false
	}
	a := c.s.answers.Get().(*answers)
	defer c.s.answers.Put(a)
	a.out = a.out[:0]
	a.worker.begin(time.Now(), c.s.proto)
	a.worker.serving.users.Add(1)
	defer a.worker.serving.users.Done()
	defer func() { a.worker.end(time.Now()) }()
	for ok := true; ok; message, ok = c.in.buffered() {
		if !c.answer(a, message) || len(a.out) > streamReplies && !c.flush(a) {
			return false
		}
	}
	return c.flush(a)
}

// answer answers one message into a.out. It reports false for a message that is not a query: the connection cannot be
// trusted then.
func (c *stream) answer(a *answers, message []byte) bool {
	start := len(a.out)
	buf := a.out[start+lengthSize : start+lengthSize : start+lengthSize+wire.MaxMessage]
	reply, result := a.worker.serve(message, buf, c.client, c.local)
	if result == resolver.Transfer {
		return c.transfer(a, buf)
	}
	if result == resolver.Pending {
		if c.handOff(a) {
			return true
		}
		reply, result = a.worker.overflow(buf), resolver.Send
	}
	if result == resolver.Send {
		a.out = append(a.out, byte(len(reply)>>8), byte(len(reply)))
		a.out = append(a.out, reply...) // onto itself, unless the resolver has taken memory of its own
	}
	return !a.worker.foreign
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
		a.out = append(append(a.out, byte(len(reply)>>8), byte(len(reply))), reply...)
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

// handOff gives the query just served to a goroutine that may wait for upstream. It reports whether there was one left.
// When too many queries of this connection wait already, it waits for one of them, and the client with it.
func (c *stream) handOff(a *answers) bool {
	select {
	case c.waiting <- struct{}{}:
	default:
		c.flush(a)
		c.waiting <- struct{}{} // Resume ends with late at the latest
	}
	done, ok := c.s.open.begin(&c.place)
	if !ok { // its client has too many under way
		c.s.pending.refused.Add(1)
		<-c.waiting
		return false
	}
	c.late.Add(1)
	q := c.s.pool.get()
	q.take(&a.worker)
	answered := func() {
		c.s.pool.put(q)
		done()
		<-c.waiting
		c.late.Done()
	}
	started := c.s.pending.start(func() {
		defer answered()
		q.resolveStream(c)
	})
	if !started {
		answered()
	}
	return started
}

// resolveStream is resolve with the length before the reply, so that both leave in one write.
func (q *pendingQuery) resolveStream(c *stream) {
	q.resolve(c.s.late, func(reply []byte) {
		framed := append(q.framed[:0], byte(len(reply)>>8), byte(len(reply)))
		c.write(append(framed, reply...)) // onto itself, unless the resolver has taken memory of its own
	})
}
