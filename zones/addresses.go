package zones

import "net/netip"

// addresses holds the PTR records of one family of addresses, ordered so that it can tell whether an address begins
// with some bits: the empty non-terminals of reverse names. It is a tree that decides by nibbles, four bits each, and
// passes over those that all its addresses share; as a trie, it is immutable once published, and a change copies the
// forks on its path. The zero value is empty.
type addresses struct {
	root *fork
	size int
}

// fork is a place where addresses go apart. All below it share the nibbles before at, and there is more than one; only
// the root, at nibble 0, may hold fewer. Leaves and kids are in the order of their bits. Only the edit that made a fork
// may change it in place.
type fork struct {
	edit     uint64
	leafBits uint16
	kidBits  uint16
	at       uint8 // the nibble that decides
	leaves   []*PTR
	kids     []*fork
}

// nibble is four bits of an address.
func nibble[K string | []byte](addr K, at int) byte {
	if at&1 == 0 {
		return addr[at/2] >> 4
	}
	return addr[at/2] & 0xf
}

// shared is the number of nibbles that two addresses begin with alike.
func shared[K string | []byte](a string, b K) int {
	for i := range len(a) {
		switch {
		case a[i] == b[i]:
		case a[i]>>4 == b[i]>>4:
			return 2*i + 1
		default:
			return 2 * i
		}
	}
	return 2 * len(a)
}

func (f *fork) bit(addr string) uint16 { return 1 << nibble(addr, int(f.at)) }

// get is the first PTR record of an address, nil for none.
func (t addresses) get(addr []byte) *PTR {
	for f := t.root; f != nil; {
		bit := uint16(1) << nibble(addr, int(f.at))
		if f.leafBits&bit != 0 {
			if p := f.leaves[rank(f.leafBits, bit)]; p.is(addr) {
				return p
			}
			return nil
		}
		if f.kidBits&bit == 0 {
			return nil
		}
		f = f.kids[rank(f.kidBits, bit)]
	}
	return nil
}

// within reports whether an address begins with the first count nibbles of prefix.
func (t addresses) within(prefix []byte, count int) bool {
	p := t.near(prefix, count)
	return p != nil && shared(p.addr(), prefix) >= count
}

// near is an address that begins with the first count nibbles of addr, if there is one; else any, or nil.
func (t addresses) near(addr []byte, count int) *PTR {
	f := t.root
	for f != nil {
		if int(f.at) < count {
			bit := uint16(1) << nibble(addr, int(f.at))
			if f.leafBits&bit != 0 {
				return f.leaves[rank(f.leafBits, bit)]
			}
			if f.kidBits&bit != 0 {
				f = f.kids[rank(f.kidBits, bit)]
				continue
			}
		}
		if len(f.leaves) > 0 {
			return f.leaves[0]
		}
		f = f.kids[0]
	}
	return nil
}

// put is the tree with p in the place of the record of its address.
func (t addresses) put(p *PTR, edit uint64) addresses {
	key := []byte(p.addr())
	apart := 0 // the first nibble that no other address shares
	if near := t.near(key, 2*len(key)); near != nil {
		apart = shared(near.addr(), key)
	}
	if apart < 2*len(key) {
		t.size++
	}
	if t.root == nil {
		t.root = &fork{edit: edit}
	}
	t.root = t.root.put(p, apart, edit)
	return t
}

func (f *fork) put(p *PTR, apart int, edit uint64) *fork {
	f = f.own(edit)
	bit := f.bit(p.addr())
	switch {
	case f.leafBits&bit != 0:
		at := rank(f.leafBits, bit)
		old := f.leaves[at]
		if apart == 2*len(p.addr()) {
			f.leaves[at] = p
			return f
		}
		kid := &fork{edit: edit, at: uint8(apart)}
		kid.addLeaf(old)
		kid.addLeaf(p)
		f.leaves, f.leafBits = remove(f.leaves, at), f.leafBits&^bit
		f.addKid(kid, bit)
	case f.kidBits&bit != 0:
		at := rank(f.kidBits, bit)
		kid := f.kids[at]
		if int(kid.at) <= apart {
			f.kids[at] = kid.put(p, apart, edit)
			return f
		}
		between := &fork{edit: edit, at: uint8(apart)}
		between.addKid(kid, between.bit(kid.first().addr()))
		between.addLeaf(p)
		f.kids[at] = between
	default:
		f.addLeaf(p)
	}
	return f
}

