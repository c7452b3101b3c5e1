package resolver

import (
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// viewed is a resolver with two blocks for a.test, of which the first has a view, and one for b.test.
func viewed(t testing.TB, expressions ...string) *Resolver {
	hosts := func(address string) *Hosts {
		return &Hosts{Inline: []string{address + " www.a.test www.b.test"}, TTL: time.Hour}
	}
	return running(t, nil,
		Block{Zones: []string{"a.test."}, View: &View{Name: "v", Expressions: expressions}, Hosts: hosts("192.0.2.1")},
		Block{Zones: []string{"a.test."}, Hosts: hosts("192.0.2.2")},
		Block{Zones: []string{"b.test."}, Hosts: hosts("192.0.2.3")})
}

// BenchmarkView measures what the choice by an expression costs.
func BenchmarkView(b *testing.B) {
	r := viewed(b, "proto() == 'udp' && incidr(client_ip(), '10.0.0.0/8')")
	request := &Request{Client: netip.MustParseAddrPort("10.1.2.3:4711"), Now: time.Now()}
	for _, name := range []string{"www.a.test.", "www.b.test."} {
		packet, buf := pack(b, name, dns.TypeA), make([]byte, 4096)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.Answer(request, packet, buf)
			}
		})
	}
}

// TestOthersPayNothing: a query for a zone without views allocates nothing, whatever views other zones have.
func TestOthersPayNothing(t *testing.T) {
	r := viewed(t, "true")
	packet, buf, request := pack(t, "www.b.test.", dns.TypeA), make([]byte, 4096), &Request{Now: time.Now()}
	if n := testing.AllocsPerRun(1000, func() { r.Answer(request, packet, buf) }); n != 0 {
		t.Errorf("%v allocations a query", n)
	}
	if request.Reply.Count(wire.Answer) != 1 {
		t.Error("no answer")
	}
}

// TestExpressionsCannotBreakOut: what an expression does wrong at run time is false and counted; the next one sees
// nothing of it.
func TestExpressionsCannotBreakOut(t *testing.T) {
	for _, source := range []string{
		"incidr('no address', '10.0.0.0/8')", "incidr(client_ip(), 'no network')", "[1, 2][int(port())] > 0", "int(name()) > 0",
		"1", "nil", "repeat(name(), 100000000) == ''", "len(1..1000000000) > 0", "name() matches proto() + '('",
	} {
		r := viewed(t, source)
		request := &Request{Client: netip.MustParseAddrPort("10.1.2.3:4711"), Now: time.Now()}
		for range 2 {
			reply, _ := r.Answer(request, pack(t, "www.a.test.", dns.TypeA), make([]byte, 4096))
			m := new(dns.Msg)
			if err := m.Unpack(reply); err != nil || len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != "192.0.2.2" {
				t.Errorf("%s: %v, %v", source, err, m.Answer)
			}
		}
		if n := *Counts([]*Resolver{r})[0][0].ViewFailed; n != 2 {
			t.Errorf("%s: %d failures counted", source, n)
		}
	}
}
