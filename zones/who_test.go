package zones

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// member of a service in a test.
type placedEndpoint struct {
	addr, node, zone string
	unready          bool
}

// setPlaced publishes a service with places, headless without a cluster IP.
func setPlaced(x *Index, tx *Tx, namespace, service, clusterIP string, endpoints ...placedEndpoint) {
	var b Builder
	b.Start(namespace, service)
	b.Placed(NearestUnset)
	if clusterIP != "" {
		self := b.Name("")
		b.Reverse(self, true)
		b.Address(self, netip.MustParseAddr(clusterIP))
	}
	group := b.Group()
	for _, e := range endpoints {
		at, addr := x.Places.Number(namespace, Where{Node: e.node, Zone: e.zone}), netip.MustParseAddr(e.addr)
		if e.unready {
			b.Asking(addr, at)
			continue
		}
		host := b.Name(strings.NewReplacer(".", "-", ":", "-").Replace(e.addr))
		b.Reverse(host, false)
		b.AddressAt(host, addr, at)
		b.Member(group, host, addr, at)
	}
	if clusterIP == "" {
		b.Share(b.Name(""), group, b.Ports(1))
	}
	r, err := b.Build()
	if err != nil {
		panic(err)
	}
	tx.SetService(r)
}

// whoIs is what a snapshot knows of an address: namespace, node, zone.
func whoIs(s *Snapshot, addr string) string {
	c := s.Who(new(Match), netip.MustParseAddr(addr))
	namespace := c.Namespace
	if namespace != "" {
		namespace = namespace[1:]
	}
	return namespace + " " + s.LocalityName(c.Node) + " " + s.LocalityName(c.Zone)
}

func update(x *Index, change func(*Tx)) { x.Update(time.Unix(1, 0), change) }

