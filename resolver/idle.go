package resolver

import (
	"net"
	"sync"
	"time"
)

// idleConns are the connections to one upstream that wait for the next query. Nothing reads from them: the next query
// finds out if the peer has closed one.
type idleConns struct {
	mu     sync.Mutex
	conns  []idleConn // longest idle first
	max    int
	expire time.Duration
	closed bool
}

type idleConn struct {
	net.Conn
	since time.Time
}

// take returns the connection used last, nil for none: it is the most likely to be alive, and the others may expire.
func (i *idleConns) take(now time.Time) net.Conn {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := len(i.conns)
	if n == 0 || now.Sub(i.conns[n-1].since) >= i.expire {
		return nil
	}
	conn := i.conns[n-1].Conn
	i.conns = i.conns[:n-1]
	return conn
}

// put keeps conn. If there are too many, it closes the one that has been idle longest.
func (i *idleConns) put(conn net.Conn, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		conn.Close()
		return
	}
	if len(i.conns) >= i.max {
		i.conns[0].Close()
		i.conns = append(i.conns[:0], i.conns[1:]...)
	}
	i.conns = append(i.conns, idleConn{conn, now})
}

// close closes the connections that have expired at now, or all of them if now is zero.
func (i *idleConns) close(now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	kept := i.conns[:0]
	for _, conn := range i.conns {
		if now.IsZero() || now.Sub(conn.since) >= i.expire {
			conn.Close()
		} else {
			kept = append(kept, conn)
		}
	}
	clear(i.conns[len(kept):])
	i.conns = kept
}

// stop closes all connections, and makes put close those that are returned later.
func (i *idleConns) stop() {
	i.mu.Lock()
	i.closed = true
	i.mu.Unlock()
	i.close(time.Time{})
}
