package resolver

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/observe/dnstap"
	"github.com/clusterdns/clusterdns/observe/shadow"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/skydns"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// sample is a resolver for a small cluster, with a cache that holds www.example.com. Each of change changes its block.
func sample(t testing.TB, change ...func(*Block)) *Resolver {
	index := zones.NewIndex()
	web := netip.MustParseAddr("10.96.0.1")
	index.Update(time.Unix(1, 0), func(tx *zones.Tx) {
		var b zones.Builder
		b.Start("prod", "web")
		self := b.Name("")
		b.Reverse(self, true)
		b.Address(self, web)
		b.SRV(self, self, b.Ports(1, 80))
		port := b.Name("_http._tcp")
		b.Address(port, web)
		b.SRV(port, self, b.Ports(1, 80))
		tx.SetService(must(b.Build()))
		b.Start("prod", "alias")
		target := must(wire.ParseName("web.prod.svc.cluster.local"))
		b.Alias(b.Name(""), target)
		tx.SetService(must(b.Build()))
		b.Start("prod", "web")
		out := b.Name("")
		b.Address(out, netip.MustParseAddr("192.0.2.10"))
		b.SRV(out, out, b.Ports(1, 80))
		b.SRV(out, b.Host(target), b.Ports(1, 80))
		tx.SetExternal(must(b.Build()))
		tx.SetSynced(zones.ServiceKinds)
	})
	block := Block{
		Zones: []string{"."}, Bufsize: 1232, Rotate: true, Cache: &Cache{},
		Kubernetes: []Kubernetes{{Zones: []string{"cluster.local.", "in-addr.arpa."}, Index: index,
			TTL: 5 * time.Second, Pods: zones.PodsInsecure, Local: []netip.Addr{netip.MustParseAddr("192.0.2.53")}}},
		Etcd:      []Etcd{{Options: skydns.Options{Zones: []string{"etcd.example."}, Endpoints: []string{"http://127.0.0.1:1"}}}},
		Externals: []External{{Zones: []string{"ext.example."}, Apex: "dns", TTL: 5 * time.Second}},
		Forwards:  []Forward{{From: ".", To: []Upstream{{Address: netip.MustParseAddrPort("127.0.0.1:1")}}}},
	}
	for _, c := range change {
		c(&block)
	}
	r := must(New(Options{Blocks: []Block{block}}, nil, slog.New(slog.DiscardHandler)))
	r.blocks[0].etcds[0].place.Publish(etcdNames())
	answer := new(dns.Msg)
	answer.SetQuestion("www.example.com.", dns.TypeA)
	answer.Response = true
	answer.Answer = []dns.RR{must(dns.NewRR("www.example.com. 300 IN A 192.0.2.80"))}
	packet := must(answer.Pack())
	var read wire.Message
	if !read.Read(packet) {
		t.Fatal("the upstream's message was not read")
	}
	name := must(wire.ParseName("www.example.com"))
	r.blocks[0].cache.add(query{name: string(name), typ: wire.TypeA, rd: true}, everything, newMessage(packet, &read),
		time.Now())
	return r
}

