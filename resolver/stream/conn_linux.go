package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"time"

	"github.com/clusterdns/clusterdns/resolver/datagram"
)

// conn is one connection with its queries. The engine's mutex guards it, except what only the receiving goroutine has.
type conn struct {
	engine *Engine
	pool   *Pool
	cancel context.CancelFunc // ends connecting
	link   *link              // nil until it is connected
	made   time.Time
	since  time.Time // it has had no query since then
	heard  time.Time // when the last reply came

	connected bool
	retired   bool // takes no more queries, and ends with those that it has
	dead      bool
	cut       bool // the server has ended it: nothing is sent any more, and what has come is still taken
	listed    bool // in an outbox
	writing   bool

	first, last *Query // in the order in which they are sent
	fresh       *Query // the first that has not been sent
	load        int    // queries that wait
	given       int    // all that it has had
	gone        int    // tickets of queries that wait no more
	tickets     map[uint16]ticket
	serial      uint64 // of the query sent last
	newest      uint64 // the highest that was answered
	answered    int
	foreign     int // replies to no query since the last that was to one
	timer       *time.Timer
	due         time.Time // when the timer fires; zero for never
	out         []byte    // room for what is written

	// Of the receiving goroutine.
	room    []byte // what has come, in which in is what has not been taken
	in      []byte
	skip    int // octets that are passed over
	granted int // octets for the reply that is coming
	found   []found
}

// ticket is what an ID was used for.
type ticket struct {
	query    *Query // nil when it waits no more
	question []byte
	serial   uint64
}

// found is a reply with its query.
type found struct {
	reply []byte
	query *Query
}

// open connects, and sends the queries that have come meanwhile.
func (c *conn) open(ctx context.Context) {
	e := c.engine
	l, err := c.pool.open(ctx)
	c.cancel()
	e.mu.Lock()
	if c.dead && l != nil {
		e.closing = append(e.closing, l)
	}
	if c.dead || err != nil {
		c.abort(err)
		e.tellAll(c.pool)
		e.unlock()
		return
	}
	c.link = l
	e.mu.Unlock()
	watched := l.watch(c)
	e.mu.Lock()
	if !watched {
		c.abort(ErrFull)
		e.tellAll(c.pool)
	}
	if !c.dead {
		c.connected, c.since = true, time.Now()
		c.settle(c.since)
	}
	e.unlock()
	c.Flush()
}

// add gives the connection one more query.
func (c *conn) add(q *Query, now time.Time) {
	q.conn, q.written, q.next, q.previous = c, false, nil, c.last
	if c.last != nil {
		c.last.next = q
	} else {
		c.first = q
	}
	c.last = q
	if c.fresh == nil {
		c.fresh = q
	}
	c.load++
	c.given++
	c.retired = c.retired || c.pool.full(c.given, now)
	c.arm(q.asked.Until, now)
}

// unlink takes q from the queries that wait.
func (c *conn) unlink(q *Query) {
	if q.previous != nil {
		q.previous.next = q.next
	} else {
		c.first = q.next
	}
	if q.next != nil {
		q.next.previous = q.previous
	} else {
		c.last = q.previous
	}
	if c.fresh == q {
		c.fresh = q.next
	}
	q.conn, q.next, q.previous = nil, nil, nil
	c.load--
}

// remove takes q from the connection. Its ID stays its own, since the reply may still come.
func (c *conn) remove(q *Query) {
	c.unlink(q)
	if !q.written {
		return
	}
	t := c.tickets[q.id]
	t.query = nil
	c.tickets[q.id] = t
	if c.gone++; c.gone > Depth/2 {
		c.retired = true
	}
}

// giveUp has the asker of q told that there is no reply.
func (c *conn) giveUp(q *Query, err error) {
	c.remove(q)
	c.engine.failing = append(c.engine.failing, failure{q.asker, err})
}

// leave leaves what is to be sent to out, or reports that it is to be sent at once.
func (c *conn) leave(out *datagram.Outbox) (at bool) {
	if !c.connected {
		return false
	}
	if out == nil {
		return true
	}
	out.Add(c, !c.listed)
	c.listed = true
	return false
}

