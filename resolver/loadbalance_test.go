package resolver

import (
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// drawn is how often an rrset of few records is looked at.
const drawn = 2000

// even fails the test if the counts differ by more than chance makes plausible: the sum over (seen - expected)^2 /
// expected is 99.9999 % of the time below 60 for up to twelve outcomes.
func even(t *testing.T, what string, counts map[string]int, outcomes int) {
	t.Helper()
	sum, total := 0.0, 0
	for _, n := range counts {
		total += n
	}
	expected := float64(total) / float64(outcomes)
	for _, n := range counts {
		sum += (float64(n) - expected) * (float64(n) - expected) / expected
	}
	sum += float64(outcomes-len(counts)) * expected
	if len(counts) > outcomes || sum > 60 {
		t.Errorf("%s: first are %v, not %d about equally often", what, counts, outcomes)
	}
}

// firsts is the data of the first record of each rrset of addresses or mail exchangers in reply, by owner and type.
func firsts(reply *dns.Msg) map[string]string {
	found := map[string]string{}
	for i, section := range [][]dns.RR{reply.Answer, reply.Ns, reply.Extra} {
		for _, rr := range section {
			h := rr.Header()
			of := fmt.Sprintf("%d %s %s", i, h.Name, dns.Type(h.Rrtype))
			if _, ok := found[of]; !ok && turns(wire.Type(h.Rrtype)) {
				found[of] = strings.TrimPrefix(rr.String(), h.String())
			}
		}
	}
	return found
}

// sortedLines is lines in an order of its own.
func sortedLines(section []dns.RR) string {
	return strings.Join(slices.Sorted(strings.Lines(lines(section))), "")
}

// dualStack is a resolver for a service of two addresses, whose named port has one target of five, a service of two
// hosts that fronts this server, a cluster without such a service, and a table of hosts, each in both families.
func dualStack(t *testing.T) *Resolver {
	t.Helper()
	index := zones.NewIndex()
	index.Update(time.Unix(1, 0), func(tx *zones.Tx) {
		var b zones.Builder
		b.Start("prod", "two")
		self := b.Name("")
		for _, addr := range []string{"10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"} {
			b.Address(self, netip.MustParseAddr(addr))
		}
		host := b.Name("host")
		for _, addr := range []string{"10.0.0.3", "10.0.0.4", "10.0.0.5", "fd00::3", "fd00::4"} {
			b.Address(host, netip.MustParseAddr(addr))
		}
		b.SRV(b.Name("_http._tcp"), host, b.Ports(1, 80))
		tx.SetService(must(b.Build()))
		b.Start("kube-system", "dns")
		b.Front()
		for i := range 2 {
			host := b.Name(fmt.Sprint("host-", i))
			b.Address(host, netip.AddrFrom4([4]byte{10, 244, 0, byte(i)}))
			b.Address(host, netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(i)}))
			b.Reverse(host, false)
		}
		tx.SetService(must(b.Build()))
		tx.SetSynced(zones.ServiceKinds)
	})
	apart := zones.NewIndex()
	apart.Update(time.Unix(1, 0), func(tx *zones.Tx) { tx.SetSynced(zones.ServiceKinds) })
	return must(New(Options{Blocks: []Block{{
		Zones: []string{"."}, Bufsize: 1232, Rotate: true,
		Hosts: &Hosts{Zones: []string{"."}, TTL: time.Hour, Fallthrough: Fallthrough{Zones: []string{"."}}, Inline: []string{
			"192.0.2.1 h.test", "192.0.2.2 h.test", "192.0.2.3 h.test", "2001:db8::1 h.test", "2001:db8::2 h.test"}},
		Kubernetes: []Kubernetes{{Zones: []string{"cluster.local."}, Index: index, TTL: 5 * time.Second,
			Local: []netip.Addr{netip.MustParseAddr("10.244.0.1")}},
			{Zones: []string{"apart.local."}, Index: apart, TTL: 5 * time.Second, Local: []netip.Addr{
				netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.2"),
				netip.MustParseAddr("192.0.2.3"), netip.MustParseAddr("2001:db8::2")}}},
	}}}, nil, slog.New(slog.DiscardHandler)))
}

