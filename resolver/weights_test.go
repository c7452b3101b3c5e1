package resolver

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// balanced is a resolver with names of hosts, in capital letters too, and a service whose named port has two hosts.
func balanced(t testing.TB, prefer []netip.Prefix, weights string) *Resolver {
	t.Helper()
	index := zones.NewIndex()
	index.Update(time.Unix(1, 0), func(tx *zones.Tx) {
		var b zones.Builder
		b.Start("prod", "web")
		for i, name := range []string{"one", "two"} {
			host := b.Name(name)
			for j := range 3 {
				b.Address(host, netip.AddrFrom4([4]byte{10, 0, byte(i), byte(j)}))
			}
			b.SRV(b.Name("_http._tcp"), host, b.Ports(1, 80))
		}
		tx.SetService(must(b.Build()))
		tx.SetSynced(zones.ServiceKinds)
	})
	o := Block{Zones: []string{"."}, Bufsize: 1232, Rotate: weights == "", Prefer: prefer,
		Hosts: &Hosts{Zones: []string{"test."}, TTL: time.Hour, Inline: []string{
			"192.0.2.1 h.test", "192.0.2.2 h.test", "192.0.2.3 h.test", "192.0.2.4 other.test", "192.0.2.5 other.test",
			"2001:db8::1 h.test", "2001:db8::2 h.test"}},
		Kubernetes: []Kubernetes{{Zones: []string{"cluster.local."}, Index: index, TTL: 5 * time.Second}},
	}
	if weights != "" {
		file := filepath.Join(t.TempDir(), "weights")
		write(t, file, weights, 0)
		o.Weights = &Weights{File: file}
	}
	return running(t, nil, o)
}

// answeredTo is the reply to a question.
func answeredTo(t testing.TB, r *Resolver, request *Request, name string, qtype uint16) *dns.Msg {
	t.Helper()
	packet, _ := r.Answer(request, pack(t, name, qtype), make([]byte, 0, 1232))
	reply := new(dns.Msg)
	if err := reply.Unpack(packet); err != nil {
		t.Fatal(err)
	}
	return reply
}

// addressesOf are the addresses of a section, in order.
func addressesOf(section []dns.RR) string {
	var all []string
	for _, rr := range section {
		switch rr := rr.(type) {
		case *dns.A:
			all = append(all, rr.A.String())
		case *dns.AAAA:
			all = append(all, rr.AAAA.String())
		}
	}
	return strings.Join(all, " ")
}

// TestWeights: the address that comes first is drawn by its weight, for any case of the name; it changes places with the
// first, and all others keep theirs. What is not in the file weighs 1.
func TestWeights(t *testing.T) {
	r := balanced(t, nil, "H.test\n192.0.2.1 90\n::ffff:192.0.2.2 9\n192.0.2.2 200\n2001:db8::2 3\n"+
		"# of one host, not of the other\n two.web.prod.svc.cluster.local.\n\t10.0.1.2 255\n")
	request := &Request{Now: time.Now()}
	for _, tt := range []struct {
		name    string
		qtype   uint16
		section func(*dns.Msg) []dns.RR
		weights map[string]int // by the order of the addresses
	}{
		{"h.test.", dns.TypeA, func(m *dns.Msg) []dns.RR { return m.Answer }, map[string]int{
			"192.0.2.1 192.0.2.2 192.0.2.3": 90, "192.0.2.2 192.0.2.1 192.0.2.3": 9, "192.0.2.3 192.0.2.2 192.0.2.1": 1}},
		{"h.test.", dns.TypeAAAA, func(m *dns.Msg) []dns.RR { return m.Answer }, map[string]int{
			"2001:db8::1 2001:db8::2": 1, "2001:db8::2 2001:db8::1": 3}},
		{"other.test.", dns.TypeA, func(m *dns.Msg) []dns.RR { return m.Answer }, map[string]int{
			"192.0.2.4 192.0.2.5": 1, "192.0.2.5 192.0.2.4": 1}},
		{"_http._tcp.web.prod.svc.cluster.local.", dns.TypeSRV, func(m *dns.Msg) []dns.RR { return m.Extra[3:] }, map[string]int{
			"10.0.1.0 10.0.1.1 10.0.1.2": 1, "10.0.1.1 10.0.1.0 10.0.1.2": 1, "10.0.1.2 10.0.1.1 10.0.1.0": 255}},
	} {
		seen, sum := map[string]int{}, 0
		for range drawn {
			reply := answeredTo(t, r, request, tt.name, tt.qtype)
			seen[addressesOf(tt.section(reply))]++
		}
		for _, weight := range tt.weights {
			sum += weight
		}
		off := 0.0
		for order, n := range seen {
			if tt.weights[order] == 0 {
				t.Errorf("%s: got %s %d times", tt.name, order, n)
			}
		}
		for order, weight := range tt.weights {
			expected := float64(drawn*weight) / float64(sum)
			off += (float64(seen[order]) - expected) * (float64(seen[order]) - expected) / expected
		}
		if off > 60 { // as in even
			t.Errorf("%s: got %v, want about %v", tt.name, seen, tt.weights)
		}
	}
	// Other types, ANY among them, stay as they are.
	for range 20 {
		if got := addressesOf(answeredTo(t, r, request, "h.test.", dns.TypeANY).Answer); got != "192.0.2.1 192.0.2.2 192.0.2.3" {
			t.Errorf("ANY: %s", got)
		}
	}
}

