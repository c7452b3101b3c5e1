package zones

import (
	"maps"
	"reflect"
	"sync/atomic"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// Names is owner names with their rrsets, of a source that is neither a cluster's services nor a zone file: keys of etcd
// (zones/skydns), or hosts of Ingresses and routes (watch). It never changes, so any number of goroutines may read it.
type Names struct {
	Serial    uint32
	Wildcards bool // labels * are those of RFC 4592; else * and any, in front of a question, stand for any labels
	Partial   bool // not all of the source is known: a name that is missing may exist
	nodes     map[string]*NamesNode
}

// NamesNode is one owner name. The zero NamesNode is an empty non-terminal.
type NamesNode struct {
	RRsets   []RRset
	Alias    string // absolute, wire form: for the types that the node has no rrset of; "" for none
	AliasTTL uint32
	above    bool // there are names below it
}

// RRset is the records of one type. Data is in wire form without compression; all A or AAAA records are one string.
type RRset struct {
	Type wire.Type
	TTL  uint32
	Data [][]byte
	Addr string // packed addresses of A or AAAA records
}

// NewNames makes the table of nodes, whose keys are absolute names in wire form and lower case. It adds the empty
// non-terminals.
func NewNames(nodes map[string]*NamesNode) *Names {
	n := &Names{nodes: nodes}
	all := make([]string, 0, len(nodes))
	for name := range nodes {
		all = append(all, name)
	}
	for _, name := range all {
		for len(name) > 1 {
			name = name[1+int(name[0]):]
			node := nodes[name]
			if node == nil {
				node = &NamesNode{}
				nodes[name] = node
			} else if node.above {
				break
			}
			node.above = true
		}
	}
	return n
}

// Equal reports whether both have the same names and records.
func (n *Names) Equal(other *Names) bool {
	return n.Wildcards == other.Wildcards && n.Partial == other.Partial &&
		maps.EqualFunc(n.nodes, other.nodes, func(a, b *NamesNode) bool { return reflect.DeepEqual(a, b) })
}

// Len is the number of names.
func (n *Names) Len() int { return len(n.nodes) }

// Node is the node of a name in wire form; nil for none.
func (n *Names) Node(name []byte) *NamesNode { return n.nodes[string(name)] }

// Find is the node that answers for name, whose last zone labels are a zone; nil for none. It allocates nothing.
func (n *Names) Find(name *wire.QName, zone int) *NamesNode {
	if node := n.Node(name.Name()); node != nil {
		return node
	}
	if n.Wildcards {
		return n.wildcard(name, zone)
	}
	skip := 0
	for skip < name.Labels()-zone && (string(name.Label(skip)) == "*" || string(name.Label(skip)) == "any") {
		skip++
	}
	node := n.Node(name.Suffix(skip))
	switch {
	case skip == 0 || node == nil || !node.above:
		return nil
	case skip == name.Labels()-zone:
		return n.below(name.Suffix(skip))
	}
	return node
}

// LabelAny is the label * in wire form. The node <LabelAny><zone> has what * and any stand for directly below a zone.
const LabelAny = "\x01*"

// below is the node *.<name>.
func (n *Names) below(name []byte) *NamesNode {
	var key [wire.MaxName + len(LabelAny)]byte
	size := copy(key[:], LabelAny)
	size += copy(key[size:], name)
	return n.Node(key[:size])
}

// wildcard is the node *.<closest encloser> (RFC 4592 section 3.3.1).
func (n *Names) wildcard(name *wire.QName, zone int) *NamesNode {
	for skip := 1; skip <= name.Labels()-zone; skip++ {
		encloser := name.Suffix(skip)
		if skip < name.Labels()-zone && n.Node(encloser) == nil {
			continue
		}
		return n.below(encloser)
	}
	return nil
}

// RRset is the node's rrset of type t; nil for none.
func (n *NamesNode) RRset(t wire.Type) *RRset {
	for i := range n.RRsets {
		if n.RRsets[i].Type == t {
			return &n.RRsets[i]
		}
	}
	return nil
}

// Count is how many records n has.
func (n *NamesNode) Count() (count int) {
	for i := range n.RRsets {
		switch s := &n.RRsets[i]; s.Type {
		case wire.TypeA:
			count += len(s.Addr) / 4
		case wire.TypeAAAA:
			count += len(s.Addr) / 16
		default:
			count += len(s.Data)
		}
	}
	return count
}

// Add adds records of a type. The TTL of an rrset is the least of its records (RFC 2181 section 5.2), and no record is
// in it twice.
func (n *NamesNode) Add(t wire.Type, ttl uint32, data []byte) {
	set := n.RRset(t)
	if set == nil {
		n.RRsets = append(n.RRsets, RRset{Type: t, TTL: ttl})
		set = &n.RRsets[len(n.RRsets)-1]
	}
	set.TTL = min(set.TTL, ttl)
	if t == wire.TypeA || t == wire.TypeAAAA {
		for at := 0; at < len(set.Addr); at += len(data) {
			if set.Addr[at:at+len(data)] == string(data) {
				return
			}
		}
		set.Addr += string(data)
		return
	}
	for _, d := range set.Data {
		if string(d) == string(data) {
			return
		}
	}
	set.Data = append(set.Data, data)
}

// Text is the data of a TXT record (RFC 1035 section 3.3.14). What is longer than 32 KiB is cut.
func Text(s string) (data []byte) {
	for {
		size := min(len(s), 255)
		data = append(append(data, byte(size)), s[:size]...)
		if s = s[size:]; s == "" || len(data) > 32<<10 {
			return data
		}
	}
}

// NamesPlace is where one goroutine publishes Names and many read them, without locks.
type NamesPlace struct{ current atomic.Pointer[Names] }

// Names is what was published last; nil before anything was.
func (p *NamesPlace) Names() *Names { return p.current.Load() }

// Publish has readers see n from now on.
func (p *NamesPlace) Publish(n *Names) { p.current.Store(n) }