// Flush sends all queries that have not been sent, with one write, unless somebody does so already.
func (c *conn) Flush() {
	e := c.engine
	e.mu.Lock()
	defer e.unlock()
	c.listed = false
	if c.writing {
		return
	}
	c.writing = true
	for c.connected && !c.dead && !c.cut && c.fresh != nil {
		packets := c.pack(time.Now())
		e.mu.Unlock()
		err := c.link.send(packets)
		e.mu.Lock()
		switch {
		case isCut(err): // replies may have come before that, which Ready takes until it meets the end
			c.retired, c.cut = true, true
		case err != nil:
			c.abort(err)
			e.tellAll(c.pool)
		}
	}
	c.writing = false
}

// pack is what there is to be sent.
func (c *conn) pack(now time.Time) []byte {
	all := c.out[:0]
	for q := c.fresh; q != nil; q = q.next {
		c.stamp(q, now)
		all = append(all, q.asked.Packet...)
	}
	c.fresh = nil
	if c.out = all; cap(all) > writeAhead {
		c.out = nil
	}
	return all
}

const writeAhead = 32 << 10 // octets of room that is kept for what is written

// stamp makes q one that is sent at now.
func (c *conn) stamp(q *Query, now time.Time) {
	end := now.Add(q.asked.Wait)
	if !q.end.IsZero() { // it is sent again: for the rest of its time, or half of it
		end = now.Add(max(q.asked.Wait/2, q.end.Sub(now)))
	}
	if end.After(q.asked.Until) {
		end = q.asked.Until
	}
	c.serial++
	q.written, q.late, q.behind, q.serial = true, false, len(c.tickets) > 0, c.serial
	q.at, q.half, q.end = now, now.Add(end.Sub(now)/2), end
	q.id = c.engine.number()
	for _, used := c.tickets[q.id]; used; _, used = c.tickets[q.id] {
		q.id = c.engine.number()
	}
	c.tickets[q.id] = ticket{q, q.question(), q.serial}
	packet := q.asked.Packet[LengthSize:]
	binary.BigEndian.PutUint16(packet, q.id)
	c.arm(q.half, now)
	if q.asked.Sent != nil {
		c.sent(q)
	}
}

// sent tells that q leaves. A panic costs that; it must not keep the mutex.
func (c *conn) sent(q *Query) {
	defer c.pool.Receiver.Panics.Survive(c.pool.Log, "forward")
	q.asked.Sent(c.link.local)
}

// stalls reports whether nothing has come for a while although there is something to come.
func (c *conn) stalls(now time.Time) bool {
	stall := c.pool.Stall
	return c.first != nil && c.first.written && now.Sub(c.first.at) > stall && now.Sub(c.heard) > stall
}

// Ready takes what has come, and sends what could not be sent before.
func (c *conn) Ready(writable bool, cycle *datagram.Cycle) {
	e := c.engine
	var err error
	if writable {
		err = c.link.flush()
	}
	if err == nil {
		c.room, err = c.link.receive(c.room)
	}
	c.take()
	if late := c.match(); err == nil {
		err = late
	}
	for i := range c.found {
		if q := c.found[i].query; q != nil {
			c.tell(q, c.found[i].reply, cycle)
		}
	}
	c.keep()
	if err != nil {
		e.mu.Lock()
		c.abort(err)
		e.tellAll(c.pool)
		e.unlock()
	}
}

// tell tells the asker of q the reply. A panic costs that query, not the others of the cycle.
func (c *conn) tell(q *Query, reply []byte, cycle *datagram.Cycle) {
	defer c.pool.Receiver.Panics.Survive(c.pool.Log, "forward")
	q.asker.Reply(reply, cycle)
}

// arm has expire called at a time, or before.
func (c *conn) arm(at, now time.Time) {
	if c.due.IsZero() || at.Before(c.due) {
		c.due = at
		c.timer.Reset(at.Sub(now))
	}
}