// etcdNames are a name with an address, at which SRV and MX records point, and an alias of it.
func etcdNames() *zones.Names {
	www := must(wire.ParseName("www.etcd.example"))
	node := &zones.NamesNode{}
	node.Add(wire.TypeA, 60, []byte{192, 0, 2, 1})
	node.Add(wire.TypeSRV, 60, append([]byte{0, 10, 0, 100, 0, 80}, www...))
	node.Add(wire.TypeMX, 60, append([]byte{0, 10}, www...))
	return zones.NewNames(map[string]*zones.NamesNode{
		string(www): node,
		string(must(wire.ParseName("alias.etcd.example"))): {Alias: string(www), AliasTTL: 60},
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// zeroes is the label whose presentation is the longest: four letters for each of its 63 octets.
var zeroes = strings.Repeat(`\000`, 63) + "."

// hits are questions that are answered from memory, and the rcode and number of answers of each.
var hits = []struct {
	name, qname string
	qtype       uint16
	rcode       wire.Rcode
	answers     int
}{
	{"A", "web.prod.svc.cluster.local.", dns.TypeA, wire.NoError, 1},
	{"apex NS", "cluster.local.", dns.TypeNS, wire.NoError, 1},
	{"apex NS of a reverse zone", "in-addr.arpa.", dns.TypeNS, wire.NoError, 1},
	{"name server", "ns.dns.cluster.local.", dns.TypeA, wire.NoError, 1},
	{"name server NODATA", "ns.dns.cluster.local.", dns.TypeAAAA, wire.NoError, 0},
	{"AAAA NODATA", "web.prod.svc.cluster.local.", dns.TypeAAAA, wire.NoError, 0},
	{"NXDOMAIN", "www.example.com.prod.svc.cluster.local.", dns.TypeA, wire.NameError, 0},
	{"NXDOMAIN service", "nope.prod.svc.cluster.local.", dns.TypeA, wire.NameError, 0},
	{"NXDOMAIN in escapes", zeroes + zeroes + "svc.cluster.local.", dns.TypeA, wire.NameError, 0},
	{"NXDOMAIN longest", zeroes + zeroes + zeroes + strings.Repeat(`\000`, 43) + ".svc.cluster.local.", dns.TypeA,
		wire.NameError, 0},
	{"SRV", "_http._tcp.web.prod.svc.cluster.local.", dns.TypeSRV, wire.NoError, 1},
	{"SRV without underscores", "http.tcp.web.prod.svc.cluster.local.", dns.TypeSRV, wire.NoError, 1},
	{"CNAME", "alias.prod.svc.cluster.local.", dns.TypeCNAME, wire.NoError, 1},
	{"CNAME chased", "alias.prod.svc.cluster.local.", dns.TypeA, wire.NoError, 2},
	{"PTR", "1.0.96.10.in-addr.arpa.", dns.TypePTR, wire.NoError, 1},
	{"PTR NXDOMAIN", "2.0.96.10.in-addr.arpa.", dns.TypePTR, wire.NameError, 0},
	{"pod", "10-244-0-1.prod.pod.cluster.local.", dns.TypeA, wire.NoError, 1},
	{"SOA", "cluster.local.", dns.TypeSOA, wire.NoError, 1},
	{"dns-version", "dns-version.cluster.local.", dns.TypeTXT, wire.NoError, 1},
	{"external A", "web.prod.ext.example.", dns.TypeA, wire.NoError, 1},
	{"external SRV", "web.prod.ext.example.", dns.TypeSRV, wire.NoError, 2},
	{"external NXDOMAIN", "alias.prod.ext.example.", dns.TypeA, wire.NameError, 0},
	{"external NS", "ext.example.", dns.TypeNS, wire.NoError, 1},
	{"etcd A", "www.etcd.example.", dns.TypeA, wire.NoError, 1},
	{"etcd SRV", "www.etcd.example.", dns.TypeSRV, wire.NoError, 1},
	{"etcd MX", "www.etcd.example.", dns.TypeMX, wire.NoError, 1},
	{"etcd alias", "alias.etcd.example.", dns.TypeA, wire.NoError, 2},
	{"etcd NODATA", "www.etcd.example.", dns.TypeTXT, wire.NoError, 0},
	{"etcd NXDOMAIN", "nope.etcd.example.", dns.TypeA, wire.NameError, 0},
	{"cached", "www.example.com.", dns.TypeA, wire.NoError, 1},
}

func pack(t testing.TB, qname string, qtype uint16) []byte {
	m := new(dns.Msg)
	m.SetQuestion(qname, qtype)
	m.SetEdns0(1232, false)
	return must(m.Pack())
}

// TestHitsAllocateNothing is the claim that a hit costs the garbage collector nothing, from packet to packet.
func TestHitsAllocateNothing(t *testing.T) { hitsAllocateNothing(t, sample(t)) }

// TestRulesAllocateNothing: nor do 20 rules of rewrite, 5 templates and an acl, which the hits are not for.
func TestRulesAllocateNothing(t *testing.T) { hitsAllocateNothing(t, sample(t, ruled)) }

// TestMetadataAllocatesNothing: nothing is worked out before a label is asked for.
func TestMetadataAllocatesNothing(t *testing.T) {
	hitsAllocateNothing(t, sample(t, ruled, func(b *Block) { b.Metadata = &Metadata{Zones: []string{"."}} }))
}

func hitsAllocateNothing(t *testing.T, r *Resolver) {
	t.Helper()
	buf := make([]byte, 4096)
	for _, hit := range hits {
		packet := pack(t, hit.qname, hit.qtype)
		request := &Request{Now: time.Now()}
		var result Result
		allocated := testing.AllocsPerRun(1000, func() {
			var reply []byte
			if reply, result = r.Answer(request, packet, buf); result == Send {
				request.Replied(reply)
				request.Ended()
			}
		})
		if allocated != 0 {
			t.Errorf("%s: %v allocations a query", hit.name, allocated)
		}
		if result != Send || request.Reply.Rcode != hit.rcode || request.Reply.Count(wire.Answer) != hit.answers {
			t.Errorf("%s: result %v, rcode %v, %d answers", hit.name, result, request.Reply.Rcode,
				request.Reply.Count(wire.Answer))
		}
	}
}

// TestTapsAllocateNothing: nor does dnstap, whether its queue has room or is full.
func TestTapsAllocateNothing(t *testing.T) {
	r := sample(t, func(b *Block) {
		full := dnstap.Options{Network: "unix", Address: "nowhere", Queue: 1 << 20}
		b.Dnstaps = []Dnstap{{Sink: full, Full: true, Identity: "a", Version: "b", Extra: "c"}}
	})
	hitsAllocateNothing(t, r)
	if c := (*r.blocks[0].taps)[0].sink.Counts(); c.Dropped == 0 {
		t.Errorf("%+v", c)
	}
}

// TestUntracedAllocatesNothing: nor does a query that trace passes over.
func TestUntracedAllocatesNothing(t *testing.T) {
	hitsAllocateNothing(t, sample(t, func(b *Block) { b.Trace = &Trace{Every: 1 << 40} }))
}

// TestUnsampledAllocatesNothing: nor does an answer that shadow does not compare.
func TestUnsampledAllocatesNothing(t *testing.T) {
	hitsAllocateNothing(t, sample(t, func(b *Block) {
		b.Shadow = &shadow.Options{Servers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}, Share: 1e-9}
	}))
}

// TestWrappersAllocateNothing: what acl allows, dns64 finds well and no rule of rewrite names allocates nothing either.
func TestWrappersAllocateNothing(t *testing.T) {
	r := running(t, nil, Block{Zones: []string{"."}, Bufsize: 1232,
		ACLs:     []ACL{{Zones: []string{"."}, Rules: []ACLRule{{Action: ACLBlock, Types: []uint16{dns.TypeMX}}}}},
		Rewrites: []Rewrite{{Match: MatchSuffix, From: ".example.net.", To: ".example.org.", Auto: true}},
		DNS64:    &DNS64{Prefix: netip.MustParsePrefix("64:ff9b::/96"), AllowIPv4: true},
		Hosts:    &Hosts{Zones: []string{"."}, Inline: []string{"2001:db8::1 www.example.org"}, TTL: time.Hour},
	})
	packet, buf := pack(t, "www.example.org.", dns.TypeAAAA), make([]byte, 4096)
	request := &Request{Now: time.Now()}
	var reply []byte
	if n := testing.AllocsPerRun(1000, func() { reply, _ = r.Answer(request, packet, buf) }); n != 0 {
		t.Errorf("%v allocations a query", n)
	}
	m := new(dns.Msg)
	if err := m.Unpack(reply); err != nil {
		t.Fatal(err)
	}
	if got := lines(m.Answer); got != "www.example.org. 3600 IN AAAA 2001:db8::1\n" {
		t.Error(got)
	}
}

// TestAutopathAllocatesNothing: a walk through the search list that ends at a name of the cluster.
func TestAutopathAllocatesNothing(t *testing.T) {
	index := zones.NewIndex()
	client := netip.MustParseAddr("10.244.0.1")
	index.Update(time.Unix(1, 0), func(tx *zones.Tx) {
		tx.SetNamespace("dev", true)
		tx.AddPod(zones.LivePod{Namespace: "dev", Addr: client})
		var b zones.Builder
		b.Start("prod", "web")
		b.Address(b.Name(""), netip.MustParseAddr("10.96.0.1"))
		tx.SetService(must(b.Build()))
		tx.SetSynced(zones.ServiceKinds | zones.PodObjects)
	})
	r := running(t, nil, Block{Zones: []string{"."}, Bufsize: 1232,
		Autopath:   &Autopath{Zones: []string{"."}, Kubernetes: true, Search: []string{"node.example."}},
		Kubernetes: []Kubernetes{{Zones: []string{"cluster.local."}, Index: index, TTL: time.Second, Pods: zones.PodsVerified}},
	})
	packet, buf := pack(t, "web.prod.dev.svc.cluster.local.", dns.TypeA), make([]byte, 4096)
	request := &Request{Client: netip.AddrPortFrom(client, 4711), Now: time.Now()}
	var reply []byte
	if n := testing.AllocsPerRun(1000, func() { reply, _ = r.Answer(request, packet, buf) }); n != 0 {
		t.Errorf("%v allocations a query", n)
	}
	m := new(dns.Msg)
	if err := m.Unpack(reply); err != nil {
		t.Fatal(err)
	}
	want := "web.prod.dev.svc.cluster.local. 1 IN CNAME web.prod.svc.cluster.local.\nweb.prod.svc.cluster.local. 1 IN A 10.96.0.1\n"
	if got := lines(m.Answer); got != want {
		t.Error(got)
	}
}

// ruled gives a block 20 rewrite rules, 5 templates and an acl, such as real Corefiles have. None of them is for the
// names of hits.
func ruled(b *Block) {
	for i := range 4 {
		b.Rewrites = append(b.Rewrites,
			Rewrite{Match: MatchExact, From: fmt.Sprintf("shop%d.lab.test.", i), To: "web.prod.svc.cluster.local.", Auto: true},
			Rewrite{Match: MatchExact, From: fmt.Sprintf("cart%d.prod.svc.cluster.local.", i), To: "web.prod.svc.cluster.local."},
			Rewrite{Match: MatchSuffix, From: fmt.Sprintf(".old%d.test.", i), To: ".prod.svc.cluster.local.", Auto: true},
			Rewrite{Match: MatchRegexp, From: fmt.Sprintf(`(.*)\.apps%d\.lab\.test`, i), To: "web.prod.svc.cluster.local."},
			Rewrite{Match: MatchRegexp, From: fmt.Sprintf(`^(.*)--(.*)\.shoot%d\.svc\.cluster\.local\.$`, i),
				To: "{1}.{2}.svc.cluster.local."},
		)
		b.Templates = append(b.Templates, Template{Zones: []string{"."}, Class: uint16(wire.ClassIN), Type: uint16(wire.TypeA),
			Match:  []string{fmt.Sprintf(`.*[.]apps%d[.]lab[.]test`, i), fmt.Sprintf(`^ip-(\d+)-(\d+)\.net%d\.test\.$`, i)},
			Answer: []string{"{{ .Name }} 60 IN A 192.0.2.8"}, Fallthrough: Fallthrough{Zones: []string{"."}}})
	}
	b.Templates = append(b.Templates, Template{Zones: []string{"dead.test."}, Class: 255, Type: 255, Rcode: dns.RcodeNameError})
	b.ACLs = []ACL{{Zones: []string{"."}, Rules: []ACLRule{
		{Action: ACLAllow, Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Types: []uint16{dns.TypeAXFR}},
		{Action: ACLBlock, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		{Action: ACLFilter, Types: []uint16{dns.TypeHTTPS}},
	}}}
}

// BenchmarkRules measures what the rules of ruled cost names of the cluster and cached ones that they are not for.
func BenchmarkRules(b *testing.B) {
	buf := make([]byte, 4096)
	for _, hit := range []struct {
		name  string
		qtype uint16
	}{{"web.prod.svc.cluster.local.", dns.TypeA}, {"web.prod.svc.cluster.local.", dns.TypeAAAA}, {"www.example.com.", dns.TypeA}} {
		for _, with := range []struct {
			name   string
			change []func(*Block)
		}{{"plain", nil}, {"rewrite and acl", []func(*Block){ruled, func(b *Block) { b.Templates = nil }}}, {"ruled", []func(*Block){ruled}}} {
			b.Run(hit.name+dns.Type(hit.qtype).String()+" "+with.name, func(b *testing.B) {
				r, packet, request := sample(b, with.change...), pack(b, hit.name, hit.qtype), &Request{Now: time.Now()}
				b.ReportAllocs()
				for b.Loop() {
					r.Answer(request, packet, buf)
				}
			})
		}
	}
}

// BenchmarkAnswer measures a hit from packet to packet, without the sockets.
func BenchmarkAnswer(b *testing.B) {
	r := sample(b)
	buf := make([]byte, 4096)
	for _, hit := range hits {
		b.Run(hit.name, func(b *testing.B) {
			packet := pack(b, hit.qname, hit.qtype)
			request := &Request{Now: time.Now()}
			b.ReportAllocs()
			for b.Loop() {
				r.Answer(request, packet, buf)
			}
		})
	}
}

// BenchmarkTold measures a hit of a block with dnstap, whose queue is full, and with trace, for queries that it traces and
// for others.
func BenchmarkTold(b *testing.B) {
	buf := make([]byte, 4096)
	for name, change := range map[string]func(*Block){
		"plain": func(*Block) {},
		"dnstap": func(b *Block) {
			b.Dnstaps = []Dnstap{{Sink: dnstap.Options{Network: "unix", Address: "nowhere"}, Full: true, Identity: "a", Version: "b"}}
		},
		"traced":   func(b *Block) { b.Trace = &Trace{Every: 1} },
		"untraced": func(b *Block) { b.Trace = &Trace{Every: 1 << 40} },
		"shadow 1%": func(b *Block) {
			b.Shadow = &shadow.Options{Servers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}, Share: 0.01, Rate: 100}
		},
	} {
		b.Run(name, func(b *testing.B) {
			r, packet := sample(b, change), pack(b, "web.prod.svc.cluster.local.", dns.TypeA)
			request := &Request{Now: time.Now()}
			b.ReportAllocs()
			for b.Loop() {
				reply, _ := r.Answer(request, packet, buf)
				request.Replied(reply)
				request.Ended()
			}
		})
	}
}
