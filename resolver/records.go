package resolver

import (
	"net/netip"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// wants reports whether records of type t answer the question at hand. ANY is answered with one rrset, the first there is (RFC 8482
// section 4.1).
func (r *Request) wants(t wire.Type) bool {
	return r.Query.Type == t || r.Query.Type == wire.TypeANY && r.Reply.Count(wire.Answer) == r.answered
}

// rotated adds address records, beginning with another one in each reply when the block rotates.
func (r *Request) rotated(q question, t wire.Type, ttl uint32, packed string, size int) {
	first := 0
	if count := len(packed) / size; r.rotate && count > 1 {
		r.rotation++
		first = int(r.rotation % uint32(count))
	}
	r.addresses(q.owner, t, ttl, packed, size, first)
}

// addresses adds one record for each address of packed, from the first-th on and around.
func (r *Request) addresses(owner wire.Pointer, t wire.Type, ttl uint32, packed string, size, first int) {
	at := first * size
	for range len(packed) / size {
		if !r.Reply.Record(owner, t, ttl, packed[at:at+size]) {
			return
		}
		if at += size; at == len(packed) {
			at = 0
		}
	}
}

// address adds the one record of a synthesized name if its family is asked for.
func (r *Request) address(q question, ttl uint32, addr netip.Addr) {
	if addr.Is4() {
		if ip := addr.As4(); r.wants(wire.TypeA) {
			r.Reply.Record(q.owner, wire.TypeA, ttl, string(ip[:]))
		}
		return
	}
	if ip := addr.As16(); r.wants(wire.TypeAAAA) {
		r.Reply.Record(q.owner, wire.TypeAAAA, ttl, string(ip[:]))
	}
}
