package zones

import (
	"hash/maphash"
	"math/bits"
)

// seed keeps hashes unpredictable to those who choose the names of objects, so that they cannot make them collide.
var seed = maphash.MakeSeed()

func hash(key []byte) uint64 { return maphash.Bytes(seed, key) }

func hashString(key string) uint64 { return maphash.String(seed, key) }

const (
	fanBits  = 5
	maxDepth = 12 // levels selected by bits of the hash; below them leaves share a list
)

// leaf is what a trie holds: a pointer to an immutable value that knows its own key.
type leaf[L any] interface {
	comparable
	is(key []byte) bool
	same(key L) bool
	sum() uint64 // the hash of its key
}

// trie is a hash array mapped trie, immutable once published: a change copies the nodes on its path and shares the
// rest, so readers of an older root do not see it. The zero trie is empty.
type trie[L leaf[L]] struct {
	root *branch[L]
	size int
}

// branch is one node. Its leaves and branches are in the order of their bits. Only the edit that made a branch may
// change it in place.
type branch[L leaf[L]] struct {
	edit     uint64
	leafBits uint32
	kidBits  uint32
	leaves   []L
	kids     []*branch[L]
}

// get is the leaf with key, or the zero L.
func (t trie[L]) get(key []byte) L {
	var none L
	h := hash(key)
	b := t.root
	for depth := 0; b != nil; depth++ {
		if depth == maxDepth {
			for _, l := range b.leaves {
				if l.is(key) {
					return l
				}
			}
			return none
		}
		bit := uint32(1) << (h & (1<<fanBits - 1))
		h >>= fanBits
		if b.leafBits&bit != 0 {
			l := b.leaves[rank(b.leafBits, bit)]
			if l.is(key) {
				return l
			}
			return none
		}
		if b.kidBits&bit == 0 {
			return none
		}
		b = b.kids[rank(b.kidBits, bit)]
	}
	return none
}

// rank is how many bits of set are below bit.
func rank[B uint16 | uint32](set, bit B) int { return bits.OnesCount32(uint32(set & (bit - 1))) }

// put is the trie with l in place of the leaf with l's key. edit marks branches that belong to the caller's change.
func (t trie[L]) put(l L, edit uint64) trie[L] {
	added := false
	root := t.root.put(l, l.sum(), 0, edit, &added)
	if added {
		t.size++
	}
	return trie[L]{root, t.size}
}

func (b *branch[L]) put(l L, h uint64, depth int, edit uint64, added *bool) *branch[L] {
	b = b.own(edit)
	if depth == maxDepth {
		for i, old := range b.leaves {
			if old.same(l) {
				b.leaves[i] = l
				return b
			}
		}
		b.leaves = append(b.leaves, l)
		*added = true
		return b
	}
	bit := uint32(1) << (h & (1<<fanBits - 1))
	switch {
	case b.leafBits&bit != 0:
		at := rank(b.leafBits, bit)
		old := b.leaves[at]
		if old.same(l) {
			b.leaves[at] = l
			return b
		}
		oldHash := old.sum() >> (fanBits * (depth + 1))
		kid := (*branch[L])(nil).put(old, oldHash, depth+1, edit, added)
		kid = kid.put(l, h>>fanBits, depth+1, edit, added)
		b.leaves = remove(b.leaves, at)
		b.leafBits &^= bit
		b.kids = insert(b.kids, rank(b.kidBits, bit), kid)
		b.kidBits |= bit
	case b.kidBits&bit != 0:
		at := rank(b.kidBits, bit)
		b.kids[at] = b.kids[at].put(l, h>>fanBits, depth+1, edit, added)
	default:
		b.leaves = insert(b.leaves, rank(b.leafBits, bit), l)
		b.leafBits |= bit
		*added = true
	}
	return b
}

// drop is the trie without the leaf that has key.
func (t trie[L]) drop(key []byte, edit uint64) trie[L] {
	var none L
	if t.get(key) == none {
		return t
	}
	return trie[L]{t.root.drop(key, hash(key), 0, edit), t.size - 1}
}

// drop removes a leaf that exists. A branch left with one leaf and no branches hands the leaf to its parent.
func (b *branch[L]) drop(key []byte, h uint64, depth int, edit uint64) *branch[L] {
	b = b.own(edit)
	if depth == maxDepth {
		for i, l := range b.leaves {
			if l.is(key) {
				b.leaves = remove(b.leaves, i)
				break
			}
		}
		return b
	}
	bit := uint32(1) << (h & (1<<fanBits - 1))
	if b.leafBits&bit != 0 {
		b.leaves = remove(b.leaves, rank(b.leafBits, bit))
		b.leafBits &^= bit
		return b
	}
	at := rank(b.kidBits, bit)
	kid := b.kids[at].drop(key, h>>fanBits, depth+1, edit)
	b.kids[at] = kid
	if len(kid.kids) == 0 && len(kid.leaves) <= 1 {
		b.kids = remove(b.kids, at)
		b.kidBits &^= bit
		if len(kid.leaves) == 1 {
			b.leaves = insert(b.leaves, rank(b.leafBits, bit), kid.leaves[0])
			b.leafBits |= bit
		}
	}
	return b
}

// own is b if this edit made it, otherwise a copy that this edit may change.
func (b *branch[L]) own(edit uint64) *branch[L] {
	if b == nil {
		return &branch[L]{edit: edit}
	}
	if b.edit == edit {
		return b
	}
	return &branch[L]{edit, b.leafBits, b.kidBits, append([]L(nil), b.leaves...), append([]*branch[L](nil), b.kids...)}
}

// insert and remove keep slices at their exact size, because a trie holds many small slices for a long time.
func insert[T any](list []T, at int, v T) []T {
	out := make([]T, len(list)+1)
	copy(out, list[:at])
	out[at] = v
	copy(out[at+1:], list[at:])
	return out
}

func remove[T any](list []T, at int) []T {
	if len(list) == 1 {
		return nil
	}
	out := make([]T, len(list)-1)
	copy(out, list[:at])
	copy(out[at:], list[at+1:])
	return out
}

// each calls yield with every leaf, in arbitrary order, until yield returns false.
func (t trie[L]) each(yield func(L) bool) { t.root.each(yield) }

func (b *branch[L]) each(yield func(L) bool) bool {
	if b == nil {
		return true
	}
	for _, l := range b.leaves {
		if !yield(l) {
			return false
		}
	}
	for _, kid := range b.kids {
		if !kid.each(yield) {
			return false
		}
	}
	return true
}
