package watch

import (
	"encoding/binary"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Here the naive index says in which order a client gets the endpoints of a headless service with sessionAffinity
// ClientIP: the three with the highest scores, then the others by their addresses.

// affine reports whether the option is on for the service.
func (n *naive) affine(s *corev1.Service) bool {
	return n.options.Affinity && isHeadless(s) && s.Spec.SessionAffinity == corev1.ServiceAffinityClientIP
}

// podOf names the pod of an endpoint; "" for unknown.
func podOf(e *discoveryv1.Endpoint) string {
	switch {
	case e.TargetRef != nil && e.TargetRef.Name != "":
		return e.TargetRef.Name
	case e.Hostname != nil:
		return *e.Hostname
	}
	return ""
}

// mixed is mix of zones/affinity.go.
func mixed(x uint64) uint64 {
	for _, step := range []struct{ shift, factor uint64 }{{30, 0xbf58476d1ce4e5b9}, {27, 0x94d049bb133111eb}, {31, 1}} {
		x ^= x >> step.shift
		x *= step.factor
	}
	return x
}

// numberOf is the number of an address.
func numberOf(addr netip.Addr) uint64 {
	octets := addr.AsSlice()
	if addr.Is4() {
		return uint64(binary.BigEndian.Uint32(octets))
	}
	return mixed(binary.BigEndian.Uint64(octets)) ^ binary.BigEndian.Uint64(octets[8:])
}

// scores are those of the addresses of a service for the client: that of an address of IPv6 is the score of the lowest
// IPv4 address of its pod, if it has one there.
func (n *naive) scores(s *corev1.Service) map[netip.Addr]uint64 {
	ends, scores := n.ends(s), map[netip.Addr]uint64{}
	for _, e := range ends {
		stands := e.addr
		for _, same := range ends {
			for _, other := range ends {
				if same.addr == e.addr && same.addr.Is6() && same.pod != "" && other.pod == same.pod && other.addr.Is4() &&
					(stands.Is6() || other.addr.Less(stands)) {
					stands = other.addr
				}
			}
		}
		scores[e.addr] = mixed(mixed(numberOf(n.asker)+0x9e3779b97f4a7c15) ^ numberOf(stands))
	}
	return scores
}

// inOrder is the addresses of each family in the order of the reply.
func (n *naive) inOrder(s *corev1.Service, addrs []netip.Addr) (list []netip.Addr) {
	addrs = slices.Clone(addrs)
	slices.SortFunc(addrs, netip.Addr.Compare) // IPv4 first
	addrs = slices.Compact(addrs)
	scores := n.scores(s)
	for _, v4 := range []bool{true, false} {
		of := slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return a.Is4() != v4 })
		taken := map[uint64]bool{}
		for range 3 {
			best := -1
			for i, a := range of {
				if !taken[scores[a]] && (best < 0 || scores[a] > scores[of[best]]) {
					best = i
				}
			}
			if best >= 0 {
				taken[scores[of[best]]] = true
				list = append(list, of[best])
				of = slices.Delete(of, best, best+1)
			}
		}
		list = append(list, of...)
	}
	return list
}

// priorities are those of SRV records to the hosts of pairs: how many of these have higher scores, at most 3. They are 0
// for a service without affinity.
func (n *naive) priorities(s *corev1.Service, pairs []pair) func(host string) int {
	if !n.affine(s) {
		return func(string) int { return 0 }
	}
	best, scores := map[string]uint64{}, n.scores(s)
	for _, p := range pairs {
		for _, a := range n.addrs(s, p.host) {
			if p.port != 0 {
				best[p.host] = max(best[p.host], scores[a])
			}
		}
	}
	return func(host string) int {
		higher := map[uint64]bool{}
		for _, b := range best {
			if b > best[host] {
				higher[b] = true
			}
		}
		return min(len(higher), 3)
	}
}