// TestPrefer: addresses in the first network come first, then those in the second, each group begins with every one of
// it about equally often.
func TestPrefer(t *testing.T) {
	r := balanced(t, []netip.Prefix{netip.MustParsePrefix("192.0.2.3/32"), netip.MustParsePrefix("192.0.2.0/31"),
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("10.0.0.1/31")}, "")
	request := &Request{Now: time.Now()}
	for range 100 {
		if got := addressesOf(answeredTo(t, r, request, "h.test.", dns.TypeA).Answer); got != "192.0.2.3 192.0.2.1 192.0.2.2" {
			t.Fatal(got)
		}
	}
	counts := map[string]int{}
	for range drawn {
		counts[addressesOf(answeredTo(t, r, request, "_http._tcp.web.prod.svc.cluster.local.", dns.TypeSRV).Extra[:3])]++
	}
	for order := range counts {
		if !strings.HasSuffix(order, " 10.0.0.2") {
			t.Errorf("not preferred: %s", order)
		}
	}
	even(t, "preferred", counts, 2)
}

// TestBalanceAllocatesNothing, nor does it change anything but the order.
func TestBalanceAllocatesNothing(t *testing.T) {
	for _, r := range []*Resolver{
		balanced(t, []netip.Prefix{netip.MustParsePrefix("192.0.2.2/32"), netip.MustParsePrefix("10.0.0.1/32")}, ""),
		balanced(t, nil, "h.test\n192.0.2.2 100\n"),
	} {
		for name, qtype := range map[string]uint16{"h.test.": dns.TypeA, "_http._tcp.web.prod.svc.cluster.local.": dns.TypeSRV} {
			packet, buf, request := pack(t, name, qtype), make([]byte, 4096), &Request{Now: time.Now()}
			if n := testing.AllocsPerRun(1000, func() { r.Answer(request, packet, buf) }); n != 0 {
				t.Errorf("%s: %v allocations a query", name, n)
			}
			if request.Reply.Count(wire.Answer) == 0 {
				t.Errorf("%s: no answer", name)
			}
		}
	}
}

// TestWeightsFollowTheirFile: a file that is missing or bad leaves what was read last.
func TestWeightsFollowTheirFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "weights")
		var log bytes.Buffer
		w := newWeights(Weights{File: file, Reload: 30 * time.Second}, slog.New(slog.NewTextHandler(&log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		go w.run(ctx)
		after := func(what, want string) {
			t.Helper()
			time.Sleep(30*time.Second + 1)
			synctest.Wait()
			if got := fmt.Sprint(w.table.Load().names); got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		after("no file", "map[]")
		write(t, file, "a\n192.0.2.1 1\n", time.Minute)
		after("a file", "map[\x01a\x00:map[192.0.2.1:1]]")
		write(t, file, "a\n192.0.2.1 0\n", 0)
		after("a mistake", "map[\x01a\x00:map[192.0.2.1:1]]")
		write(t, file, "A.\n192.0.2.1 255\n", 0)
		after("mended", "map[\x01a\x00:map[192.0.2.1:255]]")
		if n := strings.Count(log.String(), "cannot read the file of weights"); n != 2 || !strings.Contains(log.String(), "line 2") {
			t.Errorf("%d complaints\n%s", n, &log)
		}
		cancel()
		synctest.Wait()
	})
}

// FuzzWeights: no file makes it panic, and what it takes has weights only.
func FuzzWeights(f *testing.F) {
	for _, seed := range []string{"a\n192.0.2.1 1\n", "a.b.\n::1 255\n# x\n\nb\n", "192.0.2.1 1", "a b c", "a\n192.0.2.1 256", "..\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		table, err := readWeights(content)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "line ") {
				t.Error(err)
			}
			return
		}
		for name, listed := range table.names {
			for address, weight := range listed {
				if weight == 0 || address.Is4In6() {
					t.Errorf("%q %v %d", name, address, weight)
				}
			}
		}
	})
}
