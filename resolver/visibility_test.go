package resolver

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// tenants is a random cluster for the model of visibility.
type tenants struct {
	sees, shown []zones.Rules // by namespace
	client      int           // its namespace; noNamespace or atNode
	sights      Visibility
}

const (
	noNamespace = -1
	atNode      = -2
)

func drawTenants(random *rand.Rand) tenants {
	c := tenants{client: random.IntN(7) - 2, sights: Visibility{Sight(random.IntN(2)), Sight(random.IntN(2))}}
	for range 5 {
		c.sees = append(c.sees, zones.Rules(random.IntN(8))&^zones.SharedRule)
		c.shown = append(c.shown, zones.Rules(random.IntN(8)*random.IntN(2)))
	}
	return c
}

// visible is a naive reading of the rules.
func (c *tenants) visible(n int) bool {
	switch {
	case c.client == n, c.shown[n]&zones.SharedRule != 0:
		return true
	case c.client == noNamespace:
		return c.sights.Unknown == SeesAll
	case c.client == atNode:
		return c.sights.Nodes == SeesAll
	}
	for bit := zones.Rules(2); bit != 0; bit <<= 1 {
		if c.sees[c.client]&bit != 0 && c.shown[n]&bit != 0 {
			return true
		}
	}
	return false
}

// index has the namespaces that keep says. In each there are a service with a cluster IP that all but the last two
// namespaces share, a headless one with an endpoint at an address that the next namespace has too, an alias that leads
// into the next namespace, and a pod.
func (c *tenants) index(keep func(n int) bool) *zones.Index {
	index := zones.NewIndex()
	index.Update(time.Unix(1, 0), func(tx *zones.Tx) {
		var b zones.Builder
		for n := range c.sees {
			if !keep(n) {
				continue
			}
			name := fmt.Sprint("n", n)
			tx.SetNamespace(name, true)
			tx.SetVisibility(name, c.sees[n], c.shown[n])
			b.Start(name, "web")
			b.Reverse(b.Name(""), true)
			b.Address(b.Name(""), netip.AddrFrom4([4]byte{10, 96, 0, byte(min(n, 3))}))
			b.SRV(b.Name("_http._tcp"), b.Name(""), b.Ports(1, 80))
			tx.SetService(must(b.Build()))
			b.Start(name, "db")
			host := b.Name("db-0")
			for _, last := range []int{n, n + 1} {
				addr := netip.AddrFrom4([4]byte{10, 244, 0, byte(last)})
				b.Address(host, addr)
				b.Address(b.Name(""), addr)
			}
			b.Reverse(host, false)
			b.SRV(b.Name(""), host, b.Ports(1, 5432))
			tx.SetService(must(b.Build()))
			b.Start(name, "alias")
			b.Alias(b.Name(""), must(wire.ParseName(fmt.Sprintf("web.n%d.svc.cluster.local.", n+1))))
			tx.SetService(must(b.Build()))
			tx.AddPod(zones.LivePod{Namespace: name, Addr: podOf(n)})
		}
		tx.SetNode(nil, &zones.LiveNode{Name: "node", Addrs: []netip.Addr{podOf(atNode)}})
		tx.SetSynced(zones.ServiceKinds | zones.PodObjects | zones.Nodes)
	})
	return index
}

// podOf is the address of the pod of a namespace, of the node, or of nobody.
func podOf(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 245, 0, byte(n + 10)}) }

// questions are of everything that the index has for a namespace, and of something that it does not have.
func (c *tenants) questions(n int) (all []dns.Question) {
	ask := func(qtype uint16, format string) {
		all = append(all, dns.Question{Name: strings.ReplaceAll(format, "N", fmt.Sprint("n", n)), Qtype: qtype})
	}
	for _, zone := range []string{"cluster.local.", "clusterset.local."} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypeANY} {
			for _, name := range []string{"web.N", "db.N", "db-0.db.N", "_http._tcp.web.N", "http.tcp.web.N", "alias.N", "none.N", "db-1.db.N", "N", "x.y.z.N"} {
				ask(qtype, name+".svc."+zone)
			}
			ask(qtype, strings.ReplaceAll(podOf(n).String(), ".", "-")+".N.pod."+zone)
			ask(qtype, "10-0-0-1.N.pod."+zone)
			ask(qtype, "N.pod."+zone)
			ask(qtype, "ns.dns."+zone)
		}
	}
	for _, addr := range []netip.Addr{podOf(n), netip.AddrFrom4([4]byte{10, 96, 0, byte(n)}), netip.AddrFrom4([4]byte{10, 244, 0, byte(n)})} {
		ask(dns.TypePTR, must(dns.ReverseAddr(addr.String())))
	}
	return all
}

