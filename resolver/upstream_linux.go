package resolver

import (
	"net"
	"syscall"
)

// reportErrors has the socket report "no route" at once. By default, Linux tells a UDP socket only that a port is
// closed, and a query to an unreachable network waits for its timeout.
func reportErrors(conn *net.UDPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		if conn.RemoteAddr().(*net.UDPAddr).IP.To4() != nil {
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_RECVERR, 1)
		} else {
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_RECVERR, 1)
		}
	})
}

// receive reads one datagram into a buffer that the caller puts back. Until there is one to read, no buffer is taken: a
// query that waits costs that much less.
func (u *upstream) receive(conn *net.UDPConn) (buffer *replyBuffer, n int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, 0, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		buffer = u.buffer()
		for {
			if n, failed = syscall.Read(int(fd), buffer[:]); failed != syscall.EINTR {
				break
			}
		}
		if failed != nil {
			u.buffers.Put(buffer)
		}
		return failed != syscall.EAGAIN
	})
	if err == nil {
		err = failed
	}
	return buffer, n, err
}
