package observe

import "net/netip"

// Host is the part of an address that tells clients apart. One host may have all addresses of a /64 of IPv6.
func Host(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); a.Is6() {
		prefix, _ := a.Prefix(64)
		return prefix.Addr()
	}
	return a
}
