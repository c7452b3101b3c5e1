package resolver

import (
	"encoding/binary"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// answerWhoami says in the additional section from which address and port the client asked, and by which transport
// (directive whoami).
func answerWhoami(r *Request, q *question) result {
	res := result{outcome: answered, source: FromWhoami, authoritative: true}
	r.Reply.Begin(wire.Additional)
	client := r.Client.Addr().Unmap()
	if ip := client.AsSlice(); client.Is4() {
		r.Reply.AddAt(q.owner, &wire.Written{Type: wire.TypeA, Class: wire.ClassIN, Data: ip})
	} else {
		r.Reply.AddAt(q.owner, &wire.Written{Type: wire.TypeAAAA, Class: wire.ClassIN, Data: ip})
	}
	name := q.name.Name()
	if q.asked {
		name = r.Query.Packet[wire.HeaderSize : wire.HeaderSize+len(name)] // with the letter case of the query
	}
	label := "\x04_tcp"
	if r.Proto.Datagram() {
		label = "\x04_udp"
	}
	data := [7]byte{} // priority, weight, port, and the root as target
	binary.BigEndian.PutUint16(data[4:], r.Client.Port())
	if owner := append([]byte(label), name...); len(owner) <= wire.MaxName {
		r.Reply.Add(&wire.Written{Owner: owner, Type: wire.TypeSRV, Class: wire.ClassIN, Data: data[:]})
	}
	return res
}
