package resolver

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// outside is a resolver for two external zones, of which anybody may transfer one, and one of all names. A load balancer
// leads to the DNS service.
func outside() (*Resolver, *zones.Index) {
	index, own := zones.NewIndex(), netip.MustParseAddr("192.0.2.53")
	index.Update(time.Unix(1, 0), func(tx *zones.Tx) {
		var b zones.Builder
		b.Start("kube-system", "kube-dns")
		b.Front()
		host := b.Name("10-0-0-1")
		b.Reverse(host, false)
		b.Address(host, own)
		tx.SetService(must(b.Build()))
		b.Start("kube-system", "kube-dns")
		b.Address(b.Name(""), netip.MustParseAddr("198.51.100.53"))
		tx.SetExternal(must(b.Build()))
		b.Start("prod", "db")
		b.Headless()
		b.Address(b.Name("db-0"), netip.MustParseAddr("10.244.0.5"))
		tx.SetExternal(must(b.Build()))
		b.Start("prod", "cloud")
		b.SRV(b.Name("_http._tcp"), b.Host(must(wire.ParseName("lb.cloud.example"))), b.Ports(1, 80))
		tx.SetExternal(must(b.Build()))
	})
	return must(New(Options{Blocks: []Block{{
		Zones: []string{"."},
		Externals: []External{
			{Zones: []string{"ext.example."}, Apex: "dns", TTL: 5 * time.Second},
			{Zones: []string{"all.example."}, Apex: "dns", TTL: 5 * time.Second, Headless: true},
			{Zones: []string{"kept.example."}, Apex: "dns"},
		},
		Kubernetes: []Kubernetes{{Zones: []string{"cluster.local."}, Index: index, Local: []netip.Addr{own}}},
		Transfers:  []ZoneTransfer{{Zones: []string{"ext.example.", "all.example."}, Any: true}},
	}}}, nil, slog.New(slog.DiscardHandler))), index
}

// TestExternalTransfer: a transfer has what the zone answers: the name server with the address of its load balancer, and
// what headless services have only where they have names.
func TestExternalTransfer(t *testing.T) {
	r, index := outside()
	synced(index, 2)
	if request, _ := askTransfer(t, r, new(dns.Msg).SetAxfr("kept.example.")); request.Reply.Rcode != wire.Refused {
		t.Errorf("kept.example. has rcode %v", request.Reply.Rcode)
	}
	for zone, want := range map[string][]string{
		"ext.example.": {
			"_http._tcp.cloud.prod 5 IN SRV 0 100 80 lb.cloud.example.", "kube-dns.kube-system 5 IN A 198.51.100.53",
			"ns1.dns 5 IN A 198.51.100.53", " 5 IN NS ns1.dns",
		},
		"all.example.": {
			"_http._tcp.cloud.prod 5 IN SRV 0 100 80 lb.cloud.example.", "db-0.db.prod 5 IN A 10.244.0.5",
			"kube-dns.kube-system 5 IN A 198.51.100.53", "ns1.dns 5 IN A 198.51.100.53", " 5 IN NS ns1.dns",
		},
	} {
		request, result := askTransfer(t, r, new(dns.Msg).SetAxfr(zone))
		if result != Transfer || request.question.apexZone().info.source != FromExternal {
			t.Fatalf("%s: result %v, rcode %v", zone, result, request.Reply.Rcode)
		}
		var got []string
		if err := r.SendZone(request, make([]byte, 0, wire.MaxMessage), func(message []byte) error {
			m := new(dns.Msg)
			err := m.Unpack(message)
			for _, rr := range m.Answer {
				if rr.Header().Rrtype != dns.TypeSOA {
					text := strings.ReplaceAll(strings.ReplaceAll(rr.String(), "\t", " "), "."+zone, "")
					got = append(got, strings.TrimPrefix(text, zone[:len(zone)-1]+"."))
				}
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", zone, got, want)
		}
	}
}

// TestExternalNameServer: the name server of an external zone has the address of the load balancer that leads to it.
func TestExternalNameServer(t *testing.T) {
	r, index := outside()
	synced(index, 2)
	m := new(dns.Msg).SetQuestion("ext.example.", dns.TypeNS)
	reply, _ := r.Respond(t.Context(), &Request{Proto: TCP}, must(m.Pack()), make([]byte, 0, wire.MaxMessage))
	if err := m.Unpack(reply); err != nil || len(m.Extra) != 1 || m.Extra[0].(*dns.A).A.String() != "198.51.100.53" {
		t.Errorf("got %v, %v", m, err)
	}
}
