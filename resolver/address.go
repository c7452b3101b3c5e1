package resolver

import (
	"net/netip"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// rotated adds address records, starting at another one in each reply if the block rotates.
func (r *Request) rotated(q *question, t wire.Type, ttl uint32, packed string, size int) {
	first := 0
	if count := len(packed) / size; r.rotate && count > 1 {
		r.rotation++
		first = int(r.rotation % uint32(count))
	}
	r.addresses(q.owner, t, ttl, packed, size, first)
}

// addresses adds one record for each address in packed, starting with the first-th and wrapping around.
func (r *Request) addresses(owner wire.Offset, t wire.Type, ttl uint32, packed string, size, first int) {
	at := first * size
	for range len(packed) / size {
		if !r.Reply.AddRecord(owner, t, ttl, packed[at:at+size]) {
			return
		}
		if at += size; at == len(packed) {
			at = 0
		}
	}
}

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
