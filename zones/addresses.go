package zones

import (
	"math/bits"
	"net/netip"
	"slices"
)

// octets is an address of one family.
type octets interface{ [sizeA]byte | [sizeAAAA]byte }

// addresses holds the PTR records of one family of addresses, ordered so that it can tell whether an address begins
// with some bits: the empty non-terminals of reverse names. It is a tree that decides by nibbles, four bits each, and
// passes over those that all its addresses share; as a trie, it is immutable once published, and a change copies the
// forks on its path. The zero value is empty.
type addresses[A octets] struct {
	root *fork[A]
	size int
}

// fork is a place where addresses go apart. All below it share the nibbles before at, and there is more than one; only
// the root, at nibble 0, may hold fewer. Leaves and kids are in the order of their bits. The first record of an address is
// the leaf itself, not a pointer to it: there are as many as endpoints. Only the edit that made a fork may change it in
// place.
type fork[A octets] struct {
	edit     uint64
	leafBits uint16
	kidBits  uint16
	at       uint8 // the nibble that decides
	leaves   []pointer[A]
	kids     []*fork[A]
}

// nibble is four bits of an address.
func nibble[A octets](addr A, at int) byte {
	if at&1 == 0 {
		return addr[at/2] >> 4
	}
	return addr[at/2] & 0xf
}

// shared is the number of nibbles that two addresses begin with alike.
func shared[A octets](a, b A) int {
	for i := range len(a) {
		if differ := a[i] ^ b[i]; differ != 0 {
			return 2*i + bits.LeadingZeros8(differ)/4
		}
	}
	return 2 * len(a)
}

func (f *fork[A]) bit(addr A) uint16 { return 1 << nibble(addr, int(f.at)) }

