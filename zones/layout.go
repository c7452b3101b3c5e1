package zones

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// layout is what Builder needs to lay out a service: first the lists that its nodes refer to, each once, then the
// nodes. It is scratch.
type layout struct {
	order   []int    // drafts, in the order of their names
	rank    []uint32 // the place of each draft in order
	offset  []uint32 // the node of each rank, from the first node on
	lists   []byte   // the lists, as they will stand from listsAt on
	ranks   []span   // where in lists ranks stand for offsets of nodes
	nodes   []byte
	blob    []byte
	written map[string]uint32 // lists by their keys
	key     []byte
	content []byte
	terms   []byte
	chosen  []int
	edges   []edge
	classes []class
	hosts   []uint32
	numbers []uint16
	a       []addressA
	aaaa    []addressAAAA
}

// addressA and addressAAAA are an address with its place.
type (
	addressA struct {
		ip    [sizeA]byte
		place Place
	}
	addressAAAA struct {
		ip    [sizeAAAA]byte
		place Place
	}
)

// span is a part of layout.lists.
type span struct{ at, end int }

// edge is that a target has a list of ports among the SRV records of one owner. class is targets that have the same
// ports there: a part of layout.edges, in which ports is then a list of the blob.
type (
	edge  struct{ rank, ports uint32 }
	class struct{ at, end int }
)

// A blob begins with the offset of its nodes. With the bit placed in it, addresses have places, and there follow the
// offset behind the nodes, where the endpoints that are not ready stand, and what is nearest to a client.
const (
	sizeHead       = 4
	endAt          = sizeHead
	nearestAt      = endAt + 4
	sizePlacedHead = nearestAt + 1

	// Bits of the first octet.
	placed = 0x80
	affine = 0x40 // each client has an endpoint that comes first for it
	paired = 0x20 // behind addresses, and their places, stand for those of IPv6 the IPv4 addresses of the same pods

	headBits = placed | affine | paired
)

// listsAt is where the lists of the blob begin. Neither a list nor a node is at 0.
func (b *Builder) listsAt() int {
	if b.placed {
		return sizePlacedHead
	}
	return sizeHead
}

// Kinds of keys of layout.written. A list is found by its content, and by the groups or the lists of ports that it was
// made from, so that it is made once.
const (
	madeAddresses = iota
	madeTargets
	madePorts
	addressList
	targetList
	portList
)

// lay writes the lists and nodes. It reports false when they take more than the limit.
func (b *Builder) lay() bool {
	b.lists, b.ranks, b.nodes = b.lists[:0], b.ranks[:0], b.nodes[:0]
	if b.written == nil {
		b.written = map[string]uint32{}
	}
	clear(b.written)
	b.offset = b.offset[:0]
	for _, at := range b.order {
		b.offset = append(b.offset, uint32(len(b.nodes)))
		b.node(&b.drafts[at], b.rank[at])
		if b.spent+len(b.lists) > b.limit {
			return false
		}
	}
	start := uint32(b.listsAt() + len(b.lists))
	for _, s := range b.ranks {
		for at := s.at; at < s.end; at += sizeTarget {
			target := b.lists[at : at+sizeTarget]
			binary.BigEndian.PutUint32(target, start+b.offset[binary.BigEndian.Uint32(target)])
		}
	}
	b.blob = binary.BigEndian.AppendUint32(b.blob[:0], start)
	b.blob[0] |= b.headBits()
	if b.placed {
		b.blob = binary.BigEndian.AppendUint32(b.blob, start+uint32(len(b.nodes)))
		b.blob = append(b.blob, byte(b.nearest))
	}
	b.blob = append(append(b.blob, b.lists...), b.nodes...)
	if b.placed {
		b.blob = b.appendAddresses(b.blob, b.asking.a, b.asking.aaaa)
	}
	return true
}

// node encodes one node as ServiceRecords.read expects it.
func (b *Builder) node(d *draft, rank uint32) {
	b.nodes = append(append(b.nodes, byte(len(d.name))), d.name...)
	flags := len(b.nodes)
	b.nodes = append(b.nodes, d.flags)
	if d.cname != "" {
		b.nodes[flags] |= flagCNAME
		b.nodes = append(append(b.nodes, byte(len(d.cname))), d.cname...)
		return
	}
	if len(d.groups) > 0 {
		b.nodes[flags] |= flagShared
		b.nodes = binary.AppendUvarint(b.nodes, uint64(b.addresses(d)))
	} else {
		b.nodes = b.appendAddresses(b.nodes, d.a, d.aaaa)
	}
	b.terms = b.terms[:0]
	if b.service(d, rank); len(b.terms) > 0 {
		b.nodes[flags] |= flagSRV
		b.nodes = binary.AppendUvarint(b.nodes, uint64(sizeWeight+len(b.terms)))
		b.nodes = binary.BigEndian.AppendUint16(b.nodes, uint16(max(1, 100/max(1, d.pairs))))
		b.nodes = append(b.nodes, b.terms...)
	}
}

