package zones

import (
	"net/netip"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// Contents calls yield with every record of the services in s, for the zone whose "svc.<zone>" in wire form is svc,
// until yield returns false. Owners are absolute; owner and data are valid only during the call. Names that are
// synthesized, such as those of pods, are not included.
func (s *Snapshot) Contents(svc string, yield func(owner []byte, t wire.Type, data []byte) bool) {
	contents(s.services, svc, 0, yield)
}

// ExternalContents does the same for an external zone, whose name in wire form is zone. headless says whether it
// has the names of headless services.
func (s *Snapshot) ExternalContents(
	zone string, headless bool, yield func(owner []byte, t wire.Type, data []byte) bool,
) {
	hidden := byte(flagHeadless)
	if headless {
		hidden = 0
	}
	contents(s.externals, zone, hidden, yield)
}

// contents leaves out nodes with the flags hidden.
func contents(
	services trie[*ServiceRecords], svc string, hidden byte, yield func(owner []byte, t wire.Type, data []byte) bool,
) {
	var owner, data []byte
	services.each(func(r *ServiceRecords) bool {
		for n := range r.each {
			if n.flags&hidden != 0 {
				continue
			}
			owner = append(append(append(owner[:0], n.name...), r.owner...), svc...)
			if len(owner) <= wire.MaxName && !n.contents(owner, &data, svc, yield) {
				return false
			}
		}
		return true
	})
}

// contents calls yield with every record of n. data is scratch.
func (n *Node) contents(owner []byte, data *[]byte, svc string, yield func([]byte, wire.Type, []byte) bool) bool {
	if n.cname != "" {
		*data = append((*data)[:0], n.cname...)
		return yield(owner, wire.TypeCNAME, *data)
	}
	for _, set := range []struct {
		packed string
		size   int
		t      wire.Type
	}{{n.a, sizeA, wire.TypeA}, {n.aaaa, sizeAAAA, wire.TypeAAAA}} {
		for at := 0; at < len(set.packed); at += set.size {
			*data = append((*data)[:0], set.packed[at:at+set.size]...)
			if !yield(owner, set.t, *data) {
				return false
			}
		}
	}
	for s := n.SRVs(nil); s.Next(); {
		*data = append(append((*data)[:0], s.Fixed[:]...), s.Target.name...)
		if !s.Target.IsHost() {
			*data = append(append(*data, n.service.owner...), svc...)
		}
		if len(*data) > len(s.Fixed)+wire.MaxName {
			continue
		}
		if !yield(owner, wire.TypeSRV, *data) {
			return false
		}
	}
	return true
}

// PTRs calls yield with every PTR record of s whose owner is in zone, a reverse zone in wire form, until yield returns
// false. svc is "svc.<zone>" of the zone with the targets, in wire form. owner and data are valid only during the call.
func (s *Snapshot) PTRs(zone []byte, svc string, yield func(owner []byte, t wire.Type, data []byte) bool) {
	var owner, data []byte
	var m Match
	s.reverse.each(func(addr netip.Addr, _ chain) bool {
		owner = appendArpa(owner[:0], addr)
		if !wire.Within(owner, zone) {
			return true
		}
		for p := s.Reverse(&m, addr); p.Next(); {
			data = append(append(append(data[:0], p.Host()...), p.Service()...), svc...)
			if len(data) > wire.MaxName {
				continue
			}
			if !yield(owner, wire.TypePTR, data) {
				return false
			}
		}
		return true
	})
}
