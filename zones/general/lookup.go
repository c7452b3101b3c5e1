package general

import "github.com/clusterdns/clusterdns/zones/wire"

// Outcome is what a lookup has found.
type Outcome uint8

// The outcomes.
const (
	NXDomain   Outcome = iota // the name does not exist
	NoData                    // it exists without records of the type
	Found                     // Answer.Set has the records
	Alias                     // Answer.Set is a CNAME
	Redirect                  // Answer.Set is a DNAME above the name
	Delegation                // Answer.Set is the NS records of another zone that the name is in
)

// Answer is the result of a lookup.
type Answer struct {
	Outcome  Outcome
	Set      *RRset
	Node     *Node // that has Set, or that exists without it
	Labels   int   // of Node
	Wildcard bool  // Node is the wildcard that the name was made of (RFC 4592)
}

// Lookup finds what the zone has for name, which is in it (RFC 1034 section 4.3.2, RFC 4592 section 3.3.1, RFC 6672
// section 3.2). It allocates nothing.
func (z *Zone) Lookup(name *wire.QName, t wire.Type) Answer {
	labels := name.Labels()
	node := z.apex
	for at := z.labels; ; at++ { // node has that many labels
		if at < labels && node.dname != nil {
			return Answer{Outcome: Redirect, Set: node.dname, Node: node, Labels: at}
		}
		if node.cut != nil && (at < labels || t != typeDS) {
			return Answer{Outcome: Delegation, Set: node.cut, Node: node, Labels: at}
		}
		if at == labels {
			return node.answer(t, at, false)
		}
		next := z.nodes[string(name.Suffix(labels-at-1))]
		if next == nil {
			return z.wildcard(name, t, node, at)
		}
		node = next
	}
}

// wildcard answers a name that does not exist from the wildcard below encloser, the longest name above it that does.
func (z *Zone) wildcard(name *wire.QName, t wire.Type, encloser *Node, labels int) Answer {
	var buf [wire.MaxName + 2]byte
	buf[0], buf[1] = 1, '*'
	n := z.nodes[string(buf[:2+copy(buf[2:], encloser.Name)])]
	switch {
	case n == nil:
		return Answer{Outcome: NXDomain, Node: encloser, Labels: labels}
	case n.cut != nil: // a delegation that nobody can make: RFC 4592 section 4.2 leaves it undefined
		return Answer{Outcome: NoData, Node: n, Labels: labels + 1, Wildcard: true}
	}
	return n.answer(t, labels+1, true)
}

func (n *Node) answer(t wire.Type, labels int, wildcard bool) Answer {
	a := Answer{Outcome: NoData, Node: n, Labels: labels, Wildcard: wildcard}
	switch {
	case t == wire.TypeANY && len(n.Sets) > 0: // RFC 8482 section 4.1: one of them
		a.Outcome, a.Set = Found, &n.Sets[0]
	case n.cname != nil && t != wire.TypeCNAME && t != typeRRSIG && t != typeNSEC:
		a.Outcome, a.Set = Alias, n.cname
	default:
		if set := n.Set(t); set != nil {
			a.Outcome, a.Set = Found, set
		}
	}
	return a
}

// Signatures and proofs stand beside a CNAME (RFC 4034 section 3).
const (
	typeRRSIG wire.Type = 46
	typeNSEC  wire.Type = 47
)