func TestWho(t *testing.T) {
	x := NewIndex()
	a := LiveNode{"node-a", "zone-1", []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		[]netip.Prefix{netip.MustParsePrefix("10.1.0.0/24"), netip.MustParsePrefix("fd00:1::/64")}}
	b := LiveNode{"node-b", "zone-2", []netip.Addr{netip.MustParseAddr("192.0.2.2")},
		[]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	check := func(when string, want map[string]string) {
		t.Helper()
		for addr, who := range want {
			if got := whoIs(x.Snapshot(), addr); got != who {
				t.Errorf("%s: %s is %q, want %q", when, addr, got, who)
			}
		}
	}
	check("empty", map[string]string{"10.1.0.1": "  ", "fd00::1": "  "})
	update(x, func(tx *Tx) {
		setPlaced(x, tx, "shop", "web", "10.96.0.1", placedEndpoint{"10.1.0.1", "node-a", "zone-1", false},
			placedEndpoint{"10.1.0.2", "node-b", "", false}, placedEndpoint{"10.1.0.3", "node-b", "zone-2", true},
			placedEndpoint{"192.0.2.1", "node-a", "zone-1", false})
		setPlaced(x, tx, "shop", "db", "", placedEndpoint{"10.1.0.1", "node-a", "zone-1", false},
			placedEndpoint{"fd00:2::1", "", "zone-2", false}, placedEndpoint{"10.1.0.4", "", "", false})
		setPlaced(x, tx, "dev", "none", "", placedEndpoint{"10.1.0.5", "node-a", "zone-1", true})
	})
	check("before nodes are read", map[string]string{
		"10.1.0.1": " node-a zone-1", "10.1.0.2": " node-b ", "10.1.0.3": " node-b zone-2", "10.1.0.9": "  ",
	})
	update(x, func(tx *Tx) { tx.SetNode(nil, &a); tx.SetNode(nil, &b); tx.SetSynced(Nodes) })
	read := map[string]string{
		"10.1.0.1":        "shop node-a zone-1", // in two services
		"::ffff:10.1.0.1": "shop node-a zone-1",
		"10.1.0.2":        "shop node-b zone-2", // the zone is the node's
		"10.1.0.3":        "shop node-b zone-2", // not ready
		"10.1.0.4":        "shop node-a zone-1", // no node in its slice
		"10.1.0.5":        "dev node-a zone-1",  // its service has no names
		"10.1.0.9":        " node-a zone-1",     // by the longer range
		"10.1.9.9":        " node-b zone-2",
		"10.2.0.1":        "  ",
		"fd00:1::9":       " node-a zone-1",
		"fd00:2::1":       "shop  zone-2",
		"192.0.2.1":       " node-a zone-1", // the node's, though an endpoint has it
		"192.0.2.2":       " node-b zone-2",
		"2001:db8::1":     " node-a zone-1",
		"10.96.0.1":       "  ",
	}
	check("read", read)
	before := x.Snapshot()

	update(x, func(tx *Tx) {
		setPlaced(x, tx, "dev", "thief", "", placedEndpoint{"10.1.0.1", "node-b", "zone-2", false},
			placedEndpoint{"10.1.0.3", "node-b", "zone-2", true}, placedEndpoint{"10.1.0.4", "node-b", "", false})
		tx.DropService("dev", "none")
		moved := a
		moved.Zone, moved.Pods = "zone-3", nil
		tx.SetNode(&a, &moved)
		twin := LiveNode{Name: "node-c", Zone: "zone-3", Pods: b.Pods}
		tx.SetNode(nil, &twin)
	})
	check("changed", map[string]string{
		"10.1.0.1":  "  ",             // two namespaces, two nodes
		"10.1.0.3":  " node-b zone-2", // two namespaces, one node
		"10.1.0.4":  " node-b zone-2", // only one of them knows a node
		"10.1.0.5":  "  ",
		"10.1.9.9":  "  ", // two nodes have the range
		"192.0.2.1": " node-a zone-3",
	})
	for addr, who := range read {
		if got := whoIs(before, addr); got != who {
			t.Errorf("the snapshot before has changed: %s is %q, was %q", addr, got, who)
		}
	}
	update(x, func(tx *Tx) {
		tx.DropService("dev", "thief")
		tx.DropService("shop", "db")
		tx.DropService("shop", "web")
	})
	if s := x.Snapshot(); s.asking.v4.size != 0 || s.reverse.v4.size != 0 || s.reverse.v6.size != 0 {
		t.Error("addresses are left")
	}
}

// TestWhoOfPods: where pods are read, they say whose an address is.
func TestWhoOfPods(t *testing.T) {
	x := NewIndex()
	addr := netip.MustParseAddr("10.1.0.1")
	on := func(node string) Place { return x.Places.Number("", Where{Node: node}) }
	update(x, func(tx *Tx) {
		tx.SetNode(nil, &LiveNode{Name: "node-a", Zone: "zone-1"})
		tx.SetNode(nil, &LiveNode{Name: "node-b", Zone: "zone-2"})
		setPlaced(x, tx, "thief", "web", "", placedEndpoint{"10.1.0.1", "node-a", "zone-1", false})
		tx.AddPod(LivePod{Namespace: "shop", Addr: addr, Started: 1, Place: on("node-b")})
		tx.AddPod(LivePod{Namespace: "old", Addr: addr, Started: 0, Place: on("node-a")})
		tx.SetSynced(Nodes)
	})
	if got := whoIs(x.Snapshot(), "10.1.0.1"); got != "thief node-a zone-1" {
		t.Errorf("before pods are read: %q", got)
	}
	update(x, func(tx *Tx) { tx.SetSynced(PodObjects) })
	if got := whoIs(x.Snapshot(), "10.1.0.1"); got != "shop node-b zone-2" {
		t.Errorf("the youngest pod: %q", got)
	}
	update(x, func(tx *Tx) {
		tx.AddPod(LivePod{Namespace: "shop", Addr: addr, Started: 2, Place: on("node-b"), Host: true})
	})
	if got := whoIs(x.Snapshot(), "10.1.0.1"); got != " node-b zone-2" {
		t.Errorf("on the network of its node: %q", got)
	}
}

// TestManyClaims: of an address that very many services share nothing is known, and that takes no time.
func TestManyClaims(t *testing.T) {
	x := NewIndex()
	update(x, func(tx *Tx) {
		for i := range mostClaims + 1 {
			setPlaced(x, tx, "shop", fmt.Sprint("s", i), "", placedEndpoint{"10.1.0.1", "node-a", "zone-1", false})
		}
		tx.SetSynced(Nodes)
	})
	if got := whoIs(x.Snapshot(), "10.1.0.1"); got != "  " {
		t.Errorf("got %q", got)
	}
	update(x, func(tx *Tx) { tx.DropService("shop", "s0") })
	if got := whoIs(x.Snapshot(), "10.1.0.1"); got != "shop node-a zone-1" {
		t.Errorf("got %q", got)
	}
}

// TestPlacesAreNoRecords: what clients are known by changes no record and hides none.
func TestPlacesAreNoRecords(t *testing.T) {
	text := func(s *Snapshot) string {
		var b strings.Builder
		_ = s.WriteText(&b, "cluster.local.", 5)
		return b.String()
	}
	list := []placedEndpoint{{"10.1.0.1", "node-a", "zone-1", false}, {"fd00::1", "node-b", "zone-2", false}}
	plain, x := NewIndex(), NewIndex()
	var b Builder
	b.Start("shop", "web")
	group := b.Group()
	for _, e := range list {
		host := b.Name(strings.NewReplacer(".", "-", ":", "-").Replace(e.addr))
		b.Reverse(host, false)
		b.Address(host, netip.MustParseAddr(e.addr))
		b.Member(group, host, netip.MustParseAddr(e.addr), 7)
	}
	b.Share(b.Name(""), group, b.Ports(1))
	r, _ := b.Build()
	update(plain, func(tx *Tx) { tx.SetService(r) })
	update(x, func(tx *Tx) {
		setPlaced(x, tx, "shop", "web", "", append(list, placedEndpoint{"10.1.0.2", "node-a", "zone-1", true})...)
	})
	if got, want := text(x.Snapshot()), text(plain.Snapshot()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	m := new(Match)
	if p := x.Snapshot().Reverse(m, netip.MustParseAddr("10.1.0.2")); p.Next() {
		t.Error("an endpoint that is not ready has a PTR record")
	}
	if x.Snapshot().ReverseWithin(netip.MustParsePrefix("10.2.0.0/16")) {
		t.Error("a reverse name exists without records below it")
	}
}

// TestPlacesAreSweptAndShared: numbers that nobody uses are given again, after a while; a snapshot keeps its own; and a
// namespace leaves some to the others.
func TestPlacesAreSweptAndShared(t *testing.T) {
	x := NewIndex()
	now := time.Unix(1, 0)
	nobody := func(func(string, Place) bool) {}
	sweep := func() { x.Update(now, func(tx *Tx) { tx.SweepPlaces(now, nobody) }) }
	for i := range leastCrowd {
		x.Places.Number("shop", Where{Node: fmt.Sprint("gone-", i)})
	}
	update(x, func(tx *Tx) {
		tx.SetNode(nil, &LiveNode{Name: "stays", Zone: "zone"})
		setPlaced(x, tx, "shop", "web", "", placedEndpoint{"10.1.0.1", "here", "zone-1", false})
	})
	before, used := x.Snapshot(), len(x.Places.byPlace)
	sweep()
	if len(x.Places.byPlace) != used {
		t.Error("numbers were taken back that objects on their way may have")
	}
	x.Places.crowdsAt = 0
	sweep()
	if len(x.Places.byPlace) != used {
		t.Error("swept again at once")
	}
	now = now.Add(sweepEvery)
	sweep()
	if len(x.Places.byPlace) != 1 || x.Places.byName["here"] == 0 || x.Places.byName["stays"] == 0 || x.Places.byName["gone-1"] != 0 {
		t.Errorf("%d places are left, names %v", len(x.Places.byPlace), x.Places.byName)
	}
	for i := range leastCrowd {
		x.Places.Number("shop", Where{Node: fmt.Sprint("new-", i)})
	}
	if len(x.Places.list) > leastCrowd+2 {
		t.Errorf("numbers are not given again: %d", len(x.Places.list))
	}
	for _, s := range []*Snapshot{before, x.Snapshot()} {
		if got := whoIs(s, "10.1.0.1"); got != " here zone-1" {
			t.Errorf("got %q", got)
		}
	}

	for i := range mostPlaces {
		x.Places.Number("greedy", Where{Node: fmt.Sprint("n", i)})
	}
	if n := x.Places.Number("other", Where{Node: "other"}); n == 0 {
		t.Error("a namespace leaves nothing to the others")
	}
	if n := x.Places.Number("greedy", Where{Node: "more"}); n != 0 {
		t.Error("a namespace has no bound")
	}
}

// TestHints: sets of names.
func TestHints(t *testing.T) {
	var p Places
	two := p.Number("shop", Where{ForZones: []string{"b", "a"}, ForNodes: []string{"n"}})
	same := p.Number("shop", Where{ForZones: []string{"a", "b"}, ForNodes: []string{"n"}})
	if two != same {
		t.Error("the order of hints makes places differ")
	}
	a, b, c, n := p.locality("a"), p.locality("b"), p.locality("c"), p.locality("n")
	s := p.snapshot()
	at := s.at(two)
	for name, want := range map[Locality]bool{a: true, b: true, c: false, n: false} {
		if s.includes(at.forZones, name) != want {
			t.Errorf("zone %s: %v", s.name(name), !want)
		}
	}
	if !s.includes(at.forNodes, n) || s.includes(at.forNodes, a) || s.includes(elsewhere, a) || s.includes(0, a) {
		t.Error("hints for one node")
	}
	if (*Places)(nil).Number("shop", Where{Node: "n"}) != 0 {
		t.Error("a number without an index")
	}
}

// TestWhoAgainstModel: after any changes clients are who a naive reading of all objects says, in old snapshots too.
func TestWhoAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	x := NewIndex()
	update(x, func(tx *Tx) { tx.SetSynced(Nodes) })
	services := map[string][]placedEndpoint{} // by namespace/name
	nodes := map[string]*LiveNode{}
	addr := func() string { return fmt.Sprintf("10.1.%d.%d", r.IntN(3), r.IntN(6)) }
	naive := func(text string) string {
		ip := netip.MustParseAddr(text)
		zoneOf := func(node string) string {
			if n := nodes[node]; n != nil {
				return n.Zone
			}
			return ""
		}
		own := map[string]bool{}
		for _, n := range nodes {
			for _, a := range n.Addrs {
				own[n.Name] = own[n.Name] || a == ip
			}
			if !own[n.Name] {
				delete(own, n.Name)
			}
		}
		if len(own) > 1 {
			return "  "
		}
		for n := range own {
			return " " + n + " " + zoneOf(n)
		}
		spaces, places, zone := map[string]bool{}, map[string]bool{}, ""
		for key, list := range services {
			for _, e := range list {
				if e.addr == text {
					spaces[strings.Split(key, "/")[0]] = true
					if e.node != "" {
						places[e.node], zone = true, e.zone
					}
				}
			}
		}
		namespace, node := "", ""
		if len(spaces) == 1 {
			for namespace = range spaces {
			}
		}
		if len(places) == 1 {
			for node = range places {
			}
			if z := zoneOf(node); z != "" {
				zone = z
			}
		} else {
			zone = ""
			best := -1
			for _, n := range nodes {
				for _, p := range n.Pods {
					if p.Contains(ip) && p.Bits() >= best {
						if p.Bits() == best {
							node = ""
						} else {
							node = n.Name
						}
						best = p.Bits()
					}
				}
			}
			zone = zoneOf(node)
		}
		return namespace + " " + node + " " + zone
	}
	for step := range 4000 {
		before, probe := x.Snapshot(), addr()
		was := naive(probe)
		update(x, func(tx *Tx) {
			if r.IntN(3) == 0 {
				name := fmt.Sprint("n", r.IntN(4))
				old := nodes[name]
				var now *LiveNode
				if delete(nodes, name); r.IntN(3) > 0 {
					now = &LiveNode{Name: name, Zone: fmt.Sprint("z", r.IntN(2))}
					for range r.IntN(2) {
						now.Addrs = append(now.Addrs, netip.MustParseAddr(addr()))
					}
					if r.IntN(2) == 0 {
						now.Pods = []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr(addr()), []int{16, 24, 30}[r.IntN(3)]).Masked()}
					}
					nodes[name] = now
				}
				tx.SetNode(old, now)
				return
			}
			key := [2]string{fmt.Sprint("ns", r.IntN(2)), fmt.Sprint("s", r.IntN(3))}
			seen := map[string]bool{}
			var list []placedEndpoint
			for range r.IntN(4) {
				e := placedEndpoint{addr(), "", "", r.IntN(3) == 0}
				if n := r.IntN(5); n < 4 {
					e.node, e.zone = fmt.Sprint("n", n), fmt.Sprint("z", n%2) // the zone is that of the node
				}
				if !seen[e.addr] {
					list = append(list, e)
				}
				seen[e.addr] = true
			}
			if delete(services, key[0]+"/"+key[1]); len(list) == 0 {
				tx.DropService(key[0], key[1])
				return
			}
			services[key[0]+"/"+key[1]] = list
			setPlaced(x, tx, key[0], key[1], "", list...)
		})
		for i := range 18 {
			probe := fmt.Sprintf("10.1.%d.%d", i/6, i%6)
			if got, want := whoIs(x.Snapshot(), probe), naive(probe); got != want {
				t.Fatalf("step %d: %s is %q, want %q; nodes %v, services %v", step, probe, got, want, nodes, services)
			}
		}
		if got := whoIs(before, probe); got != was {
			t.Fatalf("step %d: the snapshot before has changed: %q, was %q", step, got, was)
		}
	}
}

