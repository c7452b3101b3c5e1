package manifests

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"

	"github.com/clusterdns/clusterdns/watch/object"
)

// claim is what an address is handed out for: one family of one service or pod.
type claim struct {
	kind string // "service" or "pod"
	object.Key
	ipv6 bool
}

// allocations are the addresses that were handed out, by what they were handed out for.
type allocations map[claim]netip.Addr

// pool is a range of addresses to hand out: base plus first to base plus last.
type pool struct {
	base        netip.Addr
	first, last uint64
}

// poolOf is where a claim's address comes from. The low addresses stay free for those that are given in manifests, as
// the API server keeps them (KEP-3070): kubernetes.default is 10.96.0.1 by custom, kube-dns 10.96.0.10.
func poolOf(c claim) pool {
	switch {
	case c.kind == "service" && c.ipv6:
		return pool{netip.MustParseAddr("fd00:10:96::"), 256, 1<<16 - 1} // fd00:10:96::/112
	case c.kind == "service":
		return pool{netip.MustParseAddr("10.96.0.0"), 256, 1<<20 - 2} // 10.96.0.0/12
	case c.ipv6:
		// the part of fd00:10:244::/64 whose addresses read well
		return pool{netip.MustParseAddr("fd00:10:244::"), 256, 1<<32 - 1}
	}
	return pool{netip.MustParseAddr("10.244.0.0"), 256, 1<<16 - 2} // 10.244.0.0/16
}

// at is the address at an offset; invalid for one that looks like a network's own or its broadcast address.
func (p pool) at(offset uint64) netip.Addr {
	b := p.base.As16()
	low := binary.BigEndian.Uint64(b[8:]) + offset
	if p.base.Is4() && (low&0xff == 0 || low&0xff == 0xff) {
		return netip.Addr{}
	}
	binary.BigEndian.PutUint64(b[8:], low)
	addr := netip.AddrFrom16(b)
	if p.base.Is4() {
		addr = addr.Unmap()
	}
	return addr
}

// start is where the search for a claim's address begins. It depends on the claim alone, so that what other files hold
// moves no address but where two searches meet.
func (p pool) start(c claim, attempt byte) uint64 {
	sum := sha256.Sum256([]byte(c.kind + "\x00" + c.Namespace + "\x00" + c.Name + "\x00" + string(attempt)))
	return p.first + binary.BigEndian.Uint64(sum[:])%(p.last-p.first+1)
}

// attempts are the places that are tried before the whole pool is walked through. A pool that is half full is missed by
// 16 attempts once in 65536 times.
const attempts = 16

// allocator hands out addresses in one reading of manifests. It knows nothing of readings before: the same files have
// the same addresses, whatever was in the folder on the way to them.
type allocator struct {
	current allocations
	taken   map[netip.Addr]struct{}
	full    map[pool]bool
}

func newAllocator() *allocator {
	return &allocator{allocations{}, map[netip.Addr]struct{}{}, map[pool]bool{}}
}

// hold keeps a given address from being handed out.
func (a *allocator) hold(addr netip.Addr) { a.taken[addr] = struct{}{} }

// assign gives an address to each claim, in their order, and leaves a claim without one when its pool is full.
func (a *allocator) assign(claims []claim) {
	for _, c := range claims {
		if addr := a.search(c); addr.IsValid() {
			a.current[c] = addr
			a.hold(addr)
		}
	}
}

func (a *allocator) free(addr netip.Addr) bool {
	_, taken := a.taken[addr]
	return !taken && addr.IsValid()
}

// search finds a free address; the zero one when there is none.
func (a *allocator) search(c claim) netip.Addr {
	p := poolOf(c)
	if a.full[p] {
		return netip.Addr{}
	}
	for attempt := range byte(attempts) {
		if addr := p.at(p.start(c, attempt)); a.free(addr) {
			return addr
		}
	}
	start, size := p.start(c, 0)-p.first, p.last-p.first+1
	for step := range size {
		if addr := p.at(p.first + (start+step)%size); a.free(addr) {
			return addr
		}
	}
	a.full[p] = true
	return netip.Addr{}
}
