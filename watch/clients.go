package watch

import (
	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// Whose address is it: what slices and nodes say of it (zones/clients.go). Most changes of a slice leave most of its
// endpoints as they are, so claims are added up, and published where they are others than before.

// claim notes the pods of a slice that came, or went; nil for none.
func (s *state) claim(o *object.Slice, more int) {
	if o == nil {
		return
	}
	for e := range o.Clients.All {
		s.claims[zones.Claim{Addr: e.Addr, Pod: o.Namespace + "/" + e.Pod}] += more
	}
}

func (s *state) nodeChanged(old, now *object.Node) {
	for more, n := range map[int]*object.Node{-1: old, 1: now} {
		if n == nil {
			continue
		}
		for _, addr := range n.Addrs {
			s.claims[zones.Claim{Addr: addr}] += more
		}
	}
}

func (s *state) publishClaims(tx *zones.Tx) {
	for c, more := range s.claims {
		if more != 0 {
			tx.Claim(c, more)
		}
	}
	if len(s.claims) > 1000 {
		s.claims = map[zones.Claim]int{} // a map never shrinks
	} else {
		clear(s.claims)
	}
}
