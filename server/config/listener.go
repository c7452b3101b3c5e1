package config

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/clusterdns/clusterdns/resolver"
)

// site is a zone at a port: what may exist once at an address.
type site struct {
	zone   string
	scheme resolver.Scheme
	port   uint16
}

// socket is where parts are served.
type socket struct {
	scheme resolver.Scheme
	netip.AddrPort
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
	order []socket
	parts map[socket][]part
}

// listeners groups blocks by the addresses that they listen on.
func listeners(blocks []*blockReader, r *Report) []Listener {
	l := &layout{sites: map[site][]binding{}, parts: map[socket][]part{}}
	for _, b := range blocks {
		if !b.unplaced {
			r.note(l.place(b, r.warn))
			b.warnItself(r)
		}
	}
	l.warnOverlaps(r.warn)
	return l.merge(r)
}

// place puts a block at each of its addresses.
func (l *layout) place(b *blockReader, warn warner) error {
	for _, bound := range b.addresses() {
		by := map[socket]int{} // index in its parts
		for _, k := range b.keys {
			at := socket{k.scheme, netip.AddrPortFrom(bound.Addr, k.port)}
			if err := l.vacant(at, k.at); err != nil {
				return err
			}
			for _, zone := range k.zones {
				s, bound := site{zone, k.scheme, k.port}, binding{bound.Addr, k.at}
				if b.Steps.View != nil {
					l.warnUnasked(s, bound, warn)
				} else if err := l.claim(s, bound); err != nil {
					return err
				}
			}
			i, known := by[at]
			if !known {
				i = l.open(at, b)
				by[at] = i
			}
			l.parts[at][i].zones = append(l.parts[at][i].zones, k.zones...)
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
				s.zone, socket{s.scheme, netip.AddrPortFrom(other.Addr, s.port)}, other.at)
		}
	}
	l.sites[s] = append(l.sites[s], by)
	return nil
}

// vacant fails where a socket of another scheme has the port: the kernel would deal connections out between the two, and
// a client could not know which of them it meets. On Linux one that is bound to its address goes before one that is bound
// to all, so that those get on with each other.
func (l *layout) vacant(at socket, by position) error {
	for _, other := range l.order {
		protocol := sharedPort(other, at)
		if other.scheme != at.scheme && other.Addr() == at.Addr() && protocol != "" {
			return by.errorf("%s:// and %s:// both take %s port %d of %s: give one of them another port",
				other.scheme, at.scheme, protocol, at.Port(), words(at.Addr()))
		}
	}
	return nil
}

// sharedPort is the protocol in which two sockets have one port, whatever their addresses; "" if there is none. Port 0
// is another one for each.
func sharedPort(x, y socket) string {
	quicX, quicY := overQUIC(x.scheme), overQUIC(y.scheme)
	switch {
	case x.Port() != y.Port() || x.Port() == 0:
		return ""
	case !quicX && !quicY:
		return "TCP"
	case quicX && quicY || x.scheme == resolver.Do53 || y.scheme == resolver.Do53:
		return "UDP"
	}
	return ""
}

func overQUIC(s resolver.Scheme) bool { return s == resolver.DoQ || s == resolver.DoH3 }

func overlap(a, b netip.Addr) bool { return includes(a, b) || includes(b, a) }

// includes reports whether a socket on a gets what is sent to b.
func includes(a, b netip.Addr) bool {
	return a == b || a == everywhere || a.IsUnspecified() && a.Is4() && b.Is4()
}

func (l *layout) open(at socket, b *blockReader) int {
	if _, known := l.parts[at]; !known {
		l.order = append(l.order, at)
	}
	l.parts[at] = append(l.parts[at], part{block: b})
	return len(l.parts[at]) - 1
}

// warnOverlaps warns of blocks that listen on one address and everywhere with the same port: a query to that address
// reaches the first alone, which may not be what was meant.
func (l *layout) warnOverlaps(warn warner) {
	for i, x := range l.order {
		for _, y := range l.order[:i] {
			if sharedPort(x, y) != "" && overlap(x.Addr(), y.Addr()) {
				at := l.parts[x][0].block.at
				warn(at, "listens on %s while the block at %s listens on %s: each query reaches one of them only",
					x, l.parts[y][0].block.At, y)
			}
		}
	}
}

// merge makes one listener of addresses that serve the same, so that they share one resolver and its cache.
func (l *layout) merge(r *Report) []Listener {
	var all []Listener
	index := map[string]int{}
	for _, at := range l.order {
		parts := l.parts[at]
		what := fmt.Sprint(at.scheme, parts) // pointers of blocks and their zones
		if i, known := index[what]; known {
			all[i].Addresses = append(all[i].Addresses, at.AddrPort)
			continue
		}
		index[what] = len(all)
		listener := Listener{Scheme: at.scheme, Addresses: []netip.AddrPort{at.AddrPort}, Blocks: blocksOf(parts)}
		r.note(listener.setTLS(parts))
		listener.setLimits(parts, r.warn)
		all = append(all, listener)
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

// String says where a socket listens in words.
func (s socket) String() string { return describe(s.scheme, s.AddrPort) }

func describe(scheme resolver.Scheme, a netip.AddrPort) string {
	text := a.String()
	if a.Addr().IsUnspecified() {
		text = fmt.Sprintf("%s, port %d", words(a.Addr()), a.Port())
	}
	if scheme != resolver.Do53 {
		text = fmt.Sprintf("%s:// %s", scheme, text)
	}
	return text
}

func words(a netip.Addr) string {
	switch a {
	case everywhere:
		return "all addresses"
	case netip.IPv4Unspecified():
		return "all IPv4 addresses"
	}
	return a.String()
}
