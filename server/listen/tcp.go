package listen

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/resolver"
)

const (
	// streamReplies is how much is collected for one write; there is always room for one more message of any size.
	streamReplies = 32 << 10
	// sendBuffer is the octets of replies that the kernel keeps for a client; it reserves twice as much, as memory of
	// the pod.
	sendBuffer = 16 << 10
	// streamsShare is the part of the places for connections that one client may have: one in so many.
	streamsShare = 4

	// Zones are transferred over connections that have left their places among the others: at most MaxTransfers at a
	// time over one address, transfersEach of them to one client. More wait, for transferWait at most.
	MaxTransfers  = 16
	transfersEach = 4
	transferWait  = 10 * time.Second
	// transferTime is how long a whole zone may take: some million records, to a secondary that is far away.
	transferTime = 2 * time.Minute
	// transferPatience is how long a transfer may stand still while others wait.
	transferPatience = time.Second
)

// streams accepts TCP connections and serves each in a goroutine. Their number is bounded.
type streams struct {
	l        *Listener
	listener *net.TCPListener
	proto    resolver.Proto
	late     context.Context // of pending queries

	open      *Places
	transfers *Places

	mu  sync.Mutex
	all map[*stream]struct{} // whatever places they have
}

func newStreams(l *Listener, listener *net.TCPListener, proto resolver.Proto) *streams {
	s := &streams{l: l, listener: listener, proto: proto}
	s.open = NewPlaces(l.options.Streams, max(1, l.options.Streams/streamsShare))
	s.transfers = NewPlaces(MaxTransfers, transfersEach)
	s.transfers.patience = transferPatience
	s.all = map[*stream]struct{}{}
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
		s.each((*stream).closeRead)
	})
	defer context.AfterFunc(late, func() { s.each((*stream).end) })()
	var conns sync.WaitGroup
	for ctx.Err() == nil {
		if !s.accept(ctx, &conns) {
			observe.Pause(ctx, 10*time.Millisecond) // out of descriptors, most likely: do not spin
		}
	}
	<-ended
	s.acceptRest(ctx, &conns)
	s.listener.Close()
	conns.Wait()
}

// accept takes one connection and serves it, if there is room. It reports false when there was none to take.
func (s *streams) accept(ctx context.Context, conns *sync.WaitGroup) bool {
	defer s.l.survive()
	conn, err := s.listener.AcceptTCP()
	if err != nil {
		return false
	}
	conn.SetWriteBuffer(sendBuffer) // else the kernel keeps megabytes for a client that does not read
	conn.SetReadBuffer(sendBuffer / 4)
	c := newStream(s, s.l.secured(conn))
	if !s.open.Take(&c.place, c.client.Addr(), c.end) {
		c.end()
		return true
	}
	s.note(c)
	if s.late.Err() != nil { // it came when the others had been closed already
		c.end()
	}
	conns.Go(func() { c.serve(ctx) })
	return true
}

func (s *streams) close() { s.listener.Close() }

func (s *streams) note(c *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[c] = struct{}{}
}

func (s *streams) forget(c *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, c)
}

// each calls do with all connections.
func (s *streams) each(do func(*stream)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.all {
		do(c)
	}
}

// acceptRest takes the connections that the kernel has made before the end and keeps for this server: to their clients
// they are open, and closing the socket would reset them.
func (s *streams) acceptRest(ctx context.Context, conns *sync.WaitGroup) {
	s.listener.SetDeadline(time.Time{})
	for s.late.Err() == nil && queued(s.listener) && s.accept(ctx, conns) {
	}
}
