package general

import "github.com/clusterdns/clusterdns/zones/wire"

// Outcome is what a zone has for a name and type.
type Outcome uint8

// The outcomes of a lookup (RFC 1034 section 4.3.2).
const (
	Found    Outcome = iota // RRset answers
	Alias                   // RRset is a CNAME to follow
	Redirect                // RRset is a DNAME above the name (RFC 6672 section 3.2)
	Referral                // RRset is the NS records of a zone that is delegated
	NoData                  // the name exists, or a wildcard stands for it, without records of the type
	NoName                  // the name does not exist
)

// Match is the result of a lookup.
type Match struct {
	Outcome Outcome
	Node    Node  // the name, the wildcard, the owner of the DNAME or of the zone cut; none for NoName
	RRset   RRset // none for NoData and NoName
	Labels  int   // of Node's owner; for NoName of the longest name above that exists
	Wild    bool  // Node is a wildcard that stands for the name (RFC 4592)
}

// Lookup finds what the zone has for name, which is in the zone, and for the type.
func (z *Zone) Lookup(name *wire.QName, t wire.Type) (m Match) {
	node, labels := z.encloser(name)
	if above := node.above(); above != 0 {
		top := z.node(above)
		return z.hidden(top, wire.Labels(top.Owner()))
	}
	exact := labels == name.Labels()
	if labels > z.labels && (!exact || t != wire.TypeDS) {
		if rrset, ok := node.RRset(wire.TypeNS); ok {
			return Match{Outcome: Referral, Node: node, RRset: rrset, Labels: labels}
		}
	}
	if exact {
		return node.match(t, labels)
	}
	if rrset, ok := node.RRset(wire.TypeDNAME); ok {
		return Match{Outcome: Redirect, Node: node, RRset: rrset, Labels: labels}
	}
	if wild, ok := z.wildcard(node); ok {
		m = wild.match(t, labels+1)
		m.Wild = true
		return m
	}
	return Match{Outcome: NoName, Labels: labels}
}

// wildcard is the node that stands for names below encloser that do not exist (RFC 4592 section 2.2.1).
func (z *Zone) wildcard(encloser Node) (n Node, ok bool) {
	var owner [wire.MaxName + 2]byte
	size := 2 + copy(owner[2:], encloser.Owner())
	owner[0], owner[1] = 1, '*'
	if size > wire.MaxName {
		return Node{}, false
	}
	return z.find(owner[:size])
}

// match is what the node has of the type.
func (n Node) match(t wire.Type, labels int) Match {
	m := Match{Outcome: NoData, Node: n, Labels: labels}
	for s := range n.RRsets {
		switch {
		case s.Type == t || t == wire.TypeANY && m.Outcome == NoData:
			m.Outcome, m.RRset = Found, s
		case s.Type == wire.TypeCNAME && t != wire.TypeANY && m.Outcome != Found:
			m.Outcome, m.RRset = Alias, s
		}
	}
	return m
}

// hidden is the match of a name below a zone cut or a DNAME.
func (z *Zone) hidden(top Node, labels int) Match {
	m := Match{Node: top, Labels: labels}
	if rrset, ok := top.RRset(wire.TypeNS); ok && labels > z.labels {
		m.Outcome, m.RRset = Referral, rrset
		return m
	}
	m.Outcome = Redirect
	m.RRset, _ = top.RRset(wire.TypeDNAME)
	return m
}

// encloser is the longest name that exists at or above name, and its number of labels. With a name exist all names above
// it, so the search halves what is left.
func (z *Zone) encloser(name *wire.QName) (n Node, labels int) {
	all := name.Labels()
	if n, ok := z.find(name.Name()); ok {
		return n, all
	}
	n, labels = z.Top(), z.labels
	for most := all - 1; labels < most; {
		middle := (labels + most + 1) / 2
		if found, ok := z.find(name.Suffix(all - middle)); ok {
			n, labels = found, middle
		} else {
			most = middle - 1
		}
	}
	return n, labels
}

// Top is the node of the zone's name.
func (z *Zone) Top() Node { return z.node(1) }

// Target is the node of a name in a record, glue too, or of the wildcard that stands for it; ok is false if the zone has
// no such name.
func (z *Zone) Target(name []byte) (n Node, ok bool) {
	if !wire.Within(name, []byte(z.apex)) {
		return Node{}, false
	}
	if n, ok = z.find(name); ok {
		return n, true
	}
	for !ok {
		name = name[1+int(name[0]):]
		n, ok = z.find(name)
	}
	_, cut := n.RRset(wire.TypeNS)
	_, dname := n.RRset(wire.TypeDNAME)
	if n.above() != 0 || cut && string(name) != z.apex || dname {
		return Node{}, false
	}
	return z.wildcard(n)
}

// SOA is the data of the SOA record, its TTL, and the TTL of denials (RFC 2308 section 5).
func (z *Zone) SOA() (data []byte, ttl, negative uint32) {
	rrset, _ := z.Top().RRset(wire.TypeSOA)
	n := z.Numbers()
	return rrset.First(), rrset.TTL, min(rrset.TTL, n.Minimum)
}
