package resolver

import (
	"net/netip"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// addressType is the type of the record that holds addr.
func addressType(addr netip.Addr) wire.Type {
	if addr.Is4() {
		return wire.TypeA
	}
	return wire.TypeAAAA
}

// addAddress adds a record for addr and reports whether it fit.
func (r *Request) addAddress(owner wire.Offset, ttl uint32, addr netip.Addr) bool {
	if addr.Is4() {
		ip := addr.As4()
		return r.Reply.AddRecord(owner, wire.TypeA, ttl, string(ip[:]))
	}
	ip := addr.As16()
	return r.Reply.AddRecord(owner, wire.TypeAAAA, ttl, string(ip[:]))
}
