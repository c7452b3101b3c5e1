package zones

import (
	"iter"
	"net/netip"
	"slices"
	"time"
)

// Who asks. The reverse index leads from an endpoint's address to its service, hence to its namespace, and to its place.
// Endpoints that are not ready have no PTR records, but they ask as well, so they are in an index of the same form. What
// else asks from the cluster's network is known by pods, where they are read, and by the addresses of nodes and the ranges
// of addresses that nodes give to their pods.

// Client is who asks, as far as it is known.
type Client struct {
	Namespace string // a label in wire form; "" where it is not known, or not sure
	Node      Locality
	Zone      Locality // the node's own, else what slices say

	AtNode bool // the address is the node's own

	// Range is how many bits of the address have decided: all who share them are at the same node. It is that of the whole
	// address where no range of a node has it.
	Range int
}

// Known reports whether anything is known of the client.
func (c Client) Known() bool { return c.Namespace != "" || c.Located() }

// Located reports whether it is known where the client is.
func (c Client) Located() bool { return c.Node != 0 || c.Zone != 0 }

// mostClaims is how many records of one address are looked at. A pod has a few; where there are more, nothing is sure.
const mostClaims = 32

// Who is who has addr. It allocates nothing, and takes the same time however large the cluster is. m is scratch: what a
// lookup found in it stays.
//
// An address has no namespace if endpoints of two namespaces have it, or if it is a node's, which its own processes and
// pods on its network share. Before nodes have been read nobody has one.
func (s *Snapshot) Who(m *Match, addr netip.Addr) Client {
	addr = addr.Unmap()
	c := Client{Range: addr.BitLen()}
	if node, ok := s.nodeWithin(m, addr, addr.BitLen()); ok {
		c.Node, c.Zone, c.AtNode = node, s.zoneOf(node), true
		return c
	}
	var found claims
	found.add(s, s.reverse.at(addr))
	found.add(s, s.asking.at(addr))
	if label, at, ok := s.podPlace(m, addr); ok {
		found = claims{namespace: label, at: at, sure: true}
	}
	if found.sure || s.Synced(Nodes) {
		c.Namespace = found.namespace
	}
	if !found.torn {
		s.locate(&c, s.places.at(found.at))
	}
	if c.Node == 0 && !found.cluster {
		s.locateInRange(m, &c, netip.PrefixFrom(addr, addr.BitLen()))
	}
	return c
}

// WhoWithin is who has the addresses of a network, of which no single one is known: a node that has all of them.
func (s *Snapshot) WhoWithin(m *Match, network netip.Prefix) Client {
	if network.IsSingleIP() {
		c := s.Who(m, network.Addr())
		c.Range += network.Bits() - network.Addr().Unmap().BitLen() // bits of the network that was asked for
		return c
	}
	c := Client{Range: network.Bits()}
	s.locateInRange(m, &c, network)
	return c
}

// locate says where a place is.
func (s *Snapshot) locate(c *Client, at place) {
	c.Node = at.node
	if c.Zone = s.zoneOf(at.node); c.Zone == 0 {
		c.Zone = at.zone
	}
}

// locateInRange takes the node whose pods have the longest range that a network is in.
func (s *Snapshot) locateInRange(m *Match, c *Client, network netip.Prefix) {
	addr := network.Addr()
	for _, l := range s.ranges.lengths {
		bits := int(l.bits) - (128 - addr.BitLen())
		if bits < 0 {
			return
		}
		if bits > network.Bits() {
			continue
		}
		if node, ok := s.nodeWithin(m, addr, bits); ok {
			c.Node, c.Range = node, bits
			if zone := s.zoneOf(node); zone != 0 {
				c.Zone = zone
			}
			return
		}
	}
}

// claims is what the records of an address agree on.
type claims struct {
	namespace string
	at        Place
	seen      int
	sure      bool // pods say it
	torn      bool // they say several nodes
	cluster   bool // it is a service's: kube-proxy may add it to an interface, but nobody asks from it for himself
}

