package datagram

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Park lets a goroutine wait in Go's netpoller for a descriptor that the netpoller does not have, because one that it has
// wakes it at every datagram. Between the two stands an epoll instance in which the descriptor is armed only while it is
// waited for (EPOLLONESHOT); the netpoller has the instance.
type Park struct {
	fd    int // a socket, or an epoll instance with sockets
	epoll int
	file  *os.File // of epoll, the netpoller's end
	raw   syscall.RawConn
}

// NewPark is for fd, which it does not close.
func NewPark(fd int) (*Park, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	p := &Park{fd: fd, epoll: epoll}
	if err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Fd: int32(fd)}); err == nil {
		err = unix.SetNonblock(epoll, true) // what NewFile goes by
	}
	p.file = os.NewFile(uintptr(epoll), "epoll")
	if err == nil {
		p.raw, err = p.file.SyscallConn()
	}
	if err != nil {
		p.file.Close()
		return nil, err
	}
	return p, nil
}

// Wait returns when the descriptor is readable or shut down.
func (p *Park) Wait() {
	armed := false
	p.raw.Read(func(uintptr) bool {
		if armed {
			return p.fired()
		}
		// The netpoller has forgotten older events before it called this, so what becomes readable from here on is not
		// missed.
		armed = true
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(p.fd)}
		return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_MOD, p.fd, &event) != nil
	})
}

// fired takes the event, which disarms the descriptor, and reports whether there was one.
func (p *Park) fired() bool {
	var events [1]unix.EpollEvent
	n, err := unix.EpollWait(p.epoll, events[:], 0)
	return n > 0 || err != nil && err != unix.EINTR
}

// Close ends the park, which nobody waits in.
func (p *Park) Close() { p.file.Close() }

// Pace decides where a goroutine waits for datagrams: in the kernel, with its P, while many come, and parked else. Each
// time that a thread gets a P, the runtime's sysmon goes through some sixty naps of 20 us and more, so below some fifty
// wakings a second parking is cheaper.
type Pace struct {
	Awake   bool      // datagrams come fast enough to wait for them in the kernel
	dense   int       // how many wakings in a row came within denseGap of the one before
	woken   time.Time // the last of them
	yielded time.Time
}

// A parked goroutine stays awake once it has been woken denseRun times in a row, each within denseGap of the one before.
const (
	denseGap = 10 * time.Millisecond
	denseRun = 4
)

// IdleTime is how long a goroutine waits in the kernel with its P before it parks.
const IdleTime = 20 * time.Millisecond

// Woken notes that the goroutine was woken from its park.
func (p *Pace) Woken(now time.Time) {
	if p.dense++; now.Sub(p.woken) > denseGap {
		p.dense = 0
	}
	p.Awake, p.woken = p.dense >= denseRun, now
}

// Idle notes that nothing has come for IdleTime.
func (p *Pace) Idle() { p.Awake, p.dense = false, 0 }