// expire looks after the queries whose time is over, or half of it.
func (c *conn) expire() {
	e := c.engine
	e.mu.Lock()
	defer e.unlock()
	now := time.Now()
	c.due = time.Time{}
	for q := c.first; q != nil && !c.dead; {
		next := q.next
		c.look(q, now)
		q = next
	}
	for q := c.first; q != nil; q = q.next {
		c.arm(q.when(), now)
	}
	c.settle(now)
	e.tellAll(c.pool)
}

// look looks after one query.
func (c *conn) look(q *Query, now time.Time) {
	silent := !c.heard.After(q.at)
	switch {
	case !q.written:
		if !now.Before(q.asked.Until) {
			c.giveUp(q, os.ErrDeadlineExceeded)
		}
	case !now.Before(q.end):
		c.retired = c.retired || silent
		c.giveUp(q, os.ErrDeadlineExceeded)
		if silent && c.answered > 0 { // it has died with all that was sent since
			c.abort(os.ErrDeadlineExceeded)
		}
	case q.late || now.Before(q.half):
	case silent && c.answered > 0 && !q.resent: // the connection may have died
		c.retired, q.resent = true, true
		c.remove(q)
		c.resend(q, now)
	case (!silent || q.resent) && q.behind && !c.pool.sure(now):
		c.giveUp(q, ErrAlone)
	default:
		q.late = true
	}
}

// when is when q is to be looked after.
func (q *Query) when() time.Time {
	switch {
	case !q.written:
		return q.asked.Until
	case q.late:
		return q.end
	}
	return q.half
}

// settle looks after a connection that may have no query any more.
func (c *conn) settle(now time.Time) {
	if c.load > 0 || c.dead {
		return
	}
	c.since = now
	if c.retired || c.pool.closed {
		c.end()
		return
	}
	c.pool.trim()
}

// retire has the connection end with the last of its queries.
func (c *conn) retire(now time.Time) {
	c.retired = true
	c.settle(now)
}

// end takes the connection out of use.
func (c *conn) end() {
	c.dead = true
	all := c.pool.conns[:0]
	for _, other := range c.pool.conns {
		if other != c {
			all = append(all, other)
		}
	}
	clear(c.pool.conns[len(all):])
	c.pool.conns = all
	c.cancel()
	c.timer.Stop()
	if c.link != nil {
		c.engine.closing = append(c.engine.closing, c.link)
	}
}

// abort ends the connection because of err. What was under way on it is asked over another one, once. The only query of
// a connection has failed as the connection has, and one that may have been lost because others were under way is to be
// asked alone.
func (c *conn) abort(err error) {
	if c.dead {
		return
	}
	now := time.Now()
	late := errors.Is(err, os.ErrDeadlineExceeded)
	early := !late && c.answered > 0 && c.answered < earlyAnswers && !c.pool.sure(now)
	final := !c.connected || errors.Is(err, datagram.ErrSpoofed) || errors.Is(err, errClosed)
	if !late && !final && c.load > 0 && c.answered >= earlyAnswers {
		c.pool.learn(c.answered, now)
	}
	c.end()
	for c.first != nil {
		q := c.first
		switch {
		case final || c.serial == 1 && c.answered == 0:
			c.giveUp(q, err)
		case !q.written:
			c.unlink(q)
			c.resend(q, now)
		case q.behind && early:
			c.pool.suspect(now)
			c.giveUp(q, ErrAlone)
		case q.resent:
			c.giveUp(q, ErrAlone)
		default:
			c.remove(q)
			q.resent = true
			c.resend(q, now)
		}
	}
}

// resend has q, which this connection has lost, asked over another one.
func (c *conn) resend(q *Query, now time.Time) {
	e := c.engine
	fail := func(err error) { e.failing = append(e.failing, failure{q.asker, err}) }
	if !now.Before(q.asked.Until) {
		fail(os.ErrDeadlineExceeded)
		return
	}
	other := e.choose(c.pool, now)
	if other == nil {
		fail(ErrFull)
		return
	}
	other.add(q, now)
	if other.connected {
		e.flushing = append(e.flushing, other)
	}
}
