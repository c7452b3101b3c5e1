package listen

import (
	"net"
	"net/netip"
	"syscall"
)

// Two sockets of this program may have overlapping addresses on one port, such as 127.0.0.1 and all, while a reload
// goes from one to the other. Both have to allow it (SO_REUSEPORT). No other socket does by default, so that a second
// instance of the server is refused.

// Overlaps reports whether sockets on a and b have an address in common.
func Overlaps(a, b netip.AddrPort) bool {
	return a.Port() == b.Port() && (includes(a.Addr(), b.Addr()) || includes(b.Addr(), a.Addr()))
}

func includes(a, b netip.Addr) bool {
	return a == b || a == netip.IPv6Unspecified() || a == netip.IPv4Unspecified() && b.Is4()
}

// AllowReuse lets further sockets bind the port of l. Where that fails, so does opening them, with the error that is
// reported.
func AllowReuse(l syscall.Conn) {
	if raw, err := l.SyscallConn(); err == nil {
		allowReuse(raw)
	}
}

// Reusing opens sockets on ports whose sockets allow it.
func Reusing() *net.ListenConfig {
	return &net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error { return allowReuse(raw) }}
}
