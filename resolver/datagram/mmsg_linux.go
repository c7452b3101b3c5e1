package datagram

import (
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Message is struct mmsghdr of recvmmsg(2); the compiler pads it as C does, on every architecture.
type Message struct {
	Header unix.Msghdr
	Size   uint32
}

// Receive calls recvmmsg without telling the scheduler, so that the thread keeps its P meanwhile. For one message without
// an address recvfrom does the same for less.
func Receive(fd int, messages []Message, flags int) (int, unix.Errno) {
	if len(messages) == 1 && messages[0].Header.Name == nil && messages[0].plain() {
		return messages[0].transfer(unix.SYS_RECVFROM, fd, flags)
	}
	return mmsg(unix.SYS_RECVMMSG, fd, messages, flags)
}

// Send calls sendmmsg in the same way, and for one message sendto.
func Send(fd int, messages []Message, flags int) (int, unix.Errno) {
	if len(messages) == 1 && messages[0].plain() {
		return messages[0].transfer(unix.SYS_SENDTO, fd, flags)
	}
	return mmsg(unix.SYS_SENDMMSG, fd, messages, flags)
}

// plain reports whether the message is no more than octets and an address.
func (m *Message) plain() bool { return m.Header.Control == nil && m.Header.Iovlen == 1 }

// transfer sends or receives a plain message by a call for one: the kernel then does not read and check the structures of
// the others, which is a sixteenth of what sending takes.
func (m *Message) transfer(call uintptr, fd int, flags int) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(m.Header.Iov.Base)), uintptr(m.Header.Iov.Len),
		uintptr(flags), uintptr(unsafe.Pointer(m.Header.Name)), uintptr(m.Header.Namelen))
	if errno != 0 {
		return -1, errno
	}
	m.Size = uint32(n)
	return 1, 0
}

func mmsg(call uintptr, fd int, messages []Message, flags int) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(call, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(messages))), uintptr(len(messages)), uintptr(flags), 0, 0)
	return int(n), errno
}

// Sockaddr is address for the kernel.
func Sockaddr(address netip.AddrPort) unix.Sockaddr {
	if address.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(address.Port()), Addr: address.Addr().As4()}
	}
	to := &unix.SockaddrInet6{Port: int(address.Port()), Addr: address.Addr().As16()}
	if zone := address.Addr().Zone(); zone != "" {
		if link, err := net.InterfaceByName(zone); err == nil {
			to.ZoneId = uint32(link.Index)
		} else if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
			to.ZoneId = uint32(n)
		}
	}
	return to
}
