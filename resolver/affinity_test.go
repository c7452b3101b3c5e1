package resolver

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones"
)

// affineCluster is a headless service with affinity, of ten endpoints and one port, and an alias of it.
func affineCluster() *zones.Index {
	index := zones.NewIndex()
	index.Update(time.Unix(1, 0), func(tx *zones.Tx) {
		var b zones.Builder
		b.Start("prod", "web")
		b.Affine()
		self, g, ports := b.Name(""), b.Group(), b.Ports(1, 80)
		for i := range 10 {
			v4, v6 := netip.AddrFrom4([4]byte{10, 244, 0, byte(i)}), netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(i)})
			b.Twin(v6, v4)
			host := b.Name("web-" + string(rune('0'+i)))
			for _, addr := range []netip.Addr{v4, v6} {
				b.Member(g, host, addr, 0)
				b.Address(host, addr)
			}
			b.SRV(host, host, ports)
		}
		b.Share(self, g, ports)
		b.Share(b.Name("_http._tcp"), g, ports)
		tx.SetService(must(b.Build()))
		b.Start("prod", "alias")
		b.Alias(b.Name(""), []byte("\x03web\x04prod\x03svc\x07cluster\x05local\x00"))
		tx.SetService(must(b.Build()))
		tx.SetSynced(zones.ServiceKinds)
	})
	return index
}

// TestAffinityWins: whatever loadbalance would do, a client has one order of A and AAAA records of a service with affinity,
// and the first SRV record leads to the first of them. Other clients have other orders.
func TestAffinityWins(t *testing.T) {
	for name, change := range map[string]func(*Block){
		"without": func(b *Block) { b.Rotate = false },
		"random":  func(*Block) {},
		"prefer":  func(b *Block) { b.Prefer = []netip.Prefix{netip.MustParsePrefix("10.244.0.5/32")} },
		"weighted": func(b *Block) {
			b.Weights = &Weights{File: "testdata/none"}
		},
	} {
		block := Block{Zones: []string{"."}, Rotate: true,
			Kubernetes: []Kubernetes{{Zones: []string{"cluster.local."}, Index: affineCluster(), TTL: 5 * time.Second}}}
		change(&block)
		r := must(New(Options{Blocks: []Block{block}}, nil, slog.New(slog.DiscardHandler)))
		leads := map[byte]bool{}
		for client := range byte(30) {
			first := firstEndpoint(t, r, client, "web.prod.svc.cluster.local.", dns.TypeA)
			leads[first] = true
			for range 5 {
				for _, question := range []struct {
					name string
					typ  uint16
				}{{"web.prod.svc.cluster.local.", dns.TypeA}, {"web.prod.svc.cluster.local.", dns.TypeAAAA},
					{"http.tcp.web.prod.svc.cluster.local.", dns.TypeA}, {"_http._tcp.web.prod.svc.cluster.local.", dns.TypeSRV},
					{"alias.prod.svc.cluster.local.", dns.TypeA}} {
					if got := firstEndpoint(t, r, client, question.name, question.typ); got != first {
						t.Fatalf("%s: client %d: %s %s leads to %d, and A to %d", name, client, question.name,
							dns.TypeToString[question.typ], got, first)
					}
				}
			}
		}
		if len(leads) < 7 {
			t.Errorf("%s: 30 clients are led to %v", name, leads)
		}
	}
}

// firstEndpoint is the number of the endpoint that comes first for a client.
func firstEndpoint(t *testing.T, r *Resolver, client byte, name string, typ uint16) byte {
	t.Helper()
	request := &Request{Client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 244, 9, client}), 5353), Proto: TCP, Now: time.Now()}
	packet, result := r.Answer(request, pack(t, name, typ), make([]byte, 0, 4096))
	var reply dns.Msg
	if err := reply.Unpack(packet); err != nil || result != Send {
		t.Fatal(err, result)
	}
	for _, rr := range reply.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			return rr.A.To4()[3]
		case *dns.AAAA:
			return rr.AAAA[15]
		case *dns.SRV:
			return rr.Target[len("web-")] - '0'
		}
	}
	t.Fatalf("%s: %v", name, &reply)
	return 0
}

// TestAffinityAllocatesNothing: an answer in the order of a client allocates nothing, like all answers from memory.
func TestAffinityAllocatesNothing(t *testing.T) {
	r := must(New(Options{Blocks: []Block{{Zones: []string{"."}, Rotate: true,
		Kubernetes: []Kubernetes{{Zones: []string{"cluster.local."}, Index: affineCluster(), TTL: 5 * time.Second}}}}}, nil,
		slog.New(slog.DiscardHandler)))
	buf := make([]byte, 4096)
	for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSRV} {
		packet := pack(t, "_http._tcp.web.prod.svc.cluster.local.", typ)
		request := &Request{Client: netip.MustParseAddrPort("10.244.9.1:5353"), Now: time.Now()}
		if n := testing.AllocsPerRun(1000, func() { r.Answer(request, packet, buf) }); n != 0 {
			t.Errorf("%s: %v allocations a query", dns.TypeToString[typ], n)
		}
	}
}

// BenchmarkAffinity is what the order of a client costs beside the plain one.
func BenchmarkAffinity(b *testing.B) {
	for _, affine := range []bool{false, true} {
		index := affineCluster()
		if !affine {
			index = zones.NewIndex()
			index.Update(time.Unix(1, 0), func(tx *zones.Tx) {
				var build zones.Builder
				build.Start("prod", "web")
				self := build.Name("")
				for i := range 10 {
					build.Address(self, netip.AddrFrom4([4]byte{10, 244, 0, byte(i)}))
				}
				tx.SetService(must(build.Build()))
				tx.SetSynced(zones.ServiceKinds)
			})
		}
		r := must(New(Options{Blocks: []Block{{Zones: []string{"."}, Rotate: true,
			Kubernetes: []Kubernetes{{Zones: []string{"cluster.local."}, Index: index, TTL: 5 * time.Second}}}}}, nil,
			slog.New(slog.DiscardHandler)))
		b.Run(map[bool]string{false: "plain", true: "affine"}[affine], func(b *testing.B) {
			packet, buf := pack(b, "web.prod.svc.cluster.local.", dns.TypeA), make([]byte, 4096)
			request := &Request{Client: netip.MustParseAddrPort("10.244.9.1:5353"), Now: time.Now()}
			for b.Loop() {
				r.Answer(request, packet, buf)
			}
		})
	}
}
