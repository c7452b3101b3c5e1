package watch

import (
	"iter"
	"reflect"
	"time"

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
	if s.options.Who {
		s.dirtyNodes = append(s.dirtyNodes, nodeChange{old, now})
	}
	for more, n := range map[int]*object.Node{-1: old, 1: now} {
		if n == nil {
			continue
		}
		for _, addr := range n.Addrs {
			s.claims[zones.Claim{Addr: addr}] += more
		}
	}
}

// nodeChange is a node that came, went or changed; nil where there is none.
type nodeChange struct{ old, now *object.Node }

// publishNodes publishes where nodes are, and looks now and then which numbers of places are in use.
func (s *state) publishNodes(tx *zones.Tx, now time.Time) {
	live := func(n *object.Node) *zones.LiveNode {
		if n == nil {
			return nil
		}
		return &n.LiveNode
	}
	for _, c := range s.dirtyNodes {
		if old, now := live(c.old), live(c.now); !reflect.DeepEqual(old, now) { // a node says every few minutes that it lives
			tx.SetNode(old, now)
		}
	}
	s.dirtyNodes = nil
	if s.options.Who {
		tx.SweepPlaces(now, s.places)
	}
}

// places yields the places of the objects that are held, with their namespaces.
func (s *state) places(yield func(string, zones.Place) bool) {
	for _, sl := range s.slices.byKey {
		for _, list := range []iter.Seq[object.Endpoint]{sl.Endpoints.All, sl.Endpoints.Asking()} {
			for e := range list {
				if !yield(sl.Namespace, e.Place) {
					return
				}
			}
		}
	}
	for _, p := range s.pods.byKey {
		if !yield(p.Namespace, p.Place) {
			return
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
