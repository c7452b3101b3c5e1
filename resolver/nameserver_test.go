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
		b.Front()
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
		Kubernetes: []Kubernetes{{Zones: []string{"cluster.local."}, Index: index, Local: []netip.Addr{address(0)}}},
		Transfers:  []ZoneTransfer{{Zones: []string{"."}, Any: true}},
	}}}, nil, slog.New(slog.DiscardHandler)))
}

// What an answer with name servers costs is bounded, however many hosts there are.
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
		if n := cap(request.fronts); n > 2*maxServers {
			t.Errorf("%s %s: %d name servers are kept", q.name, dns.TypeToString[q.qtype], n)
		}
	}
}

// Slices of tenants with this server's address make no name servers, whether they came before the service that fronts it
// or after, nor where there is none. They are behind it in the list of PTR records, so that a query passes over none.
func TestTenantsAreNoNameServers(t *testing.T) {
	own := netip.MustParseAddr("10.244.0.7")
	service := func(tx *zones.Tx, namespace, name string, front bool) {
		var b zones.Builder
		b.Start(namespace, name)
		if front {
			b.Front()
		}
		host := b.Name("host")
		b.Reverse(host, false)
		b.Address(host, own)
		tx.SetService(must(b.Build()))
	}
	tenants := func(tx *zones.Tx, from int) {
		for i := from; i < from+1500; i++ {
			service(tx, "evil", fmt.Sprint("s-", i), false)
		}
	}
	for _, front := range []bool{false, true} {
		index := zones.NewIndex()
		index.Update(time.Unix(1000, 0), func(tx *zones.Tx) {
			tenants(tx, 0)
			if front {
				service(tx, "kube-system", "kube-dns", true)
			}
			tenants(tx, 1500)
			tx.SetSynced(zones.ServiceKinds)
		})
		r := must(New(Options{Blocks: []Block{{Zones: []string{"."}, Kubernetes: []Kubernetes{{
			Zones: []string{"cluster.local.", "in-addr.arpa."}, Index: index, Local: []netip.Addr{own}}}}}},
			nil, slog.New(slog.DiscardHandler)))
		want := "ns.dns.cluster.local."
		if front {
			want = "host.kube-dns.kube-system.svc.cluster.local."
		}
		for _, name := range []string{"cluster.local.", "in-addr.arpa."} {
			reply, _ := r.Answer(&Request{Proto: TCP}, pack(t, name, dns.TypeNS), make([]byte, 0, wire.MaxMessage))
			var m dns.Msg
			if err := m.Unpack(reply); err != nil || len(m.Answer) != 1 || m.Answer[0].(*dns.NS).Ns != want {
				t.Errorf("front %v: %s has %v, %v, want %s", front, name, m.Answer, err, want)
			}
		}
		// the first PTR record is the operators', not that of one of 3,000
		reply, _ := r.Answer(&Request{Proto: UDP}, pack(t, "7.0.244.10.in-addr.arpa.", dns.TypePTR), make([]byte, 4096))
		var m dns.Msg
		if err := m.Unpack(reply); err != nil || front && m.Answer[0].(*dns.PTR).Ptr != want {
			t.Errorf("%v, %v", m.Answer[0], err)
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
