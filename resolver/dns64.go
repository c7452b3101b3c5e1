package resolver

import (
	"net/netip"
	"sync/atomic"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// dns64 gives names that have only A records AAAA records with addresses made of theirs, for clients that have only IPv6 (RFC 6147). It
// surrounds the other steps: it sees the answer to the question for AAAA records, and asks for A records instead where there are none.
type dns64 struct {
	options    DNS64
	translated atomic.Uint64
}

// withoutSOA is the most that a synthesized record may be kept when no SOA says how long there will be no AAAA records, RFC 6147 section
// 5.1.7: in seconds.
const withoutSOA = 600

// wrap lets dns64 see the answer to q, if it is one that it may change.
func (d *dns64) wrap(r *Request, q *question) {
	if q.qtype == wire.TypeAAAA && (d.options.AllowIPv4 || !r.Client.Addr().Unmap().Is4()) {
		r.wrap(d, q)
	}
}

// after asks for A records once the answer has no AAAA records, and makes those of them. A name that does not exist has neither (RFC 6147
// section 5.1.2), and when no upstream can be asked, asking for A would only fail once more.
func (d *dns64) after(r *Request, w *wrapped, res result) (again bool) {
	switch {
	case w.again:
		d.synthesize(r, w)
		d.translated.Add(1)
		return false
	case r.Reply.Rcode == wire.NameError, res.message != nil && res.message.packet == nil:
		return false
	case !d.options.TranslateAll && hasAAAA(&r.Reply, w):
		return false
	}
	w.again, w.ttl = true, negativeTTL(&r.Reply, w)
	q := r.repeat(w)
	q.qtype = wire.TypeA
	return true
}

// hasAAAA reports whether the answer has what was asked for.
func hasAAAA(reply *wire.Reply, w *wrapped) (found bool) {
	reply.Each(w.mark, 0, func(record *wire.Written) bool {
		found = record.Type == wire.TypeAAAA && record.Section == wire.Answer
		return !found
	})
	return found
}

// negativeTTL is how long there are no AAAA records, by the SOA of the answer.
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

// synthesize turns the A records of the answer into AAAA records and leaves the others as they are (RFC 6147 section 5.3). Nobody has signed what
// is made here, nor is it an authority's data: AA, which is about the first record, goes where that is one of them.
func (d *dns64) synthesize(r *Request, w *wrapped) {
	clear, first := uint16(wire.FlagAD), w.asked.before == 0
	r.message = r.Reply.Rework(w.mark, 0, r.message, func(record *wire.Written) {
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

// embed puts an IPv4 address behind a prefix, around the octet from bit 64 to 71, which is zero (RFC 6052 section 2.2).
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
