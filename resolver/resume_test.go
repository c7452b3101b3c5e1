package resolver

import (
	"context"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestResumeInAnyRequest: a query that has waited is answered as if the Request that goes on with it were new, whatever
// that has answered before.
func TestResumeInAnyRequest(t *testing.T) {
	up := serve(t, answering("192.0.2.1"))
	r := running(t, nil, Block{Zones: []string{"."}, Forwards: []Forward{{From: ".", To: []Upstream{{Address: up.addr}},
		ReadTimeout: 2 * time.Second}}})
	query := func(padded bool) []byte {
		m := new(dns.Msg).SetQuestion("www.example.org.", dns.TypeA)
		m.SetEdns0(1232, false)
		if padded {
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_PADDING{Padding: make([]byte, 10)}}
		}
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return packet
	}
	begin := func(packet []byte) *Request {
		request := asking(t, "www.example.org. A", time.Now())
		request.Proto = DoT.Proto()
		if _, result := r.Answer(request, packet, make([]byte, 0, dns.MaxMsgSize)); result != Pending {
			t.Fatal(result)
		}
		return request
	}
	for _, padded := range []bool{true, false} {
		other := begin(query(!padded))
		var wait Wait
		woken := make(signal)
		if _, result := r.Wait(begin(query(padded)), &wait, woken); result == Pending {
			woken.await(context.Background(), &wait)
		}
		reply, _ := r.Resume(other, &wait, make([]byte, 0, dns.MaxMsgSize))
		if got := len(reply)%468 == 0; got != padded {
			t.Errorf("padding asked for: %v, got %d octets", padded, len(reply))
		}
	}
}
