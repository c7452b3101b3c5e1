package zones

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// TestAddresses compares trees of addresses with maps through random edits, and each older tree with the map of its
// time: what they hold, in its order, and which prefixes have an address.
func TestAddresses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var now reverse
		held := map[netip.Addr]uint32{}
		type moment struct {
			tree reverse
			held map[netip.Addr]uint32
		}
		var past []moment
		edit := uint64(0)
		for step := range rapid.IntRange(1, 200).Draw(t, "steps") {
			addr := drawAddr(t)
			switch rapid.IntRange(0, 5).Draw(t, "action") {
			case 0:
				past = append(past, moment{now, maps.Clone(held)})
				edit++ // as Index.Update does after each publication
			case 1, 2:
				if addr.Is4() {
					now.v4 = now.v4.drop(addr.As4(), edit)
				} else {
					now.v6 = now.v6.drop(addr.As16(), edit)
				}
				delete(held, addr)
			default:
				held[addr] = uint32(step)
				if addr.Is4() {
					now.v4 = now.v4.put(pointer[[sizeA]byte]{addr: addr.As4(), record: record{host: held[addr]}}, edit)
				} else {
					now.v6 = now.v6.put(pointer[[sizeAAAA]byte]{addr: addr.As16(), record: record{host: held[addr]}}, edit)
				}
			}
		}
		past = append(past, moment{now, held})
		for _, m := range past {
			equalAddresses(t, &m.tree, m.held)
		}
	})
}

// drawAddr draws addresses that go apart at any nibble.
func drawAddr(t *rapid.T) netip.Addr {
	ip := [16]byte{0xfd}
	for range rapid.IntRange(0, 3).Draw(t, "digits") {
		ip[rapid.IntRange(0, 15).Draw(t, "octet")] = byte(rapid.IntRange(0, 255).Draw(t, "value"))
	}
	if rapid.Bool().Draw(t, "IPv4") {
		return netip.AddrFrom4([4]byte(ip[12:]))
	}
	return netip.AddrFrom16(ip)
}

func equalAddresses(t *rapid.T, got *reverse, want map[netip.Addr]uint32) {
	var list []netip.Addr
	got.each(func(addr netip.Addr, _ chain) bool { list = append(list, addr); return true })
	ordered := slices.SortedFunc(maps.Keys(want), netip.Addr.Compare)
	if !slices.Equal(list, ordered) || got.v4.size+got.v6.size != len(want) {
		t.Fatalf("addresses %v of %d and %d, want %v", list, got.v4.size, got.v6.size, ordered)
	}
	s := &Snapshot{reverse: *got}
	for range 20 {
		addr := drawAddr(t)
		rest := got.at(addr)
		_, r, ok := rest.next()
		if host, exists := want[addr]; r.host != host || ok != exists {
			t.Fatalf("record of %v: %v, %v, want %v, %v", addr, r, ok, host, exists)
		}
		for bits := 4; bits < addr.BitLen(); bits += 4 {
			prefix := netip.PrefixFrom(addr, bits).Masked()
			exists := slices.ContainsFunc(ordered, prefix.Contains)
			if s.ReverseWithin(prefix) != exists {
				t.Fatalf("within %v: %v, want %v; of %v", prefix, !exists, exists, ordered)
			}
		}
	}
}

// TestAddressesCost: what an address costs does not grow with those that it shares its beginning with.
func TestAddressesCost(t *testing.T) {
	var tree addresses[[sizeAAAA]byte]
	const pairs = 1000
	for i := range pairs { // each pair goes apart at its last nibble, and from the others early
		for last := range 2 {
			ip := [16]byte{0: byte(i >> 8), 1: byte(i), 15: byte(last)}
			tree = tree.put(pointer[[sizeAAAA]byte]{addr: ip}, 1)
		}
	}
	if n := forks(tree.root); n > 2*pairs {
		t.Errorf("%d forks for %d addresses", n, tree.size)
	}
}

func forks(f *fork[[sizeAAAA]byte]) int {
	n := 1
	for _, kid := range f.kids {
		n += forks(kid)
	}
	return n
}

// TestParseArpa: a reverse name with fewer labels than an address stands for the addresses below it.
func TestParseArpa(t *testing.T) {
	for name, want := range map[string]string{
		"20.0.96.10.in-addr.arpa.":                  "10.96.0.20/32",
		"0.96.10.in-addr.arpa.":                     "10.96.0.0/24",
		"96.10.in-addr.arpa.":                       "10.96.0.0/16",
		"10.in-addr.arpa.":                          "10.0.0.0/8",
		"in-addr.arpa.":                             "0.0.0.0/0",
		"d.f.ip6.arpa.":                             "fd00::/8",
		"1.0.0.d.f.ip6.arpa.":                       "fd00:1000::/20",
		"ip6.arpa.":                                 "::/0",
		"arpa.":                                     "",
		".":                                         "",
		"1.20.0.96.10.in-addr.arpa.":                "",
		"096.10.in-addr.arpa.":                      "",
		"256.10.in-addr.arpa.":                      "",
		"web.10.in-addr.arpa.":                      "",
		"df.ip6.arpa.":                              "",
		"g.ip6.arpa.":                               "",
		"10.cluster.local.":                         "",
		fmt.Sprintf("%064d.ip6.arpa.", 0):           "",
		"\\000.10.in-addr.arpa.":                    "",
		"9.9.9.9.9.9.9.9.9.9.9.9.in-addr.arpa.":     "",
		"f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.ip6.arpa.": "ffff:ffff:ffff:ffff::/64",
	} {
		packed, err := wire.ParseName(name)
		if err != nil {
			continue
		}
		var q wire.QName
		q.SetString(string(packed))
		got := ""
		if prefix, ok := ParseArpa(&q); ok {
			got = prefix.String()
		}
		if got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