// appendAddresses appends sorted addresses: for each family how many there are, and these, then the places of all,
// and the twins of those of IPv6.
func (b *Builder) appendAddresses(to []byte, a []addressA, aaaa []addressAAAA) []byte {
	to = binary.AppendUvarint(to, uint64(len(a)))
	for i := range a {
		to = append(to, a[i].ip[:]...)
	}
	to = binary.AppendUvarint(to, uint64(len(aaaa)))
	for i := range aaaa {
		to = append(to, aaaa[i].ip[:]...)
	}
	if b.placed {
		for i := range a {
			to = appendPlace(to, a[i].place)
		}
		for i := range aaaa {
			to = appendPlace(to, aaaa[i].place)
		}
	}
	return b.appendTwins(to, aaaa)
}

// choose sorts b.chosen and drops duplicates, and returns the list that was made of it, or else 0 with b.key set.
func (b *Builder) choose(kind byte) uint32 {
	slices.Sort(b.chosen)
	b.chosen = slices.Compact(b.chosen)
	b.key = append(b.key[:0], kind)
	for _, c := range b.chosen {
		b.key = binary.AppendUvarint(b.key, uint64(c))
	}
	return b.written[string(b.key)]
}

// put is the list with b.content. It is found by b.key too.
func (b *Builder) put(kind byte) uint32 {
	made := string(b.key)
	b.key = append(append(b.key[:0], kind), b.content...)
	at, ok := b.written[string(b.key)]
	if !ok {
		at = uint32(b.listsAt() + len(b.lists))
		if kind == targetList {
			head := len(b.content) - sizeTarget*len(b.hosts)
			b.ranks = append(b.ranks, span{len(b.lists) + head, len(b.lists) + len(b.content)})
		}
		b.lists = append(b.lists, b.content...)
		b.written[string(b.key)] = at
	}
	if len(made) > 1 { // else it was made of what nothing else is made of
		b.written[made] = at
	}
	return at
}

// addresses is the list of the addresses of d: its own, and those of its groups.
func (b *Builder) addresses(d *draft) uint32 {
	b.chosen = b.chosen[:0]
	for _, g := range d.groups {
		b.chosen = append(b.chosen, g.group)
	}
	at := b.choose(madeAddresses)
	if own := len(d.a)+len(d.aaaa) > 0; own {
		b.key = append(b.key[:0], addressList) // of nobody else
	} else if at != 0 {
		return at
	}
	b.a, b.aaaa = append(b.a[:0], d.a...), append(b.aaaa[:0], d.aaaa...)
	for _, g := range b.chosen {
		b.spent += len(b.groups[g])
		for _, m := range b.groups[g] {
			if m.addr.Is4() {
				b.a = append(b.a, addressA{m.addr.As4(), m.place})
			} else {
				b.aaaa = append(b.aaaa, addressAAAA{m.addr.As16(), m.place})
			}
		}
	}
	b.a, b.aaaa = sortAddresses(b.a, b.aaaa)
	b.content = b.appendAddresses(b.content[:0], b.a, b.aaaa)
	return b.put(addressList)
}

// portsOf is the list of the ports that are in the lists b.chosen.
func (b *Builder) portsOf() uint32 {
	if at := b.choose(madePorts); at != 0 {
		return at
	}
	b.numbers = b.numbers[:0]
	for _, list := range b.chosen {
		for packed := b.ports[list]; packed != ""; packed = packed[sizePort:] {
			b.numbers = append(b.numbers, uint16(packed[0])<<8|uint16(packed[1]))
		}
	}
	b.spent += len(b.numbers)
	slices.Sort(b.numbers)
	b.numbers = slices.Compact(b.numbers)
	b.content = binary.AppendUvarint(b.content[:0], uint64(len(b.numbers)))
	for _, n := range b.numbers {
		b.content = binary.BigEndian.AppendUint16(b.content, n)
	}
	return b.put(portList)
}

// targetsOf is the list of the targets whose ranks are b.hosts, sorted, without duplicates.
func (b *Builder) targetsOf() uint32 {
	b.content = binary.AppendUvarint(b.content[:0], uint64(len(b.hosts)))
	for _, rank := range b.hosts {
		b.content = binary.BigEndian.AppendUint32(b.content, rank)
	}
	return b.put(targetList)
}

