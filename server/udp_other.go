//go:build !linux

package server

import (
	"net"
	"net/netip"
	"syscall"
)

// controlSize is 0: without control messages the kernel's routing chooses the source of a reply. On a wildcard address of a host
// with several addresses that may be another than the one that was asked.
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

// canShare says that sockets on one address and on all may stand side by side. Systems differ in whether, and whom they give a query.
const canShare = false

func sharePort(syscall.RawConn) error { return nil }

// queued is false: connections that wait to be accepted at the end are reset.
func queued(*net.TCPListener) bool { return false }

func deafenConn(*net.UDPConn, netip.AddrPort) {}

func replyFrom([]byte) (netip.Addr, bool) { return netip.Addr{}, false }

func connState(*net.UDPConn) []socketState { return nil }
