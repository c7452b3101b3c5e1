package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/clusterdns/clusterdns/resolver/datagram"
)

// link is the socket of a connection, with TLS or without. Once it is open, nothing that it does waits. TLS reads what has
// come from it, and what TLS writes waits in it to be sent.
type link struct {
	net.Conn // until the link is open, with which it is closed
	secure   *tls.Conn
	local    netip.AddrPort
	receiver *datagram.Engine
	id       int32 // at the receiver

	reading sync.Mutex // held by who reads, or closes
	raw     []byte
	ahead   []byte // of raw, what TLS has not read yet; raw is nil until the link is open

	mu     sync.Mutex // held by who sends, or closes
	fd     int        // -1 when it is closed
	unsent []byte
	full   bool // the kernel takes no more
}

// open connects, with the TLS handshake.
func (p *Pool) open(ctx context.Context) (l *link, err error) {
	err = errBroken // of a panic
	defer p.Receiver.Panics.Survive(p.Log, "forward")
	conn, failed := p.Dial(ctx)
	if failed != nil {
		return nil, failed
	}
	made := &link{Conn: conn, receiver: p.Receiver, fd: -1}
	if p.TLS != nil {
		made.secure = tls.Client(made, p.TLS)
		if failed := made.secure.HandshakeContext(ctx); failed != nil {
			conn.Close()
			return nil, fmt.Errorf("TLS: %w", failed)
		}
	}
	if failed := made.detach(); failed != nil {
		return nil, failed
	}
	return made, nil
}

// detach takes the socket from Go's netpoller, which would be woken by everything that comes.
func (l *link) detach() error {
	defer l.Conn.Close()
	l.local, _ = netip.ParseAddrPort(l.Conn.LocalAddr().String())
	raw, err := l.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	if failed := raw.Control(func(fd uintptr) { l.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); failed != nil {
		return failed
	}
	if err != nil {
		l.fd = -1
		return os.NewSyscallError("fcntl", err)
	}
	l.raw = make([]byte, readAhead)
	return nil
}

// watch has c told of what comes.
func (l *link) watch(c *conn) (ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd >= 0 {
		l.id, ok = l.receiver.Watch(l.fd, c)
	}
	return ok
}

// receive appends what has come to in.
func (l *link) receive(in []byte) ([]byte, error) {
	l.reading.Lock()
	defer l.reading.Unlock()
	if l.fd < 0 {
		return in, net.ErrClosed
	}
	n, errno := read(l.fd, l.raw)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return in, nil
	case errno != 0:
		return in, os.NewSyscallError("read", errno)
	case n == 0:
		return in, io.EOF
	case l.secure == nil:
		return append(in, l.raw[:n]...), nil
	}
	l.ahead = l.raw[:n]
	return l.decrypt(in)
}

// decrypt appends what TLS makes of what has been read.
func (l *link) decrypt(in []byte) ([]byte, error) {
	for {
		in = slices.Grow(in, 512)
		n, err := l.secure.Read(in[len(in):cap(in)])
		in = in[:len(in)+n]
		if err == os.ErrDeadlineExceeded {
			return in, l.flush() // TLS may have answered something of its own
		}
		if err != nil {
			return in, err
		}
	}
}

// Read gives TLS what has been read. When there is no more, its error is one after which TLS goes on reading.
func (l *link) Read(b []byte) (int, error) {
	if l.raw == nil {
		return l.Conn.Read(b)
	}
	if len(l.ahead) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b, l.ahead)
	l.ahead = l.ahead[n:]
	return n, nil
}

// Write takes what TLS wants to send.
func (l *link) Write(b []byte) (int, error) {
	if l.raw == nil {
		return l.Conn.Write(b)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unsent = append(l.unsent, b...)
	return len(b), nil
}

// send sends packet, or as much of it as the kernel takes now; the rest leaves when it takes more.
func (l *link) send(packet []byte) error {
	if l.secure != nil {
		if _, err := l.secure.Write(packet); err != nil {
			return err
		}
		packet = nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.push(packet)
}

// flush sends what could not be sent before. That the server has ended the connection is left to receive, which meets it
// behind the replies that have come.
func (l *link) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.push(nil); !isCut(err) {
		return err
	}
	return nil
}

// isCut reports whether nothing can be sent because the server has ended the connection.
func isCut(err error) bool { return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) }

// push sends what is unsent, and packet behind it.
func (l *link) push(packet []byte) error {
	if l.fd < 0 {
		return net.ErrClosed
	}
	if len(l.unsent) > 0 {
		l.unsent = append(l.unsent, packet...)
		packet = l.unsent
	}
	for len(packet) > 0 {
		n, errno := write(l.fd, packet)
		if errno == unix.EAGAIN {
			break
		}
		if errno != 0 && errno != unix.EINTR {
			return os.NewSyscallError("write", errno)
		}
		packet = packet[n:]
	}
	l.unsent = append(l.unsent[:0], packet...)
	if full := len(packet) > 0; full != l.full {
		l.full = full
		l.receiver.WatchWrites(l.id, l.fd, full)
	}
	return nil
}

// close closes the link. TLS says so to the server, if the kernel takes it.
func (l *link) close() {
	if l.secure != nil {
		l.secure.CloseWrite()
	}
	l.reading.Lock()
	defer l.reading.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd < 0 {
		return
	}
	l.push(nil)
	l.receiver.Unwatch(l.id, l.fd)
	unix.Close(l.fd)
	l.fd = -1
}

// read calls read(2) on a socket that does not wait, without telling the scheduler.
func read(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), errno
}

// write calls sendto(2) in the same way. It writes nothing where it fails.
func write(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
