package stream

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/resolver/datagram"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Engine has the connections to all upstreams. Any number of goroutines may use it. Its mutex is held for short, without a
// system call, and the only functions that it calls meanwhile are Asked.Sent and Options.Used. So whoever holds other
// mutexes may call it.
type Engine struct {
	mu       sync.Mutex
	closing  []*link   // to be closed when the mutex is free
	failing  []failure // to be told when the mutex is free, all of queries to one pool
	flushing []*conn   // to be flushed when the mutex is free
	random   [512]byte // the last left of it have not been used
	left     int
}

// failure is a query without a reply.
type failure struct {
	asker Asker
	err   error
}

// Query is a query that waits for its reply. It belongs to the engine from Ask until its asker is told. It may be asked
// again then, of another pool perhaps.
type Query struct {
	asker     Asker
	asked     Asked
	conn      *conn // nil when it does not wait
	at        time.Time
	half, end time.Time
	id        uint16
	serial    uint64
	written   bool
	behind    bool // others were under way before it
	late      bool // half of its time was over
	resent    bool // it was lost on another connection before
	cancelled bool

	next, previous *Query // of its connection, in the order in which they are sent
}

// Takes reports whether queries to p may be asked at now.
func (e *Engine) Takes(p *Pool, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return p.takes(now)
}

// Ask sends a query over a connection of p. With datagram.Waits its asker is told what becomes of it, perhaps before Ask
// returns.
func (e *Engine) Ask(q *Query, asker Asker, p *Pool, a Asked) datagram.Outcome {
	e.mu.Lock()
	switch {
	case q.cancelled:
		e.mu.Unlock()
		return datagram.Cancelled
	case !p.takes(a.Now):
		e.mu.Unlock()
		return datagram.Unable
	}
	c := e.choose(p, a.Now)
	if c == nil {
		e.mu.Unlock()
		return datagram.Unable
	}
	*q = Query{asker: asker, asked: a}
	binary.BigEndian.PutUint16(a.Packet, uint16(len(a.Packet)-LengthSize))
	c.add(q, a.Now)
	at := c.leave(a.Out)
	e.mu.Unlock()
	if at {
		c.Flush()
	}
	return datagram.Waits
}

// Cancel takes back a query, for good. It reports whether the query has waited: then its asker is told nothing more.
func (e *Engine) Cancel(q *Query) bool {
	e.mu.Lock()
	defer e.unlock()
	q.cancelled = true
	c := q.conn
	if c == nil {
		return false
	}
	c.remove(q)
	c.settle(time.Now())
	return true
}

// Alone notes that a query which may have been lost behind others was answered when it was asked alone. A reply out of
// order, a short time ago, is better evidence.
func (e *Engine) Alone(p *Pool, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p.suspect(now)
}

// unlock frees the mutex, and does what must not be done with it. Those that wait for failed queries are told in a
// goroutine: that may block.
func (e *Engine) unlock() {
	closing, flushing := e.closing, e.flushing
	e.closing, e.flushing = nil, nil
	e.mu.Unlock()
	for _, l := range closing {
		l.close()
	}
	for _, c := range flushing {
		c.Flush()
	}
}

// tellAll has the askers of the queries that have failed told. The caller holds the mutex.
func (e *Engine) tellAll(p *Pool) {
	failing := e.failing
	if e.failing = nil; len(failing) == 0 {
		return
	}
	p.wg.Go(func() {
		for _, f := range failing {
			p.tell(f)
		}
	})
}

// tell tells an asker that its query has failed. A panic costs that query, not those that are to be told after it.
func (p *Pool) tell(f failure) {
	defer p.Receiver.Panics.Survive(p.Log, "forward")
	f.asker.Fail(f.err)
}

// number is a random ID.
func (e *Engine) number() uint16 {
	if e.left < 2 {
		rand.Read(e.random[:]) // never fails
		e.left = len(e.random)
	}
	e.left -= 2
	return binary.NativeEndian.Uint16(e.random[e.left:])
}

// question is the question section of the query.
func (q *Query) question() []byte {
	packet := q.asked.Packet[LengthSize:]
	name := wire.HeaderSize
	for packet[name] != 0 {
		name += int(packet[name]) + 1
	}
	return packet[wire.HeaderSize : name+5]
}

// The errors of connections.
var (
	errBroken = errors.New("the connection is broken")
	errClosed = os.ErrClosed
)
