package resolver

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// FuzzAnswer sends any octets as a query. Nothing panics, and no reply is larger than the client accepts. A message
// without a valid header gets silence; any other reply is to this query and can be read by another implementation.
func FuzzAnswer(f *testing.F) {
	for _, hit := range hits {
		f.Add(pack(f, hit.qname, hit.qtype), false)
	}
	plain := new(dns.Msg).SetQuestion("web.prod.svc.cluster.local.", dns.TypeANY)
	f.Add(must(plain.Pack()), true)
	transfer := new(dns.Msg).SetIxfr("cluster.local.", 1, "ns.dns.cluster.local.", "hostmaster.cluster.local.")
	f.Add(must(transfer.Pack()), false)
	two := new(dns.Msg).SetQuestion("x.", dns.TypeA)
	two.SetEdns0(4096, true)
	two.Extra = append(two.Extra, two.Extra[0])
	f.Add(must(two.Pack()), true)
	f.Add(make([]byte, 12), false)
	r := sample(f)
	f.Fuzz(func(t *testing.T, packet []byte, tcp bool) {
		request := &Request{Now: time.Now()}
		if tcp {
			request.Proto = TCP
		}
		buf := make([]byte, 0, wire.MaxMessage)
		reply, result := r.Answer(request, packet, buf)
		silent := len(packet) < wire.HeaderSize || packet[2]&0x80 != 0
		if silent != (result == Drop) {
			t.Fatalf("result %v for %x", result, packet)
		}
		if result == Send {
			checkReply(t, request, packet, reply, tcp)
		}
	})
}

func checkReply(t *testing.T, request *Request, packet, reply []byte, tcp bool) {
	limit := wire.MinUDPSize
	if request.Query.EDNS {
		limit = max(limit, min(int(request.Query.UDPSize), MostBufsize))
	}
	if !tcp && len(reply) > limit {
		t.Fatalf("%d octets for a client that takes %d: query %x", len(reply), limit, packet)
	}
	m := new(dns.Msg)
	if err := m.Unpack(reply); err != nil {
		t.Fatalf("reply cannot be read: %v: query %x reply %x", err, packet, reply)
	}
	if m.Id != binary.BigEndian.Uint16(packet) || !m.Response || m.Opcode != int(packet[2]>>3&0xf) {
		t.Fatalf("reply to another query: %v: query %x", m, packet)
	}
	if opt := m.IsEdns0(); (opt != nil) != request.Query.EDNS {
		t.Fatalf("OPT %v, query with EDNS: %v: %x", opt, request.Query.EDNS, packet)
	}
}
