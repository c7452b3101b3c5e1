package listen

import "sync"

// connections bounds the open connections. When all places are taken, the connection that has been idle for longest is
// closed, and when none is idle the new one is refused.
type connections struct {
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
func (o *connections) admit(c *stream) bool {
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

// busy notes that c has one more query, or batch of queries, under way. It reports false when c was closed in the
// meantime to make room.
func (o *connections) busy(c *stream) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.work++
	o.unlink(c)
	_, ok := o.all[c]
	return ok
}

// done ends what busy began. A connection with nothing under way is idle.
func (o *connections) done(c *stream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.work--
	if _, ok := o.all[c]; ok && c.work == 0 {
		o.link(c)
	}
}

// remove gives the place of c back.
func (o *connections) remove(c *stream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unlink(c)
	delete(o.all, c)
}

// each calls do with all connections.
func (o *connections) each(do func(*stream)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for c := range o.all {
		do(c)
	}
}

// link appends c to the idle ones.
func (o *connections) link(c *stream) {
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

// unlink removes c from the idle ones, if it is among them.
func (o *connections) unlink(c *stream) {
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

// connectionCounts is what metrics tell about connections.
type connectionCounts struct {
	open                       int
	accepted, evicted, refused uint64
}

func (o *connections) counts() connectionCounts {
	o.mu.Lock()
	defer o.mu.Unlock()
	return connectionCounts{len(o.all), o.accepted, o.evicted, o.refused}
}
