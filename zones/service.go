package zones

import "unsafe"

// ServiceRecords are the compiled records of one service: every owner name at and below it, with its rrsets. They are
// immutable, and hold few pointers, so that hundreds of thousands of names cost the garbage collector next to nothing.
type ServiceRecords struct {
	owner  string  // labels of "<service>.<namespace>" in wire form, lower case, no root label
	shared *string // owner again, for PTR records: one string for all versions; set when an index takes the records
	blob   string  // where the nodes begin, lists that they refer to, and the nodes in the order of their names
	slots  []slot  // finds nodes by the hash of their names
	why    string  // why the service has no names, or why nothing answers at those that it has, in words for people
}

// slot finds one node of ServiceRecords.
type slot struct{ hash, at uint32 }

func (r *ServiceRecords) is(owner []byte) bool            { return r.owner == string(owner) }
func (r *ServiceRecords) same(other *ServiceRecords) bool { return r.owner == other.owner }
func (r *ServiceRecords) sum() uint64                     { return hashString(r.owner) }

// Owner is the labels of the service and its namespace, in wire form without a root label.
func (r *ServiceRecords) Owner() string { return r.owner }

// Why says why the service has no names; "" if it has some.
func (r *ServiceRecords) Why() string {
	if r.nameless() {
		return r.why
	}
	return ""
}

// nameless reports whether the service has no names, and that is explained.
func (r *ServiceRecords) nameless() bool { return r.why != "" && r.start() == r.end() }

// What a service takes beside its encoded records, and each of its PTR records with its place in the index, in octets.
const (
	serviceSize = 200
	ptrSize     = 100
)

// Size is about how many octets r takes, with its PTR records.
func (r *ServiceRecords) Size() int {
	size := serviceSize + len(r.owner) + len(r.blob) + len(r.why) + len(r.slots)*int(unsafe.Sizeof(slot{}))
	var n Node
	for at, end := r.start(), r.end(); at < end; {
		if at = r.read(&n, at); n.flags&flagPTR != 0 {
			size += ptrSize * n.addresses()
		}
	}
	if asking := r.asking(); asking.service != nil {
		size += ptrSize * asking.addresses()
	}
	return size
}

// addresses is how many addresses n has.
func (n *Node) addresses() int { return len(n.a)/sizeA + len(n.aaaa)/sizeAAAA }

// equal reports whether r and other have equal content.
func (r *ServiceRecords) equal(other *ServiceRecords) bool {
	return r.owner == other.owner && r.blob == other.blob && r.why == other.why
}

// Flags of a node.
const (
	flagPTR     = 1 << iota // its addresses have PTR records that point to it
	flagCluster             // its addresses are cluster IPs
	flagCNAME
	flagShared // its addresses are a list
	flagSRV
	flagFront    // its service may front this server
	flagHost     // the name is absolute: a target outside the cluster, at which nothing is looked up
	flagHeadless // its service has no addresses but those of its endpoints; in external zones only

	flagsPTR = flagPTR | flagCluster | flagFront // what PTR records depend on
)

// Sizes of packed records, in octets.
const (
	sizeA      = 4
	sizeAAAA   = 16
	sizeTarget = 4 // offset of a node
	sizePort   = 2
	sizeWeight = 2
)

// Node is one owner name and its rrsets, read from ServiceRecords. The zero Node has no records.
type Node struct {
	service *ServiceRecords
	name    string // labels below the service in wire form, no root label; "" for the service itself
	flags   byte
	a       string // packed addresses
	aaaa    string
	places  string // of these addresses, in their order, those of IPv4 first; "" where they are not kept
	twins   string // of each AAAA record, with paired: the IPv4 address of its pod, zeros for none
	srv     string // the weight of each record, and terms: a list of targets, 0 for the node itself, and one of ports
	cname   string // absolute, wire form
}

// Name is the node's labels below its service, in wire form without a root label; absolute if IsHost.
func (n *Node) Name() string { return n.name }

