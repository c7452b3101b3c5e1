package general

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"unsafe"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// seed keeps hashes unpredictable to those who choose names.
var seed = maphash.MakeSeed()

// Zone is all records of one zone. Its memory is two slices, whatever its size, so that the garbage collector has
// nothing to follow.
type Zone struct {
	apex    string // in wire form and lower case
	labels  int    // of apex
	octets  []byte // the nodes, one behind the other
	slots   []slot // a hash table of the nodes, open addressing
	records int
	names   int // owners of records
	serial  uint32
}

// slot is a place of the hash table: at is the offset of the node plus 1, 0 for none.
type slot struct{ hash, at uint32 }

// A node is
//
//	1    size of the owner
//	n    owner, in wire form and lower case
//	4    offset plus 1 of the node of the nearest zone cut or DNAME above it, 0 for none
//	2    number of rrsets, 0 for an empty non-terminal
//
// and then its rrsets by ascending type, each
//
//	2    type
//	4    TTL
//	2    number of records
//	4    octets that follow
//
// and for each record 2 octets with the size of its data, and the data.
const (
	nodeFixed   = 1 + 4 + 2
	rrsetFixed  = 2 + 4 + 2 + 4
	recordFixed = 2
)

// Apex is the zone's name, in wire form and lower case.
func (z *Zone) Apex() string { return z.apex }

// Labels is the number of labels of the zone's name.
func (z *Zone) Labels() int { return z.labels }

// Serial is that of the SOA record.
func (z *Zone) Serial() uint32 { return z.serial }

// Records is the number of records.
func (z *Zone) Records() int { return z.records }

// Equal reports whether o has the same records.
func (z *Zone) Equal(o *Zone) bool { return z.apex == o.apex && bytes.Equal(z.octets, o.octets) }

// Size is the octets that the zone takes in memory.
func (z *Zone) Size() int { return len(z.octets) + 8*len(z.slots) }

// find is the node with that owner.
func (z *Zone) find(owner []byte) (n Node, ok bool) {
	h := uint32(maphash.Bytes(seed, owner))
	for i := h % uint32(len(z.slots)); ; i++ {
		if i == uint32(len(z.slots)) {
			i = 0
		}
		s := z.slots[i]
		if s.at == 0 {
			return Node{}, false
		}
		if s.hash == h {
			if n = z.node(s.at); string(n.Owner()) == string(owner) {
				return n, true
			}
		}
	}
}

// node is the node at an offset plus 1.
func (z *Zone) node(at uint32) Node { return Node{z.octets[at-1:]} }

// Node is a name that exists, with its rrsets.
type Node struct{ octets []byte }

// Owner is the name, in wire form and lower case.
func (n Node) Owner() []byte { return n.octets[1 : 1+int(n.octets[0])] }

// Name is Owner as a string. It shares the zone's memory, which never changes.
func (n Node) Name() string {
	owner := n.Owner()
	return unsafe.String(&owner[0], len(owner))
}

// Empty reports whether the node has no records.
func (n Node) Empty() bool { return n.count() == 0 }

func (n Node) fixed() []byte { return n.octets[1+int(n.octets[0]):] }

// above is the offset plus 1 of the node that hides this one.
func (n Node) above() uint32 { return binary.BigEndian.Uint32(n.fixed()) }

func (n Node) count() int { return int(binary.BigEndian.Uint16(n.fixed()[4:])) }

// RRset is the rrset of that type; ok is false if there is none.
func (n Node) RRset(t wire.Type) (rrset RRset, ok bool) {
	for rrset = range n.RRsets {
		if rrset.Type == t {
			return rrset, true
		}
	}
	return RRset{}, false
}

// RRsets calls yield with each rrset.
func (n Node) RRsets(yield func(RRset) bool) {
	rest := n.fixed()[6:]
	for range n.count() {
		size := int(binary.BigEndian.Uint32(rest[8:]))
		s := RRset{
			Type:  wire.Type(binary.BigEndian.Uint16(rest)),
			TTL:   binary.BigEndian.Uint32(rest[2:]),
			Count: int(binary.BigEndian.Uint16(rest[6:])),
			data:  rest[rrsetFixed : rrsetFixed+size],
		}
		if !yield(s) {
			return
		}
		rest = rest[rrsetFixed+size:]
	}
}

// RRset is the records of one owner and type.
type RRset struct {
	Type  wire.Type
	TTL   uint32
	Count int
	data  []byte
}

// Data calls yield with the data of each record: names in full and in lower case.
func (s RRset) Data(yield func(data []byte) bool) {
	for rest := s.data; len(rest) > 0; {
		size := int(binary.BigEndian.Uint16(rest))
		if !yield(rest[recordFixed : recordFixed+size]) {
			return
		}
		rest = rest[recordFixed+size:]
	}
}

// Target is the name that a CNAME or DNAME record points to. It shares the zone's memory, which never changes.
func (s RRset) Target() string {
	data := s.First()
	return unsafe.String(&data[0], len(data))
}

// First is the data of the first record.
func (s RRset) First() []byte {
	return s.data[recordFixed : recordFixed+int(binary.BigEndian.Uint16(s.data))]
}

// Record is one record of an owner.
type Record struct {
	Type wire.Type
	TTL  uint32
	Data []byte
}

// Contents calls yield with each record but the SOA, the apex first and then names in canonical order, until yield
// returns false.
func (z *Zone) Contents(yield func(owner []byte, r Record) bool) {
	for at := 0; at < len(z.octets); {
		n := z.node(uint32(at) + 1)
		at += nodeFixed + int(n.octets[0])
		for s := range n.RRsets {
			at += rrsetFixed + len(s.data)
			if s.Type == wire.TypeSOA {
				continue
			}
			for data := range s.Data {
				if !yield(n.Owner(), Record{s.Type, s.TTL, data}) {
					return
				}
			}
		}
	}
}
