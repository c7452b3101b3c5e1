package resolver

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// crowded is a resolver behind a headless service of many hosts, of which pairs share an address. Anybody may transfer
// its zone.
func crowded(hosts int) *Resolver {
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 244, byte(i / 512), byte(i / 2)}) }
	index := zones.NewIndex()
	index.Update(time.Unix(1000, 0), func(tx *zones.Tx) {
		var b zones.Builder
		b.Start("kube-system", "dns")
		self := b.Name("")
		for i := range hosts {
			host := b.Name(fmt.Sprintf("host-%03d", i))
			b.Address(host, address(i))
			b.Reverse(host, false)
			b.SRV(self, host, b.Ports(1, 53))
		}
		tx.SetService(must(b.Build()))
		tx.SetSynced(zones.ServiceKinds)
	})
	index.Number(time.Unix(1001, 0))
	return must(New(Options{Blocks: []Block{{
		Zones:      []string{"."},
		Kubernetes: []Kubernetes{{Zones: []string{"cluster.local."}, Index: index, Local: []netip.Addr{address(7)}}},
		Transfers:  []ZoneTransfer{{Zones: []string{"."}, Any: true}},
	}}}, nil, slog.New(slog.DiscardHandler)))
}

// What an answer with name servers costs is bounded by the reply, not by how many there are.
func TestManyNameServers(t *testing.T) {
	r := crowded(5000)
	buf := make([]byte, 4096)
	for _, q := range []struct {
		name  string
		qtype uint16
	}{
		{"cluster.local.", dns.TypeNS},
		{"ns.dns.cluster.local.", dns.TypeA},
		{"ns.dns.cluster.local.", dns.TypeAAAA},
		{"ns.dns.cluster.local.", dns.TypeANY},
	} {
		packet, request := pack(t, q.name, q.qtype), new(Request)
		if n := testing.AllocsPerRun(100, func() { r.Answer(request, packet, buf) }); n != 0 {
			t.Errorf("%s %s: %v allocations", q.name, dns.TypeToString[q.qtype], n)
		}
		if n := cap(request.fronts); n > len(buf)/leastRecord*2 {
			t.Errorf("%s %s: %d name servers are kept", q.name, dns.TypeToString[q.qtype], n)
		}
	}
}

// The addresses of all targets come with SRV records over TCP, however far back their names stand.
func TestManyTargets(t *testing.T) {
	const hosts = 400
	request := &Request{Proto: TCP}
	packet := pack(t, "dns.kube-system.svc.cluster.local.", dns.TypeSRV)
	reply, _ := crowded(hosts).Answer(request, packet, make([]byte, 0, wire.MaxMessage))
	var m dns.Msg
	if err := m.Unpack(reply); err != nil || m.Truncated {
		t.Fatal(err, m.Truncated)
	}
	addresses := map[string]bool{}
	for _, rr := range m.Extra {
		if a, ok := rr.(*dns.A); ok {
			addresses[a.Hdr.Name] = true
		}
	}
	for _, rr := range m.Answer {
		if target := rr.(*dns.SRV).Target; !addresses[target] {
			t.Errorf("%s has no address", target)
		}
	}
	if len(m.Answer) != hosts || len(addresses) != hosts {
		t.Errorf("%d records, addresses of %d targets", len(m.Answer), len(addresses))
	}
}
