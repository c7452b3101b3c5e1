//go:build !linux

package resolver

import "net"

// reportErrors has work to do on Linux alone.
func reportErrors(*net.UDPConn) {}
