package resolver

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// endpoint gives a service of a namespace one endpoint, or takes it away where addr is "".
func endpoint(tx *zones.Tx, namespace, addr string) {
	var b zones.Builder
	b.Start(namespace, "agents")
	b.Name("")
	if addr != "" {
		host := b.Name("agent-0")
		b.Address(host, netip.MustParseAddr(addr))
		b.Reverse(host, false)
	}
	tx.SetService(must(b.Build()))
}

// listing is a resolver whose clients are known by the endpoints and nodes of the index.
func listing(t testing.TB, index *zones.Index) *Resolver {
	return running(t, nil, Block{Zones: []string{"."}, Search: &Search{Zones: []string{"."}, Least: 1, Most: 4},
		Kubernetes: []Kubernetes{{Zones: []string{"cluster.local."}, Index: index, TTL: time.Second}},
		Hosts: &Hosts{Zones: []string{"."}, Inline: []string{"192.0.2.1 www.example.com"}, TTL: time.Minute,
			Fallthrough: Fallthrough{Zones: []string{"."}}},
	})
}

// TestSearchKnowsWhoAsks: only a client whose address is of the namespace alone gets what its list finds: an endpoint, until
// its address is that of another; never an address of a node, nor one of two namespaces, and nobody before endpoints and
// nodes have been read.
func TestSearchKnowsWhoAsks(t *testing.T) {
	index := zones.NewIndex()
	r := listing(t, index)
	now := int64(0)
	change := func(f func(*zones.Tx)) { now++; index.Update(time.Unix(now, 0), f) }
	expect := func(when, client string, namespaces ...string) {
		t.Helper()
		for _, namespace := range []string{"prod", "dev"} {
			want := "NXDOMAIN"
			for _, of := range namespaces {
				if of == namespace {
					want = "NOERROR"
				}
			}
			if got := completed(t, r, client, "www.example.com."+namespace+".svc.cluster.local."); got != want {
				t.Errorf("%s: %s asks in %s: %s, want %s", when, client, namespace, got, want)
			}
		}
	}
	change(func(tx *zones.Tx) {
		tx.SetNamespace("prod", true)
		tx.SetNamespace("dev", true)
		endpoint(tx, "prod", "10.244.0.1")
		tx.SetSynced(zones.ServiceKinds)
	})
	expect("before nodes have been read", "10.244.0.1")
	change(func(tx *zones.Tx) {
		tx.SetNode(nil, &zones.LiveNode{Name: "n1", Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}})
		tx.SetSynced(zones.ServiceKinds | zones.Nodes)
	})
	expect("an endpoint", "10.244.0.1", "prod")
	expect("an address of nobody", "10.244.0.2")
	change(func(tx *zones.Tx) { endpoint(tx, "dev", "10.244.0.1") })
	expect("an address of two namespaces", "10.244.0.1")
	change(func(tx *zones.Tx) { endpoint(tx, "prod", "") })
	expect("the address of another", "10.244.0.1", "dev")
	change(func(tx *zones.Tx) { endpoint(tx, "prod", "10.0.0.1") })
	expect("a node's address", "10.0.0.1")
	change(func(tx *zones.Tx) {
		tx.AddPod(zones.LivePod{Namespace: "prod", Addr: netip.MustParseAddr("10.244.0.3")})
		tx.AddPod(zones.LivePod{Namespace: "dev", Addr: netip.MustParseAddr("10.244.0.4"), Host: true})
		tx.SetSynced(zones.ServiceKinds | zones.Nodes | zones.PodObjects)
	})
	expect("a pod without a service", "10.244.0.3", "prod")
	expect("a pod on the network of a node that is not known", "10.244.0.4")
	c := r.blocks[0].search.count()
	if c.Completed != 3 || c.Foreign != 3 || c.Unknown != 10 {
		t.Errorf("counted %+v", c)
	}
}

// TestSearchAllocatesNothing: a walk through the list that ends at a name of the cluster.
func TestSearchAllocatesNothing(t *testing.T) {
	index := zones.NewIndex()
	index.Update(time.Unix(1, 0), func(tx *zones.Tx) {
		tx.SetNamespace("prod", true)
		tx.SetNamespace("dev", true)
		endpoint(tx, "dev", "10.244.0.1")
		var b zones.Builder
		b.Start("prod", "web")
		b.Address(b.Name(""), netip.MustParseAddr("10.96.0.1"))
		tx.SetService(must(b.Build()))
		tx.SetSynced(zones.ServiceKinds | zones.Nodes)
	})
	r := listing(t, index)
	for qtype, want := range map[uint16]string{
		dns.TypeA: "web.prod.dev.svc.cluster.local. 1 IN CNAME web.prod.svc.cluster.local.\n" +
			"web.prod.svc.cluster.local. 1 IN A 10.96.0.1\n",
		dns.TypeAAAA:  "web.prod.dev.svc.cluster.local. 1 IN CNAME web.prod.svc.cluster.local.\n",
		dns.TypeCNAME: "web.prod.dev.svc.cluster.local. 1 IN CNAME web.prod.svc.cluster.local.\n",
	} {
		packet, buf := pack(t, "web.prod.dev.svc.cluster.local.", qtype), make([]byte, 4096)
		request := &Request{Client: netip.MustParseAddrPort("10.244.0.1:4711"), Now: time.Now()}
		var reply []byte
		if n := testing.AllocsPerRun(1000, func() { reply, _ = r.Answer(request, packet, buf) }); n != 0 {
			t.Errorf("%v allocations a query", n)
		}
		m := new(dns.Msg)
		if err := m.Unpack(reply); err != nil {
			t.Fatal(err)
		}
		if got := lines(m.Answer); got != want || m.Rcode != dns.RcodeSuccess {
			t.Error(got)
		}
	}
}

