package zones

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// naiveOwner is what a name has, pair by pair.
type naiveOwner struct {
	addrs map[netip.Addr]bool
	srv   map[string]bool // "port host"
	pairs int
}

// naiveLayout is a service of groups built by Builder, and the same pair by pair.
type naiveLayout struct {
	b      Builder
	owners map[string]*naiveOwner
}

func (n *naiveLayout) owner(name string) *naiveOwner {
	if n.owners[name] == nil {
		n.owners[name] = &naiveOwner{map[netip.Addr]bool{}, map[string]bool{}, 0}
	}
	return n.owners[name]
}

// point adds the pairs of an address of host and ports to owner.
func (o *naiveOwner) point(addr netip.Addr, host string, ports []uint16, pairs int) {
	o.addrs[addr] = true
	o.pairs += pairs
	for _, p := range ports {
		o.srv[fmt.Sprint(p, " ", host)] = true
	}
}

// slice adds a slice: hosts[i] has addrs[i], and owners share all of them, each with some of the ports.
func (n *naiveLayout) slice(hosts []string, addrs []netip.Addr, owners map[string][]uint16) {
	group := n.b.Group()
	for i, host := range hosts {
		n.b.Member(group, n.b.Name(host), addrs[i], 0)
		n.b.Address(n.b.Name(host), addrs[i])
		n.b.SRV(n.b.Name(host), n.b.Name(host), n.b.Ports(max(1, len(owners[""])), owners[""]...))
		n.owner(host).point(addrs[i], host, owners[""], max(1, len(owners[""])))
	}
	for owner, ports := range owners {
		n.b.Share(n.b.Name(owner), group, n.b.Ports(max(1, len(ports)), ports...))
		for i, host := range hosts {
			n.owner(owner).point(addrs[i], host, ports, max(1, len(ports)))
		}
	}
}

// TestLayoutIsThatOfPairs: owners that share groups have the records that pairs of endpoint and port would make, each
// once.
func TestLayoutIsThatOfPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := &naiveLayout{owners: map[string]*naiveOwner{}}
		n.b.Start("prod", "web")
		numbers := rapid.SliceOfN(rapid.Uint16Range(1, 5), 0, 4)
		for range rapid.IntRange(1, 6).Draw(t, "slices") {
			var hosts []string
			var addrs []netip.Addr
			for range rapid.IntRange(0, 5).Draw(t, "endpoints") {
				hosts = append(hosts, fmt.Sprint("pod-", rapid.IntRange(0, 6).Draw(t, "host")))
				addr := netip.AddrFrom4([4]byte{10, 244, 0, byte(rapid.IntRange(1, 9).Draw(t, "address"))})
				if rapid.Bool().Draw(t, "v6") {
					addr = netip.MustParseAddr(fmt.Sprint("fd00::", rapid.IntRange(1, 9).Draw(t, "address")))
				}
				addrs = append(addrs, addr)
			}
			owners := map[string][]uint16{"": numbers.Draw(t, "ports")}
			for _, owner := range []string{"_a._tcp", "_b._tcp"} {
				if rapid.Bool().Draw(t, owner) {
					owners[owner] = numbers.Draw(t, "ports of "+owner)
				}
			}
			n.slice(hosts, addrs, owners)
		}
		r, err := n.b.Build()
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range n.owners {
			n.compare(t, r, name, want)
		}
	})
}

