package datagram

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// The sockets of one upstream. See Peer for what the numbers mean to an attacker.
const (
	poolSize     = 16          // sockets among which chance chooses for each query
	socketUses   = 32          // queries of one socket
	socketAge    = time.Second // after which a socket takes no more queries
	MostSockets  = 256         // of one upstream, with those that wait for their last replies
	ticketsFirst = 8           // room for tickets of a new socket
)

// Peer is an upstream that is asked over UDP, with its sockets. Each is connected, so that the kernel drops what comes
// from other addresses (RFC 5452 section 9.2), and has a port that the kernel has picked at random. A query leaves by one
// of poolSize sockets, which chance picks, and has a random ID that its socket has not used before.
//
// An attacker who cannot see the packets has to forge the port and the ID of one query for the name that he wants,
// between the query and its reply. Linux picks from 28,232 ports, so 1 of 2^30.8 packets hits, of a pool as of a socket
// for each query: for this query one port of all is right, however many sockets there are. A query that is asked
// without EDNS too has two IDs from then on, so 2^29.8. Names are sent in lower case and without a cookie, which add
// nothing to guess. The pool differs for who has found a port out, for example by a side channel of ICMP ("SAD DNS",
// Man and others, 2020). A port of its own is worth 2^16 packets for one query, for as long as that waits:
// read_timeout. A port of the pool is worth the same for each query that leaves by it, of which there are no more than
// socketUses, within socketAge of its first; chance gives it to one query in poolSize, so he must have poolSize names
// asked for each that he can forge, and the socket is given up, with all that it waits for, at MostMismatches wrong
// replies.
//
// A socket that is refused by the network fails its queries, and no others.
type Peer struct {
	Address    netip.AddrPort
	Source     netip.Addr    // where queries come from; the zero Addr for any
	Mismatches atomic.Uint64 // replies to no query, ignored

	pool [poolSize]*socket
	open int
}

// socket is one of a peer's. The engine's mutex guards it.
type socket struct {
	fd         int
	serial     int32
	peer       *Peer
	slot       int // in the pool
	used       int // queries that have taken it
	live       int // queries that wait
	holds      int // system calls under way or to come
	mismatches int
	retired    bool     // it takes no more queries
	closed     bool     // and is no more
	tickets    []ticket // of all queries that it has sent
	timed      timed
}

// ticket is an ID with the query that it was used for, nil when that waits no more.
type ticket struct {
	query  *Query
	id     uint16
	second bool
}

// find is the ticket with an ID, nil without one.
func (s *socket) find(id uint16) *ticket {
	for i := range s.tickets {
		if s.tickets[i].id == id {
			return &s.tickets[i]
		}
	}
	return nil
}

func (s *socket) mismatched() {
	s.mismatches++
	s.peer.Mismatches.Add(1)
}

// Query is a query that waits for its reply. It belongs to the engine from Ask until its asker is told. It may be asked
// again then, of another peer perhaps.
type Query struct {
	asker     Asker
	packet    []byte
	socket    *socket // nil when it does not wait
	second    bool    // Again has been sent too
	cancelled bool
	end       time.Duration
	timed     timed
}

// question is the question section of the query.
func (q *Query) question() []byte {
	name := wire.HeaderSize
	for q.packet[name] != 0 {
		name += int(q.packet[name]) + 1
	}
	return q.packet[wire.HeaderSize : name+5]
}

// Ask sends a query to a peer. With Waits its asker is told what becomes of it, perhaps before Ask returns. reused says
// that other queries have left by its socket.
func (e *Engine) Ask(q *Query, asker Asker, p *Peer, a Asked) (outcome Outcome, reused bool) {
	out := e.outbox(a.Out)
	if a.Out == nil {
		defer out.sendAll()
	}
	e.mu.Lock()
	defer e.unlock()
	s, reused := e.choose(p, a.Now)
	now := e.since(a.Now)
	switch {
	case s == nil:
		return Unable, false
	case q.cancelled:
		return Cancelled, reused
	}
	s.used++
	s.live++
	q.asker, q.socket, q.packet, q.second, q.end = asker, s, a.Packet, a.Half == 0, now+a.End
	q.timed.of = q
	due := q.end
	if a.Half > 0 {
		due = now + a.Half
	}
	e.schedule(&q.timed, due, now)
	binary.BigEndian.PutUint16(a.Packet, e.issue(q, false))
	s.holds++
	if a.Sent != nil { // before its reply, or its time, can be told
		e.sent(s, a.Sent)
	}
	out.add(s, a.Packet)
	return Waits, reused
}

// sent tells where a query leaves from. A panic costs that; it must not keep the mutex.
func (e *Engine) sent(s *socket, tell func(local netip.AddrPort)) {
	defer e.Panics.Survive(e.log, "forward")
	tell(s.local())
}

// Cancel takes back a query, for good. It reports whether the query has waited: then its asker is told nothing more.
func (e *Engine) Cancel(q *Query) bool {
	e.mu.Lock()
	defer e.unlock()
	q.cancelled = true
	waited := q.socket != nil
	if waited {
		e.remove(q)
	}
	return waited
}

// Close gives up the sockets of a peer that is not asked any more. Queries that wait go on waiting.
func (e *Engine) Close(p *Peer) {
	e.mu.Lock()
	defer e.unlock()
	for _, s := range p.pool {
		if s != nil {
			e.retire(s)
		}
	}
}

