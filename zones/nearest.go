package zones

// Nearest endpoints. A headless service is answered with the addresses of its endpoints, so that the choice among them is
// the policy. It is that of kube-proxy for services with a cluster IP: what the hints in slices say, or what
// internalTrafficPolicy says, and all endpoints where these lead nowhere.

// Nearest is how the endpoints of a headless service are chosen for a client.
type Nearest uint8

const (
	NearestUnset Nearest = iota // the option is not given, or the service does not say
	NearestOff                  // all
	NearestHints                // those that hints of slices give to the client's node, else to its zone, else all
	NearestZone                 // those in the client's zone, else all
	NearestNode                 // those on the client's node, else those in its zone, else all
	NearestLocal                // those on the client's node, even if there are none (internalTrafficPolicy: Local)
)

// NearestModes are the words for it, in a Corefile and in an annotation.
func NearestModes() map[string]Nearest {
	return map[string]Nearest{"off": NearestOff, "hints": NearestHints, "zone": NearestZone, "node": NearestNode}
}

// rule is which endpoints of one family of addresses a client is given.
type rule uint8

const (
	byNothing rule = iota // all
	byNodeHint
	byZoneHint
	byNode
	byZone
)

// Near is which endpoints of a service a client is given. It is made by Choose; the nil Near gives all.
type Near struct {
	Depends bool // other clients may be given others
	Local   bool // what is on other nodes is not given at all

	snapshot *Snapshot
	client   Client
	rules    [2]rule // for addresses of IPv4 and of IPv6, as kube-proxy has one of each
}

// Nearest is how the endpoints at a name are chosen: NearestUnset if it is not the name of a headless service or of one
// of its ports.
func (n *Node) Nearest() Nearest {
	if n.service == nil || n.flags&flagPTR != 0 || !n.service.placed() {
		return NearestUnset
	}
	return Nearest(n.service.blob[nearestAt])
}

// Choose makes near the choice among the endpoints at n, a node of s, for a client.
func (s *Snapshot) Choose(near *Near, n *Node, c Client) {
	how := n.Nearest()
	*near = Near{snapshot: s, client: c, Local: how == NearestLocal}
	v4 := len(n.a) / sizeA
	for family, at := range [...][2]int{{0, v4}, {v4, n.addresses()}} {
		var depends bool
		near.rules[family], depends = s.rule(how, n.places, at[0], at[1], c)
		near.Depends = near.Depends || depends
	}
}

// tally is what the places of the endpoints of a family say together.
type tally struct {
	node, zone         bool // one is on the client's node, in its zone
	forNode, forZone   bool // one has a hint for it
	noNode, noZone     bool // one has no such hint
	nodes, zones       bool // they are on several, or it is not known where one is
	forNodes, forZones bool // their hints differ
}

// rule is the one for the endpoints from at on, before end, and whether it depends on the client.
func (s *Snapshot) rule(how Nearest, packed string, at, end int, c Client) (r rule, depends bool) {
	if at == end {
		return byNothing, false
	}
	var t tally
	first := s.place(placeAt(packed, at))
	for ; at < end; at++ {
		p := s.place(placeAt(packed, at))
		t.node, t.zone = t.node || p.node == c.Node, t.zone || p.zone == c.Zone
		t.forNode = t.forNode || s.places.includes(p.forNodes, c.Node)
		t.forZone = t.forZone || s.places.includes(p.forZones, c.Zone)
		t.noNode, t.noZone = t.noNode || p.forNodes == 0, t.noZone || p.forZones == 0
		t.nodes, t.zones = t.nodes || p.node != first.node, t.zones || p.zone != first.zone
		t.forNodes, t.forZones = t.forNodes || p.forNodes != first.forNodes, t.forZones || p.forZones != first.forZones
	}
	knowsNode, knowsZone := c.Node != 0, c.Zone != 0
	switch how {
	case NearestHints:
		byNodes, byZones := !t.noNode, !t.noZone
		depends = byNodes && t.forNodes || byZones && t.forZones
		switch {
		case byNodes && knowsNode && t.forNode:
			r = byNodeHint
		case byZones && knowsZone && t.forZone:
			r = byZoneHint
		}
	case NearestZone, NearestNode:
		depends = t.zones || how == NearestNode && t.nodes
		switch {
		case how == NearestNode && knowsNode && t.node:
			r = byNode
		case knowsZone && t.zone:
			r = byZone
		}
	case NearestLocal:
		depends = true
		if knowsNode {
			r = byNode
		}
	}
	return r, depends
}

// place is what a number means. A zone that the slice does not say is that of the node.
func (s *Snapshot) place(n Place) place {
	p := s.places.at(n)
	if p.zone == 0 {
		p.zone = s.zoneOf(p.node)
	}
	return p
}

// Has reports whether the i-th address of n is given, those of IPv4 counted first.
func (near *Near) Has(n *Node, i int) bool {
	if near == nil {
		return true
	}
	family := 0
	if i >= len(n.a)/sizeA {
		family = 1
	}
	r := near.rules[family]
	if r == byNothing {
		return true
	}
	s, c := near.snapshot, &near.client
	switch p := s.place(placeAt(n.places, i)); r {
	case byNodeHint:
		return s.places.includes(p.forNodes, c.Node)
	case byZoneHint:
		return s.places.includes(p.forZones, c.Zone)
	case byNode:
		return p.node == c.Node
	default:
		return p.zone == c.Zone
	}
}

// Count is how many addresses of n are given, from the index at on, before end.
func (near *Near) Count(n *Node, at, end int) (count int) {
	if near == nil {
		return end - at
	}
	for ; at < end; at++ {
		if near.Has(n, at) {
			count++
		}
	}
	return count
}

// hasAny reports whether an address of n is given.
func (near *Near) hasAny(n *Node) bool {
	if near == nil {
		return true // a target outside the cluster has no address here
	}
	for i := range n.addresses() {
		if near.Has(n, i) {
			return true
		}
	}
	return false
}

// Node is the name of the client's node, "" if it is not known.
func (near *Near) Node() string { return near.snapshot.LocalityName(near.client.Node) }
