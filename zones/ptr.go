package zones

import (
	"cmp"
	"net/netip"
	"strings"
)

// PTR is one PTR record of an address, and through next the others, cluster IPs first. The list is immutable. It holds nothing of
// the ServiceRecords that it was made for: when a service that changes most records stay.
type PTR struct {
	record  string  // size of the address, with pointerCluster; the address; labels of the host in wire form, no root label
	service *string // labels of the service and its namespace in wire form, no root label: one string for all records of the service
	next    *PTR
}

// pointerCluster says that the address is a cluster IP of the service: it wins over endpoints.
const ptrCluster = 0x80

// appendPointer appends the record of an address of n.
func appendPTR(record []byte, addr netip.Addr, n *Node) []byte {
	head := byte(addr.BitLen() / 8)
	if n.flags&flagCluster != 0 {
		head |= ptrCluster
	}
	return append(appendAddr(append(record, head), addr), n.name...)
}

// appendAddr appends the octets of an address: what it is found by.
func appendAddr(key []byte, addr netip.Addr) []byte {
	if addr.Is4() {
		ip := addr.As4()
		return append(key, ip[:]...)
	}
	ip := addr.As16()
	return append(key, ip[:]...)
}

func (p *PTR) is(addr []byte) bool  { return p.addr() == string(addr) }
func (p *PTR) same(other *PTR) bool { return p.addr() == other.addr() }
func (p *PTR) sum() uint64          { return hashString(p.addr()) }

// addr is the octets of the address, four or sixteen.
func (p *PTR) addr() string { return p.record[1 : 1+p.size()] }

func (p *PTR) size() int { return int(p.record[0] &^ ptrCluster) }

func (p *PTR) cluster() bool { return p.record[0]&ptrCluster != 0 }

// Host is the labels of the target below its service, in wire form without a root label; "" for the service itself. The target is
// Host, Service and svc.<zone>.
func (p *PTR) Host() string { return p.record[1+p.size():] }

// Service is the labels of the service and its namespace, in wire form without a root label.
func (p *PTR) Service() string { return *p.service }

// Next is the next PTR record that answers for the same address, nil at the end: a cluster IP hides endpoints.
func (p *PTR) Next() *PTR {
	if p.next == nil || p.next.cluster() != p.cluster() {
		return nil
	}
	return p.next
}

// Address is the address that has the PTR record.
func (p *PTR) Address() netip.Addr {
	addr, _ := netip.AddrFromSlice([]byte(p.addr()))
	return addr
}

// with is the list with add: cluster IPs first, each kind newest first, so that an address which very many services share still
// takes one more in constant time.
func (p *PTR) with(add *PTR) *PTR {
	if p == nil || add.cluster() || !p.cluster() {
		add.next = p
		return add
	}
	head := *p
	head.next = p.next.with(add)
	return &head
}

// removal names a PTR record that a change takes away.
type removal struct{ record, service string }

// without is the list without the records in gone, which are taken out of gone. What follows the last of them is shared.
func (p *PTR) without(gone map[removal]struct{}) *PTR {
	var head *PTR
	end, tail := &head, p
	for at := p; at != nil && len(gone) > 0; at = at.next {
		found := removal{at.record, *at.service}
		if _, ok := gone[found]; !ok {
			continue
		}
		delete(gone, found)
		for ; tail != at; tail = tail.next {
			kept := *tail
			*end, end = &kept, &kept.next
		}
		tail = at.next
	}
	*end = tail
	return head
}

// pointers walks the PTR records that a service implies, in the order of name and address, without making them.
type ptrWalk struct {
	service *ServiceRecords
	at      int // offset of the next node
	node    Node
	i       int // next address of node: those of its A records, then of its AAAA records
}

