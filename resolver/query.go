package resolver

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// query is one question as it goes to an upstream. Of equal queries, only one is under way at a time.
type query struct {
	name string // wire form in lower case, root label included
	typ  wire.Type
	rd   bool
	cd   bool
	do   bool
	tcp  bool // the client came over TCP

	// A cut reply is passed on as it is: the client asks again over TCP, and no cache would have the whole one by then.
	cutSuffices bool

	payload uint16 // UDP payload size that is offered, in octets; 0 for the default
	options string // EDNS options, in wire form
}

// newQuery is the query that asks q for r.
func newQuery(r *Request, q *question) query {
	return query{
		name: string(q.name.Name()), typ: q.qtype, do: r.Query.DO, tcp: !r.Proto.Datagram(),
		rd: q.recurse, cd: r.Query.Flags&wire.FlagCD != 0, options: q.options,
	}
}

// pack appends the query as a message. It sets AD to learn the AD bit of the answer (RFC 6840 section 5.7); only
// clients that want it get it.
func (q *query) pack(buf []byte, id uint16, edns bool) []byte {
	flags := uint16(wire.FlagAD)
	if q.rd {
		flags |= wire.FlagRD
	}
	if q.cd {
		flags |= wire.FlagCD
	}
	additional := byte(0)
	if edns {
		additional = 1
	}
	buf = binary.BigEndian.AppendUint16(buf, id)
	buf = binary.BigEndian.AppendUint16(buf, flags)
	buf = append(buf, 0, 1, 0, 0, 0, 0, 0, additional)
	buf = append(buf, q.name...)
	buf = append(buf, byte(q.typ>>8), byte(q.typ), 0, byte(wire.ClassIN))
	if edns {
		do := byte(0)
		if q.do {
			do = 0x80
		}
		size := q.offered(edns)
		buf = append(buf, 0, 0, byte(wire.TypeOPT), byte(size>>8), byte(size), 0, 0, do, 0,
			byte(len(q.options)>>8), byte(len(q.options)))
		buf = append(buf, q.options...)
	}
	return buf
}

// size is how many octets pack appends at most.
func (q *query) size() int { return wire.HeaderSize + len(q.name) + 4 + 11 + len(q.options) }

// offered is the largest UDP reply that a query asks for. A larger one was not made by a server that has read the query
// (RFC 6891 section 6.2.5), and may have been put together from forged fragments (RFC 9715 section 3).
func (q *query) offered(edns bool) int {
	if edns {
		return int(cmp.Or(q.payload, DefaultBufsize))
	}
	return wire.MinUDPSize
}

// question is the question section of the packed query.
func (q *query) question(packet []byte) []byte {
	return packet[wire.HeaderSize : wire.HeaderSize+len(q.name)+4]
}

func randomID() uint16 {
	var id [2]byte
	rand.Read(id[:]) // never fails
	return binary.BigEndian.Uint16(id[:])
}
