package datagram

import (
	"errors"
	"net/netip"
	"time"
)

// Asker asks a Query, and is told what becomes of it: once, by Reply or by Fail.
type Asker interface {
	// Again packs the query without EDNS, for an upstream that may drop those with it. It must not block, nor call the
	// engine.
	Again(id uint16) []byte

	// Reply is given the reply, which is not the caller's to keep. second says that it is to what Again has packed. It
	// is called by the receiving goroutine, which it must not block.
	Reply(reply []byte, second bool, c *Cycle)

	// Fail says that there is no reply. It may block.
	Fail(err error)
}

// Asked is how a query is to be asked.
type Asked struct {
	Packet []byte // the query; Ask writes its ID. It must stay as it is for as long as the query waits
	Now    time.Time
	Half   time.Duration              // when it is asked without EDNS too; 0 for never
	End    time.Duration              // how long the reply may take
	Out    *Outbox                    // where it leaves from; nil to send it at once
	Sent   func(local netip.AddrPort) // told where it leaves from; may be nil, and is called as Again is
}

// Outcome is what Ask has made of a query.
type Outcome uint8

// The outcomes of Ask.
const (
	Waits     Outcome = iota // the asker will be told
	Unable                   // it must be asked in another way: the engine does not run, or has no more sockets
	Cancelled                // Cancel was called before
)

// ErrSpoofed is the error of queries whose socket has received too many replies to none of them.
var ErrSpoofed = errors.New("too many replies to other questions")

// MostMismatches is how many of those a socket receives. Then it is given up, and its queries are to be asked over TCP (RFC
// 5452 section 9.1).
const MostMismatches = 64

// Cycle is what the receiving goroutine has received at a time. What answers clients may put off to its end what it
// would else do for each of them, as sending.
type Cycle struct{ batches []Batch }

// Batch is work put off to the end of a cycle.
type Batch interface{ Flush() }

// Batches are those that the cycle has by now.
func (c *Cycle) Batches() []Batch { return c.batches }

// Add has b flushed at the end of the cycle.
func (c *Cycle) Add(b Batch) { c.batches = append(c.batches, b) }

// flush ends the cycle.
func (c *Cycle) flush() {
	for _, b := range c.batches {
		b.Flush()
	}
	clear(c.batches)
	c.batches = c.batches[:0]
}
