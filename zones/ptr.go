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
	// record is the size of the address with flags, the address, its place if ptrPlaced is set, and the labels of the host in
	// wire form, without a root label.
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
	// ptrPlaced marks a record that has a place.
	ptrPlaced = 0x20
	// ptrAsking marks one that is no PTR record: of an endpoint that is not ready.
	ptrAsking = 0x08

	ptrFlags = ptrCluster | ptrFront | ptrPlaced | ptrAsking
)

// The ranks of PTR records. Those of services that may front this server come before those that tenants can make.
const (
	rankCluster = iota
	rankFront
	rankEndpoint
)

// appendPTR appends PTR.record for the address that w is at.
func appendPTR(record []byte, addr netip.Addr, w *ptrWalk) []byte {
	head := byte(addr.BitLen() / 8)
	for _, f := range [...]struct {
		is   bool
		flag byte
	}{
		{w.node.flags&flagCluster != 0, ptrCluster}, {w.node.flags&flagFront != 0, ptrFront},
		{w.place != 0, ptrPlaced}, {w.asking, ptrAsking},
	} {
		if f.is {
			head |= f.flag
		}
	}
	record = appendAddr(append(record, head), addr)
	if w.place != 0 {
		record = appendPlace(record, w.place)
	}
	return append(record, w.node.name...)
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

func (p *PTR) size() int { return int(p.record[0] &^ ptrFlags) }

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
func (p *PTR) Host() string {
	host := p.record[1+p.size():]
	if p.record[0]&ptrPlaced != 0 {
		host = host[sizePlace:]
	}
	return host
}

// place is where the endpoint is.
func (p *PTR) place() Place {
	if p.record[0]&ptrPlaced == 0 {
		return 0
	}
	return placeAt(p.record[1+p.size():], 0)
}

// namespace is the label of the service's namespace.
func (p *PTR) namespace() string { return (*p.service)[1+int((*p.service)[0]):] }

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

// ptrWalk goes through the PTR records that a service implies, in the order of name and address, without making them, and
// then through the endpoints that are not ready.
type ptrWalk struct {
	service *ServiceRecords
	at      int // offset of the next node; 0 at the beginning
	node    Node
	i       int   // next address of node, those of A records first
	place   Place // of the address before it
	asking  bool  // node is the endpoints that are not ready
}

// next is the next address with a PTR record, which points to w.node; ok is false at the end.
func (w *ptrWalk) next() (addr netip.Addr, ok bool) {
	for {
		v4 := len(w.node.a) / sizeA
		switch {
		case w.node.flags&flagPTR == 0:
		case w.i < v4:
			at := w.i * sizeA
			w.place = placeAt(w.node.places, w.i)
			w.i++
			return netip.AddrFrom4([sizeA]byte([]byte(w.node.a[at : at+sizeA]))), true
		case w.i-v4 < len(w.node.aaaa)/sizeAAAA:
			at := (w.i - v4) * sizeAAAA
			w.place = placeAt(w.node.places, w.i)
			w.i++
			return netip.AddrFrom16([sizeAAAA]byte([]byte(w.node.aaaa[at : at+sizeAAAA]))), true
		}
		if !w.forward() {
			return addr, false
		}
	}
}

// forward goes to the next node, and reports false behind the last one.
func (w *ptrWalk) forward() bool {
	if w.service == nil || w.asking {
		return false
	}
	if w.at == 0 {
		w.at = w.service.start()
	}
	w.i = 0
	if w.at < w.service.end() {
		w.at = w.service.read(&w.node, w.at)
	} else {
		w.node, w.asking = w.service.asking(), true
	}
	return true
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
			tx.removePTR(oldAddr, &o)
		}
		if order > 0 {
			tx.addPTR(newAddr, &n)
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
	switch {
	case o.asking && !n.asking:
		return 1
	case n.asking && !o.asking:
		return -1
	}
	return cmp.Or(
		strings.Compare(o.node.name, n.node.name),
		cmp.Compare(o.node.flags&flagsPTR, n.node.flags&flagsPTR),
		oldAddr.Compare(newAddr),
		cmp.Compare(o.place, n.place),
	)
}

// addPTR adds a PTR record. A record that this change has removed before is left where it is.
func (tx *Tx) addPTR(addr netip.Addr, w *ptrWalk) {
	tx.record = appendPTR(tx.record[:0], addr, w)
	add := &PTR{record: string(tx.record), service: w.node.service.shared}
	back := removal{add.record, *add.service}
	if _, ok := tx.gone[back]; ok {
		delete(tx.gone, back)
		return
	}
	tx.key = appendAddr(tx.key[:0], addr)
	family := tx.family(add)
	*family = family.put(family.get(tx.key).with(add), tx.edit)
}

// family is the tree that p is in.
func (tx *Tx) family(p *PTR) *addresses {
	if p.record[0]&ptrAsking != 0 {
		return tx.snap.asking.of(p.size())
	}
	return tx.snap.reverse.of(p.size())
}

// removePTR removes a PTR record. removeGone walks its list at the end of the change, once for the whole change even if
// it removes very many services of one address.
func (tx *Tx) removePTR(addr netip.Addr, w *ptrWalk) {
	tx.record = appendPTR(tx.record[:0], addr, w)
	if tx.gone == nil {
		tx.gone = map[removal]struct{}{}
	}
	tx.gone[removal{string(tx.record), w.node.service.owner}] = struct{}{}
}

// removeGone takes the removed records out of their lists. All records of an address are taken out together.
func (tx *Tx) removeGone() {
	for r := range tx.gone {
		p := &PTR{record: r.record}
		key, family := []byte(p.addr()), tx.family(p)
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
	for at := service.start(); at < service.end() && len(nodes) < limit; {
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
