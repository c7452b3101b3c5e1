package resolver

import (
	"net"
	"sync"
	"time"
)

// idleConns are the connections to one upstream that wait for the next query. They have no reader: one that the peer closed is found out
// by the next query.
type idleConns struct {
	mu     sync.Mutex
	conns  []idleConn // the longest idle first
	max    int
	expire time.Duration
	closed bool
}

type idleConn struct {
	net.Conn
	since time.Time
}

// take is the connection that was used last: it is the most likely to be alive, and the others may expire.
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

// put keeps conn, in place of the longest idle one when there are too many.
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

// close closes the connections that have expired at now; all of them when now is zero.
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

// stop closes all connections, now and when they come back.
func (i *idleConns) stop() {
	i.mu.Lock()
	i.closed = true
	i.mu.Unlock()
	i.close(time.Time{})
}