// get is the first PTR record of an address, nil for none.
func (t addresses[A]) get(addr A) *pointer[A] {
	for f := t.root; f != nil; {
		bit := f.bit(addr)
		if f.leafBits&bit != 0 {
			if p := &f.leaves[rank(f.leafBits, bit)]; p.addr == addr {
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
func (t addresses[A]) within(prefix A, count int) bool {
	p := t.near(prefix, count)
	return p != nil && shared(p.addr, prefix) >= count
}

// near is an address that begins with the first count nibbles of addr, if there is one; else any, or nil.
func (t addresses[A]) near(addr A, count int) *pointer[A] {
	f := t.root
	for f != nil {
		if int(f.at) < count {
			bit := f.bit(addr)
			if f.leafBits&bit != 0 {
				return &f.leaves[rank(f.leafBits, bit)]
			}
			if f.kidBits&bit != 0 {
				f = f.kids[rank(f.kidBits, bit)]
				continue
			}
		}
		if len(f.leaves) > 0 {
			return &f.leaves[0]
		}
		f = f.kids[0]
	}
	return nil
}

// put is the tree with p in the place of the record of its address.
func (t addresses[A]) put(p pointer[A], edit uint64) addresses[A] {
	apart := 0 // the first nibble that no other address shares
	if near := t.near(p.addr, 2*len(p.addr)); near != nil {
		apart = shared(near.addr, p.addr)
	}
	if apart < 2*len(p.addr) {
		t.size++
	}
	if t.root == nil {
		t.root = &fork[A]{edit: edit}
	}
	t.root = t.root.put(p, apart, edit)
	return t
}

func (f *fork[A]) put(p pointer[A], apart int, edit uint64) *fork[A] {
	f = f.own(edit)
	bit := f.bit(p.addr)
	switch {
	case f.leafBits&bit != 0:
		at := rank(f.leafBits, bit)
		if apart == 2*len(p.addr) {
			f.leaves[at] = p
			return f
		}
		kid := &fork[A]{edit: edit, at: uint8(apart)}
		kid.addLeaf(f.leaves[at])
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
		between := &fork[A]{edit: edit, at: uint8(apart)}
		between.addKid(kid, between.bit(kid.first().addr))
		between.addLeaf(p)
		f.kids[at] = between
	default:
		f.addLeaf(p)
	}
	return f
}

func (f *fork[A]) addLeaf(p pointer[A]) {
	bit := f.bit(p.addr)
	f.leaves, f.leafBits = insert(f.leaves, rank(f.leafBits, bit), p), f.leafBits|bit
}

func (f *fork[A]) addKid(kid *fork[A], bit uint16) {
	f.kids, f.kidBits = insert(f.kids, rank(f.kidBits, bit), kid), f.kidBits|bit
}

// first is one of the records below f.
func (f *fork[A]) first() *pointer[A] {
	for len(f.leaves) == 0 {
		f = f.kids[0]
	}
	return &f.leaves[0]
}

// drop is the tree without the record of an address.
func (t addresses[A]) drop(addr A, edit uint64) addresses[A] {
	if t.get(addr) == nil {
		return t
	}
	if t.size == 1 {
		return addresses[A]{}
	}
	return addresses[A]{t.root.drop(addr, edit), t.size - 1}
}

// drop removes an address that exists. A fork that is left with one leaf or one kid gives way to it.
func (f *fork[A]) drop(addr A, edit uint64) *fork[A] {
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
func (f *fork[A]) own(edit uint64) *fork[A] {
	if f.edit == edit {
		return f
	}
	return &fork[A]{edit, f.leafBits, f.kidBits, f.at, slices.Clone(f.leaves), slices.Clone(f.kids)}
}

// each calls yield with the first record of every address, in their order, until yield returns false.
func (f *fork[A]) each(yield func(*pointer[A]) bool) bool {
	if f == nil {
		return true
	}
	for rest := f.leafBits | f.kidBits; rest != 0; rest &= rest - 1 {
		bit := rest & -rest
		if f.leafBits&bit != 0 && !yield(&f.leaves[rank(f.leafBits, bit)]) ||
			f.kidBits&bit != 0 && !f.kids[rank(f.kidBits, bit)].each(yield) {
			return false
		}
	}
	return true
}

// reverse is the PTR records of both families.
type reverse struct {
	v4 addresses[[sizeA]byte]
	v6 addresses[[sizeAAAA]byte]
}

// chain is the records of one address that follow.
type chain struct {
	v4 *pointer[[sizeA]byte]
	v6 *pointer[[sizeAAAA]byte]
}

// next is the next record.
func (c *chain) next() (service *string, r record, ok bool) {
	switch {
	case c.v4 != nil:
		service, r, c.v4 = c.v4.service, c.v4.record, c.v4.next
	case c.v6 != nil:
		service, r, c.v6 = c.v6.service, c.v6.record, c.v6.next
	default:
		return nil, record{}, false
	}
	return service, r, true
}

// at is the records of an address.
func (r *reverse) at(addr netip.Addr) chain {
	if addr.Is4() {
		return chain{v4: r.v4.get(addr.As4())}
	}
	return chain{v6: r.v6.get(addr.As16())}
}

// each calls yield with every address that has records, in their order, until yield returns false.
func (r *reverse) each(yield func(netip.Addr, chain) bool) {
	four := func(p *pointer[[sizeA]byte]) bool { return yield(netip.AddrFrom4(p.addr), chain{v4: p}) }
	if r.v4.root.each(four) {
		r.v6.root.each(func(p *pointer[[sizeAAAA]byte]) bool { return yield(netip.AddrFrom16(p.addr), chain{v6: p}) })
	}
}

// ReverseWithin reports whether an address within prefix has PTR records: then the reverse name of prefix exists. The
// length of prefix is a number of whole labels.
func (s *Snapshot) ReverseWithin(prefix netip.Prefix) bool {
	if addr := prefix.Addr(); addr.Is4() {
		return s.reverse.v4.within(addr.As4(), prefix.Bits()/4)
	}
	return s.reverse.v6.within(prefix.Addr().As16(), prefix.Bits()/4)
}
