package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// site is a zone at a port: what may exist once at an address.
type site struct {
	zone string
	port uint16
}

// everywhere is all addresses of both families.
var everywhere = netip.IPv6Unspecified()

// part is a block as it is served at one address: with the zones of that port.
type part struct {
	block *blockReader
	zones []string
}

// layout sorts parts by address.
type layout struct {
	sites map[site][]binding // what blocks without a view serve already
	order []netip.AddrPort
	parts map[netip.AddrPort][]part
}

// listeners groups blocks by the addresses that they listen on.
func listeners(blocks []*blockReader, r *Report) []Listener {
	l := &layout{sites: map[site][]binding{}, parts: map[netip.AddrPort][]part{}}
	for _, b := range blocks {
		if !b.unplaced {
			r.note(l.place(b, r.warn))
		}
	}
	l.warnOverlaps(r.warn)
	return l.merge()
}

// place puts a block at each of its addresses.
func (l *layout) place(b *blockReader, warn warner) error {
	for _, bound := range b.addresses() {
		byPort := map[uint16]int{} // index in parts of this address
		for _, k := range b.keys {
			address := netip.AddrPortFrom(bound.Addr, k.port)
			for _, zone := range k.zones {
				s, by := site{zone, k.port}, binding{bound.Addr, k.at}
				if b.Steps.View != nil {
					l.warnUnasked(s, by, warn)
				} else if err := l.claim(s, by); err != nil {
					return err
				}
			}
			i, known := byPort[k.port]
			if !known {
				i = l.open(address, b)
				byPort[k.port] = i
			}
			l.parts[address][i].zones = append(l.parts[address][i].zones, k.zones...)
		}
	}
	return nil
}

// addresses is where a block listens, each once. One that another of the block includes, such as 127.0.0.1 beside
// 0.0.0.0 and both beside ::, needs no sockets of its own.
func (b *blockReader) addresses() []binding {
	var all []binding
	for i, x := range b.bind {
		included := func(y binding) bool { return y.Addr != x.Addr && includes(y.Addr, x.Addr) }
		repeated := func(y binding) bool { return y.Addr == x.Addr }
		if !slices.ContainsFunc(b.bind, included) && !slices.ContainsFunc(b.bind[:i], repeated) {
			all = append(all, x)
		}
	}
	if len(all) == 0 {
		return []binding{{everywhere, b.at}}
	}
	return all
}

// warnUnasked warns of a view of a zone that an earlier block without a view answers for.
func (l *layout) warnUnasked(s site, by binding, warn warner) {
	for _, other := range l.sites[s] {
		if other.Addr == by.Addr {
			warn(by.at, "the view is never asked for zone %s: the block at %s is before it and has no view", s.zone,
				other.at)
		}
	}
}

// claim takes a zone at an address for a block without a view, and fails when another such block has it there. A block
// that listens on all addresses has it at each of them.
func (l *layout) claim(s site, by binding) error {
	for _, other := range l.sites[s] {
		if overlap(other.Addr, by.Addr) {
			return by.at.errorf("zone %s is already served on %s by the block at %s",
				s.zone, describe(netip.AddrPortFrom(other.Addr, s.port)), other.at)
		}
	}
	l.sites[s] = append(l.sites[s], by)
	return nil
}

func overlap(a, b netip.Addr) bool { return includes(a, b) || includes(b, a) }

// includes reports whether a socket on a gets what is sent to b.
func includes(a, b netip.Addr) bool {
	return a == b || a == everywhere || a.IsUnspecified() && a.Is4() && b.Is4()
}

func (l *layout) open(address netip.AddrPort, b *blockReader) int {
	if _, known := l.parts[address]; !known {
		l.order = append(l.order, address)
	}
	l.parts[address] = append(l.parts[address], part{block: b})
	return len(l.parts[address]) - 1
}

// warnOverlaps warns of blocks that listen on one address and everywhere with the same port: a query to that address
// reaches the first alone, which may not be what was meant.
func (l *layout) warnOverlaps(warn warner) {
	for i, x := range l.order {
		for _, y := range l.order[:i] {
			if x.Port() == y.Port() && overlap(x.Addr(), y.Addr()) {
				at := l.parts[x][0].block.at
				warn(at, "listens on %s while the block at %s listens on %s: each query reaches one of them only",
					describe(x), l.parts[y][0].block.At, describe(y))
			}
		}
	}
}

// merge makes one listener of addresses that serve the same, so that they share one resolver and its cache.
func (l *layout) merge() []Listener {
	var all []Listener
	index := map[string]int{}
	for _, address := range l.order {
		parts := l.parts[address]
		what := fmt.Sprint(parts) // pointers of blocks and their zones
		if i, known := index[what]; known {
			all[i].Addresses = append(all[i].Addresses, address)
			continue
		}
		index[what] = len(all)
		all = append(all, Listener{Addresses: []netip.AddrPort{address}, Blocks: blocksOf(parts)})
	}
	return all
}

func blocksOf(parts []part) []Block {
	var all []Block
	for _, p := range parts {
		b := p.block.Block
		b.Steps.Zones = p.zones
		// The server fills the indexes of each listener's views by itself.
		b.Steps.Kubernetes = slices.Clone(b.Steps.Kubernetes)
		all = append(all, b)
	}
	return all
}

// describe says an address to listen on in words.
func describe(a netip.AddrPort) string {
	if a.Addr() == everywhere {
		return fmt.Sprintf("all addresses, port %d", a.Port())
	}
	return strings.Replace(a.String(), "0.0.0.0:", "all IPv4 addresses, port ", 1)
}