// TestVisibilityModel: a client gets the reply, to the octet, that it would get if the cluster had no other namespaces than
// those that it sees.
func TestVisibilityModel(t *testing.T) {
	hidden := uint64(0)
	for seed := range uint64(60) {
		c := drawTenants(rand.New(rand.NewPCG(seed, 11)))
		all, seen := c.index(func(int) bool { return true }), c.index(c.visible)
		serve := func(index *zones.Index, v *Visibility) *Resolver {
			return must(New(Options{Blocks: []Block{{Zones: []string{"."}, Kubernetes: []Kubernetes{{
				Zones: []string{"cluster.local.", "clusterset.local.", "10.in-addr.arpa."}, MultiCluster: []string{"clusterset.local."},
				Index: index, MultiIndex: index, TTL: 5 * time.Second, Pods: zones.PodsVerified, Visibility: v}}}}}, nil,
				slog.New(slog.DiscardHandler)))
		}
		got, want := serve(all, &c.sights), serve(seen, nil)
		client := netip.AddrPortFrom(podOf(c.client), 5353)
		for n := range len(c.sees) + 1 {
			for _, q := range c.questions(n) {
				packet := pack(t, q.Name, q.Qtype)
				answer := func(r *Resolver) []byte {
					reply, _ := r.Answer(&Request{Client: client, Proto: TCP, Now: time.Unix(2, 0)}, packet, make([]byte, 0, 4096))
					return reply
				}
				if a, b := answer(got), answer(want); !bytes.Equal(a, b) {
					var ours, naive dns.Msg
					t.Fatal(seed, c, ours.Unpack(a), naive.Unpack(b), "\n", &ours, "\nwanted", &naive)
				}
			}
		}
		hidden += got.blocks[0].authorities[0].visibility.hidden.Load()
	}
	if hidden == 0 {
		t.Error("nothing was hidden")
	}
}

// TestReverseNamesTellNothing: names between the zone and the addresses exist for all, whether somebody has an address below
// them or not.
func TestReverseNamesTellNothing(t *testing.T) {
	c := tenants{sees: []zones.Rules{0}, shown: []zones.Rules{0}, client: noNamespace}
	r := tenantResolver(c.index(func(int) bool { return true }))
	for _, name := range []string{"244.10.in-addr.arpa.", "0.244.10.in-addr.arpa.", "7.10.in-addr.arpa."} {
		reply, _ := r.Answer(&Request{Client: netip.AddrPortFrom(podOf(noNamespace), 53), Proto: TCP, Now: time.Unix(2, 0)},
			pack(t, name, dns.TypePTR), make([]byte, 0, 4096))
		var m dns.Msg
		if err := m.Unpack(reply); err != nil || m.Rcode != dns.RcodeSuccess || len(m.Answer) != 0 {
			t.Error(name, err, &m)
		}
	}
}

// TestHiddenReverseNamesAreCounted: as other names that exist for others alone, and once, however many records they have.
func TestHiddenReverseNamesAreCounted(t *testing.T) {
	c := tenants{sees: []zones.Rules{0, 0, 0}, shown: []zones.Rules{0, 0, 0}}
	r := tenantResolver(c.index(func(int) bool { return true }))
	for _, test := range []struct {
		addr   string
		hidden uint64
	}{
		{"10.96.0.0", 0},  // a service of the client's namespace
		{"10.96.0.1", 1},  // one of another
		{"10.244.0.1", 0}, // an endpoint of both
		{"10.244.0.2", 1}, // one of two others
		{"10.244.0.9", 0}, // nobody's
	} {
		before := r.blocks[0].authorities[0].visibility.hidden.Load()
		r.Answer(&Request{Client: netip.AddrPortFrom(podOf(0), 53), Now: time.Unix(2, 0)}, pack(t, must(dns.ReverseAddr(test.addr)), dns.TypePTR), make([]byte, 4096))
		if n := r.blocks[0].authorities[0].visibility.hidden.Load() - before; n != test.hidden {
			t.Errorf("%s: %d, want %d", test.addr, n, test.hidden)
		}
	}
}

// TestVisibilityAllocatesNothing: whether a client may see a name costs no allocation.
func TestVisibilityAllocatesNothing(t *testing.T) {
	c := tenants{sees: []zones.Rules{2, 0, 0}, shown: []zones.Rules{0, 2, 0}, client: 0}
	r := tenantResolver(c.index(func(int) bool { return true }))
	buf := make([]byte, 4096)
	for _, name := range []string{"web.n0.svc.cluster.local.", "web.n1.svc.cluster.local.", "web.n2.svc.cluster.local.", "2.0.96.10.in-addr.arpa."} {
		for _, client := range []int{0, noNamespace, atNode} {
			packet := pack(t, name, dns.TypePTR)
			request := &Request{Client: netip.AddrPortFrom(podOf(client), 53), Now: time.Now()}
			if n := testing.AllocsPerRun(1000, func() { r.Answer(request, packet, buf) }); n != 0 {
				t.Errorf("%s: %v allocations a query", name, n)
			}
		}
	}
}

// tenantResolver serves an index with visibility.
func tenantResolver(index *zones.Index) *Resolver {
	return must(New(Options{Blocks: []Block{{Zones: []string{"."}, Kubernetes: []Kubernetes{{
		Zones: []string{"cluster.local.", "10.in-addr.arpa."}, Index: index, TTL: 5 * time.Second, Visibility: &Visibility{}}}}}}, nil,
		slog.New(slog.DiscardHandler)))
}

// BenchmarkVisibility is what it costs to know whether a client may see a name.
func BenchmarkVisibility(b *testing.B) {
	c := tenants{sees: []zones.Rules{2, 0, 0}, shown: []zones.Rules{0, 2, 0}, client: 0}
	index := c.index(func(int) bool { return true })
	for name, v := range map[string]*Visibility{"off": nil, "on": {}} {
		r := must(New(Options{Blocks: []Block{{Zones: []string{"."}, Kubernetes: []Kubernetes{{
			Zones: []string{"cluster.local."}, Index: index, TTL: 5 * time.Second, Visibility: v}}}}}, nil, slog.New(slog.DiscardHandler)))
		b.Run(name, func(b *testing.B) {
			packet, buf := pack(b, "web.n1.svc.cluster.local.", dns.TypeA), make([]byte, 4096)
			request := &Request{Client: netip.AddrPortFrom(podOf(0), 53), Now: time.Now()}
			for b.Loop() {
				r.Answer(request, packet, buf)
			}
		})
	}
}
