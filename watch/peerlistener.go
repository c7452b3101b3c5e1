package watch

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// peerListener accepts a bounded number of connections at a time, one after the other, and few of an address. What the others of
// an address ask for is not read, so that one who opens many costs and takes little. When there are as many as may be, the one
// that has asked for nothing for the longest gives way.
type peerListener struct {
	net.Listener
	refused func() // told of each connection that is closed at once
	places  chan struct{}
	next    time.Time // when the next may be let in
	ended   chan struct{}
	end     func()

	mu     sync.Mutex
	counts map[netip.Addr]int // connections, and those that have ended a short while ago; as many as are accepted in that time
	silent []*boundedConn     // those that have asked for nothing yet, in the order that they came
}

func newPeerListener(l net.Listener, refused func()) *peerListener {
	ended := make(chan struct{})
	return &peerListener{Listener: l, refused: refused, places: make(chan struct{}, PeerConns), counts: map[netip.Addr]int{},
		ended: ended, end: sync.OnceFunc(func() { close(ended) })}
}

// Accept implements net.Listener. One goroutine calls it. It goes on closing those that may not be let in until one may.
func (l *peerListener) Accept() (net.Conn, error) {
	for closed := 1; ; closed++ {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
		if address := from.Addr().Unmap(); l.enter(address) {
			return l.letIn(&boundedConn{Conn: conn, of: l, address: address})
		}
		conn.Close()
		l.refused()
		if closed%refuseBatch == 0 {
			time.Sleep(refusePause)
		}
	}
}

// letIn lets a connection in when it is time, in the place of the one that has been silent for the longest if there is no other.
func (l *peerListener) letIn(conn *boundedConn) (net.Conn, error) {
	select {
	case <-time.After(time.Until(l.next)):
	case <-l.ended:
		conn.Conn.Close()
		return nil, net.ErrClosed
	}
	if oldest := l.oldestSilent(); oldest != nil && len(l.places) == cap(l.places) {
		oldest.Close()
	}
	select {
	case l.places <- struct{}{}:
	case <-l.ended:
		conn.Conn.Close()
		return nil, net.ErrClosed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silent = append(l.silent, conn)
	l.next = time.Now().Add(connectPause)
	return conn, nil
}

func (l *peerListener) oldestSilent() *boundedConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.silent) == 0 {
		return nil
	}
	return l.silent[0]
}

// Close implements net.Listener.
func (l *peerListener) Close() error {
	l.end()
	return l.Listener.Close()
}

// enter reports whether an address may have one more.
func (l *peerListener) enter(address netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts[address] >= addressConns {
		return false
	}
	l.counts[address]++
	return true
}

// leave is the end of a connection.
func (l *peerListener) leave(conn *boundedConn) {
	conn.asks()
	<-l.places
	time.AfterFunc(addressPause, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.counts[conn.address]--; l.counts[conn.address] == 0 {
			delete(l.counts, conn.address)
		}
	})
}

// boundedConn gives its place back when it is closed.
type boundedConn struct {
	net.Conn
	of      *peerListener
	address netip.Addr
	left    sync.Once
	result  Given // what came of its request; "" until octets of one have come. Of the goroutine that serves it
}

// asks keeps the place of a connection that has asked for something.
func (c *boundedConn) asks() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.of.silent = slices.DeleteFunc(c.of.silent, func(s *boundedConn) bool { return s == c })
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.left.Do(func() { c.of.leave(c) })
	return c.Conn.Close()
}
