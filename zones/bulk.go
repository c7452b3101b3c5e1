package zones

import "net/netip"

// The reverse index of a whole cluster is built at once, from the leaves up. Put into the tree one by one, each record would
// copy the leaves beside it.

// entry is a record of an address that is yet to be put into a tree. It has no pointers: there are as many as endpoints.
type entry[A octets] struct {
	addr    A
	service uint32 // which of the change's
	record
}

// bulk is the records of services that a change adds to trees without any: of the names, and of endpoints that are not ready.
type bulk struct {
	services []*ServiceRecords
	v4       [2][]entry[[sizeA]byte]
	v6       [2][]entry[[sizeAAAA]byte]
}

// placeFresh puts the records of tx.fresh, whose trees are empty, into them.
func (tx *Tx) placeFresh() {
	b := bulk{services: tx.fresh}
	tx.fresh, tx.bare = nil, false
	if len(b.services) == 0 {
		return
	}
	b.reserve()
	for i, r := range b.services {
		w := ptrWalk{service: r}
		for addr, ok := w.next(); ok; addr, ok = w.next() {
			b.add(addr, uint32(i), w.record())
		}
	}
	for i, tree := range []*reverse{&tx.snap.reverse, &tx.snap.asking} {
		tree.v4 = grown(b.v4[i], b.services, tx.edit)
		tree.v6 = grown(b.v6[i], b.services, tx.edit)
	}
}

// reserve makes room for all entries: lists that grow would be copied again and again.
func (b *bulk) reserve() {
	var v4, v6 [2]int
	for _, r := range b.services {
		var n Node
		for at, end := r.start(), r.end(); at < end; {
			if at = r.read(&n, at); n.flags&flagPTR != 0 {
				v4[0], v6[0] = v4[0]+len(n.a)/sizeA, v6[0]+len(n.aaaa)/sizeAAAA
			}
		}
		asking := r.asking()
		v4[1], v6[1] = v4[1]+len(asking.a)/sizeA, v6[1]+len(asking.aaaa)/sizeAAAA
	}
	for i := range v4 {
		b.v4[i], b.v6[i] = make([]entry[[sizeA]byte], 0, v4[i]), make([]entry[[sizeAAAA]byte], 0, v6[i])
	}
}

func (b *bulk) add(addr netip.Addr, service uint32, r record) {
	of := 0
	if r.flags&ptrAsking != 0 {
		of = 1
	}
	if addr.Is4() {
		b.v4[of] = append(b.v4[of], entry[[sizeA]byte]{addr.As4(), service, r})
	} else {
		b.v6[of] = append(b.v6[of], entry[[sizeAAAA]byte]{addr.As16(), service, r})
	}
}

// grown is the tree that has list, as if its entries had been put one after the other. It changes list.
func grown[A octets](list []entry[A], services []*ServiceRecords, edit uint64) (t addresses[A]) {
	if len(list) > 0 {
		g := grower[A]{services: services, edit: edit}
		t.root = g.fork(list, make([]entry[A], len(list)), 0)
		t.size = g.size
	}
	return t
}

// grower makes forks.
type grower[A octets] struct {
	services []*ServiceRecords
	edit     uint64
	size     int // addresses so far
}

// fork is the fork at a nibble that has list, whose addresses share the nibbles before. It sorts list by this nibble into
// spare, which is as long; each keeps its place among equal ones.
func (g *grower[A]) fork(list, spare []entry[A], at int) *fork[A] {
	var ends [17]int
	for i := range list {
		ends[nibble(list[i].addr, at)+1]++
	}
	for i := range 16 {
		ends[i+1] += ends[i]
	}
	next := ends
	for i := range list {
		n := nibble(list[i].addr, at)
		spare[next[n]] = list[i]
		next[n]++
	}
	f := &fork[A]{edit: g.edit, at: uint8(at)}
	leaves, kids := make([]pointer[A], 0, 16), make([]*fork[A], 0, 16) // more room than the fork is to keep
	for n := range 16 {
		group := spare[ends[n]:ends[n+1]]
		if len(group) == 0 {
			continue
		}
		if apart := allShare(group); apart == 2*len(group[0].addr) {
			leaves = append(leaves, *g.records(group))
			f.leafBits |= 1 << n
		} else {
			kids = append(kids, g.fork(group, list[ends[n]:ends[n+1]], apart))
			f.kidBits |= 1 << n
		}
	}
	f.leaves, f.kids = append(f.leaves, leaves...), append(f.kids, kids...)
	return f
}

// allShare is the number of nibbles that the addresses of a list begin with alike.
func allShare[A octets](list []entry[A]) int {
	count := 2 * len(list[0].addr)
	for i := 1; i < len(list); i++ {
		count = min(count, shared(list[0].addr, list[i].addr))
	}
	return count
}

// records is the list of an address.
func (g *grower[A]) records(group []entry[A]) (p *pointer[A]) {
	g.size++
	for _, e := range group {
		head := p.with(pointer[A]{service: g.services[e.service].shared, addr: e.addr, record: e.record})
		p = &head
	}
	return p
}