// add adds the records of an address.
func (c *claims) add(s *Snapshot, all chain) {
	for service, r, ok := all.next(); ok && !c.cluster; service, r, ok = all.next() {
		namespace := (*service)[1+int((*service)[0]):]
		switch c.seen++; {
		case r.cluster():
			*c = claims{cluster: true}
		case c.seen > mostClaims:
			c.namespace, c.torn = "", true
			return
		case c.seen == 1:
			c.namespace, c.at = namespace, r.place
		default:
			c.agree(s, namespace, r.place)
		}
	}
}

// agree takes back what another record contradicts. One that knows no place contradicts none.
func (c *claims) agree(s *Snapshot, namespace string, at Place) {
	if c.namespace != namespace {
		c.namespace = ""
	}
	switch {
	case at == 0 || at == c.at:
	case c.at == 0:
		c.at = at
	case s.places.at(at).node != s.places.at(c.at).node:
		c.torn = true
	}
}

// LiveNode is a node, and the addresses that lead to it.
type LiveNode struct {
	Name, Zone string
	Addrs      []netip.Addr   // its own
	Pods       []netip.Prefix // what it gives to its pods
}

// nodeRange is a range of addresses with the nodes that have it. One alone is the rule.
type nodeRange struct {
	key   rangeKey
	nodes []Locality
}

// rangeKey is an address, that of IPv4 as IPv6 maps it, and how many of its bits count.
type rangeKey [17]byte

func keyOf(prefix netip.Prefix) (key rangeKey) {
	prefix = prefix.Masked()
	ip := prefix.Addr().As16()
	copy(key[:], ip[:])
	key[16] = byte(prefix.Bits() + 128 - prefix.Addr().BitLen())
	return key
}

func (r *nodeRange) is(key []byte) bool         { return string(r.key[:]) == string(key) }
func (r *nodeRange) same(other *nodeRange) bool { return r.key == other.key }
func (r *nodeRange) sum() uint64                { return hash(r.key[:]) }

// ranges are those of all nodes, with how many there are of each length, the longest first: a lookup looks for each
// length once, and a cluster has one or two besides those of whole addresses.
type ranges struct {
	trie[*nodeRange]
	lengths []rangeLength
}

type rangeLength struct {
	bits  uint8 // of IPv6
	count int
}

// nodeWithin is the node that has the range of so many bits around addr, 0 if several say so.
func (s *Snapshot) nodeWithin(m *Match, addr netip.Addr, bits int) (node Locality, ok bool) {
	if s.ranges.size == 0 {
		return 0, false
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return 0, false
	}
	key := keyOf(prefix)
	r := s.ranges.get(m.scratch[:copy(m.scratch[:], key[:])])
	if r == nil {
		return 0, false
	}
	if len(r.nodes) > 1 {
		return 0, true
	}
	return r.nodes[0], true
}

// zoneOf is the topology zone of a node, 0 if it is not known.
func (s *Snapshot) zoneOf(node Locality) Locality {
	if int(node) >= len(s.zones) {
		return 0
	}
	return s.zones[node]
}

// LocalityName is the name of a node or a zone, "" for none.
func (s *Snapshot) LocalityName(l Locality) string { return s.places.name(l) }

// SetNode puts now in the place of old, which is as it was set; either may be nil. It is no record: the serial stays.
func (tx *Tx) SetNode(old, now *LiveNode) {
	tx.silent = true
	if old != nil {
		node := tx.index.Places.numberOf(old.Name)
		tx.setZone(node, 0)
		for key := range old.ranges {
			tx.changeRange(key, func(nodes []Locality) []Locality { return without(nodes, node) })
		}
	}
	if now != nil {
		node := tx.index.Places.locality(now.Name)
		tx.setZone(node, tx.index.Places.locality(now.Zone))
		for key := range now.ranges {
			tx.changeRange(key, func(nodes []Locality) []Locality { return append(nodes, node) })
		}
	}
}