// membersOf is the list of the members of the groups b.chosen, as targets.
func (b *Builder) membersOf() uint32 {
	if at := b.choose(madeTargets); at != 0 {
		return at
	}
	b.hosts = b.hosts[:0]
	for _, g := range b.chosen {
		b.spent += len(b.groups[g])
		for _, m := range b.groups[g] {
			b.hosts = append(b.hosts, b.rank[m.host])
		}
	}
	slices.Sort(b.hosts)
	b.hosts = slices.Compact(b.hosts)
	return b.targetsOf()
}

// service makes b.terms of the SRV records of d: pairs of a list of targets, 0 for d itself, and a list of the ports
// that each of these targets has. A target is in one term alone.
func (b *Builder) service(d *draft, rank uint32) {
	target, list, alone, alike := -1, -1, len(d.groups) == 0, len(d.srv) == 0
	for _, s := range d.srv {
		alone = alone && (target < 0 || target == s.target)
		target = s.target
	}
	for _, g := range d.groups {
		if b.ports[g.ports] != "" {
			alike = alike && (list < 0 || list == g.ports)
			list = g.ports
		}
	}
	switch {
	case alone: // a host, or what has cluster IPs
		b.alone(d, rank)
	case alike && list >= 0: // the endpoints have the same ports: most headless services, and nearly all named ports
		b.chosen = append(b.chosen[:0], list)
		ports := b.portsOf()
		b.chosen = b.chosen[:0]
		for _, g := range d.groups {
			if g.ports == list {
				b.chosen = append(b.chosen, g.group)
			}
		}
		b.term(b.membersOf(), ports)
	case !alike:
		b.classify(d)
	}
}

// alone makes the term of a draft whose SRV records all point to one target.
func (b *Builder) alone(d *draft, rank uint32) {
	b.chosen = b.chosen[:0]
	for _, s := range d.srv {
		if b.ports[s.ports] != "" {
			b.chosen = append(b.chosen, s.ports)
		}
	}
	if len(b.chosen) == 0 {
		return
	}
	ports, target := b.portsOf(), b.rank[d.srv[0].target]
	if target == rank {
		b.term(0, ports)
		return
	}
	b.hosts = append(b.hosts[:0], target)
	b.key = append(b.key[:0], madeTargets) // found by its content alone
	b.term(b.targetsOf(), ports)
}

// classify makes a term for each set of ports that targets have.
func (b *Builder) classify(d *draft) {
	b.edges = b.edges[:0]
	for _, s := range d.srv {
		if b.ports[s.ports] != "" {
			b.edges = append(b.edges, edge{b.rank[s.target], uint32(s.ports)})
		}
	}
	for _, g := range d.groups {
		if b.ports[g.ports] == "" {
			continue
		}
		b.spent += len(b.groups[g.group])
		for _, m := range b.groups[g.group] {
			b.edges = append(b.edges, edge{b.rank[m.host], uint32(g.ports)})
		}
	}
	byRank := func(x, y edge) int { return cmp.Or(cmp.Compare(x.rank, y.rank), cmp.Compare(x.ports, y.ports)) }
	slices.SortFunc(b.edges, byRank)
	b.edges = slices.Compact(b.edges)
	targets := b.edges[:0] // each once, with all its ports
	for at := 0; at < len(b.edges); {
		rank := b.edges[at].rank
		b.chosen = b.chosen[:0]
		for ; at < len(b.edges) && b.edges[at].rank == rank; at++ {
			b.chosen = append(b.chosen, int(b.edges[at].ports))
		}
		targets = append(targets, edge{rank, b.portsOf()})
	}
	b.edges = targets
	slices.SortFunc(b.edges, func(x, y edge) int {
		return cmp.Or(cmp.Compare(x.ports, y.ports), cmp.Compare(x.rank, y.rank))
	})
	b.classes = b.classes[:0]
	for at := 0; at < len(b.edges); {
		c := class{at, at}
		for ; c.end < len(b.edges) && b.edges[c.end].ports == b.edges[at].ports; c.end++ {
		}
		b.classes = append(b.classes, c)
		at = c.end
	}
	// by the first target, so that the order does not depend on how the endpoints are spread over slices
	slices.SortFunc(b.classes, func(x, y class) int { return cmp.Compare(b.edges[x.at].rank, b.edges[y.at].rank) })
	for _, c := range b.classes {
		b.hosts = b.hosts[:0]
		for _, e := range b.edges[c.at:c.end] {
			b.hosts = append(b.hosts, e.rank)
		}
		b.key = append(b.key[:0], madeTargets)
		b.term(b.targetsOf(), b.edges[c.at].ports)
	}
}

// term appends one term.
func (b *Builder) term(targets, ports uint32) {
	b.terms = binary.AppendUvarint(binary.AppendUvarint(b.terms, uint64(targets)), uint64(ports))
}
