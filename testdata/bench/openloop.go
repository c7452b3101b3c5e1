//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// latency is what the open-loop generator measures.
type latency struct {
	rate           float64 // asked for
	sent           int
	lost           int
	p50, p99, p999 time.Duration
	late           time.Duration // p99 of how late the generator itself sent, which is part of the latency
}

// generator asks at the times of a Poisson process, whether the server has answered or not. One thread sends and receives; it
// sleeps in epoll_pwait2 until the next query is due or a reply is there. The kernel stamps replies, so that it does not matter
// when the thread comes to read them.
type generator struct {
	sockets []int
	streams []stream // of the sockets, over TCP; else nil
	epoll   int
	slots   int             // for each socket; a slot is the low bits of a query's ID
	due     []int64         // by socket and slot: when the query was due, in nanoseconds of the wall clock; 0 is answered
	results []time.Duration // latencies
	late    []time.Duration
	waiting int
	buffer  [16 << 10]byte
	control [128]byte
	vector  unix.Iovec
	header  unix.Msghdr
	events  [64]unix.EpollEvent
}

// most queries of a socket that may be under way: beyond it the oldest is lost.
const mostSlots, fewestSlots = 1 << 16, 1 << 11

// openLoop asks for a time, from so many sockets. Over TCP queries are pipelined.
func openLoop(to netip.AddrPort, sockets int, tcp bool, messages [][]byte, rate float64, length time.Duration, seed uint64) (latency, error) {
	g, err := newGenerator(to, sockets, tcp, int(rate*length.Seconds()*1.1))
	if err != nil {
		return latency{}, err
	}
	defer g.close()
	return g.run(messages, rate, length, seed)
}

func newGenerator(to netip.AddrPort, sockets int, tcp bool, queries int) (g *generator, err error) {
	g = &generator{slots: mostSlots, results: make([]time.Duration, 0, queries), late: make([]time.Duration, 0, queries)}
	if sockets > 16 {
		g.slots = fewestSlots
	}
	g.due = make([]int64, sockets*g.slots)
	if g.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if tcp {
		g.streams = make([]stream, sockets)
	}
	for i := range sockets {
		fd, err := dial(to, tcp)
		if err != nil {
			g.close()
			return nil, err
		}
		g.sockets = append(g.sockets, fd)
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
		if err := unix.EpollCtl(g.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
			g.close()
			return nil, err
		}
	}
	return g, nil
}

// dial returns a socket. What arrives is stamped.
func dial(to netip.AddrPort, tcp bool) (fd int, err error) {
	kind := unix.SOCK_DGRAM
	if tcp {
		kind = unix.SOCK_STREAM
	}
	if fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, err
	}
	if tcp {
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20)
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

func (g *generator) close() {
	for _, fd := range g.sockets {
		unix.Close(fd)
	}
	unix.Close(g.epoll)
}

// patience is how long the last replies are waited for.
const patience = time.Second

// run asks, and sums up.
func (g *generator) run(messages [][]byte, rate float64, length time.Duration, seed uint64) (latency, error) {
	times := newArrivals(rate, seed)
	// The kernel delays a sleep by up to 50 us otherwise.
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	defer unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0)

	began := wallClock() + int64(10*time.Millisecond)
	sent := 0
	for next := times.next(); next < length; {
		due := began + int64(next)
		if now := wallClock(); now < due {
			if err := g.receive(due - now); err != nil {
				return latency{}, err
			}
			continue
		}
		if err := g.send(messages[sent%len(messages)], sent, due); err != nil {
			return latency{}, err
		}
		sent++
		next = times.next()
		if sent%8 == 0 { // when it is behind, it must not forget to read
			if err := g.receive(0); err != nil {
				return latency{}, err
			}
		}
	}
	for end := wallClock() + int64(patience); g.waiting > 0; {
		left := end - wallClock()
		if left <= 0 {
			break
		}
		if err := g.receive(left); err != nil {
			return latency{}, err
		}
	}
	return g.sum(rate, sent), nil
}

func (g *generator) sum(rate float64, sent int) latency {
	slices.Sort(g.results)
	slices.Sort(g.late)
	return latency{rate: rate, sent: sent, lost: sent - len(g.results), late: percentile(g.late, 99),
		p50: percentile(g.results, 50), p99: percentile(g.results, 99), p999: percentile(g.results, 99.9)}
}

// send sends the n-th query. due is when it should have been sent, from which its latency counts.
func (g *generator) send(message []byte, n int, due int64) error {
	socket, slot := n%len(g.sockets), n/len(g.sockets)%g.slots
	binary.BigEndian.PutUint16(message, uint16(slot))
	if g.due[socket*g.slots+slot] == 0 {
		g.waiting++
	}
	g.due[socket*g.slots+slot] = due
	g.late = append(g.late, time.Duration(wallClock()-due))
	if g.streams != nil {
		return g.streams[socket].send(g.sockets[socket], message)
	}
	_, err := unix.Write(g.sockets[socket], message)
	if err == unix.ECONNREFUSED || err == unix.EAGAIN || err == unix.ENOBUFS {
		return nil // the query is lost, or the error is of an earlier one
	}
	return err
}

// receive waits for replies, and takes all that are there.
func (g *generator) receive(nanoseconds int64) error {
	timeout := unix.NsecToTimespec(nanoseconds)
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(g.epoll), uintptr(unsafe.Pointer(&g.events[0])), uintptr(len(g.events)),
		uintptr(unsafe.Pointer(&timeout)), 0, 0)
	if errno == unix.EINTR {
		return nil
	}
	if errno != 0 {
		return fmt.Errorf("epoll_pwait2: %w", errno)
	}
	for _, event := range g.events[:n] {
		for g.take(int(event.Fd)) {
		}
	}
	return nil
}

// take takes what a socket has received, and reports whether there may be more.
func (g *generator) take(socket int) bool {
	g.vector.Base, g.header.Iov, g.header.Control = &g.buffer[0], &g.vector, &g.control[0]
	g.vector.SetLen(len(g.buffer))
	g.header.SetIovlen(1)
	g.header.SetControllen(len(g.control))
	n, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(g.sockets[socket]), uintptr(unsafe.Pointer(&g.header)), 0)
	if errno != 0 || n == 0 {
		return errno == unix.ECONNREFUSED // of an earlier query
	}
	at := stamp(g.control[:g.header.Controllen])
	if g.streams == nil {
		g.answered(socket, g.buffer[:n], at)
		return true
	}
	for message := range g.streams[socket].messages(g.buffer[:n]) {
		g.answered(socket, message, at)
	}
	return true
}

// answered counts a reply, if it is the first to its query.
func (g *generator) answered(socket int, message []byte, at int64) {
	if len(message) < 2 {
		return
	}
	due := &g.due[socket*g.slots+int(binary.BigEndian.Uint16(message))%g.slots]
	if *due == 0 {
		return
	}
	g.results = append(g.results, time.Duration(at-*due))
	*due = 0
	g.waiting--
}

// stamp is when the kernel received what recvmsg returned.
func stamp(control []byte) int64 {
	header := (*unix.Cmsghdr)(unsafe.Pointer(unsafe.SliceData(control)))
	if len(control) < unix.CmsgLen(16) || header.Level != unix.SOL_SOCKET || header.Type != unix.SO_TIMESTAMPNS {
		return wallClock()
	}
	return (*unix.Timespec)(unsafe.Pointer(&control[unix.CmsgLen(0)])).Nano()
}

// wallClock is the clock of the kernel's stamps.
func wallClock() int64 { return time.Now().UnixNano() }