// TestWhoAllocates: who asks is found without an allocation.
func TestWhoAllocates(t *testing.T) {
	x := NewIndex()
	update(x, func(tx *Tx) {
		tx.SetNode(nil, &LiveNode{"node-a", "zone-1", []netip.Addr{netip.MustParseAddr("192.0.2.1")},
			[]netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}})
		setPlaced(x, tx, "shop", "web", "", placedEndpoint{"10.1.0.1", "node-a", "zone-1", false},
			placedEndpoint{"fd00::1", "node-a", "zone-1", true})
		tx.AddPod(LivePod{Namespace: "shop", Addr: netip.MustParseAddr("10.1.0.2")})
		tx.SetSynced(Nodes | PodObjects)
	})
	var m Match
	for _, text := range []string{"10.1.0.1", "10.1.0.2", "10.1.0.9", "192.0.2.1", "fd00::1", "203.0.113.1"} {
		addr := netip.MustParseAddr(text)
		if n := testing.AllocsPerRun(100, func() { x.Snapshot().Who(&m, addr) }); n > 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

// TestMemoryOfNodes bounds what a node takes in the index, with the numbers of its places.
func TestMemoryOfNodes(t *testing.T) {
	const nodes, most = 20_000, 600
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	x := NewIndex()
	for i := range nodes {
		n := LiveNode{fmt.Sprintf("ip-10-0-%d-%d.eu-west-1.compute.internal", i>>8, i&255), fmt.Sprint("zone-", i%3),
			[]netip.Addr{netip.AddrFrom4([4]byte{192, 168, byte(i >> 8), byte(i)})},
			[]netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)}}
		update(x, func(tx *Tx) { tx.SetNode(nil, &n) })
		x.Places.Number("shop", Where{Node: n.Name, Zone: n.Zone})
		x.Places.Number("shop", Where{n.Name, n.Zone, nil, []string{n.Zone}})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := float64(after.HeapAlloc-before.HeapAlloc) / nodes
	t.Logf("%.0f octets for each node", each)
	if each > most {
		t.Errorf("%.0f octets for each node, want at most %d", each, most)
	}
	runtime.KeepAlive(x)
}

