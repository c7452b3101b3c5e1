package listen

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// park lets a goroutine wait in Go's netpoller for a socket that the netpoller does not have, because a socket that it
// has wakes it at every datagram. Between the two stands an epoll instance in which the socket is armed only while it
// is waited for (EPOLLONESHOT); the netpoller has the instance.
type park struct {
	fd    int // the socket
	epoll int
	file  *os.File // of epoll, the netpoller's end
	raw   syscall.RawConn
}

func newPark(fd int) (*park, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	p := &park{fd: fd, epoll: epoll}
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

// wait returns when the socket is readable or shut down.
func (p *park) wait() {
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

// fired takes the event, which disarms the socket, and reports whether there was one.
func (p *park) fired() bool {
	var events [1]unix.EpollEvent
	n, err := unix.EpollWait(p.epoll, events[:], 0)
	return n > 0 || err != nil && err != unix.EINTR
}

func (p *park) close() { p.file.Close() }
