package datagram

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Outbox collects the queries that one goroutine asks, until Flush sends them. The zero Outbox is empty.
type Outbox struct {
	engine   *Engine // of all in it
	all      []outgoing
	octets   []byte  // of all
	batches  []Batch // of those that leave in another way
	others   int     // queries in them
	messages [mostSent]Message
	vecs     [mostSent]unix.Iovec
}

const mostSent = 32 // queries that one system call sends

// outgoing is a packet that leaves by a socket, which it holds.
type outgoing struct {
	socket *socket
	packet []byte
}

var outboxes = sync.Pool{New: func() any { return new(Outbox) }}

// outbox is out, or without one an outbox of nobody, which send must be given.
func (e *Engine) outbox(out *Outbox) *Outbox {
	if out == nil {
		out = outboxes.Get().(*Outbox)
	}
	if out.engine != e {
		out.Flush()
		out.engine = e
	}
	return out
}

// sendAll sends what is in an outbox of nobody.
func (o *Outbox) sendAll() {
	o.Flush()
	outboxes.Put(o)
}

// add copies a packet: a query that is taken back may pack another one before this one leaves.
func (o *Outbox) add(s *socket, packet []byte) {
	if packet != nil {
		begin := len(o.octets)
		o.octets = append(o.octets, packet...) // where they move, those before keep their place
		packet = o.octets[begin:len(o.octets):len(o.octets)]
	}
	o.all = append(o.all, outgoing{s, packet})
}

// Add adds a query that leaves when b is flushed, which is new to the outbox or has been added to one before.
func (o *Outbox) Add(b Batch, new bool) {
	if o.others++; new {
		o.batches = append(o.batches, b)
	}
}

// Flush sends what is in the outbox, without waiting, and returns how many queries that were.
func (o *Outbox) Flush() int {
	n := len(o.all) + o.others
	if o.others > 0 {
		for _, b := range o.batches {
			b.Flush()
		}
		clear(o.batches)
		o.batches, o.others = o.batches[:0], 0
	}
	if len(o.all) == 0 {
		return n
	}
	e := o.engine
	var failed map[*socket]unix.Errno
	for i := range o.all {
		s := o.all[i].socket
		if s == nil || o.all[i].packet == nil {
			continue
		}
		if errno := o.send(i); errno != 0 {
			if failed == nil {
				failed = map[*socket]unix.Errno{}
			}
			failed[s] = errno
		}
	}
	e.mu.Lock()
	for s, errno := range failed {
		e.fail(s, errno)
	}
	for i := range o.all {
		e.release(o.all[i].socket)
	}
	e.unlock()
	clear(o.all)
	o.all, o.octets, o.engine = o.all[:0], o.octets[:0], nil
	return n
}

// send sends the i-th packet, and with it those after it that leave by the same socket.
func (o *Outbox) send(i int) unix.Errno {
	s, n := o.all[i].socket, 0
	for k := i; k < len(o.all) && n < mostSent; k++ {
		next := &o.all[k]
		if next.socket != s || next.packet == nil {
			continue
		}
		o.vecs[n].Base = unsafe.SliceData(next.packet)
		o.vecs[n].SetLen(len(next.packet))
		o.messages[n].Header.Iov = &o.vecs[n]
		o.messages[n].Header.SetIovlen(1)
		next.packet = nil
		n++
	}
	defer clear(o.vecs[:n])
	for sent := 0; sent < n; {
		k, errno := Send(s.fd, o.messages[sent:n], unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return errno
		default:
			sent += k
		}
	}
	return 0
}
