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
	maxAge time.Duration // 0 for no such bound
	closed bool
}

type idleConn struct {
	net.Conn
	made  time.Time
	since time.Time // it is idle since then
}

// over reports whether the connection is not to be used at now.
func (i *idleConns) over(c *idleConn, now time.Time) bool {
	return now.Sub(c.since) >= i.expire || i.maxAge > 0 && now.Sub(c.made) >= i.maxAge
}

// take returns the connection used last, the zero idleConn for none: it is the most likely to be alive. Those that are
// too old are left to close.
func (i *idleConns) take(now time.Time) idleConn {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := len(i.conns) - 1; n >= 0; n-- {
		if conn := i.conns[n]; !i.over(&conn, now) {
			i.conns = append(i.conns[:n], i.conns[n+1:]...)
			return conn
		}
	}
	return idleConn{}
}

// put keeps conn. If there are too many, it closes the one that has been idle longest.
func (i *idleConns) put(conn idleConn) {
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
	i.conns = append(i.conns, conn)
}

// close closes the connections that have expired at now, or all of them if now is zero.
func (i *idleConns) close(now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	kept := i.conns[:0]
	for _, conn := range i.conns {
		if now.IsZero() || i.over(&conn, now) {
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