func (f *fork) addLeaf(p *PTR) {
	bit := f.bit(p.addr())
	f.leaves, f.leafBits = insert(f.leaves, rank(f.leafBits, bit), p), f.leafBits|bit
}

func (f *fork) addKid(kid *fork, bit uint16) {
	f.kids, f.kidBits = insert(f.kids, rank(f.kidBits, bit), kid), f.kidBits|bit
}

// first is one of the records below f.
func (f *fork) first() *PTR {
	for len(f.leaves) == 0 {
		f = f.kids[0]
	}
	return f.leaves[0]
}

// drop is the tree without the record of an address.
func (t addresses) drop(addr []byte, edit uint64) addresses {
	if t.get(addr) == nil {
		return t
	}
	if t.size == 1 {
		return addresses{}
	}
	return addresses{t.root.drop(string(addr), edit), t.size - 1}
}

// drop removes an address that exists. A fork that is left with one leaf or one kid gives way to it.
func (f *fork) drop(addr string, edit uint64) *fork {
	f = f.own(edit)
	bit := f.bit(addr)
	if f.leafBits&bit != 0 {
		f.leaves, f.leafBits = remove(f.leaves, rank(f.leafBits, bit)), f.leafBits&^bit
		return f
	}
	at := rank(f.kidBits, bit)
	kid := f.kids[at].drop(addr, edit)
	switch {
	case len(kid.leaves)+len(kid.kids) > 1:
		f.kids[at] = kid
	case len(kid.kids) == 1:
		f.kids[at] = kid.kids[0]
	default:
		f.kids, f.kidBits = remove(f.kids, at), f.kidBits&^bit
		f.addLeaf(kid.leaves[0])
	}
	return f
}

// own is f if this edit made it, otherwise a copy that this edit may change.
func (f *fork) own(edit uint64) *fork {
	if f.edit == edit {
		return f
	}
	return &fork{edit, f.leafBits, f.kidBits, f.at, append([]*PTR(nil), f.leaves...), append([]*fork(nil), f.kids...)}
}

// each calls yield with the first record of every address, in their order, until yield returns false.
func (f *fork) each(yield func(*PTR) bool) bool {
	if f == nil {
		return true
	}
	for rest := f.leafBits | f.kidBits; rest != 0; rest &= rest - 1 {
		bit := rest & -rest
		if f.leafBits&bit != 0 && !yield(f.leaves[rank(f.leafBits, bit)]) ||
			f.kidBits&bit != 0 && !f.kids[rank(f.kidBits, bit)].each(yield) {
			return false
		}
	}
	return true
}

// reverse is the PTR records of both families.
type reverse struct{ v4, v6 addresses }

// of is those of the family whose addresses have so many octets.
func (r *reverse) of(octets int) *addresses {
	if octets == sizeA {
		return &r.v4
	}
	return &r.v6
}

// each calls yield with the first record of every address, in their order, until yield returns false.
func (r *reverse) each(yield func(*PTR) bool) {
	if r.v4.root.each(yield) {
		r.v6.root.each(yield)
	}
}

// Reverse is the first PTR record of addr, nil for none. m is scratch.
func (s *Snapshot) Reverse(m *Match, addr netip.Addr) *PTR {
	key := appendAddr(m.scratch[:0], addr)
	return s.reverse.of(len(key)).get(key)
}

// ReverseWithin reports whether an address within prefix has PTR records: then the reverse name of prefix exists. The
// length of prefix is a number of whole labels. m is scratch.
func (s *Snapshot) ReverseWithin(m *Match, prefix netip.Prefix) bool {
	key := appendAddr(m.scratch[:0], prefix.Addr())
	return s.reverse.of(len(key)).within(key, prefix.Bits()/4)
}
