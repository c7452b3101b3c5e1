package resolver

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"

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

// turning is a step whose answers have addresses in an order of their own, as those of zone files: another one of each
// rrset comes first in each reply if the block rotates.
func turning(s step) step {
	return func(r *Request, q *question) result {
		if !r.rotate {
			return s(r, q)
		}
		before := r.Reply.Mark()
		res := s(r, q)
		if res.outcome == answered {
			r.Reply.Arrange(before, &r.addresses, func(a *wire.Addresses) { lead(a, 0, a.Len()) })
		}
		return res
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

// balance puts addresses of an answer in another order than by turns: those that are preferred first, or one that is
// drawn by its weight. It is a wrapper, so that it sees the addresses of every step.
type balance struct {
	prefer  []netip.Prefix
	weights *weights // nil without a file of them
}

// newBalance compiles what loadbalance says besides Rotate.
func (r *Resolver) newBalance(b *block, log *slog.Logger) (err error) {
	o := b.options
	if len(o.Prefer) == 0 && o.Weights == nil {
		return nil
	}
	b.balance = &balance{prefer: o.Prefer}
	if o.Weights != nil {
		b.balance.weights, err = obtain(r, "weights", *o.Weights, func() (*weights, error) {
			return newWeights(*o.Weights, log), nil
		})
		if err == nil {
			b.balance.weights.Load() // a reload reads what has changed
		}
	}
	return err
}

// wrap has balance see the answer to q. That of an alias is part of the one that it sees.
func (b *balance) wrap(r *Request, q *question) result {
	addresses := q.qtype == wire.TypeA || q.qtype == wire.TypeAAAA || q.qtype == wire.TypeSRV
	if r.links == 0 && (b.weights == nil || addresses) {
		r.wrap(b, q)
	}
	return result{}
}

func (b *balance) after(r *Request, w *wrapped, _ result) (again bool) {
	if r.affine {
		return false
	}
	var table *weightTable
	if b.weights != nil {
		table = b.weights.table.Load()
	}
	r.Reply.Arrange(w.mark, &r.addresses, func(a *wire.Addresses) {
		if table != nil {
			a.Swap(0, table.draw(a))
			return
		}
		b.order(a)
	})
	return false
}

// order puts the addresses in each network before those in the networks behind it, and of the same network one first by
// chance.
func (b *balance) order(a *wire.Addresses) {
	first := 0
	for _, network := range b.prefer {
		next := first
		for i := next; i < a.Len(); i++ {
			if address, _ := netip.AddrFromSlice(a.Address(i)); network.Contains(address.Unmap()) {
				a.Swap(i, next)
				next++
			}
		}
		lead(a, first, next)
		first = next
	}
	lead(a, first, a.Len())
}

// lead puts one of the records from first to end-1 first of them, by chance.
func lead(a *wire.Addresses, first, end int) {
	if end-first > 1 {
		a.Swap(first, first+rand.IntN(end-first))
	}
}
