//go:build !linux

package listen

import (
	"net"
	"net/netip"
	"syscall"
)

// controlSize is 0: without control messages the kernel's routing chooses the source of a reply. On a wildcard address
// of a host with several addresses that may differ from the address that the query was sent to.
const controlSize = 0

func openEngine(address netip.AddrPort, options Options) (engine, error) {
	return openPortable(address, options)
}

// listenPacket opens the one socket of the portable engine.
func listenPacket(address netip.AddrPort, buffer int) (conn *net.UDPConn, control bool, err error) {
	network := "udp"
	if address.Addr().Is4() {
		network = "udp4"
	}
	if conn, err = net.ListenUDP(network, net.UDPAddrFromAddrPort(address)); err != nil {
		return nil, false, err
	}
	conn.SetReadBuffer(buffer) // as much as the kernel allows
	return conn, false, nil
}

// canReuse is false: systems differ in whether a socket on one address and one on all may have the same port, and in
// which of them gets a query.
const canReuse = false

func allowReuse(syscall.RawConn) error { return nil }

// queued is false: connections that wait to be accepted at the end are reset.
func queued(*net.TCPListener) bool { return false }

func detachConn(*net.UDPConn, netip.AddrPort) {}

func replyFrom([]byte) (netip.Addr, bool) { return netip.Addr{}, false }

func connState(*net.UDPConn) []socketState { return nil }
