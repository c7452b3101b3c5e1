package zones

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// podAddr is the address of the i-th pod of a cluster whose nodes have a /24 each, and of its second family.
func podAddr(i int) (v4, v6 netip.Addr) {
	v4 = netip.AddrFrom4([4]byte{10, byte(200 + i/50_000), byte(i / 200 % 250), byte(i % 200)})
	v6 = netip.AddrFrom16([16]byte{0: 0xfd, 6: byte(i / 200), 14: byte(i >> 8), 15: byte(i)})
	return v4, v6
}

// affineService is a service of endpoints with these indexes, in both families with twins if dual is set.
func affineService(t testing.TB, endpoints []int, dual bool) *ServiceRecords {
	t.Helper()
	var b Builder
	b.Start("prod", "web")
	b.Affine()
	self, g, ports := b.Name(""), b.Group(), b.Ports(1, 80)
	for _, i := range endpoints {
		v4, v6 := podAddr(i)
		addrs := []netip.Addr{v4}
		if dual {
			addrs = append(addrs, v6)
			b.Twin(v6, v4)
		}
		for _, addr := range addrs {
			host := b.Name(strings.NewReplacer(".", "-", ":", "-").Replace(addr.String()))
			b.Member(g, host, addr, 0)
			b.Address(host, addr)
			b.SRV(host, host, ports)
		}
	}
	b.Share(self, g, ports)
	r, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// order is the addresses of r that come first for a client.
func (r *ServiceRecords) order(client netip.Addr, size int) (addrs []netip.Addr) {
	var n Node
	r.find(&n, nil)
	packed := n.a
	if size == sizeAAAA {
		packed = n.aaaa
	}
	l := n.Lead(NewClientKey(client), size, nil)
	for i := range l.Count() {
		addr, _ := netip.AddrFromSlice([]byte(packed[l.At(i)*size:][:size]))
		addrs = append(addrs, addr)
	}
	return addrs
}

func upTo(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}

// TestAffinityIsSpread: of 10,000 clients the busiest of up to 50 endpoints has at most 1.25 of the mean, and that of 100
// has 1.4; with 20,000 it has 1.25.
func TestAffinityIsSpread(t *testing.T) {
	for _, test := range []struct {
		endpoints, clients int
		most               float64
	}{{2, 10_000, 1.25}, {3, 10_000, 1.25}, {8, 10_000, 1.25}, {50, 10_000, 1.25}, {100, 20_000, 1.25},
		{100, 10_000, 1.4}} {
		r := affineService(t, upTo(test.endpoints), false)
		counts := map[netip.Addr]int{}
		for i := range test.clients {
			v4, _ := podAddr(i)
			counts[r.order(v4, sizeA)[0]]++
		}
		highest := 0
		for _, n := range counts {
			highest = max(highest, n)
		}
		mean := float64(test.clients) / float64(test.endpoints)
		load, chance := float64(highest)/mean, 1+math.Sqrt(2*math.Log(float64(test.endpoints))/mean)
		t.Logf("%d endpoints, %d clients: %.3f of the mean, by chance about %.3f", test.endpoints, test.clients, load, chance)
		if load > test.most || len(counts) != test.endpoints {
			t.Errorf("%d of %d endpoints have clients, the busiest %.3f of the mean", len(counts), test.endpoints, load)
		}
	}
}

// TestAffinityMoves: when an endpoint goes, its clients go to the one that was second for each, and all others stay; when
// it comes back, they come back.
func TestAffinityMoves(t *testing.T) {
	for _, size := range []int{sizeA, sizeAAAA} {
		all := affineService(t, upTo(20), true)
		for gone := range 20 {
			left := affineService(t, slices.Delete(upTo(20), gone, gone+1), true)
			v4, v6 := podAddr(gone)
			for i := range 500 {
				client, client6 := podAddr(1000 + i)
				if i%2 == 1 {
					client = client6
				}
				before, after := all.order(client, size), left.order(client, size)
				want := before[0]
				if want == v4 || want == v6 {
					want = before[1]
				}
				if after[0] != want {
					t.Fatalf("%v had %v, and has %v when %v goes", client, before, after, v4)
				}
			}
		}
	}
}

// TestAffinityAgrees: A, AAAA and SRV lead to the same pods in the same order, whatever the order of the slices.
func TestAffinityAgrees(t *testing.T) {
	endpoints := upTo(9)
	r := affineService(t, endpoints, true)
	rand.Shuffle(len(endpoints), func(i, j int) { endpoints[i], endpoints[j] = endpoints[j], endpoints[i] })
	if again := affineService(t, endpoints, true); !r.equal(again) {
		t.Error("the records depend on the order of the endpoints")
	}
	for i := range 300 {
		client, _ := podAddr(i)
		a, aaaa := r.order(client, sizeA), r.order(client, sizeAAAA)
		for place := range a {
			if pod := slices.Index(upTo(9), int(a[place].As4()[3])); aaaa[place] != second(pod) {
				t.Fatalf("%v: A %v, AAAA %v", client, a, aaaa)
			}
		}
		var n Node
		r.find(&n, nil)
		priorities := map[netip.Addr]int{}
		for s := n.LeadSRVs(NewClientKey(client), nil); s.Next(); {
			addr := s.Target.first().Unmap()
			priorities[addr] = int(s.Fixed[0])<<8 | int(s.Fixed[1])
			if (len(priorities) <= 2) != (priorities[addr] == 0) {
				t.Fatalf("%v: target %d has priority %d", client, len(priorities), priorities[addr])
			}
		}
		if len(priorities) != 18 {
			t.Fatalf("%d targets", len(priorities))
		}
		for addr, got := range priorities {
			want := max(slices.Index(a, addr), slices.Index(aaaa, addr))
			if want < 0 {
				want = Leading
			}
			if got != want {
				t.Fatalf("%v: the priority of %v is %d, want %d", client, addr, got, want)
			}
		}
	}
}

func second(i int) netip.Addr {
	_, v6 := podAddr(i)
	return v6
}

// TestAffinityHash holds the hash to what the comment says: replicas of other releases have the same.
func TestAffinityHash(t *testing.T) {
	for _, test := range []struct {
		client, endpoint string
		score            uint64
	}{
		{"10.244.0.7", "10.244.1.9", 0x572fd60274001cf5},
		{"::ffff:10.244.0.7", "10.244.1.9", 0x572fd60274001cf5},
		{"fd00::7", "10.244.1.9", 0x168226773daf766a},
		{"10.244.0.7", "fd00:0:0:1::9", 0x65115a0b9ebd2ec0},
	} {
		k, addr := NewClientKey(netip.MustParseAddr(test.client)), netip.MustParseAddr(test.endpoint)
		n := number6
		if addr.Is4() {
			n = number4
		}
		if got := k.score(n(string(addr.AsSlice()))); got != test.score {
			t.Errorf("%s and %s: %#x, want %#x", test.client, test.endpoint, got, test.score)
		}
	}
}

// TestAffinityAllocates: nothing is allocated for an order.
func TestAffinityAllocates(t *testing.T) {
	r := affineService(t, upTo(30), true)
	client, _ := podAddr(1)
	var n Node
	r.find(&n, nil)
	if n := testing.AllocsPerRun(100, func() {
		k := NewClientKey(client)
		n.Lead(k, sizeA, nil)
		n.Lead(k, sizeAAAA, nil)
		for s := n.LeadSRVs(k, nil); s.Next(); {
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestAffinityIsContent: a service that becomes affine, or whose pods get other pairs of addresses, is published.
func TestAffinityIsContent(t *testing.T) {
	plain := affineService(t, upTo(3), false)
	plain.blob = string(plain.blob[0]&^affine) + plain.blob[1:]
	versions := []*ServiceRecords{plain, affineService(t, upTo(3), false), affineService(t, upTo(3), true)}
	for i, a := range versions {
		for j, b := range versions {
			if a.equal(b) != (i == j) {
				t.Errorf("version %d equals %d: %v", i, j, a.equal(b))
			}
		}
	}
	var text strings.Builder
	if err := versions[2].WriteText(&text, "cluster.local.", 5); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"; web.prod.svc.cluster.local. has an endpoint that comes first for each client\n",
		fmt.Sprintf("; web.prod.svc.cluster.local. is at %v and 10.200.0.2\n", second(2)),
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
}
