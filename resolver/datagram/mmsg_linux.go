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

// Receive calls recvmmsg without telling the scheduler, so that the thread keeps its P meanwhile.
func Receive(fd int, messages []Message, flags int) (int, unix.Errno) {
	return mmsg(unix.SYS_RECVMMSG, fd, messages, flags)
}

// Send calls sendmmsg in the same way.
func Send(fd int, messages []Message, flags int) (int, unix.Errno) {
	return mmsg(unix.SYS_SENDMMSG, fd, messages, flags)
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
