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

// leave sends packets, or leaves them to out.
func (e *Engine) leave(out *Outbox, all ...outgoing) {
	if out != nil {
		if out.engine != e {
			out.Flush()
			out.engine = e
		}
		out.all = append(out.all, all...)
		return
	}
	if len(all) > 0 {
		out = outboxes.Get().(*Outbox)
		out.engine, out.all = e, append(out.all, all...)
		out.Flush()
		outboxes.Put(out)
	}
}

// Flush sends what is in the outbox, without waiting, and returns how many queries that were.
func (o *Outbox) Flush() int {
	n := len(o.all)
	if n == 0 {
		return 0
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
	o.all, o.engine = o.all[:0], nil
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
