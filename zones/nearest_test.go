package zones

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// hinted is an endpoint of a test, with its hints.
type hinted struct {
	addr  netip.Addr
	where Where
}

// setNearest publishes a headless service that chooses like how.
func setNearest(x *Index, tx *Tx, how Nearest, endpoints []hinted) {
	var b Builder
	b.Start("shop", "db")
	b.Placed(how)
	group := b.Group()
	for _, e := range endpoints {
		host, at := b.Name(strings.NewReplacer(".", "-", ":", "-").Replace("e-"+e.addr.String())), x.Places.Number("shop", e.where)
		b.Reverse(host, false)
		b.AddressAt(host, e.addr, at)
		b.SRV(host, host, b.Ports(1, 80))
		b.Member(group, host, e.addr, at)
	}
	b.Share(b.Name(""), group, b.Ports(1, 80))
	r, err := b.Build()
	if err != nil {
		panic(err)
	}
	tx.SetService(r)
}

// naiveNear is what a client on a node in a zone is given, read from the rules as they are written: each family of addresses
// on its own.
func naiveNear(how Nearest, all []hinted, node, zone string) (given []netip.Addr) {
	for _, is4 := range []bool{true, false} {
		list := slices.DeleteFunc(slices.Clone(all), func(e hinted) bool { return e.addr.Is4() != is4 })
		those := func(is func(Where) bool) (some []hinted) {
			for _, e := range list {
				if is(e.where) {
					some = append(some, e)
				}
			}
			return some
		}
		every := func(is func(Where) bool) bool { return len(those(is)) == len(list) }
		onNode := those(func(w Where) bool { return node != "" && w.Node == node })
		inZone := those(func(w Where) bool { return zone != "" && w.Zone == zone })
		forNode := those(func(w Where) bool { return node != "" && slices.Contains(w.ForNodes, node) })
		forZone := those(func(w Where) bool { return zone != "" && slices.Contains(w.ForZones, zone) })
		chosen := list
		switch {
		case how == NearestHints && every(func(w Where) bool { return len(w.ForNodes) > 0 }) && len(forNode) > 0:
			chosen = forNode
		case how == NearestHints && every(func(w Where) bool { return len(w.ForZones) > 0 }) && len(forZone) > 0:
			chosen = forZone
		case how == NearestNode && len(onNode) > 0:
			chosen = onNode
		case (how == NearestNode || how == NearestZone) && len(inZone) > 0:
			chosen = inZone
		case how == NearestLocal && node != "":
			chosen = onNode
		}
		for _, e := range chosen {
			given = append(given, e.addr)
		}
	}
	slices.SortFunc(given, netip.Addr.Compare)
	return given
}

// TestNearestAgainstModel: for random services and clients the choice is that of a naive reading, A, AAAA and SRV agree, and
// where it is said not to depend on the client, it does not.
func TestNearestAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	x := NewIndex()
	clients := map[[2]string]string{{"", ""}: "203.0.113.1"}
	update(x, func(tx *Tx) {
		for i := range 4 {
			n := LiveNode{fmt.Sprint("n", i), fmt.Sprint("z", i%3), []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}, nil}
			if i == 3 {
				n.Zone = "" // without the label
			}
			clients[[2]string{n.Name, n.Zone}] = n.Addrs[0].String()
			tx.SetNode(nil, &n)
		}
		tx.SetSynced(Nodes)
	})
	name := func(prefix string) string { return fmt.Sprint(prefix, r.IntN(4)) }
	hints := func(prefix string, likely int) (list []string) {
		for r.IntN(10) < likely && len(list) < 3 {
			list = append(list, name(prefix))
		}
		slices.Sort(list)
		return slices.Compact(list)
	}
	for round := range 20_000 {
		how := Nearest(r.IntN(int(NearestLocal) + 1))
		likely, one := r.IntN(11), r.IntN(3) == 0
		var list []hinted
		for i := range 1 + r.IntN(5) {
			e := hinted{addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}
			if r.IntN(3) == 0 {
				e.addr = netip.AddrFrom16([16]byte{0xfd, 15: byte(i)})
			}
			e.where = Where{Node: name("n"), Zone: name("z"), ForNodes: hints("n", likely), ForZones: hints("z", likely)}
			if one && i > 0 {
				e.where = list[0].where
			}
			list = append(list, e)
		}
		update(x, func(tx *Tx) { setNearest(x, tx, how, list) })
		s := x.Snapshot()
		var first []netip.Addr
		differ := false
		for at, addr := range clients {
			var m Match
			var near Near
			service := s.Service([]byte("\x02db\x04shop"))
			service.find(&m.Node, nil)
			s.Choose(&near, &m.Node, s.Who(&m, netip.MustParseAddr(addr)))
			got, targets := addressesOf(&near, &m.Node), map[string]bool{}
			want := naiveNear(how, list, at[0], at[1])
			if !slices.Equal(got, want) {
				t.Fatalf("round %d, how %d: client %v is given %v, want %v of %+v", round, how, at, got, want, list)
			}
			var srv []netip.Addr
			for v := m.Node.SRVs(&near); v.Next(); {
				targets[v.Target.Name()] = true
				srv = append(srv, addressesOf(&near, &v.Target)...)
			}
			slices.SortFunc(srv, netip.Addr.Compare)
			if !slices.Equal(srv, want) || len(targets) != len(want) {
				t.Fatalf("round %d, how %d: client %v has SRV records to %v, want %v", round, how, at, srv, want)
			}
			if near.Count(&m.Node, 0, m.Node.addresses()) != len(want) {
				t.Fatalf("round %d: the count differs", round)
			}
			if first == nil {
				first = want
			}
			if differ = differ || !slices.Equal(first, want); differ && !near.Depends {
				t.Fatalf("round %d, how %d: it is said to hold for all: %+v", round, how, list)
			}
			first = want
		}
	}
}

func addressesOf(near *Near, n *Node) (list []netip.Addr) {
	for i := range n.addresses() {
		if !near.Has(n, i) {
			continue
		}
		if at := i * sizeA; at < len(n.a) {
			list = append(list, netip.AddrFrom4([4]byte([]byte(n.a[at:at+sizeA]))))
		} else {
			at = (i - len(n.a)/sizeA) * sizeAAAA
			list = append(list, netip.AddrFrom16([16]byte([]byte(n.aaaa[at:at+sizeAAAA]))))
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}
