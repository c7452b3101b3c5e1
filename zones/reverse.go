package zones

import (
	"bytes"
	"net/netip"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// Pointer is one PTR record of an address, and through next the others, cluster IPs first. The list is immutable.
type Pointer struct {
	addr    [16]byte // in 16-octet form, IPv4 mapped
	target  string   // labels of the target in wire form: host, service, namespace; no root label
	cluster bool     // a cluster IP of the service: wins over endpoints
	next    *Pointer
}

func (p *Pointer) is(addr []byte) bool      { return bytes.Equal(p.addr[:], addr) }
func (p *Pointer) same(other *Pointer) bool { return p.addr == other.addr }
func (p *Pointer) sum() uint64              { return hash(p.addr[:]) }

// Target is the name that the record points at, in wire form below svc.<zone>, without a root label.
func (p *Pointer) Target() string { return p.target }

// Service is the labels of the service and its namespace, in wire form without a root label.
func (p *Pointer) Service() string {
	labels := p.target
	for wire.Labels([]byte(labels)) > 2 {
		labels = labels[1+int(labels[0]):]
	}
	return labels
}

// Next is the next PTR record that answers for the same address, nil at the end: a cluster IP hides endpoints.
func (p *Pointer) Next() *Pointer {
	if p.next == nil || p.next.cluster != p.cluster {
		return nil
	}
	return p.next
}

// Address is the address that has the PTR record.
func (p *Pointer) Address() netip.Addr { return netip.AddrFrom16(p.addr).Unmap() }

// with is the list with add: cluster IPs first, each kind newest first, so that an address which very many services share still
// takes one more in constant time.
func (p *Pointer) with(add *Pointer) *Pointer {
	if p == nil || add.cluster || !p.cluster {
		add.next = p
		return add
	}
	head := *p
	head.next = p.next.with(add)
	return &head
}

// without is the list without the record to target.
func (p *Pointer) without(target string, cluster bool) *Pointer {
	if p == nil {
		return nil
	}
	if p.target == target && p.cluster == cluster {
		return p.next
	}
	head := *p
	head.next = p.next.without(target, cluster)
	return &head
}

// pointers walks the PTR records that a unit implies, in the order of name and address, without making them.
type pointers struct {
	unit *Unit
	at   int // offset of the next node
	node Node
	i    int // next address of node: those of its A records, then of its AAAA records
}

// next is the next address with a PTR record to node; ok is false at the end.
func (w *pointers) next() (addr [16]byte, ok bool) {
	for {
		v4 := len(w.node.a) / sizeA
		switch {
		case w.node.flags&flagPTR == 0:
		case w.i < v4:
			addr[10], addr[11] = 0xff, 0xff
			copy(addr[12:], w.node.a[w.i*sizeA:])
			w.i++
			return addr, true
		case w.i-v4 < len(w.node.aaaa)/sizeAAAA:
			copy(addr[:], w.node.aaaa[(w.i-v4)*sizeAAAA:])
			w.i++
			return addr, true
		}
		if w.unit == nil || w.at >= len(w.unit.blob) {
			return addr, false
		}
		w.at = w.unit.read(&w.node, w.at)
		w.i = 0
	}
}

// repoint changes the PTR records from those of old to those of new, either of which may be nil. Records in both stay as they are.
func (tx *Tx) repoint(old, new *Unit) {
	o, n := pointers{unit: old}, pointers{unit: new}
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
			tx.unpoint(oldAddr, &o.node)
		}
		if order > 0 {
			tx.point(newAddr, &n.node)
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
func compare(o *pointers, oldAddr [16]byte, n *pointers, newAddr [16]byte) int {
	switch {
	case o.node.name != n.node.name:
		if o.node.name < n.node.name {
			return -1
		}
		return 1
	case o.node.flags != n.node.flags:
		return int(o.node.flags) - int(n.node.flags)
	}
	a4, b4 := isV4(oldAddr), isV4(newAddr)
	if a4 != b4 {
		if a4 {
			return -1
		}
		return 1
	}
	return bytes.Compare(oldAddr[:], newAddr[:])
}

func isV4(addr [16]byte) bool { return netip.AddrFrom16(addr).Is4In6() }

func (tx *Tx) point(addr [16]byte, n *Node) {
	record := &Pointer{addr: addr, target: n.name + n.unit.owner, cluster: n.flags&flagCluster != 0}
	tx.snap.reverse = tx.snap.reverse.put(tx.snap.reverse.get(addr[:]).with(record), tx.edit)
}

func (tx *Tx) unpoint(addr [16]byte, n *Node) {
	list := tx.snap.reverse.get(addr[:]).without(n.name+n.unit.owner, n.flags&flagCluster != 0)
	if list == nil {
		tx.snap.reverse = tx.snap.reverse.drop(addr[:], tx.edit)
	} else {
		tx.snap.reverse = tx.snap.reverse.put(list, tx.edit)
	}
}

// FrontOf calls yield with the nodes by which clients reach the service that p, the PTR record of an endpoint, belongs to: its own
// name when it has cluster IPs, else each of its hosts. It reports whether there was one. A cluster IP is nobody's own address, even
// where kube-proxy gives all of them to an interface of the node.
func (s *Snapshot) FrontOf(p *Pointer, yield func(*Node)) bool {
	if p.cluster {
		return false
	}
	unit := s.services.get([]byte(p.Service()))
	if unit == nil {
		return false
	}
	found := false
	for n := range unit.each {
		switch {
		case n.flags&flagPTR == 0:
			continue
		case n.flags&flagCluster != 0:
			yield(n)
			return true
		}
		yield(n)
		found = true
	}
	return found
}
