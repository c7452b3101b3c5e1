// Package general holds zones of RFC 1034 that consist of records: those of zone files, of transfers, and of other
// sources that are no Kubernetes cluster.
//
// A Zone never changes, so any number of goroutines may read it without locks. Whoever learns of other records makes
// another Zone, and exchanges the pointer.
package general

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// Zone is the records of one zone, by owner. Names above owners exist too, without records: they are empty
// non-terminals (RFC 8020).
type Zone struct {
	apex    *Node
	labels  int // of the apex
	nodes   map[string]*Node
	soa     *RRset
	serial  uint32
	records int
}

// Node is a name that exists. Without rrsets it is an empty non-terminal.
type Node struct {
	Name []byte  // in wire form and lower case
	Sets []RRset // by type, in order

	cut   *RRset // NS below the apex: what is below belongs to another zone
	cname *RRset
	dname *RRset
}

// RRset is the records of one owner and type. They have one TTL, the smallest of the file (RFC 2181 section 5.2).
type RRset struct {
	Type    wire.Type
	TTL     uint32   // in seconds
	Data    [][]byte // of each record in wire form, names in full and in the case of the file
	Targets []*Node  // names of the zone that records of NS, MX or SRV lead to
}

// Errors of New.
var (
	errNoSOA = errors.New("has no SOA record at its apex")
)

// New makes the zone called origin of records, whose owners must be at or below it. Of several SOA records at the apex
// the last one counts.
func New(origin string, records []dns.RR) (*Zone, error) {
	apex, err := wire.ParseName(origin)
	if err != nil {
		return nil, err
	}
	z := &Zone{labels: wire.Labels(apex), nodes: make(map[string]*Node, len(records))}
	z.apex = z.node(apex)
	for _, rr := range records {
		if err := z.add(rr); err != nil {
			return nil, err
		}
	}
	if z.soa = z.apex.Set(wire.TypeSOA); z.soa == nil {
		return nil, fmt.Errorf("zone %s %w", origin, errNoSOA)
	}
	z.link()
	return z, nil
}

// node is the node called name, made with all nodes between it and the apex if it is not there.
func (z *Zone) node(name []byte) *Node {
	n := z.nodes[string(name)]
	if n == nil {
		n = &Node{Name: slices.Clone(name)}
		z.nodes[string(n.Name)] = n
		if wire.Labels(name) > z.labels {
			z.node(name[1+int(name[0]):])
		}
	}
	return n
}

func (z *Zone) add(rr dns.RR) error {
	h := rr.Header()
	owner, err := wire.ParseName(strings.ToLower(h.Name))
	if err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	if !wire.Within(owner, z.apex.Name) {
		return fmt.Errorf("%s is not in the zone %s", h.Name, wire.NameString(z.apex.Name))
	}
	data, err := packData(rr)
	if err != nil {
		return fmt.Errorf("%s %s: %w", h.Name, dns.Type(h.Rrtype), err)
	}
	n := z.node(owner)
	typ := wire.Type(h.Rrtype)
	at, known := slices.BinarySearchFunc(n.Sets, typ, func(s RRset, t wire.Type) int { return cmp.Compare(s.Type, t) })
	if !known {
		n.Sets = slices.Insert(n.Sets, at, RRset{Type: typ, TTL: h.Ttl})
	}
	s := &n.Sets[at]
	s.TTL = min(s.TTL, h.Ttl)
	same := func(other []byte) bool { return string(other) == string(data) }
	switch {
	case typ == wire.TypeSOA:
		s.TTL, s.Data = h.Ttl, [][]byte{data}
		if soa, ok := rr.(*dns.SOA); ok {
			z.serial = soa.Serial
		}
	case slices.ContainsFunc(s.Data, same): // RFC 2181 section 5: a set has no record twice
		return nil
	default:
		s.Data = append(s.Data, data)
	}
	z.records++
	return nil
}

// packData is the data of a record in wire form, without compression.
func packData(rr dns.RR) ([]byte, error) {
	buf := make([]byte, dns.Len(rr)+1)
	end, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return nil, err
	}
	at, _ := wire.SkipName(buf, 0)
	return slices.Clip(buf[at+10 : end]), nil
}

// link finds for each node what the lookup wants to know of it, once all records are there.
func (z *Zone) link() {
	for _, n := range z.nodes {
		for i := range n.Sets {
			s := &n.Sets[i]
			switch s.Type {
			case wire.TypeNS:
				if n != z.apex {
					n.cut = s
				}
			case wire.TypeCNAME:
				n.cname = s
			case typeDNAME:
				n.dname = s
			}
			s.Targets = z.targets(s)
		}
	}
}

// typeDNAME is defined in RFC 6672, typeDS in RFC 4034.
const (
	typeDNAME wire.Type = 39
	typeDS    wire.Type = 43
)

// targets are the nodes that the data of s leads to, each once.
func (z *Zone) targets(s *RRset) (list []*Node) {
	before, ok := map[wire.Type]int{wire.TypeNS: 0, wire.TypeMX: 2, wire.TypeSRV: 6}[s.Type]
	if !ok {
		return nil
	}
	for _, data := range s.Data {
		var name wire.QName
		name.Set(data[before:])
		if n := z.nodes[string(name.Name())]; n != nil && !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list
}

// Set is the rrset of type t at n; nil for none.
func (n *Node) Set(t wire.Type) *RRset {
	for i := range n.Sets {
		if n.Sets[i].Type == t {
			return &n.Sets[i]
		}
	}
	return nil
}

// Apex is the node of the zone's own name.
func (z *Zone) Apex() *Node { return z.apex }

// SOA is the rrset of the zone's SOA record.
func (z *Zone) SOA() *RRset { return z.soa }

// Serial is the serial of the SOA record.
func (z *Zone) Serial() uint32 { return z.serial }

// Records is the number of records.
func (z *Zone) Records() int { return z.records }

// NegativeTTL is how long a denial may be kept, in seconds: the smaller one of the SOA's TTL and its MINIMUM, its last
// field (RFC 2308 section 5).
func (z *Zone) NegativeTTL() uint32 {
	data := z.soa.Data[0]
	m := data[len(data)-4:]
	return min(z.soa.TTL, uint32(m[0])<<24|uint32(m[1])<<16|uint32(m[2])<<8|uint32(m[3]))
}