// choose is the socket for a query, nil if there is none to be had. It may free the mutex meanwhile.
func (e *Engine) choose(p *Peer, now time.Time) (s *socket, reused bool) {
	if !e.begin() {
		return nil, false
	}
	slot := int(e.number() % poolSize)
	if s = p.pool[slot]; s != nil && s.used < socketUses {
		return s, true
	}
	if p.open >= MostSockets {
		return nil, false
	}
	p.open++
	e.unlock()
	fd, err := dial(p)
	e.mu.Lock()
	if err != nil {
		p.open--
		return nil, false
	}
	e.serial++
	s = &socket{fd: fd, serial: e.serial, peer: p, slot: slot, tickets: make([]ticket, 0, ticketsFirst)}
	if e.receive == nil || !e.receive.watch(s) {
		p.open--
		e.closing = append(e.closing, fd)
		return nil, false
	}
	if old := p.pool[slot]; old != nil {
		e.retire(old)
	}
	p.pool[slot], e.sockets[s.serial], s.timed.of = s, s, s
	e.schedule(&s.timed, e.since(now)+socketAge, e.since(now))
	return s, false
}

// dial makes a socket of a peer.
func dial(p *Peer) (fd int, err error) {
	family, level, option := unix.AF_INET, unix.IPPROTO_IP, unix.IP_RECVERR
	if p.Address.Addr().Is6() {
		family, level, option = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	// By default, Linux tells a UDP socket only that a port is closed, and a query to an unreachable network would wait
	// for its time.
	unix.SetsockoptInt(fd, level, option, 1)
	if p.Source.IsValid() {
		err = unix.Bind(fd, Sockaddr(netip.AddrPortFrom(p.Source, 0)))
	}
	if err == nil {
		err = unix.Connect(fd, Sockaddr(p.Address))
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

// refusal is why the network has refused a packet of the socket. The socket's pending error says so too, but sendmmsg
// takes that away and keeps it to itself where a packet has left before. What stays is this, for which the socket is
// ready until it is taken.
func refusal(fd int) unix.Errno {
	var control [256]byte
	_, n, _, _, err := unix.Recvmsg(fd, nil, control[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if errno, ok := err.(unix.Errno); ok {
		return errno
	}
	messages, _ := unix.ParseSocketControlMessage(control[:n])
	for _, m := range messages {
		four := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR
		six := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if (four || six) && len(m.Data) >= unix.SizeofInt {
			return unix.Errno(binary.NativeEndian.Uint32(m.Data)) // ee_errno of struct sock_extended_err
		}
	}
	return unix.EIO
}

// local is the socket's own address.
func (s *socket) local() (local netip.AddrPort) {
	switch own, _ := unix.Getsockname(s.fd); own := own.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(own.Addr), uint16(own.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(own.Addr), uint16(own.Port))
	}
	return local
}

// issue gives q an ID of its socket.
func (e *Engine) issue(q *Query, second bool) uint16 {
	s := q.socket
	id := e.number()
	for s.find(id) != nil {
		id = e.number()
	}
	s.tickets = append(s.tickets, ticket{q, id, second})
	return id
}

// number is a random one.
func (e *Engine) number() uint16 {
	if e.left < 2 {
		rand.Read(e.random[:]) // never fails
		e.left = len(e.random)
	}
	e.left -= 2
	return binary.NativeEndian.Uint16(e.random[e.left:])
}

// again has q, for which nothing has come by half of its time, asked without EDNS too.
func (e *Engine) again(q *Query, now time.Duration) outgoing {
	q.second = true
	e.schedule(&q.timed, q.end, now)
	q.socket.holds++
	return outgoing{q.socket, e.packAgain(q, e.issue(q, true))}
}

// packAgain is the packet without EDNS. A panic costs the packet.
func (e *Engine) packAgain(q *Query, id uint16) []byte {
	defer e.Panics.Survive(e.log, "forward")
	return q.asker.Again(id)
}

// remove takes q, which waits, from the table.
func (e *Engine) remove(q *Query) {
	s := q.socket
	for i := range s.tickets {
		if s.tickets[i].query == q {
			s.tickets[i].query = nil
		}
	}
	e.wheel.remove(&q.timed)
	q.socket = nil
	s.live--
	e.close(s)
}

// giveUp has the asker of q told that there is no reply.
func (e *Engine) giveUp(q *Query, err error) {
	e.remove(q)
	e.failing = append(e.failing, failure{q.asker, err})
}

// fail gives up s with all its queries.
func (e *Engine) fail(s *socket, err error) {
	for i := range s.tickets {
		if q := s.tickets[i].query; q != nil {
			e.giveUp(q, err)
		}
	}
	e.retire(s)
}

// retire has s take no more queries.
func (e *Engine) retire(s *socket) {
	s.retired = true
	e.wheel.remove(&s.timed)
	if p := s.peer; p.pool[s.slot] == s {
		p.pool[s.slot] = nil
	}
	e.close(s)
}

// release ends a hold of s.
func (e *Engine) release(s *socket) {
	s.holds--
	e.close(s)
}

// close closes s if it is of no use any more.
func (e *Engine) close(s *socket) {
	if !s.retired || s.live > 0 || s.holds > 0 || s.closed {
		return
	}
	s.closed = true
	s.peer.open--
	delete(e.sockets, s.serial)
	e.closing = append(e.closing, s.fd)
}
