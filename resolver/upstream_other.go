//go:build !linux

package resolver

import "net"

// reportErrors has work to do on Linux alone.
func reportErrors(*net.UDPConn) {}

// receive reads one datagram into a buffer that the caller puts back.
func (u *upstream) receive(conn *net.UDPConn) (buffer *replyBuffer, n int, err error) {
	buffer = u.buffer()
	if n, err = conn.Read(buffer[:]); err != nil {
		u.buffers.Put(buffer)
	}
	return buffer, n, err
}
