package stream

import (
	"encoding/binary"
	"time"

	"github.com/clusterdns/clusterdns/resolver/datagram"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// take finds the replies in what has come.
func (c *conn) take() {
	for c.in = c.room; ; {
		n := min(c.skip, len(c.in))
		c.skip -= n
		c.in = c.in[n:]
		if len(c.in) < LengthSize {
			return
		}
		size := int(binary.BigEndian.Uint16(c.in))
		if len(c.in)-LengthSize < size {
			if c.admit(size) {
				return
			}
			c.skip, c.granted = LengthSize+size, 0
			continue
		}
		c.found = append(c.found, found{reply: c.in[LengthSize : LengthSize+size]})
		c.in = c.in[LengthSize+size:]
		c.granted = 0
	}
}

// admit makes room for a reply of size octets, of which not all have come: for what has, and as much again, never for what
// the length only says, which costs the sender nothing. A reply that nobody waits for, or there is no room for, is passed
// over.
func (c *conn) admit(size int) bool {
	have := len(c.in) - LengthSize
	room := min(size, max(Base, 2*have))
	if have < wire.HeaderSize || room <= max(Base, c.granted) {
		return true
	}
	id := binary.BigEndian.Uint16(c.in[LengthSize:])
	grow := c.growing(id)
	if grow == nil {
		return false
	}
	granted := grow(room - c.granted)
	if c.granted = room; !granted {
		c.refuse(id)
	}
	return granted
}

// growing is what gives room for the reply to the query with an ID, nil if it waits no more. It may take other mutexes, so
// it is not called with the engine's.
func (c *conn) growing(id uint16) func(octets int) bool {
	c.engine.mu.Lock()
	defer c.engine.mu.Unlock()
	if q := c.tickets[id].query; q != nil {
		return q.asked.Grow
	}
	return nil
}

// refuse has the asker of the query with an ID told that there is no room for its reply, if it still waits.
func (c *conn) refuse(id uint16) {
	e := c.engine
	e.mu.Lock()
	defer e.unlock()
	if q := c.tickets[id].query; q != nil {
		c.giveUp(q, ErrNoRoom)
		e.tellAll(c.pool)
	}
}

// keep moves what has not been taken to the beginning of its room, of which no more is kept than is of use.
func (c *conn) keep() {
	clear(c.found)
	c.found = c.found[:0]
	c.room = c.room[:copy(c.room, c.in)]
	if c.in = nil; len(c.room) == 0 && cap(c.room) > 2*readAhead {
		c.room = nil
	}
}

// match finds the queries that the replies answer. Its error says that there are too many others.
func (c *conn) match() error {
	if len(c.found) == 0 {
		return nil
	}
	e, now := c.engine, time.Now()
	e.mu.Lock()
	defer e.unlock()
	for i := range c.found {
		if c.found[i].query = c.answer(c.found[i].reply, now); c.foreign >= datagram.MostMismatches {
			return datagram.ErrSpoofed
		}
	}
	c.settle(now)
	return nil
}

// answer is the query that the reply answers, nil for none. It does not wait any more.
func (c *conn) answer(reply []byte, now time.Time) *Query {
	var t ticket
	ok := len(reply) >= wire.HeaderSize
	if ok {
		t, ok = c.tickets[binary.BigEndian.Uint16(reply)]
	}
	if !ok || !wire.IsReply(reply, binary.BigEndian.Uint16(reply), t.question) {
		c.foreign++
		c.pool.Mismatches.Add(1)
		return nil
	}
	delete(c.tickets, binary.BigEndian.Uint16(reply))
	c.heard, c.foreign = now, 0
	c.answered++
	if t.serial < c.newest {
		c.pool.proven, c.pool.alone = now, time.Time{}
	}
	c.newest = max(c.newest, t.serial)
	if t.query == nil {
		c.gone--
		return nil
	}
	c.unlink(t.query)
	return t.query
}
