package resolver

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// nearby is an index with a headless service of two endpoints in each of two zones, and one without preference.
func nearby(how zones.Nearest) *zones.Index {
	index := zones.NewIndex()
	index.Update(time.Unix(1, 0), func(tx *zones.Tx) {
		for i := range 4 {
			tx.SetNode(nil, &zones.LiveNode{Name: fmt.Sprint("node-", i), Zone: fmt.Sprint("zone-", i%2),
				Addrs: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})},
				Pods:  []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, byte(i), 0}), 24)}})
		}
		var b zones.Builder
		for service, how := range map[string]zones.Nearest{"db": how, "plain": zones.NearestUnset} {
			b.Start("prod", service)
			b.Placed(how)
			group := b.Group()
			for i := range 4 {
				addr, node := netip.AddrFrom4([4]byte{10, 244, byte(i), 1}), fmt.Sprint("node-", i)
				at := index.Places.Number("prod", zones.Where{Node: node, Zone: fmt.Sprint("zone-", i%2), ForNodes: []string{node},
					ForZones: []string{fmt.Sprint("zone-", i%2)}})
				host := b.Name(fmt.Sprint("db-", i))
				b.Reverse(host, false)
				b.AddressAt(host, addr, at)
				b.SRV(host, host, b.Ports(1, 80))
				b.Member(group, host, addr, at)
			}
			b.Share(b.Name(""), group, b.Ports(1, 80))
			tx.SetService(must(b.Build()))
		}
		tx.SetSynced(zones.ServiceKinds | zones.Nodes)
	})
	return index
}

// withNearest makes a block choose among the endpoints of an index.
func withNearest(index *zones.Index) func(*Block) {
	return func(b *Block) { b.Kubernetes[0].Index, b.Kubernetes[0].Nearest = index, true }
}

// TestNearestOfAskers: who asks for himself gets the zone's TTL, whoever may be a cache for others none, and the answer of
// one is never that of another.
func TestNearestOfAskers(t *testing.T) {
	r := sample(t, withNearest(nearby(zones.NearestNode)))
	ask := func(client string, qtype uint16) *dns.Msg {
		t.Helper()
		request := &Request{Client: netip.AddrPortFrom(netip.MustParseAddr(client), 53), Now: time.Now()}
		reply, result := r.Answer(request, pack(t, "db.prod.svc.cluster.local.", qtype), make([]byte, 0, wire.MaxMessage))
		m := new(dns.Msg)
		if result != Send || m.Unpack(reply) != nil {
			t.Fatalf("%s: result %d", client, result)
		}
		return m
	}
	for range 3 {
		for _, test := range []struct {
			client, address string // "" for all
			ttl             uint32
		}{
			{"10.244.1.1", "10.244.1.1", 5}, // an endpoint
			{"::ffff:10.244.2.9", "10.244.2.1", 5},
			{"192.0.2.3", "10.244.3.1", 5}, // a node
			{"203.0.113.1", "", 0},
		} {
			m := ask(test.client, dns.TypeA)
			if want := map[bool]int{true: 1, false: 4}[test.address != ""]; len(m.Answer) != want {
				t.Errorf("%s: %v", test.client, m.Answer)
			}
			for _, rr := range append(m.Answer, ask(test.client, dns.TypeSRV).Extra...) {
				if rr.Header().Rrtype == dns.TypeOPT {
					continue
				}
				if a, ok := rr.(*dns.A); ok && test.address != "" && a.A.String() != test.address || rr.Header().Ttl != test.ttl {
					t.Errorf("%s: %v", test.client, rr)
				}
			}
		}
	}
}

// TestNearestRotates: each of the addresses that are given comes first in some replies, as often as the others.
func TestNearestRotates(t *testing.T) {
	r := sample(t, withNearest(nearby(zones.NearestZone)))
	packet, first := pack(t, "db.prod.svc.cluster.local.", dns.TypeA), map[string]int{}
	const rounds = 2000
	for range rounds {
		request := &Request{Client: netip.MustParseAddrPort("10.244.1.1:53"), Now: time.Now()}
		reply, _ := r.Answer(request, packet, make([]byte, 0, wire.MaxMessage))
		m := new(dns.Msg)
		if err := m.Unpack(reply); err != nil || len(m.Answer) != 2 {
			t.Fatal(err, m.Answer)
		}
		first[m.Answer[0].(*dns.A).A.String()]++
	}
	if len(first) != 2 || first["10.244.1.1"] < rounds/3 || first["10.244.3.1"] < rounds/3 {
		t.Errorf("first are %v", first)
	}
}

// nearestHits are questions for the services of nearby.
var nearestHits = []struct {
	name, qname string
	qtype       uint16
}{
	{"A", "db.prod.svc.cluster.local.", dns.TypeA},
	{"SRV", "db.prod.svc.cluster.local.", dns.TypeSRV},
	{"without preference", "plain.prod.svc.cluster.local.", dns.TypeA},
}

// TestNearestAllocates: the choice allocates nothing, whoever asks.
func TestNearestAllocates(t *testing.T) {
	for _, how := range []zones.Nearest{zones.NearestHints, zones.NearestZone, zones.NearestLocal} {
		r := sample(t, withNearest(nearby(how)))
		request := &Request{Now: time.Now()}
		buf := make([]byte, 0, wire.MaxMessage)
		for _, q := range nearestHits {
			m := new(dns.Msg)
			m.SetQuestion(q.qname, q.qtype)
			plain := must(m.Pack())
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 32, Address: []byte{10, 244, 1, 1}}}
			for _, packet := range [][]byte{plain, must(m.Pack())} {
				for _, client := range []string{"10.244.0.1:53", "10.244.0.77:53", "203.0.113.1:53"} {
					request.Client = netip.MustParseAddrPort(client)
					if n := testing.AllocsPerRun(100, func() { r.Answer(request, packet, buf) }); n > 0 {
						t.Errorf("%s for %s: %v allocations", q.name, client, n)
					}
				}
			}
		}
	}
}

// BenchmarkNearest: what the choice costs.
func BenchmarkNearest(b *testing.B) {
	for _, q := range nearestHits {
		b.Run(q.name, func(b *testing.B) {
			r := sample(b, withNearest(nearby(zones.NearestHints)))
			request := &Request{Now: time.Now(), Client: netip.MustParseAddrPort("10.244.0.1:53")}
			packet, buf := pack(b, q.qname, q.qtype), make([]byte, 0, wire.MaxMessage)
			for b.Loop() {
				r.Answer(request, packet, buf)
			}
		})
	}
}
