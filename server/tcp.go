package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/wire"
)

const (
	// streamPipeline is how many queries of one connection may wait for upstream; the connection is not read on until there are fewer.
	streamPipeline = 32
	// streamBuffer holds any ordinary query, and several of them.
	streamBuffer = 2048
	// streamReplies is how much is collected for one write; there is always room for one more message of any size.
	streamReplies = 32 << 10
	// sendBuffer is the octets of replies that the kernel keeps for a client; it reserves twice as much, as memory of the pod.
	sendBuffer = 16 << 10
	// longestQuery is the octets that a query may have; honest ones have hundreds.
	longestQuery = 8 << 10
	// maxTransfers is how many zones are transferred at a time over one address; more wait.
	maxTransfers = 4
	// lengthSize is the octets of length before each message, RFC 1035 section 4.2.2.
	lengthSize = 2
)

// streams serves TCP: a goroutine for each connection, a bounded number of connections.
type streams struct {
	l        *Listener
	listener *net.TCPListener
	misses   *misses
	answers  sync.Pool // of *answers
	pool     *missPool
	open     openStreams
	late     context.Context // of misses

	transfers chan struct{} // one element for each zone transfer under way
}

func newStreams(l *Listener, listener *net.TCPListener) *streams {
	s := &streams{l: l, listener: listener, misses: newMisses(l.options.StreamMiss), pool: newMissPool(l, wire.MaxMessage)}
	s.open.limit = l.options.Streams
	s.transfers = make(chan struct{}, maxTransfers)
	s.answers.New = func() any {
		return &answers{worker: *newWorker(l, l.slow, l.slowLog), out: make([]byte, 0, streamReplies+lengthSize+wire.MaxMessage)}
	}
	return s
}

// run accepts connections and queries until ctx ends, then closes each connection when all its queries are answered, or when late ends,
// and returns when they are closed.
func (s *streams) run(ctx, late context.Context) {
	s.late = late
	told := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(told)
		s.listener.SetDeadline(time.Now()) // accept no longer waits
		s.open.each((*net.TCPConn).CloseRead)
	})
	defer context.AfterFunc(late, func() { s.open.each((*net.TCPConn).Close) })()
	var conns sync.WaitGroup
	for ctx.Err() == nil {
		if !s.accept(ctx, &conns) {
			wait(ctx, 10*time.Millisecond) // out of descriptors, most likely: do not spin
		}
	}
	<-told
	s.acceptRest(ctx, &conns)
	s.listener.Close()
	conns.Wait()
	s.misses.wait()
}

// accept takes one connection and serves it, if there is room. It reports false when there was none to take.
func (s *streams) accept(ctx context.Context, conns *sync.WaitGroup) bool {
	conn, err := s.listener.AcceptTCP()
	if err != nil {
		return false
	}
	c := newStream(s, conn)
	if !s.open.admit(c) {
		conn.Close()
		return true
	}
	if s.late.Err() != nil { // it came when the others had been closed already
		conn.Close()
	}
	conns.Go(func() { c.serve(ctx) })
	return true
}

// acceptRest takes the connections that the kernel has made before the end and keeps for this server: to their clients they are open,
// and it would reset them.
func (s *streams) acceptRest(ctx context.Context, conns *sync.WaitGroup) {
	s.listener.SetDeadline(time.Time{})
	for s.late.Err() == nil && queued(s.listener) && s.accept(ctx, conns) {
	}
}

// wait sleeps for d or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// stream is one TCP connection. Queries are answered as they come; replies of queries that had to wait for upstream follow when they
// are there, in any order (RFC 7766 section 6.2.1.1).
type stream struct {
	s       *streams
	conn    *net.TCPConn
	client  netip.AddrPort
	local   netip.Addr
	in      framer
	waiting chan struct{} // one element for each query that waits for upstream
	late    sync.WaitGroup

	next, previous *stream // among the idle, under the lock of openStreams
	idle           bool
	work           int // queries and batches under way
}

func newStream(s *streams, conn *net.TCPConn) *stream {
	conn.SetWriteBuffer(sendBuffer) // else the kernel keeps megabytes for a client that does not read
	conn.SetReadBuffer(sendBuffer / 4)
	return &stream{
		s:       s,
		conn:    conn,
		client:  unmap(conn.RemoteAddr().(*net.TCPAddr).AddrPort()),
		local:   conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap(),
		in:      framer{from: conn},
		waiting: make(chan struct{}, streamPipeline),
	}
}

// serve answers queries until the client ends the connection, is too slow, or ctx ends; what a client may have sent before the end is
// answered still.
func (c *stream) serve(ctx context.Context) {
	defer c.conn.Close()
	defer c.s.open.remove(c)
	defer c.late.Wait() // a client that has sent its last query still waits for its answers
	for {
		// One deadline for a whole query: a client that sends octet by octet gains nothing (RFC 7766 section 6.2.3).
		c.conn.SetReadDeadline(time.Now().Add(c.s.l.options.IdleTimeout))
		message, err := c.in.read()
		if err != nil || !c.batch(message) || ctx.Err() != nil {
			return
		}
	}
}

// answers is what a connection needs while it has something to say; an idle one has none of it.
type answers struct {
	worker worker
	out    []byte
}

