package listen

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/wire"
)

const (
	// streamReplies is how much is collected for one write; there is always room for one more message of any size.
	streamReplies = 32 << 10
	// sendBuffer is the octets of replies that the kernel keeps for a client; it reserves twice as much, as memory of
	// the pod.
	sendBuffer = 16 << 10
	// maxTransfers is how many zones are transferred at a time over one address; more wait.
	maxTransfers = 4
)

// streams accepts TCP connections and serves each in a goroutine. Their number is bounded.
type streams struct {
	l        *Listener
	listener *net.TCPListener
	proto    resolver.Proto
	pending  *pending
	answers  sync.Pool // of *answers
	pool     *pendingPool
	open     connections
	late     context.Context // of pending queries

	transfers chan struct{} // one element for each zone transfer under way
}

func newStreams(l *Listener, listener *net.TCPListener, proto resolver.Proto) *streams {
	s := &streams{l: l, listener: listener, proto: proto, pending: l.pending[proto]}
	s.pool = newPendingPool(l, wire.MaxMessage)
	s.open.limit = l.options.Streams
	s.transfers = make(chan struct{}, maxTransfers)
	s.answers.New = func() any {
		out := make([]byte, 0, streamReplies+lengthSize+wire.MaxMessage)
		return &answers{worker: *newWorker(l, l.shared, l.sharedLog), out: out}
	}
	return s
}

// run accepts connections and queries until ctx ends, then closes each connection when all its queries are answered, or
// when late ends, and returns when they are closed.
func (s *streams) run(ctx, late context.Context) {
	s.late = late
	ended := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(ended)
		s.listener.SetDeadline(time.Now()) // accept no longer waits
		s.open.each((*stream).closeRead)
	})
	defer context.AfterFunc(late, func() { s.open.each(func(c *stream) { c.conn.Close() }) })()
	var conns sync.WaitGroup
	for ctx.Err() == nil {
		if !s.accept(ctx, &conns) {
			pause(ctx, 10*time.Millisecond) // out of descriptors, most likely: do not spin
		}
	}
	<-ended
	s.acceptRest(ctx, &conns)
	s.listener.Close()
	conns.Wait()
	s.pending.wait()
}

// accept takes one connection and serves it, if there is room. It reports false when there was none to take.
func (s *streams) accept(ctx context.Context, conns *sync.WaitGroup) bool {
	conn, err := s.listener.AcceptTCP()
	if err != nil {
		return false
	}
	conn.SetWriteBuffer(sendBuffer) // else the kernel keeps megabytes for a client that does not read
	conn.SetReadBuffer(sendBuffer / 4)
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

// acceptRest takes the connections that the kernel has made before the end and keeps for this server: to their clients
// they are open, and closing the socket would reset them.
func (s *streams) acceptRest(ctx context.Context, conns *sync.WaitGroup) {
	s.listener.SetDeadline(time.Time{})
	for s.late.Err() == nil && queued(s.listener) && s.accept(ctx, conns) {
	}
}

// pause sleeps for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
