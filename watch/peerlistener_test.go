package watch

import (
	"errors"
	"io"
	"maps"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// arrivals is a listener at which a test opens connections.
type arrivals chan net.Conn

func (a arrivals) Accept() (net.Conn, error) {
	conn, ok := <-a
	if !ok {
		return nil, errors.New("closed")
	}
	return conn, nil
}

func (a arrivals) Close() error   { return nil }
func (a arrivals) Addr() net.Addr { return &net.TCPAddr{} }

// arrival is a connection of an address.
type arrival struct {
	net.Conn
	from net.Addr
}

func (a arrival) RemoteAddr() net.Addr { return a.from }

// arrive opens a connection from an address.
func arrive(address string, port uint16) net.Conn {
	conn, _ := net.Pipe()
	return arrival{conn, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), port))}
}

// TestPeerListener opens more connections than there may be, in all and of one address.
func TestPeerListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, in, refused := make(arrivals, 1000), make(chan net.Conn, 1000), 0
		l := newPeerListener(at, func() { refused++ })
		go func() {
			defer close(in)
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				in <- conn
			}
		}()
		open := func(n int, address string) {
			for i := range n {
				at <- arrive(address, uint16(1024+i))
			}
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		holds := func(accepted, closed int) {
			t.Helper()
			if len(in) != accepted || refused != closed {
				t.Fatalf("%d are accepted and %d refused, want %d and %d", len(in), refused, accepted, closed)
			}
		}
		open(100, "10.0.0.1")
		holds(addressConns, 100-addressConns)
		refused = 0
		open(1, "::ffff:10.0.0.1") // the same address
		holds(addressConns, 1)
		for i := range PeerConns {
			open(1, netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}).String())
		}
		holds(addressConns+PeerConns, 1)
		for range addressConns {
			if _, err := (<-in).Write(nil); err != io.ErrClosedPipe {
				t.Errorf("one that is the oldest and says nothing is not closed: %v", err)
			}
		}
		var asking []*boundedConn
		for len(in) > 0 {
			conn := (<-in).(*boundedConn)
			conn.asks()
			asking = append(asking, conn)
		}
		open(1, "10.0.0.3") // which waits for those that have asked
		holds(0, 1)
		asking[0].Close()
		asking[0].Close() // as servers do
		time.Sleep(time.Minute)
		holds(1, 1)
		for _, conn := range asking[1:] {
			conn.Close()
		}
		for len(in) > 0 {
			(<-in).Close()
		}
		time.Sleep(time.Minute)
		if l.mu.Lock(); len(l.counts)+len(l.silent)+len(l.places) != 0 {
			t.Errorf("left: %v, %d silent, %d places", maps.Clone(l.counts), len(l.silent), len(l.places))
		}
		l.mu.Unlock()

		// One after the other: an address has a few in a while.
		refused = 0
		for range 100 {
			at <- arrive("10.0.0.1", 1)
		}
		accepted := 0
		for begun := time.Now(); time.Since(begun) < addressPause; synctest.Wait() {
			time.Sleep(refusePause)
			for ; len(in) > 0; accepted++ {
				(<-in).Close()
			}
		}
		if accepted != addressConns || refused != 100-addressConns {
			t.Errorf("%d of an address are accepted in %v, and %d refused", accepted, addressPause, refused)
		}
		close(at)
		for conn := range in {
			conn.Close()
		}
		time.Sleep(time.Minute)
	})
}

// TestPeerListenerFlooded has a peer come behind as many connections of one address as Linux has waiting.
func TestPeerListenerFlooded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, refused := make(arrivals, 4097), 0
		for range cap(at) - 1 {
			at <- arrive("10.0.0.1", 1)
		}
		at <- arrive("10.0.0.2", 1)
		l, begun := newPeerListener(at, func() { refused++ }), time.Now()
		for range addressConns + 1 {
			if _, err := l.Accept(); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); took > connectPatience*3/4 {
			t.Errorf("the peer is let in after %v, behind %d others", took, refused)
		}
	})
}

// TestPeerListenerSilent has a peer come behind connections of many addresses that say nothing.
func TestPeerListenerSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const addresses = 7
		at := make(arrivals, addresses*addressConns+1)
		for i := range cap(at) {
			at <- arrive(netip.AddrFrom4([4]byte{10, 0, 1, byte(i / addressConns)}).String(), 1)
		}
		l, begun := newPeerListener(at, func() { t.Error("one is refused") }), time.Now()
		for range cap(at) {
			if _, err := l.Accept(); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); took > connectPatience*3/4 {
			t.Errorf("the peer is let in after %v", took)
		}
		time.Sleep(time.Minute)
	})
}

// TestPeerListenerEnds closes the listener while a connection waits to be let in.
func TestPeerListenerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := make(arrivals, 2)
		at <- arrive("10.0.0.1", 1)
		at <- arrive("10.0.0.2", 1)
		l, ended := newPeerListener(at, func() {}), make(chan error)
		l.Accept()
		begun := time.Now()
		go func() {
			_, err := l.Accept()
			ended <- err
		}()
		synctest.Wait()
		l.Close()
		l.Close() // as servers do
		if err := <-ended; !errors.Is(err, net.ErrClosed) || time.Since(begun) > 0 {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if len(l.places) != 1 {
			t.Errorf("%d places are taken", len(l.places))
		}
		time.Sleep(time.Minute)
	})
}
