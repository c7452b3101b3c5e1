package resolver

import (
	"net/netip"
	"sync/atomic"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// dns64 synthesizes AAAA records, for clients that have IPv6 only, from the A records of names that have no AAAA
// records (RFC 6147). It is a wrapper: it sees the answer for AAAA, and asks for A instead if there was none.
type dns64 struct {
	options    DNS64
	translated atomic.Uint64
}

// withoutSOA is the largest TTL of a synthesized record, in seconds, if no SOA says how long there will be no AAAA
// records (RFC 6147 section 5.1.7).
const withoutSOA = 600

// wrap has dns64 see the answer to q, if it may change it.
func (d *dns64) wrap(r *Request, q *question) result {
	if q.qtype == wire.TypeAAAA && (d.options.AllowIPv4 || !r.Client.Addr().Unmap().Is4()) {
		r.wrap(d, q)
	}
	return result{}
}

// after asks for A records if the answer has no AAAA records, and synthesizes from that second answer. A name that does
// not exist has no A records either (RFC 6147 section 5.1.2), a cut answer may have AAAA records, and if no upstream
// answered, asking for A would only fail again.
func (d *dns64) after(r *Request, w *wrapped, res result) (again bool) {
	switch {
	case w.again:
		d.synthesize(r, w)
		d.translated.Add(1)
		return false
	case r.Reply.Truncated(), r.Reply.Rcode == wire.NameError, res.message != nil && res.message.packet == nil:
		return false
	case !d.options.TranslateAll && r.Reply.Has(w.mark, wire.Answer, wire.TypeAAAA):
		return false
	}
	w.again, w.ttl = true, negativeTTL(&r.Reply, w)
	q := r.repeat(w)
	q.qtype = wire.TypeA
	return true
}

// negativeTTL is how long there will be no AAAA records, according to the SOA in the answer.
func negativeTTL(reply *wire.Reply, w *wrapped) uint32 {
	ttl := uint32(withoutSOA)
	reply.Each(w.mark, 0, func(record *wire.Written) bool {
		if record.Type == wire.TypeSOA && record.Section == wire.Authority {
			ttl = record.TTL
		}
		return true
	})
	return ttl
}

// synthesize turns the A records of the answer into AAAA records and leaves other records as they are (RFC 6147 section
// 5.3). Synthesized records are neither signed nor an authority's data: AD is cleared, and so is AA if the first
// record, which AA is about, is synthesized.
func (d *dns64) synthesize(r *Request, w *wrapped) {
	clear, first := uint16(wire.FlagAD), w.asked.before == 0
	r.rework(w, func(record *wire.Written) {
		if record.Type != wire.TypeA || record.Section != wire.Answer {
			first = false
			return
		}
		if first {
			clear |= wire.FlagAA
		}
		address := embed(d.options.Prefix, [4]byte(record.Data))
		record.Type, record.TTL, record.Data = wire.TypeAAAA, min(record.TTL, w.ttl), address[:]
	})
	r.Reply.ClearFlags(clear)
}

// embed puts an IPv4 address behind prefix, skipping bits 64 to 71, which are zero (RFC 6052 section 2.2).
func embed(prefix netip.Prefix, v4 [4]byte) [16]byte {
	address := prefix.Masked().Addr().As16()
	at := prefix.Bits() / 8
	for _, octet := range v4 {
		if at == 8 {
			at++
		}
		address[at] = octet
		at++
	}
	return address
}