// BenchmarkWho: who asks, among 150,000 endpoints on 5,000 nodes.
func BenchmarkWho(b *testing.B) {
	x := NewIndex()
	update(x, func(tx *Tx) {
		for i := range 5000 {
			ip := netip.AddrFrom4([4]byte{192, 168, byte(i >> 8), byte(i)})
			tx.SetNode(nil, &LiveNode{fmt.Sprint("node-", i), fmt.Sprint("zone-", i%3), []netip.Addr{ip},
				[]netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(128 + i>>8), byte(i), 0}), 24)}})
		}
		for i := range 10_000 {
			var list []placedEndpoint
			for j := range 15 {
				n := (i*15 + j) * 5001 % (5000 * 256)
				list = append(list, placedEndpoint{fmt.Sprintf("10.%d.%d.%d", 128+n>>16, n>>8&255, n&255), fmt.Sprint("node-", n>>8), "zone", false})
			}
			setPlaced(x, tx, "shop", fmt.Sprint("s", i), fmt.Sprintf("10.96.%d.%d", i>>8, i&255), list...)
		}
		tx.SetSynced(Nodes)
	})
	s := x.Snapshot()
	for name, addr := range map[string]func(i int) netip.Addr{
		"endpoint": func(i int) netip.Addr {
			n := i % 150_000 * 5001 % (5000 * 256)
			return netip.AddrFrom4([4]byte{10, byte(128 + n>>16), byte(n >> 8), byte(n)})
		},
		"node": func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 168, byte(i % 5000 >> 8), byte(i % 5000)}) },
		"range": func(i int) netip.Addr {
			return netip.AddrFrom4([4]byte{10, byte(128 + i%5000>>8), byte(i % 5000), 250})
		},
	} {
		b.Run(name, func(b *testing.B) {
			var m Match
			var known int
			for i := 0; b.Loop(); i++ {
				if s.Who(&m, addr(i*7919)).Node != 0 {
					known++
				}
			}
			if known < b.N/2 {
				b.Error(known, "of", b.N, "known")
			}
		})
	}
}