// IsHost reports whether Name is absolute: the target of an SRV record outside the cluster.
func (n *Node) IsHost() bool { return n.flags&flagHost != 0 }

// Service is the service that the node belongs to.
func (n *Node) Service() *ServiceRecords { return n.service }

// A is the IPv4 addresses, four octets each.
func (n *Node) A() string { return n.a }

// AAAA is the IPv6 addresses, sixteen octets each.
func (n *Node) AAAA() string { return n.aaaa }

// CNAME is the absolute name that the node is an alias of, in wire form; "" for none.
func (n *Node) CNAME() string { return n.cname }

// SRVs reads the SRV records of a node one after the other. All of them are nowhere in memory: a node has lists of
// targets and of ports, which other nodes have too.
type SRVs struct {
	Fixed  [6]byte // priority 0, weight and port in wire form
	Target Node    // of the record
	First  bool    // it is the first record of its target

	node    *Node
	terms   string
	near    *Near  // targets without an address that it gives are passed over; nil for none
	targets string // of the term, those that follow
	all     string // ports of the term
	ports   string // of the target, those that follow

	led     byte // whether the order is one client's
	key     ClientKey
	leaders Leaders
}

// SRVs begins before the first record. Those to endpoints that near does not give are left out; nil for none.
func (n *Node) SRVs(near *Near) SRVs {
	s := SRVs{node: n, near: near}
	if n.srv != "" {
		s.Fixed[2], s.Fixed[3] = n.srv[0], n.srv[1]
		s.terms = n.srv[sizeWeight:]
	}
	return s
}

// Next goes to the next record. It reports false when there is none.
func (s *SRVs) Next() bool {
	s.First = false
	if s.ports == "" && !s.NextTarget() {
		return false
	}
	s.Fixed[4], s.Fixed[5] = s.ports[0], s.ports[1]
	s.ports = s.ports[sizePort:]
	return true
}

// NextTarget goes to the next target, before its first record. It reports false when there is none.
func (s *SRVs) NextTarget() bool {
	for s.step() || s.again() && s.step() {
		if !s.skips() {
			return true
		}
	}
	return false
}

// step goes to the next target, in the order in which they are laid out.
func (s *SRVs) step() bool {
	s.First = true
	r := s.node.service
	if s.targets == "" {
		if s.terms == "" {
			return false
		}
		targets, end := number(s.terms, 0)
		ports, end := number(s.terms, end)
		s.terms = s.terms[end:]
		s.all, _ = packed(r.blob, ports, sizePort)
		if targets == 0 {
			s.Target, s.ports = *s.node, s.all
			return true
		}
		s.targets, _ = packed(r.blob, targets, sizeTarget)
	}
	at := offset(s.targets)
	s.targets, s.ports = s.targets[sizeTarget:], s.all
	r.read(&s.Target, at)
	return true
}

// Empty reports whether the name exists without records: an empty non-terminal.
func (n *Node) Empty() bool { return n.a == "" && n.aaaa == "" && n.srv == "" && n.cname == "" }

// find reads the node called name, labels below the service, into n.
func (r *ServiceRecords) find(n *Node, name []byte) bool {
	h := uint32(hash(name))
	for at := r.slot(h); at < len(r.slots) && r.slots[at].hash == h; at++ {
		r.read(n, int(r.slots[at].at))
		if n.name == string(name) {
			return true
		}
	}
	*n = Node{}
	return false
}