// TestEveryAddressComesFirst: clients that ask for A and AAAA in turn get every address of either type first about
// equally often, and whatever comes first of one type says nothing about the other.
func TestEveryAddressComesFirst(t *testing.T) {
	r := dualStack(t)
	for _, tt := range []struct {
		name  string
		types []uint16 // asked for in turn
		sizes []int    // of their rrsets
	}{
		{"two.prod.svc.cluster.local.", []uint16{dns.TypeA, dns.TypeAAAA}, []int{2, 2}},
		{"ns.dns.cluster.local.", []uint16{dns.TypeA, dns.TypeAAAA}, []int{2, 2}},
		{"ns.dns.apart.local.", []uint16{dns.TypeA, dns.TypeAAAA}, []int{3, 2}},
		{"apart.local.", []uint16{dns.TypeNS}, []int{6}}, // A and AAAA of the name server
		{"h.test.", []uint16{dns.TypeA, dns.TypeAAAA}, []int{3, 2}},
		{"_http._tcp.two.prod.svc.cluster.local.", []uint16{dns.TypeSRV}, []int{6}}, // A and AAAA of its target
	} {
		request, buf := &Request{Now: time.Now()}, make([]byte, 0, 1232)
		each, together := make([]map[string]int, len(tt.types)), map[string]int{}
		for range drawn {
			var both strings.Builder
			for i, qtype := range tt.types {
				packet, _ := r.Answer(request, pack(t, tt.name, qtype), buf)
				reply := new(dns.Msg)
				if err := reply.Unpack(packet); err != nil {
					t.Fatal(err)
				}
				first := fmt.Sprint(firsts(reply))
				if each[i] == nil {
					each[i] = map[string]int{}
				}
				each[i][first]++
				both.WriteString(first)
			}
			together[both.String()]++
		}
		pairs := 1
		for i, qtype := range tt.types {
			even(t, tt.name+" "+dns.Type(qtype).String(), each[i], tt.sizes[i])
			pairs *= tt.sizes[i]
		}
		even(t, tt.name+" pairs", together, pairs)
	}
}

// TestForwardedRecordsTakeTurns: so do the records of an upstream, in each section and behind aliases, as one piece and
// record by record. Each keeps its owner, its TTL and its place among the other rrsets.
func TestForwardedRecordsTakeTurns(t *testing.T) {
	for _, tt := range []struct {
		question, records string
		sizes             map[string]int // of the rrsets that take turns
	}{
		{"www.example.org. A", chain, map[string]int{"0 web.example.net. A": 2, "2 ns.example.net. A": 1}},
		{"any.test. ANY", "any.test. 60 IN A 192.0.2.1\nany.test. 61 IN A 192.0.2.2\nany.test. 60 IN AAAA 2001:db8::1\n" +
			"any.test. 60 IN TXT x\nany.test. 60 IN TXT y", map[string]int{"0 any.test. A": 2, "0 any.test. AAAA": 1}},
		{"mail.test. MX", "mail.test. 60 IN MX 10 a.mail.test.\nmail.test. 60 IN MX 10 longer.mail.test.\n" +
			"mail.test. 60 IN MX 20 b.\n--\ntest. 60 IN NS ns.test.\n--\n" +
			"a.mail.test. 60 IN A 192.0.2.1\na.mail.test. 60 IN A 192.0.2.2\n" +
			"longer.mail.test. 60 IN AAAA 2001:db8::1\nlonger.mail.test. 60 IN AAAA 2001:db8::2\nns.test. 60 IN A 192.0.2.3",
			map[string]int{"0 mail.test. MX": 3, "2 a.mail.test. A": 2, "2 longer.mail.test. AAAA": 2, "2 ns.test. A": 1}},
	} {
		for _, owner := range []wire.Offset{wire.AtQName, 0} { // as one piece, and record by record
			said, m := parsed(t, tt.question, "NOERROR", tt.records)
			r := asking(t, tt.question, time.Time{})
			r.rotate = true
			counts := map[string]map[string]int{}
			for range drawn {
				start(r)
				m.write(r, &question{name: &r.Query.QName, owner: owner}, unchangedTTLs)
				reply := finished(t, r)
				for i, section := range [][]dns.RR{said.Answer, said.Ns, said.Extra} {
					got := [][]dns.RR{reply.Answer, reply.Ns, reply.Extra}[i]
					if sortedLines(got) != sortedLines(section) {
						t.Fatalf("%s: got\n%swant, in any order,\n%s", tt.question, lines(got), lines(section))
					}
				}
				for of, first := range firsts(reply) {
					if counts[of] == nil {
						counts[of] = map[string]int{}
					}
					counts[of][first]++
				}
			}
			if len(counts) != len(tt.sizes) {
				t.Errorf("%s: rrsets %v, want %v", tt.question, counts, tt.sizes)
			}
			for of, size := range tt.sizes {
				even(t, of, counts[of], size)
			}
		}
	}
}