// TestSearchOfLongNames: a domain that makes a name too long is passed over, and a reply without room says so.
func TestSearchOfLongNames(t *testing.T) {
	index := zones.NewIndex()
	index.Update(time.Unix(1, 0), func(tx *zones.Tx) {
		tx.SetNamespace("prod", true)
		endpoint(tx, "prod", "10.244.0.1")
		tx.SetSynced(zones.ServiceKinds | zones.Nodes)
	})
	long := zeroes[:4*60] + "." + zeroes[:4*60] + "." + zeroes[:4*60] + "."
	r := running(t, nil, Block{Zones: []string{"."},
		Search:     &Search{Zones: []string{"."}, Least: 1, Most: 4, Domains: []string{long + "example."}},
		Kubernetes: []Kubernetes{{Zones: []string{"cluster.local."}, Index: index, TTL: time.Second}},
		Templates: []Template{{Zones: []string{"test."}, Class: 1, Type: 16, Fallthrough: Fallthrough{Zones: []string{"."}},
			Answer: []string{"{{ .Name }} 60 IN TXT " + strings.Repeat("x", 250)}}},
	})
	name := zeroes[:4*60] + "." + zeroes[:4*60] + ".a.test."
	packet := pack(t, name+"prod.svc.cluster.local.", dns.TypeTXT)
	for proto, want := range map[Proto]bool{TCP: false, UDP: true} {
		m := new(dns.Msg)
		m.SetQuestion(name+"prod.svc.cluster.local.", dns.TypeTXT)
		if proto == UDP {
			packet = must(m.Pack()) // 512 octets
		}
		request := &Request{Client: netip.MustParseAddrPort("10.244.0.1:4711"), Now: time.Now(), Proto: proto}
		reply, _ := r.Respond(t.Context(), request, packet, make([]byte, wire.MaxMessage))
		if err := m.Unpack(reply); err != nil {
			t.Fatal(err)
		}
		if m.Truncated != want || !want && len(m.Answer) != 2 || m.Rcode != dns.RcodeSuccess {
			t.Errorf("%v: truncated %v, rcode %d\n%s", proto, m.Truncated, m.Rcode, lines(m.Answer))
		}
	}
}

// searching has a block go through search lists.
func searching(b *Block) { b.Search = &Search{Zones: []string{"."}, Least: 1, Most: 4} }

// TestHitsWithSearchAllocateNothing: nor do names that search lets pass.
func TestHitsWithSearchAllocateNothing(t *testing.T) { hitsAllocateNothing(t, sample(t, searching)) }

// BenchmarkSearch measures what search costs hits: a name that it does not look at, and one of an endpoint, which it does;
// and what it costs to go through the list.
func BenchmarkSearch(b *testing.B) {
	buf := make([]byte, 4096)
	for _, name := range []string{"web.prod.svc.cluster.local.", "web-0.db.prod.svc.cluster.local.", "web.prod.dev.svc.cluster.local."} {
		for how, change := range map[string]func(*Block){"without": func(*Block) {}, "with": searching} {
			b.Run(name+"/"+how, func(b *testing.B) {
				index := zones.NewIndex()
				index.Update(time.Unix(1, 0), func(tx *zones.Tx) {
					tx.SetNamespace("dev", true)
					endpoint(tx, "dev", "10.244.0.1")
					for _, service := range []string{"web", "db"} {
						var s zones.Builder
						s.Start("prod", service)
						s.Address(s.Name(""), netip.MustParseAddr("10.96.0.1"))
						s.Address(s.Name("web-0"), netip.MustParseAddr("10.96.0.2"))
						tx.SetService(must(s.Build()))
					}
					tx.SetSynced(zones.ServiceKinds | zones.Nodes)
				})
				block := Block{Zones: []string{"."}, Kubernetes: []Kubernetes{{Zones: []string{"cluster.local."}, Index: index, TTL: time.Second}}}
				change(&block)
				r, packet := running(b, nil, block), pack(b, name, dns.TypeA)
				request := &Request{Client: netip.MustParseAddrPort("10.244.0.1:4711"), Now: time.Now()}
				for b.Loop() {
					r.Answer(request, packet, buf)
				}
			})
		}
	}
}
