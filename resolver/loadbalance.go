package resolver

import (
	"math/rand/v2"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// loadbalance: each reply begins an rrset at another of its records, which is drawn. The choice is made anew for every
// rrset of every reply, because a count of replies falls into step with clients that ask for A and AAAA in turn. The
// generator of math/rand belongs to the thread: nothing is shared, nothing is locked.

// first is the index of the record that comes first among count.
func (r *Request) first(count int) int {
	if !r.rotate || count < 2 {
		return 0
	}
	return rand.IntN(count)
}

// turned is packed, which holds addresses of that size, in two parts that begin at the one that comes first.
func (r *Request) turned(packed string, size int) [2]string {
	first := r.first(len(packed)/size) * size
	return [2]string{packed[first:], packed[:first]}
}

// rotated adds one record for each address in packed, starting at another one in each reply if the block rotates.
func (r *Request) rotated(owner wire.Offset, t wire.Type, ttl uint32, packed string, size int) {
	for _, part := range r.turned(packed, size) {
		for ; part != ""; part = part[size:] {
			if !r.Reply.AddRecord(owner, t, ttl, part[:size]) {
				return
			}
		}
	}
}

// turns reports whether loadbalance turns rrsets of type t, as CoreDNS does.
func turns(t wire.Type) bool { return t == wire.TypeA || t == wire.TypeAAAA || t == wire.TypeMX }

// rrset is a run of records of a message with the same owner, type and class, which loadbalance turns.
type rrset struct {
	first, count uint16 // in message.ttls
}

// turn says which record of a message stands in which place of a reply. It goes through the records once, in order.
type turn struct {
	rrsets []rrset // not passed yet
	shift  int     // of the first of them
}

// source is the index of the record whose TTL and data stand at i.
func (t *turn) source(i int) int {
	for len(t.rrsets) > 0 && i >= t.rrsets[0].end() {
		t.rrsets = t.rrsets[1:]
	}
	if len(t.rrsets) == 0 || i < int(t.rrsets[0].first) {
		return i
	}
	first, count := int(t.rrsets[0].first), int(t.rrsets[0].count)
	if i == first {
		t.shift = rand.IntN(count)
	}
	return first + (i-first+t.shift)%count
}

func (s rrset) end() int { return int(s.first) + int(s.count) }