// TestMailExchangersThatDoNotFit: names in the data of MX records can be compressed only in their place. Where they do
// not fit otherwise, the order stays.
func TestMailExchangersThatDoNotFit(t *testing.T) {
	var records strings.Builder
	for i := range 12 {
		fmt.Fprintf(&records, "mail.test. 60 IN MX 10 mx%d.a-long-name-of-mail-exchangers.test.\n", i)
	}
	said, m := parsed(t, "mail.test. MX", "NOERROR", records.String())
	r := asking(t, "mail.test. MX noedns", time.Time{})
	r.rotate = true
	m.write(r, r.whole(), unchangedTTLs)
	if got := finished(t, r); got.Truncated || lines(got.Answer) != lines(said.Answer) {
		t.Errorf("truncated: %v\n%s", got.Truncated, lines(got.Answer))
	}
}

// TestOrderStaysWithoutLoadbalance: without the directive nothing moves.
func TestOrderStaysWithoutLoadbalance(t *testing.T) {
	said, m := parsed(t, "www.example.org. A", "NOERROR", chain)
	for range 20 {
		r := asking(t, "www.example.org. A", time.Time{})
		m.write(r, r.whole(), unchangedTTLs)
		if got := finished(t, r); lines(got.Answer) != lines(said.Answer) {
			t.Fatalf("%s", lines(got.Answer))
		}
	}
}

// TestZoneFilesAndTemplatesTakeTurns, which have addresses in an order of their own.
func TestZoneFilesAndTemplatesTakeTurns(t *testing.T) {
	file := filepath.Join(t.TempDir(), "zone")
	write(t, file, "@ 60 IN SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 192.0.2.9\nwww A 192.0.2.1\nwww A 192.0.2.2\nwww A 192.0.2.3\n"+
		"mail MX 10 a\nmail MX 10 b\nmail MX 20 www\nmail MX 30 ns\n", 0)
	answers := []string{"{{ .Name }} 60 IN A 192.0.2.1", "{{ .Name }} 60 IN A 192.0.2.2", "{{ .Name }} 60 IN A 192.0.2.3"}
	o := Block{Zones: []string{"."}, Bufsize: 1232, Rotate: true, Files: []ZoneFile{{Zones: []string{"file.test."}, File: file}},
		Templates: []Template{{Zones: []string{"template.test."}, Class: 1, Type: dns.TypeA, Answer: answers}}}
	request := &Request{Now: time.Now()}
	for _, name := range []string{"www.file.test.", "www.template.test."} {
		o.Rotate = true
		r, counts := running(t, nil, o), map[string]int{}
		for range drawn {
			reply := answeredTo(t, r, request, name, dns.TypeA)
			if got := len(reply.Answer); got != 3 {
				t.Fatalf("%s: %d records", name, got)
			}
			counts[strings.Fields(addressesOf(reply.Answer))[0]]++
		}
		even(t, name, counts, 3)
		o.Rotate = false
		r = running(t, nil, o)
		for range 20 {
			if got := addressesOf(answeredTo(t, r, request, name, dns.TypeA).Answer); got != "192.0.2.1 192.0.2.2 192.0.2.3" {
				t.Fatalf("%s: %s", name, got)
			}
		}
	}
	o.Rotate = true
	r, mail, address := running(t, nil, o), map[string]int{}, map[string]int{}
	for range drawn {
		first := firsts(answeredTo(t, r, request, "mail.file.test.", dns.TypeMX))
		mail[first["0 mail.file.test. MX"]]++
		address[first["2 www.file.test. A"]]++
	}
	even(t, "mail exchangers", mail, 4)
	even(t, "their addresses", address, 3)
}
