package watch

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// doors accepts a bounded number of connections at a time, one after the other, and few of an address. What the others of
// an address ask for is not read, so that one who opens many costs and takes little.
type doors struct {
	net.Listener
	refused func() // told of each connection that is closed at once
	places  chan struct{}
	next    time.Time // when the next may be accepted

	mu     sync.Mutex
	counts map[netip.Addr]int // connections, and those that have ended a short while ago; as many as are accepted in that time
}

func newDoors(l net.Listener, refused func()) *doors {
	return &doors{Listener: l, refused: refused, places: make(chan struct{}, PeerConns), counts: map[netip.Addr]int{}}
}

// Accept implements net.Listener. One goroutine calls it.
func (d *doors) Accept() (net.Conn, error) {
	d.places <- struct{}{}
	for {
		time.Sleep(time.Until(d.next))
		conn, err := d.Listener.Accept()
		if err != nil {
			<-d.places
			return nil, err
		}
		from, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
		if address := from.Addr().Unmap(); d.enter(address) {
			d.next = time.Now().Add(connectPause)
			return &boundedConn{Conn: conn, leave: sync.OnceFunc(func() { d.leave(address) })}, nil
		}
		d.next = time.Now().Add(refusePause)
		conn.Close()
		d.refused()
	}
}

// enter reports whether an address may have one more.
func (d *doors) enter(address netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.counts[address] >= addressConns {
		return false
	}
	d.counts[address]++
	return true
}

// leave is the end of a connection.
func (d *doors) leave(address netip.Addr) {
	<-d.places
	time.AfterFunc(addressPause, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.counts[address]--; d.counts[address] == 0 {
			delete(d.counts, address)
		}
	})
}

// boundedConn gives its place back when it is closed.
type boundedConn struct {
	net.Conn
	leave func()
	asked bool // of the goroutine that serves it
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
