package listen

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/clusterdns/clusterdns/resolver/datagram"
)

// controlSize holds the one control message of a datagram: IPV6_PKTINFO is larger than IP_PKTINFO.
const controlSize = (unix.SizeofCmsghdr + unix.SizeofInet6Pktinfo + 7) &^ 7

// listenPacket opens the one socket of the portable engine.
func listenPacket(address netip.AddrPort, buffer int) (*net.UDPConn, bool, error) {
	network, wildcard := "udp", address.Addr().IsUnspecified()
	if address.Addr().Is4() {
		network = "udp4"
	}
	var failed error
	lc := net.ListenConfig{Control: func(network, _ string, c syscall.RawConn) error {
		err := c.Control(func(fd uintptr) {
			failed = setOptions(int(fd), network == "udp6", wildcard, buffer)
		})
		return errors.Join(err, failed, allowReuse(c))
	}}
	conn, err := lc.ListenPacket(context.Background(), network, address.String())
	if err != nil {
		return nil, false, err
	}
	return conn.(*net.UDPConn), wildcard, nil
}

// canReuse says that a socket on one address and one on all addresses may have the same port.
const canReuse = true

// allowReuse lets the socket, bound or not, share its port with others of this user that allow it too. It cannot be
// taken back: the kernel remembers it for the port.
func allowReuse(c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	return errors.Join(err, failed)
}

// queued reports whether a connection waits to be accepted.
func queued(l *net.TCPListener) bool {
	raw, err := l.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	raw.Control(func(fd uintptr) { n, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0) })
	return n > 0
}

// detach makes the kernel deliver nothing more to a UDP socket. Connected to itself, it matches no sender but itself,
// so that datagrams go to the sockets that share its port, if there are any. What it has received can still be read,
// and replies still go to anybody.
func detach(fd int, address netip.AddrPort) {
	switch address.Addr() {
	case netip.IPv6Unspecified():
		if unix.Connect(fd, datagram.Sockaddr(netip.AddrPortFrom(netip.IPv6Loopback(), address.Port()))) == nil {
			return
		}
		mapped := netip.AddrFrom16(netip.AddrFrom4([4]byte{127, 0, 0, 1}).As16())
		address = netip.AddrPortFrom(mapped, address.Port()) // without IPv6
	case netip.IPv4Unspecified():
		address = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), address.Port())
	}
	unix.Connect(fd, datagram.Sockaddr(address))
}

func detachConn(conn *net.UDPConn, address netip.AddrPort) {
	if raw, err := conn.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { detach(int(fd), address) })
	}
}

// setOptions prepares a UDP socket: a large receive buffer, and on a wildcard address the control message with the
// address that a datagram was sent to.
func setOptions(fd int, six, wildcard bool, buffer int) error {
	// Only CAP_NET_ADMIN may go over net.core.rmem_max; without it, as much as is allowed is enough.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
	}
	if !wildcard {
		return nil
	}
	if six {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
}

// openSocket makes a blocking UDP socket for address. For [::] it serves both families, or only IPv4 where the kernel
// has no IPv6.
func openSocket(address netip.AddrPort, reuse bool, buffer int) (int, error) {
	six := address.Addr().Is6()
	wildcard := address.Addr().IsUnspecified()
	family := unix.AF_INET
	if six {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		if six && wildcard && err == unix.EAFNOSUPPORT {
			return openSocket(netip.AddrPortFrom(netip.IPv4Unspecified(), address.Port()), reuse, buffer)
		}
		return -1, err
	}
	if err := bindSocket(fd, address, six, reuse, buffer); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func bindSocket(fd int, address netip.AddrPort, six, reuse bool, buffer int) error {
	if reuse {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return err
		}
	}
	if six {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
			return err
		}
	}
	if err := setOptions(fd, six, address.Addr().IsUnspecified(), buffer); err != nil {
		return err
	}
	return unix.Bind(fd, datagram.Sockaddr(address))
}

// probe binds address without reuse, which fails when any other socket has it, and gives it back.
func probe(address netip.AddrPort) error {
	fd, err := openSocket(address, false, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// replyFrom reads the address that a datagram was sent to from its control message, and turns the message in place into
// the one that makes the reply leave from there. The interface is cleared, since routing knows the way back better;
// link-local addresses keep theirs, because they mean nothing without it.
func replyFrom(control []byte) (netip.Addr, bool) {
	const data = unix.SizeofCmsghdr // and the last eight octets before it are level and type
	if len(control) < data+unix.SizeofInet4Pktinfo {
		return netip.Addr{}, false
	}
	level, kind := binary.NativeEndian.Uint32(control[data-8:]), binary.NativeEndian.Uint32(control[data-4:])
	info := control[data:]
	switch {
	case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO: // interface, source of replies, destination
		clear(info[:4])
		return netip.AddrFrom4([4]byte(info[4:8])), true
	case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && len(info) >= unix.SizeofInet6Pktinfo:
		// destination, interface
		local := netip.AddrFrom16([16]byte(info)).Unmap()
		if local.Is4() || !local.IsLinkLocalUnicast() {
			clear(info[16:20])
		}
		return local, true
	}
	return netip.Addr{}, false
}

// meminfo are the numbers of SO_MEMINFO, by the kernel's SK_MEMINFO_*.
type meminfo [9]uint32

const (
	meminfoReceiveBuffer = 1
	meminfoDrops         = 8
)

// stateOf asks the kernel for the socket's counters.
func stateOf(fd int) socketState {
	var info meminfo
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return socketState{}
	}
	return socketState{drops: info[meminfoDrops], buffer: info[meminfoReceiveBuffer]}
}

func connState(conn *net.UDPConn) []socketState {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	var states []socketState
	raw.Control(func(fd uintptr) { states = append(states, stateOf(int(fd))) })
	return states
}