// batch answers message and those that have arrived behind it, with one write if they are few. It reports whether the connection is
// still good.
func (c *stream) batch(message []byte) bool {
	defer c.s.open.done(c)
	if !c.s.open.busy(c) {
		return false
	}
	a := c.s.answers.Get().(*answers)
	defer c.s.answers.Put(a)
	a.out = a.out[:0]
	a.worker.begin(time.Now(), resolver.TCP)
	defer func() { a.worker.end(time.Now()) }()
	for ok := true; ok; message, ok = c.in.buffered() {
		if !c.answer(a, message) || len(a.out) > streamReplies && !c.flush(a) {
			return false
		}
	}
	return c.flush(a)
}

// answer answers one message into a.out. It reports false for what is no query: the connection cannot be trusted then.
func (c *stream) answer(a *answers, message []byte) bool {
	start := len(a.out)
	buf := a.out[start+lengthSize : start+lengthSize : start+lengthSize+wire.MaxMessage]
	reply, result := a.worker.serve(message, buf, c.client, c.local)
	if result == resolver.Transfer {
		return c.transfer(a, buf)
	}
	if result == resolver.Pending {
		if c.ask(a) {
			return true
		}
		reply, result = a.worker.overflow(buf), resolver.Send
	}
	if result == resolver.Send {
		a.out = append(a.out, byte(len(reply)>>8), byte(len(reply)))
		a.out = append(a.out, reply...) // onto itself, unless the resolver has taken memory of its own
	}
	return a.worker.silent == 0
}

// transfer sends a zone, a write for each message: a secondary that reads slowly holds up nobody else. Few run at a time, since each
// keeps a whole snapshot in memory.
func (c *stream) transfer(a *answers, buf []byte) (ok bool) {
	if !c.flush(a) {
		return false
	}
	select {
	case c.s.transfers <- struct{}{}:
		defer func() { <-c.s.transfers }()
	case <-c.s.late.Done():
		return false
	}
	defer func() {
		if cause := recover(); cause != nil {
			a.worker.recovered(cause, buf)
			ok = false
		}
	}()
	framed := make([]byte, 0, lengthSize+wire.MaxMessage)
	err := a.worker.serving.answerer.SendZone(&a.worker.request, buf, func(message []byte) error {
		framed = append(framed[:0], byte(len(message)>>8), byte(len(message)))
		return c.write(append(framed, message...))
	})
	a.worker.note(nil, resolver.Send)
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

// write sends whole messages; the net package keeps concurrent writes apart.
func (c *stream) write(messages []byte) error {
	c.conn.SetWriteDeadline(time.Now().Add(c.s.l.options.WriteTimeout))
	_, err := c.conn.Write(messages)
	if err != nil {
		c.conn.SetLinger(0) // what it has not read is not worth keeping
		c.conn.Close()      // a part of a message may be on its way: what follows could not be understood
	}
	return err
}

// ask hands the query just served over to a goroutine that may wait. It reports whether there was one left. When too many queries of
// this connection wait already, it waits for one of them, and the client with it.
func (c *stream) ask(a *answers) bool {
	select {
	case c.waiting <- struct{}{}:
	default:
		c.flush(a)
		c.waiting <- struct{}{} // Resume ends with late at the latest
	}
	c.s.open.busy(c)
	c.late.Add(1)
	m := c.s.pool.get()
	m.take(&a.worker)
	answered := func() {
		c.s.pool.put(m)
		c.s.open.done(c)
		<-c.waiting
		c.late.Done()
	}
	started := c.s.misses.start(func() {
		defer answered()
		m.resolveStream(c)
	})
	if !started {
		answered()
	}
	return started
}

// resolveStream is resolve with the length before the reply, so that both leave in one write.
func (m *miss) resolveStream(c *stream) {
	m.resolve(c.s.late, func(reply []byte) {
		framed := append(m.framed[:0], byte(len(reply)>>8), byte(len(reply)))
		c.write(append(framed, reply...)) // onto itself, unless the resolver has taken memory of its own
	})
}

// framer reads messages from a connection. A connection without traffic costs only the small buffer.
type framer struct {
	from  io.Reader
	buf   [streamBuffer]byte
	start int // of what is not yet used in buf
	end   int
}

// read waits for one message. It is valid until the next call.
func (f *framer) read() ([]byte, error) {
	for {
		if message, ok := f.buffered(); ok {
			return message, nil
		}
		if size := f.size(); size > longestQuery {
			return nil, errTooLong
		} else if size > len(f.buf)-lengthSize {
			return f.long(size)
		}
		f.end = copy(f.buf[:], f.buf[f.start:f.end])
		f.start = 0
		n, err := f.from.Read(f.buf[f.end:])
		if f.end += n; n == 0 && err != nil {
			return nil, err
		}
	}
}

// buffered is the next message if it has arrived.
func (f *framer) buffered() ([]byte, bool) {
	size := f.size()
	if size < 0 || f.end-f.start < lengthSize+size {
		return nil, false
	}
	message := f.buf[f.start+lengthSize : f.start+lengthSize+size]
	f.start += lengthSize + size
	return message, true
}

var errTooLong = errors.New("the query is too long")

// size is the length of the message that begins, -1 when not even that is known.
func (f *framer) size() int {
	if f.end-f.start < lengthSize {
		return -1
	}
	return int(f.buf[f.start])<<8 | int(f.buf[f.start+1])
}

// long reads a message that is larger than the buffer, which hardly a query is.
func (f *framer) long(size int) ([]byte, error) {
	message := make([]byte, size)
	n := copy(message, f.buf[f.start+lengthSize:f.end])
	f.start, f.end = 0, 0
	_, err := io.ReadFull(f.from, message[n:])
	return message, err
}
