package watch

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// peerListener accepts a bounded number of connections at a time, one after the other, and few of an address. What the others of
// an address ask for is not read, so that one who opens many costs and takes little.
type peerListener struct {
	net.Listener
	refused func() // told of each connection that is closed at once
	places  chan struct{}
	next    time.Time // when the next may be let in
	ended   chan struct{}
	end     func()

	mu     sync.Mutex
	counts map[netip.Addr]int // connections, and those that have ended a short while ago; as many as are accepted in that time
}

func newPeerListener(l net.Listener, refused func()) *peerListener {
	ended := make(chan struct{})
	return &peerListener{Listener: l, refused: refused, places: make(chan struct{}, PeerConns), counts: map[netip.Addr]int{},
		ended: ended, end: sync.OnceFunc(func() { close(ended) })}
}

// Accept implements net.Listener. One goroutine calls it. It goes on closing those that may not be let in until one may.
func (l *peerListener) Accept() (net.Conn, error) {
	l.places <- struct{}{}
	for closed := 1; ; closed++ {
		conn, err := l.Listener.Accept()
		if err != nil {
			<-l.places
			return nil, err
		}
		from, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
		if address := from.Addr().Unmap(); l.enter(address) {
			bounded := &boundedConn{Conn: conn, leave: sync.OnceFunc(func() { l.leave(address) })}
			select {
			case <-time.After(time.Until(l.next)):
			case <-l.ended:
				bounded.Close()
				return nil, net.ErrClosed
			}
			l.next = time.Now().Add(connectPause)
			return bounded, nil
		}
		conn.Close()
		l.refused()
		if closed%refuseBatch == 0 {
			time.Sleep(refusePause)
		}
	}
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
func (l *peerListener) leave(address netip.Addr) {
	<-l.places
	time.AfterFunc(addressPause, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.counts[address]--; l.counts[address] == 0 {
			delete(l.counts, address)
		}
	})
}

// boundedConn gives its place back when it is closed.
type boundedConn struct {
	net.Conn
	leave  func()
	result Given // what came of its request; "" until octets of one have come. Of the goroutine that serves it
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
