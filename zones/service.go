package zones

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// ServiceRecords are the compiled records of one service: every owner name at and below it, with its rrsets. They are
// immutable, and hold few pointers, so that hundreds of thousands of names cost the garbage collector next to nothing.
type ServiceRecords struct {
	owner  string  // labels of "<service>.<namespace>" in wire form, lower case, no root label
	shared *string // owner again, for PTR records: one string for all versions; set when an index takes the records
	blob   string  // the nodes in the order of their names, encoded
	slots  []slot  // finds nodes by the hash of their names
	why    string  // why the service has no names, in words for people; "" if it has some
}

// slot finds one node of ServiceRecords.
type slot struct{ hash, at uint32 }

func (r *ServiceRecords) is(owner []byte) bool            { return r.owner == string(owner) }
func (r *ServiceRecords) same(other *ServiceRecords) bool { return r.owner == other.owner }
func (r *ServiceRecords) sum() uint64                     { return hashString(r.owner) }

// Owner is the labels of the service and its namespace, in wire form without a root label.
func (r *ServiceRecords) Owner() string { return r.owner }

// Why says why the service has no names; "" if it has some.
func (r *ServiceRecords) Why() string { return r.why }

// equal reports whether r and other have equal content.
func (r *ServiceRecords) equal(other *ServiceRecords) bool {
	return r.owner == other.owner && r.blob == other.blob && r.why == other.why
}

// Flags of a node.
const (
	flagPTR     = 1 << iota // its addresses have PTR records that point to it
	flagCluster             // its addresses are cluster IPs
	flagCNAME
)

// Sizes of packed records, in octets.
const (
	sizeA    = 4
	sizeAAAA = 16
	sizeSRV  = 8 // weight, port, offset of the target's node
)

// Node is one owner name and its rrsets, read from ServiceRecords. The zero Node has no records.
type Node struct {
	service *ServiceRecords
	name    string // labels below the service in wire form, no root label; "" for the service itself
	flags   byte
	a       string // packed addresses
	aaaa    string
	srv     string
	cname   string // absolute, wire form
}

// Name is the node's labels below its service, in wire form without a root label.
func (n *Node) Name() string { return n.name }

// Service is the service that the node belongs to.
func (n *Node) Service() *ServiceRecords { return n.service }

// A is the IPv4 addresses, four octets each.
func (n *Node) A() string { return n.a }

// AAAA is the IPv6 addresses, sixteen octets each.
func (n *Node) AAAA() string { return n.aaaa }

// CNAME is the absolute name that the node is an alias of, in wire form; "" for none.
func (n *Node) CNAME() string { return n.cname }

// SRVs is the number of SRV records.
func (n *Node) SRVs() int { return len(n.srv) / sizeSRV }

// SRV is the i-th SRV record: priority 0, weight and port in wire form, and the node that it points to.
func (n *Node) SRV(i int) (fixed [6]byte, target Node) {
	srv := n.srv[i*sizeSRV : (i+1)*sizeSRV]
	copy(fixed[2:], srv[:4])
	at := uint32(srv[4])<<24 | uint32(srv[5])<<16 | uint32(srv[6])<<8 | uint32(srv[7])
	n.service.read(&target, int(at))
	return fixed, target
}

// Empty reports whether the name exists without records: an empty non-terminal.
func (n *Node) Empty() bool { return n.a == "" && n.aaaa == "" && n.srv == "" && n.cname == "" }

// find reads the node called name, labels below the service, into n.
func (r *ServiceRecords) find(n *Node, name []byte) bool {
	h := uint32(hash(name))
	low, high := 0, len(r.slots)
	for low < high {
		mid := int(uint(low+high) >> 1)
		if r.slots[mid].hash < h {
			low = mid + 1
		} else {
			high = mid
		}
	}
	for ; low < len(r.slots) && r.slots[low].hash == h; low++ {
		r.read(n, int(r.slots[low].at))
		if n.name == string(name) {
			return true
		}
	}
	*n = Node{}
	return false
}

// read decodes the node at offset at of the blob into n, and returns the offset behind it.
func (r *ServiceRecords) read(n *Node, at int) int {
	n.service = r
	size := int(r.blob[at])
	n.name = r.blob[at+1 : at+1+size]
	at += 1 + size
	n.flags = r.blob[at]
	at++
	if n.flags&flagCNAME != 0 {
		size = int(r.blob[at])
		n.a, n.aaaa, n.srv = "", "", ""
		n.cname = r.blob[at+1 : at+1+size]
		return at + 1 + size
	}
	n.cname = ""
	n.a, at = r.packed(at, sizeA)
	n.aaaa, at = r.packed(at, sizeAAAA)
	n.srv, at = r.packed(at, sizeSRV)
	return at
}

// packed reads a count, and that many items of size octets.
func (r *ServiceRecords) packed(at, size int) (string, int) {
	count, shift := 0, 0
	for {
		c := r.blob[at]
		at++
		count |= int(c&0x7f) << shift
		if c < 0x80 {
			break
		}
		shift += 7
	}
	end := at + count*size
	return r.blob[at:end], end
}

// each calls yield with every node in the order of their names, the service itself first. It reuses the Node.
func (r *ServiceRecords) each(yield func(*Node) bool) {
	var n Node
	for at := 0; at < len(r.blob); {
		at = r.read(&n, at)
		if !yield(&n) {
			return
		}
	}
}

// appendNode encodes one node as read expects it.
func appendNode(blob []byte, n *draft, offset []uint32) []byte {
	blob = append(append(blob, byte(len(n.name))), n.name...)
	if n.cname != "" {
		blob = append(blob, n.flags|flagCNAME, byte(len(n.cname)))
		return append(blob, n.cname...)
	}
	blob = append(blob, n.flags)
	blob = binary.AppendUvarint(blob, uint64(len(n.a)))
	for _, a := range n.a {
		blob = append(blob, a[:]...)
	}
	blob = binary.AppendUvarint(blob, uint64(len(n.aaaa)))
	for _, a := range n.aaaa {
		blob = append(blob, a[:]...)
	}
	blob = binary.AppendUvarint(blob, uint64(len(n.srv)))
	weight := uint16(1)
	if n.endpoints > 0 {
		weight = uint16(max(1, 100/n.endpoints))
	}
	for _, s := range n.srv {
		blob = binary.BigEndian.AppendUint16(blob, weight)
		blob = binary.BigEndian.AppendUint16(blob, s.port)
		blob = binary.BigEndian.AppendUint32(blob, offset[s.target])
	}
	return blob
}

// slotsOf makes the slots for the count nodes of r.
func slotsOf(r *ServiceRecords, count int) []slot {
	slots := make([]slot, 0, count)
	var n Node
	for at := 0; at < len(r.blob); {
		next := r.read(&n, at)
		slots = append(slots, slot{uint32(hashString(n.name)), uint32(at)})
		at = next
	}
	slices.SortFunc(slots, func(a, b slot) int { return cmp.Compare(a.hash, b.hash) })
	return slots
}
