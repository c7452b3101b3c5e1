//go:build !linux

package resolver

import "net"

func reportErrors(*net.UDPConn) {}