// next is the next address with a PTR record to node; ok is false at the end.
func (w *ptrWalk) next() (addr netip.Addr, ok bool) {
	for {
		v4 := len(w.node.a) / sizeA
		switch {
		case w.node.flags&flagPTR == 0:
		case w.i < v4:
			at := w.i * sizeA
			w.i++
			return netip.AddrFrom4([sizeA]byte([]byte(w.node.a[at : at+sizeA]))), true
		case w.i-v4 < len(w.node.aaaa)/sizeAAAA:
			at := (w.i - v4) * sizeAAAA
			w.i++
			return netip.AddrFrom16([sizeAAAA]byte([]byte(w.node.aaaa[at : at+sizeAAAA]))), true
		}
		if w.service == nil || w.at >= len(w.service.blob) {
			return addr, false
		}
		w.at = w.service.read(&w.node, w.at)
		w.i = 0
	}
}

// repoint changes the PTR records from those of old to those of new, either of which may be nil. Records in both stay as they are.
func (tx *Tx) updatePTRs(old, new *ServiceRecords) {
	o, n := ptrWalk{service: old}, ptrWalk{service: new}
	oldAddr, oldOK := o.next()
	newAddr, newOK := n.next()
	for oldOK || newOK {
		order := 0
		switch {
		case !oldOK:
			order = 1
		case !newOK:
			order = -1
		default:
			order = compare(&o, oldAddr, &n, newAddr)
		}
		if order < 0 {
			tx.removePTR(oldAddr, &o.node)
		}
		if order > 0 {
			tx.addPTR(newAddr, &n.node)
		}
		if order <= 0 {
			oldAddr, oldOK = o.next()
		}
		if order >= 0 {
			newAddr, newOK = n.next()
		}
	}
}

// compare is the order in which pointers.next yields.
func compare(o *ptrWalk, oldAddr netip.Addr, n *ptrWalk, newAddr netip.Addr) int {
	return cmp.Or(strings.Compare(o.node.name, n.node.name), cmp.Compare(o.node.flags, n.node.flags), oldAddr.Compare(newAddr))
}

// point adds a PTR record. One that this change has taken away before stays where it is.
func (tx *Tx) addPTR(addr netip.Addr, n *Node) {
	tx.record = appendPTR(tx.record[:0], addr, n)
	add := &PTR{record: string(tx.record), service: n.service.shared}
	back := removal{add.record, *add.service}
	if _, ok := tx.gone[back]; ok {
		delete(tx.gone, back)
		return
	}
	tx.key = appendAddr(tx.key[:0], addr)
	tx.snap.reverse = tx.snap.reverse.put(tx.snap.reverse.get(tx.key).with(add), tx.edit)
}

// unpoint takes a PTR record away. Its list is walked at the end of the change, by unlist, so that a change which removes very many
// services of one address walks it once.
func (tx *Tx) removePTR(addr netip.Addr, n *Node) {
	tx.record = appendPTR(tx.record[:0], addr, n)
	if tx.gone == nil {
		tx.gone = map[removal]struct{}{}
	}
	tx.gone[removal{string(tx.record), n.service.owner}] = struct{}{}
}

// unlist takes the records that are gone out of their lists. The first of an address takes the others of it along.
func (tx *Tx) removeGone() {
	for r := range tx.gone {
		key := []byte((&PTR{record: r.record}).addr())
		if list := tx.snap.reverse.get(key).without(tx.gone); list == nil {
			tx.snap.reverse = tx.snap.reverse.drop(key, tx.edit)
		} else {
			tx.snap.reverse = tx.snap.reverse.put(list, tx.edit)
		}
	}
}

// AppendFronts appends the nodes by which clients reach the service that p, the PTR record of an endpoint, belongs to, until there are limit:
// its own name when it has cluster IPs, else each of its hosts. A cluster IP is nobody's own address, even where kube-proxy gives all of
// them to an interface of the node. m is scratch.
func (s *Snapshot) AppendFronts(nodes []Node, m *Match, p *PTR, limit int) []Node {
	service := s.services.get(append(m.scratch[:0], p.Service()...))
	if p.cluster() || service == nil {
		return nodes
	}
	var n Node
	for at := 0; at < len(service.blob) && len(nodes) < limit; {
		at = service.read(&n, at)
		if n.flags&flagPTR == 0 {
			continue
		}
		nodes = append(nodes, n)
		if n.flags&flagCluster != 0 {
			break
		}
	}
	return nodes
}
