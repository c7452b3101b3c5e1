package server

import (
	"net"
	"sync"
)

// openStreams bounds the TCP connections. When all places are taken, the connection that has been idle for longest makes room, and
// when none is idle the new one is refused.
type openStreams struct {
	mu       sync.Mutex
	limit    int
	all      map[*stream]struct{}
	oldest   *stream // of the idle, a list in the order in which they became so
	newest   *stream
	accepted uint64
	evicted  uint64
	refused  uint64
}

// admit takes c, new and idle, or reports that there is no room.
func (o *openStreams) admit(c *stream) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.accepted++
	if len(o.all) >= o.limit {
		if o.oldest == nil {
			o.refused++
			return false
		}
		o.evicted++
		gone := o.oldest
		o.unlink(gone)
		delete(o.all, gone)
		gone.conn.Close()
	}
	if o.all == nil {
		o.all = make(map[*stream]struct{})
	}
	o.all[c] = struct{}{}
	o.link(c)
	return true
}

// busy says that c has one more query, or batch of them, in work. It reports false when c was closed in the meantime to make room.
func (o *openStreams) busy(c *stream) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.work++
	o.unlink(c)
	_, ok := o.all[c]
	return ok
}

// done ends what busy began. A connection with nothing in work is idle.
func (o *openStreams) done(c *stream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.work--
	if _, ok := o.all[c]; ok && c.work == 0 {
		o.link(c)
	}
}

// remove gives the place of c back.
func (o *openStreams) remove(c *stream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unlink(c)
	delete(o.all, c)
}

// each calls do with all connections.
func (o *openStreams) each(do func(*net.TCPConn) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for c := range o.all {
		do(c.conn)
	}
}

// link appends c to the idle.
func (o *openStreams) link(c *stream) {
	if c.idle {
		return
	}
	c.idle, c.previous, c.next = true, o.newest, nil
	if o.newest != nil {
		o.newest.next = c
	} else {
		o.oldest = c
	}
	o.newest = c
}

// unlink takes c out of the idle, if it is among them.
func (o *openStreams) unlink(c *stream) {
	if !c.idle {
		return
	}
	if c.previous != nil {
		c.previous.next = c.next
	} else {
		o.oldest = c.next
	}
	if c.next != nil {
		c.next.previous = c.previous
	} else {
		o.newest = c.previous
	}
	c.idle, c.next, c.previous = false, nil, nil
}

// streamCounts is what metrics tell about connections.
type streamCounts struct {
	open                       int
	accepted, evicted, refused uint64
}

func (o *openStreams) counts() streamCounts {
	o.mu.Lock()
	defer o.mu.Unlock()
	return streamCounts{len(o.all), o.accepted, o.evicted, o.refused}
}
