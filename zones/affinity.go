package zones

import (
	"encoding/binary"
	"net/netip"
)

// Session affinity of headless services (Service field sessionAffinity: ClientIP): a client gets the same endpoint first
// for as long as that is ready. It is rendezvous hashing: each endpoint has a score for each client, and the highest one
// is first, the second one behind it, and so on. Nothing is remembered of clients. When an endpoint goes, its clients
// alone go elsewhere, each to what came second for it; when one comes, it takes its share and no client moves between
// others.
//
// Replicas of different releases answer the same client, so the hash stays as it is:
//
//	mix(x)           x ^= x>>30; x *= 0xbf58476d1ce4e5b9; x ^= x>>27; x *= 0x94d049bb133111eb; x ^= x>>31   modulo 2^64
//	number(IPv4)     the address as a number
//	number(IPv6)     mix(first 64 bits) ^ last 64 bits
//	number(endpoint) that of its IPv4 address, in a service that has one of the pod; else that of its IPv6 address
//	key(client)      mix(number(client) + 0x9e3779b97f4a7c15)
//	score            mix(key(client) ^ number(endpoint))
//
// Mixing is one to one, so no two addresses of IPv4 have one score for a client. Clients are spread as by chance: of n
// endpoints with m clients each on average, the busiest has about m + sqrt(2 m ln n). That is within 1.25 of the mean for
// 200 clients an endpoint and up to 500 endpoints, so for 10,000 clients and up to 50 endpoints; with 100 endpoints it is
// 1.3. To bound it any further the clients would have to be counted.

// ClientKey stands for a client in scores.
type ClientKey uint64

// NewClientKey is the key of the client with this address.
func NewClientKey(client netip.Addr) ClientKey {
	n := uint64(0)
	if client = client.Unmap(); client.Is4() {
		ip := client.As4()
		n = number4(string(ip[:]))
	} else {
		ip := client.As16()
		n = number6(string(ip[:]))
	}
	return ClientKey(mix(n + 0x9e3779b97f4a7c15))
}

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func number4(addr string) uint64 {
	return uint64(addr[0])<<24 | uint64(addr[1])<<16 | uint64(addr[2])<<8 | uint64(addr[3])
}

func number6(addr string) uint64 {
	return mix(number4(addr)<<32|number4(addr[4:])) ^ (number4(addr[8:])<<32 | number4(addr[12:]))
}

func (k ClientKey) score(endpoint uint64) uint64 { return mix(uint64(k) ^ endpoint) }

// Affine reports whether each client has an endpoint of the service that comes first for it.
func (r *ServiceRecords) Affine() bool { return r.blob != "" && r.blob[0]&affine != 0 }

// number is that of the endpoint with the AAAA record at index i.
func (n *Node) number(i int) uint64 {
	if at := i * sizeA; at < len(n.twins) {
		if v4 := number4(n.twins[at:]); v4 != 0 {
			return v4
		}
	}
	return number6(n.aaaa[i*sizeAAAA:])
}

// Leading is how many endpoints stand in the order of their scores. Clients that find the first one dead try the next
// ones; behind these all others are as good.
const Leading = 3

// Leaders are the records of an rrset with the highest scores.
type Leaders struct {
	at     [Leading]int
	scores [Leading]uint64
	count  int
}

// add is another record, at an index.
func (l *Leaders) add(score uint64, at int) {
	i := l.count
	for i > 0 && score > l.scores[i-1] {
		i--
	}
	if i == Leading || i > 0 && score == l.scores[i-1] {
		return // the same pod again
	}
	copy(l.scores[i+1:], l.scores[i:])
	copy(l.at[i+1:], l.at[i:])
	l.scores[i], l.at[i], l.count = score, at, min(l.count+1, Leading)
}

// Count is how many there are.
func (l *Leaders) Count() int { return l.count }

// At is the index of the record in place i.
func (l *Leaders) At(i int) int { return l.at[i] }

// Has reports whether the record with this index is among them.
func (l *Leaders) Has(index int) bool {
	for _, at := range l.at[:l.count] {
		if at == index {
			return true
		}
	}
	return false
}