func TestWhoWithinMapped(t *testing.T) {
	var s Snapshot
	var m Match
	for network, bits := range map[string]int{"10.0.0.1/32": 32, "::ffff:10.0.0.1/128": 128, "2001:db8::1/128": 128} {
		if c := s.WhoWithin(&m, netip.MustParsePrefix(network)); c.Range != bits {
			t.Errorf("%s: %d bits, want %d", network, c.Range, bits)
		}
	}
}

func TestNodeWithoutNumber(t *testing.T) {
	index := NewIndex()
	for i := range mostLocalities {
		index.Places.locality("n" + strconv.Itoa(i))
	}
	update(index, func(tx *Tx) { tx.SetNode(nil, &LiveNode{Name: "late", Zone: "n1"}) })
	if zone := index.Snapshot().zoneOf(0); zone != 0 {
		t.Errorf("what is on no known node is in zone %s", index.Snapshot().LocalityName(zone))
	}
}

// TestNodeWithoutNumberGoes: a node that came while all numbers were taken leaves nothing behind, though others have been
// given back by then and it would get one now. Another one that it shared a range with stays.
func TestNodeWithoutNumberGoes(t *testing.T) {
	x, now := NewIndex(), time.Unix(1, 0)
	for i := range mostLocalities {
		x.Places.locality("n" + strconv.Itoa(i))
	}
	one := &LiveNode{Name: "one", Zone: "zone-1", Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Pods: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}}
	two := &LiveNode{Name: "two", Zone: "zone-2", Pods: one.Pods}
	update(x, func(tx *Tx) { tx.SetNode(nil, one); tx.SetNode(nil, two) })
	if x.Places.byName["one"] != 0 || x.Snapshot().ranges.size != 2 {
		t.Fatal("one has a number, or no ranges")
	}
	x.Places.crowdsAt = 0
	now = now.Add(sweepEvery)
	x.Update(now, func(tx *Tx) { tx.SweepPlaces(now, func(func(string, Place) bool) {}) })
	if len(x.Places.byName) != 0 {
		t.Fatalf("%d numbers of names are left", len(x.Places.byName))
	}
	update(x, func(tx *Tx) { tx.SetNode(one, nil) })
	if s := x.Snapshot(); s.ranges.size != 1 || len(s.ranges.lengths) != 1 || x.Places.byName["one"] != 0 {
		t.Errorf("%d ranges are left of two nodes' with %d lengths, and number %d", s.ranges.size, len(s.ranges.lengths), x.Places.byName["one"])
	}
	update(x, func(tx *Tx) { tx.SetNode(two, two) })
	if got := whoIs(x.Snapshot(), "10.1.0.7"); got != " two zone-2" {
		t.Errorf("got %q", got)
	}
	update(x, func(tx *Tx) { tx.SetNode(two, nil) })
	if s := x.Snapshot(); s.ranges.size != 0 || len(s.ranges.lengths) != 0 {
		t.Errorf("%d ranges are left", s.ranges.size)
	}
}

// TestNodeWithOneAddressTwice: a node whose internal address is its external one as well is one node.
func TestNodeWithOneAddressTwice(t *testing.T) {
	x, addr := NewIndex(), netip.MustParseAddr("192.0.2.1")
	node := &LiveNode{Name: "one", Zone: "zone-1", Addrs: []netip.Addr{addr, addr}}
	update(x, func(tx *Tx) { tx.SetNode(nil, node) })
	if got := whoIs(x.Snapshot(), "192.0.2.1"); got != " one zone-1" {
		t.Errorf("got %q", got)
	}
	update(x, func(tx *Tx) { tx.SetNode(node, nil) })
	if n := x.Snapshot().ranges.size; n != 0 {
		t.Errorf("%d ranges are left", n)
	}
}
