package zones

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// PTR is one PTR record of an address; next leads to the others, in the order of their ranks. The list is immutable. It
// refers to no ServiceRecords, so when a service changes, most of its PTR records stay.
type PTR struct {
	// record is the size of the address with ptrCluster and ptrFront, the address, and the labels of the host in wire
	// form, without a root label.
	record string
	// service is the labels of the service and its namespace in wire form, without a root label. All records of a
	// service share one string.
	service *string
	next    *PTR
}

const (
	// ptrCluster marks the address as a cluster IP of the service, which takes precedence over endpoints.
	ptrCluster = 0x80
	// ptrFront marks the service as one that may front this server.
	ptrFront = 0x40
)

// The ranks of PTR records. Those of services that may front this server come before those that tenants can make.
const (
	rankCluster = iota
	rankFront
	rankEndpoint
)

// appendPTR appends PTR.record for one address of n.
func appendPTR(record []byte, addr netip.Addr, n *Node) []byte {
	head := byte(addr.BitLen() / 8)
	if n.flags&flagCluster != 0 {
		head |= ptrCluster
	}
	if n.flags&flagFront != 0 {
		head |= ptrFront
	}
	return append(appendAddr(append(record, head), addr), n.name...)
}

// appendAddr appends the octets of an address, the key of its PTR records.
func appendAddr(key []byte, addr netip.Addr) []byte {
	if addr.Is4() {
		ip := addr.As4()
		return append(key, ip[:]...)
	}
	ip := addr.As16()
	return append(key, ip[:]...)
}

func (p *PTR) is(addr []byte) bool { return p.addr() == string(addr) }

// addr is the octets of the address, four or sixteen.
func (p *PTR) addr() string { return p.record[1 : 1+p.size()] }

func (p *PTR) size() int { return int(p.record[0] &^ (ptrCluster | ptrFront)) }

func (p *PTR) cluster() bool { return p.record[0]&ptrCluster != 0 }

func (p *PTR) rank() int {
	switch {
	case p.cluster():
		return rankCluster
	case p.record[0]&ptrFront != 0:
		return rankFront
	}
	return rankEndpoint
}

// Host is the labels of the target below its service, in wire form without a root label; "" for the service itself.
// Host, Service and "svc.<zone>" make up the target.
func (p *PTR) Host() string { return p.record[1+p.size():] }

// Service is the labels of the service and its namespace, in wire form without a root label.
func (p *PTR) Service() string { return *p.service }

// Next is the next PTR record to answer with, nil at the end: if an address has cluster IP records, its endpoint
// records are left out.
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

// with is the list with add, which comes first in its rank: adding to an address that very many services share takes
// constant time.
func (p *PTR) with(add *PTR) *PTR {
	if p == nil || add.rank() <= p.rank() {
		add.next = p
		return add
	}
	head := *p
	head.next = p.next.with(add)
	return &head
}

// removal is the key of a PTR record that a change removes.
type removal struct{ record, service string }

// without is the list without the records in gone, and removes those from gone. The list shares what follows the last
// of them.
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

// ptrWalk goes through the PTR records that a service implies, in the order of name and address, without making them.
type ptrWalk struct {
	service *ServiceRecords
	at      int // offset of the next node; 0 at the beginning
	node    Node
	i       int // next address of node, those of A records first
}

// next is the next address with a PTR record, which points to w.node; ok is false at the end.
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
		if w.service == nil {
			return addr, false
		}
		if w.at == 0 {
			w.at = w.service.start()
		}
		if w.at >= len(w.service.blob) {
			return addr, false
		}
		w.at = w.service.read(&w.node, w.at)
		w.i = 0
	}
}

// updatePTRs replaces the PTR records of old by those of new; either may be nil. Records of both stay as they are.
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

// compare compares records in the order in which ptrWalk.next returns them.
func compare(o *ptrWalk, oldAddr netip.Addr, n *ptrWalk, newAddr netip.Addr) int {
	return cmp.Or(
		strings.Compare(o.node.name, n.node.name),
		cmp.Compare(o.node.flags&flagsPTR, n.node.flags&flagsPTR),
		oldAddr.Compare(newAddr),
	)
}

// addPTR adds a PTR record. A record that this change has removed before is left where it is.
func (tx *Tx) addPTR(addr netip.Addr, n *Node) {
	tx.record = appendPTR(tx.record[:0], addr, n)
	add := &PTR{record: string(tx.record), service: n.service.shared}
	back := removal{add.record, *add.service}
	if _, ok := tx.gone[back]; ok {
		delete(tx.gone, back)
		return
	}
	tx.key = appendAddr(tx.key[:0], addr)
	family := tx.snap.reverse.of(len(tx.key))
	*family = family.put(family.get(tx.key).with(add), tx.edit)
}

// removePTR removes a PTR record. removeGone walks its list at the end of the change, once for the whole change even if
// it removes very many services of one address.
func (tx *Tx) removePTR(addr netip.Addr, n *Node) {
	tx.record = appendPTR(tx.record[:0], addr, n)
	if tx.gone == nil {
		tx.gone = map[removal]struct{}{}
	}
	tx.gone[removal{string(tx.record), n.service.owner}] = struct{}{}
}

// removeGone takes the removed records out of their lists. All records of an address are taken out together.
func (tx *Tx) removeGone() {
	for r := range tx.gone {
		key := []byte((&PTR{record: r.record}).addr())
		family := tx.snap.reverse.of(len(key))
		if list := family.get(key).without(tx.gone); list == nil {
			*family = family.drop(key, tx.edit)
		} else {
			*family = family.put(list, tx.edit)
		}
	}
}

// AppendFronts appends the nodes by which clients reach the services that may front this server (Builder.Front) and have
// an endpoint at addr, one of its addresses, until nodes has limit elements: a service's own name if it has cluster IPs,
// otherwise each of its hosts. If addr is a cluster IP, it appends nothing: a cluster IP is nobody's own address, even
// though kube-proxy may add all of them to an interface of the node. What other services have at addr costs nothing,
// because their records come last. m is scratch.
func (s *Snapshot) AppendFronts(nodes []Node, m *Match, addr netip.Addr, limit int) []Node {
	p := s.Reverse(m, addr)
	for range limit {
		if p == nil || p.rank() != rankFront || len(nodes) >= limit {
			break
		}
		of := func(n Node) bool { return n.service.owner == p.Service() }
		if !slices.ContainsFunc(nodes, of) {
			nodes = s.appendFront(nodes, m, p, limit)
		}
		p = p.Next()
	}
	return nodes
}

// appendFront appends the nodes of the service of p.
func (s *Snapshot) appendFront(nodes []Node, m *Match, p *PTR, limit int) []Node {
	service := s.services.get(append(m.scratch[:0], p.Service()...))
	if service == nil {
		return nodes
	}
	var n Node
	for at := service.start(); at < len(service.blob) && len(nodes) < limit; {
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