// place is the place of a score among them, at most Leading.
func (l *Leaders) place(score uint64) byte {
	i := 0
	for i < l.count && score < l.scores[i] {
		i++
	}
	return byte(i)
}

// Several reports whether n has more than one address.
func (n *Node) Several() bool { return n.addresses() > 1 }

// Lead is the records that come first for a client: of the A records or of the AAAA records, by the size of an address.
// Pods with both addresses are in one order.
func (n *Node) Lead(k ClientKey, size int, near *Near) (l Leaders) {
	v4 := len(n.a) / sizeA
	if size == sizeA {
		for i := range v4 {
			if near.Has(n, i) {
				l.add(k.score(number4(n.a[i*sizeA:])), i)
			}
		}
		return l
	}
	for i := range len(n.aaaa) / sizeAAAA {
		if near.Has(n, v4+i) {
			l.add(k.score(n.number(i)), i)
		}
	}
	return l
}

// best is the highest score of n's addresses that near gives: endpoints that share a hostname are one target.
func (n *Node) best(k ClientKey, near *Near) (best uint64) {
	v4 := len(n.a) / sizeA
	for i := range v4 {
		if near.Has(n, i) {
			best = max(best, k.score(number4(n.a[i*sizeA:])))
		}
	}
	for i := range len(n.aaaa) / sizeAAAA {
		if near.Has(n, v4+i) {
			best = max(best, k.score(n.number(i)))
		}
	}
	return best
}

// LeadSRVs reads the SRV records of n with the target first that comes first for a client. Clients go by priorities (RFC
// 2782), so those of the leaders are 0, 1 and 2, and that of all others is 3.
func (n *Node) LeadSRVs(k ClientKey, near *Near) SRVs {
	var l Leaders
	s := n.SRVs(near)
	for s.step() {
		if near.hasAny(&s.Target) {
			l.add(s.Target.best(k, near), 0)
		}
	}
	s = n.SRVs(near)
	if l.count > 0 {
		s.led, s.key, s.leaders = ledFirst, k, l
	}
	return s
}

// What SRVs reads of an rrset with leaders: the first one, and then the rest.
const (
	unled = iota
	ledFirst
	ledRest
)

// skips reports whether the target is not for this time through the records, else it sets the priority.
func (s *SRVs) skips() bool {
	switch {
	case !s.near.hasAny(&s.Target):
		return true
	case s.led == unled:
		return false
	}
	s.Fixed[1] = s.leaders.place(s.Target.best(s.key, s.near))
	return (s.Fixed[1] == 0) != (s.led == ledFirst)
}

// again begins with the records that are left. It reports false if there are none.
func (s *SRVs) again() bool {
	s.ports = ""
	if s.led != ledFirst {
		return false
	}
	s.led, s.terms = ledRest, s.node.srv[sizeWeight:]
	return true
}

// noTwin is the octets of an IPv4 address that stands for none.
var noTwin [sizeA]byte

// Affine says that each client has an endpoint that comes first for it. It is called before addresses are added.
func (b *Builder) Affine() { b.affine = true }

// Twin says that a pod with an IPv6 address has an IPv4 address too. The lowest one counts.
func (b *Builder) Twin(v6, v4 netip.Addr) {
	if b.twins == nil {
		b.twins = map[[16]byte][4]byte{}
	}
	key, twin := v6.As16(), v4.As4()
	if old, ok := b.twins[key]; !ok || binary.BigEndian.Uint32(twin[:]) < binary.BigEndian.Uint32(old[:]) {
		b.twins[key] = twin
	}
}

// headBits are those of the blob.
func (b *Builder) headBits() (bits byte) {
	if b.placed {
		bits |= placed
	}
	if b.affine {
		bits |= affine
	}
	if len(b.twins) > 0 {
		bits |= paired
	}
	return bits
}

// appendTwins appends the IPv4 address of the pod of each IPv6 address, zeros for none.
func (b *Builder) appendTwins(to []byte, aaaa []addressAAAA) []byte {
	if len(b.twins) == 0 {
		return to
	}
	for i := range aaaa {
		twin := b.twins[aaaa[i].ip]
		to = append(to, twin[:]...)
	}
	return to
}