// without takes one node out of those of a range. It may have come when there was no number for it, and is 0 there then,
// whatever its name has now.
func without(nodes []Locality, node Locality) []Locality {
	at := slices.Index(nodes, node)
	if at < 0 {
		at = slices.Index(nodes, 0)
	}
	if at < 0 {
		return nodes
	}
	return slices.Delete(nodes, at, at+1)
}

// ranges yields the ranges of the node, each once: an address may be the internal and the external one.
func (n *LiveNode) ranges(yield func(rangeKey) bool) {
	seen := map[rangeKey]struct{}{}
	first := func(key rangeKey) bool {
		_, again := seen[key]
		seen[key] = struct{}{}
		return again || yield(key)
	}
	for _, addr := range n.Addrs {
		addr = addr.Unmap()
		if !first(keyOf(netip.PrefixFrom(addr, addr.BitLen()))) {
			return
		}
	}
	for _, p := range n.Pods {
		if !first(keyOf(p)) {
			return
		}
	}
}

func (tx *Tx) setZone(node, zone Locality) {
	if node == 0 || tx.snap.zoneOf(node) == zone { // without a number, it must not give its zone to all unknown ones
		return
	}
	size := max(len(tx.snap.zones), int(node)+1)
	zones := append(make([]Locality, 0, size), tx.snap.zones...)[:size]
	zones[node] = zone
	tx.snap.zones = zones
}

// changeRange changes the nodes of a range: those of the snapshot stay as they are.
func (tx *Tx) changeRange(key rangeKey, change func([]Locality) []Locality) {
	all := &tx.snap.ranges
	var nodes []Locality
	old := all.get(key[:])
	if old != nil {
		nodes = slices.Clone(old.nodes)
	}
	if nodes = change(nodes); len(nodes) > 0 {
		all.trie = all.put(&nodeRange{key, nodes}, tx.edit)
	} else {
		all.trie = all.drop(key[:], tx.edit)
	}
	switch {
	case old == nil && len(nodes) > 0:
		all.count(key[16], 1)
	case old != nil && len(nodes) == 0:
		all.count(key[16], -1)
	}
}

// count notes that there are more ranges of a length, or fewer.
func (r *ranges) count(bits uint8, more int) {
	at, ok := slices.BinarySearchFunc(r.lengths, bits, func(l rangeLength, bits uint8) int { return int(bits) - int(l.bits) })
	r.lengths = slices.Clone(r.lengths) // snapshots have it
	if !ok {
		r.lengths = slices.Insert(r.lengths, at, rangeLength{bits: bits})
	}
	if r.lengths[at].count += more; r.lengths[at].count == 0 {
		r.lengths = slices.Delete(r.lengths, at, at+1)
	}
}

// localities are the numbers that nodes have.
func (s *Snapshot) localities() map[Locality]struct{} {
	used := map[Locality]struct{}{}
	for node, zone := range s.zones {
		if zone != 0 {
			used[Locality(node)], used[zone] = struct{}{}, struct{}{}
		}
	}
	s.ranges.each(func(r *nodeRange) bool {
		for _, node := range r.nodes {
			used[node] = struct{}{}
		}
		return true
	})
	return used
}

// SweepPlaces takes back numbers of places that nobody uses, now and then. held yields those of objects, with their
// namespaces.
func (tx *Tx) SweepPlaces(now time.Time, held iter.Seq2[string, Place]) {
	if !tx.index.Places.crowded(now) {
		return
	}
	used := map[Place]string{}
	for namespace, p := range held {
		used[p] = namespace
	}
	tx.snap.services.each(func(r *ServiceRecords) bool { // those of which the last good state is kept
		for p := range r.places {
			if _, ok := used[p]; !ok {
				used[p] = r.owner[2+int(r.owner[0]):]
			}
		}
		return true
	})
	tx.snap.pods.each(func(p *podAddress) bool {
		for i := range p.pods {
			used[p.pods[i].place] = p.pods[i].label[1:]
		}
		return true
	})
	tx.index.Places.sweep(now, used, tx.snap.localities())
}