func (n *naiveLayout) compare(t *rapid.T, r *ServiceRecords, name string, want *naiveOwner) {
	var node Node
	found := false
	for at := range r.each {
		if labels(at.name) == name {
			node, found = *at, true
		}
	}
	if !found {
		t.Fatalf("%q does not exist", name)
	}
	var addrs []netip.Addr
	for a := range slices.Chunk([]byte(node.A()), sizeA) {
		addrs = append(addrs, netip.AddrFrom4([4]byte(a)))
	}
	for a := range slices.Chunk([]byte(node.AAAA()), sizeAAAA) {
		addrs = append(addrs, netip.AddrFrom16([16]byte(a)))
	}
	if sorted := slices.SortedFunc(maps.Keys(want.addrs), netip.Addr.Compare); !slices.Equal(addrs, sorted) {
		t.Fatalf("%q has addresses %v, want %v", name, addrs, sorted)
	}
	var srv, firsts []string
	for s := node.SRVs(nil); s.Next(); {
		if weight := int(s.Fixed[2])<<8 | int(s.Fixed[3]); weight != max(1, 100/want.pairs) {
			t.Fatalf("%q has weight %d for %d pairs", name, weight, want.pairs)
		}
		srv = append(srv, fmt.Sprint(int(s.Fixed[4])<<8|int(s.Fixed[5]), " ", labels(s.Target.name)))
		if s.First {
			firsts = append(firsts, labels(s.Target.name))
		}
	}
	slices.Sort(srv)
	if sorted := slices.Sorted(maps.Keys(want.srv)); !slices.Equal(srv, sorted) {
		t.Fatalf("%q has SRV %v, want %v", name, srv, sorted)
	}
	var targets []string
	for s := node.SRVs(nil); s.NextTarget(); {
		targets = append(targets, labels(s.Target.name))
	}
	if !slices.Equal(firsts, targets) {
		t.Fatalf("%q: targets %v, by records %v", name, targets, firsts)
	}
	slices.Sort(targets)
	if len(slices.Compact(targets)) != len(firsts) {
		t.Fatalf("%q has a target twice: %v", name, firsts)
	}
}

// labels is a name in wire form without a root label, as Builder takes it.
func labels(name string) (text string) {
	for ; name != ""; name = name[1+name[0]:] {
		if text != "" {
			text += "."
		}
		text += name[1 : 1+name[0]]
	}
	return text
}

// crossed is a service of count slices that have endpoints and named ports, each about half of those that there are, or
// all.
func crossed(count, endpoints, ports int, all bool, limit int) (*ServiceRecords, error) {
	random := rand.New(rand.NewPCG(1, 1))
	var b Builder
	b.Start("prod", "web")
	b.Limit(limit)
	self := b.Name("")
	for range count {
		group := b.Group()
		var numbers []uint16
		for i := range ports {
			if all || random.IntN(2) == 0 {
				numbers = append(numbers, uint16(i+1))
			}
		}
		list := b.Ports(len(numbers), numbers...)
		for i := range endpoints {
			if !all && random.IntN(2) == 0 {
				continue
			}
			host, addr := b.Name(fmt.Sprint("pod-", i)), netip.AddrFrom4([4]byte{10, 244, byte(i >> 8), byte(i)})
			b.Member(group, host, addr, 0)
			b.Address(host, addr)
			b.Reverse(host, false)
			b.SRV(host, host, list)
		}
		b.Share(self, group, list)
		for _, n := range numbers {
			b.Share(b.Name(fmt.Sprint("_p", n, "._tcp")), group, b.Ports(1, n))
		}
	}
	return b.Build()
}

// TestRecordsAreLinear: twice the endpoints and twice the ports take twice the memory, not four times.
func TestRecordsAreLinear(t *testing.T) {
	size := func(n int) int {
		r, err := crossed(1, n, n, true, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return len(r.blob) + 8*len(r.slots)
	}
	one, two := size(500), size(1000)
	if t.Logf("500 x 500: %d octets, 1000 x 1000: %d", one, two); two > one*5/2 || two > 150_000 {
		t.Errorf("500 x 500 take %d octets, 1000 x 1000 %d", one, two)
	}
}

// TestLimit: slices of every combination of endpoints and ports are refused, not compiled.
func TestLimit(t *testing.T) {
	if _, err := crossed(20, 200, 200, false, 64<<10); !errors.Is(err, ErrTooLarge) {
		t.Errorf("error %v", err)
	}
	if _, err := crossed(20, 200, 200, true, 64<<10); err != nil {
		t.Errorf("equal slices: %v", err)
	}
}