// slot is the first slot with a hash, if there is one.
func (r *ServiceRecords) slot(hash uint32) int {
	low, high := 0, len(r.slots)
	for low < high {
		mid := int(uint(low+high) >> 1)
		if r.slots[mid].hash < hash {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// read decodes the node at offset at of the blob into n, and returns the offset behind it.
func (r *ServiceRecords) read(n *Node, at int) int {
	blob := r.blob
	n.service = r
	size := int(blob[at])
	n.name = blob[at+1 : at+1+size]
	at += 1 + size
	n.flags = blob[at]
	at++
	n.places = ""
	if n.flags&flagCNAME != 0 {
		size = int(blob[at])
		n.a, n.aaaa, n.srv = "", "", ""
		n.cname = blob[at+1 : at+1+size]
		return at + 1 + size
	}
	n.cname, n.srv = "", ""
	if n.flags&flagShared != 0 {
		list, end := number(blob, at)
		r.readAddresses(n, list)
		at = end
	} else {
		at = r.readAddresses(n, at)
	}
	if n.flags&flagSRV != 0 {
		n.srv, at = packed(blob, at, 1)
	}
	return at
}

// readAddresses reads addresses at an offset of the blob into n, with their places.
func (r *ServiceRecords) readAddresses(n *Node, at int) (end int) {
	n.a, at = packed(r.blob, at, sizeA)
	n.aaaa, at = packed(r.blob, at, sizeAAAA)
	if r.blob[0]&placed != 0 {
		end = at + n.addresses()*sizePlace
		n.places, at = r.blob[at:end], end
	}
	if n.twins = ""; r.blob[0]&paired != 0 {
		end = at + len(n.aaaa)/sizeAAAA*sizeA
		n.twins, at = r.blob[at:end], end
	}
	return at
}

// packed reads a count at an offset of blob, and that many items of size octets.
func packed(blob string, at, size int) (items string, end int) {
	count := int(blob[at])
	at++
	if count >= 0x80 {
		count, at = long(blob, count, at)
	}
	end = at + count*size
	return blob[at:end], end
}

// number reads a number at an offset of blob as binary.AppendUvarint writes it.
func number(blob string, at int) (n, end int) {
	n = int(blob[at])
	at++
	if n >= 0x80 {
		n, at = long(blob, n, at)
	}
	return n, at
}

// long reads a number whose first octet is not its last. It is a function of its own so that those of one octet, nearly
// all, are read without a call.
//
//go:noinline
func long(blob string, n, at int) (number, end int) {
	n &= 0x7f
	for shift := 7; ; shift += 7 {
		c := blob[at]
		at++
		n |= int(c&0x7f) << shift
		if c < 0x80 {
			return n, at
		}
	}
}

// start is the offset of the first node.
func (r *ServiceRecords) start() int {
	if r.blob == "" {
		return 0
	}
	return offset(r.blob) &^ (headBits << 24)
}

// end is the offset behind the last node.
func (r *ServiceRecords) end() int {
	if r.placed() {
		return offset(r.blob[endAt:])
	}
	return len(r.blob)
}

// placed reports whether the places of addresses are kept.
func (r *ServiceRecords) placed() bool { return r.blob != "" && r.blob[0]&placed != 0 }

// asking is the endpoints that are not ready as one node without a name; the zero Node where they are not kept.
func (r *ServiceRecords) asking() (n Node) {
	if r.placed() {
		n.service, n.flags = r, flagPTR
		r.readAddresses(&n, r.end())
	}
	return n
}

// places yields the places of all addresses.
func (r *ServiceRecords) places(yield func(Place) bool) {
	nodes := func(visit func(*Node) bool) {
		asking := r.asking()
		if visit(&asking) {
			r.each(visit)
		}
	}
	for n := range nodes {
		for at := 0; at < len(n.places)/sizePlace; at++ {
			if !yield(placeAt(n.places, at)) {
				return
			}
		}
	}
}

// offset is the offset of a node that packed begins with.
func offset(packed string) int {
	return int(packed[0])<<24 | int(packed[1])<<16 | int(packed[2])<<8 | int(packed[3])
}

// each calls yield with every node in the order of their names, the service itself first, but not with targets outside.
// It reuses the Node.
func (r *ServiceRecords) each(yield func(*Node) bool) {
	var n Node
	for at, end := r.start(), r.end(); at < end; {
		at = r.read(&n, at)
		if !n.IsHost() && !yield(&n) {
			return
		}
	}
}
