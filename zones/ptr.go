package zones

import (
	"cmp"
	"net/netip"
	"slices"
	"sort"
	"strings"
)

// pointer is what the index keeps of one PTR record of an address; next leads to the others, in the order of their ranks.
// The list is immutable. It refers to no ServiceRecords, so when a service changes, most of its PTR records stay; and it
// does not have the name that it points to, which the records of its service have anyway.
type pointer[A octets] struct {
	// service is the labels of the service and its namespace in wire form, without a root label. All records of a
	// service share one string.
	service *string
	next    *pointer[A]
	addr    A
	record
}

// record is what a PTR record is beside its address and its service.
type record struct {
	// host is the hash of the labels of the target below its service. Of two hosts of one service with one address and
	// one hash, which is one pair in four thousand million, one has no PTR record.
	host  uint32
	place Place // of an endpoint, 0 for not known
	flags uint8
}

const (
	// ptrCluster marks the address as a cluster IP of the service, which takes precedence over endpoints.
	ptrCluster = 1 << iota
	// ptrFront marks the service as one that may front this server.
	ptrFront
	// ptrAsking marks what is no PTR record: an endpoint that is not ready.
	ptrAsking
)

// The ranks of PTR records. Those of services that may front this server come before those that tenants can make.
const (
	rankCluster = iota
	rankFront
	rankEndpoint
)

// appendAddr appends the octets of an address.
func appendAddr(key []byte, addr netip.Addr) []byte {
	if addr.Is4() {
		ip := addr.As4()
		return append(key, ip[:]...)
	}
	ip := addr.As16()
	return append(key, ip[:]...)
}

func (r *record) cluster() bool { return r.flags&ptrCluster != 0 }

func (r *record) rank() int {
	switch {
	case r.cluster():
		return rankCluster
	case r.flags&ptrFront != 0:
		return rankFront
	}
	return rankEndpoint
}

// PTRs reads the PTR records of one address, one after the other: if it has those of cluster IPs, those of endpoints are
// left out.
type PTRs struct {
	snapshot *Snapshot
	scratch  *Match
	addr     netip.Addr
	rest     chain
	begun    bool
	cluster  bool // the first is of a cluster IP
	node     Node
}

// Reverse begins before the first PTR record of addr. m is scratch.
func (s *Snapshot) Reverse(m *Match, addr netip.Addr) PTRs {
	return PTRs{snapshot: s, scratch: m, addr: addr, rest: s.reverse.at(addr)}
}

// Next goes to the next record. It reports false when there is none.
func (p *PTRs) Next() bool {
	for {
		owner, r, ok := p.rest.next()
		if !ok || p.begun && r.cluster() != p.cluster {
			return false
		}
		p.begun, p.cluster = true, r.cluster()
		service := p.snapshot.services.get(append(p.scratch.scratch[:0], *owner...))
		if service != nil && service.pointed(&p.node, r.host, p.addr) {
			return true
		}
	}
}

// Host is the labels of the target below its service, in wire form without a root label; "" for the service itself.
// Host, Service and "svc.<zone>" make up the target.
func (p *PTRs) Host() string { return p.node.name }

// Namespace is the label of the service's namespace.
func (p *PTRs) Namespace() string { return p.Service()[1+int(p.Service()[0]):] }

// Service is the labels of the service and its namespace, in wire form without a root label.
func (p *PTRs) Service() string { return p.node.service.owner }

// Address is the address that has the PTR record.
func (p *PTRs) Address() netip.Addr { return p.addr }

// pointed reads the node of r that a PTR record of addr points to, whose name has a hash, into n.
func (r *ServiceRecords) pointed(n *Node, hash uint32, addr netip.Addr) bool {
	for at := r.slot(hash); at < len(r.slots) && r.slots[at].hash == hash; at++ {
		if r.read(n, int(r.slots[at].at)); n.flags&flagPTR != 0 && n.has(addr) {
			return true
		}
	}
	return false
}

// has reports whether n has an A or AAAA record of addr.
func (n *Node) has(addr netip.Addr) bool {
	var key [sizeAAAA]byte
	return n.Has(string(appendAddr(key[:0], addr)))
}

// Has reports whether n has an A or AAAA record of an address of four or sixteen octets.
func (n *Node) Has(addr string) bool {
	sorted, size := n.aaaa, len(addr)
	if size == sizeA {
		sorted = n.a
	}
	_, found := sort.Find(len(sorted)/size, func(i int) int { return cmp.Compare(addr, sorted[i*size:(i+1)*size]) })
	return found
}

// with is the list with add, which comes first in its rank: adding to an address that very many services share takes
// constant time.
func (p *pointer[A]) with(add pointer[A]) pointer[A] {
	if p == nil {
		return add
	}
	kept := *p // p may be a leaf, whose place add takes
	if add.rank() <= p.rank() {
		add.next = &kept
		return add
	}
	rest := p.next.with(add)
	kept.next = &rest
	return kept
}

// removal is the key of a PTR record that a change removes.
type removal struct {
	addr    netip.Addr
	service string
	record
}

// without is the list without the records in gone, and removes those from gone. The list shares what follows the last
// of them.
func (p *pointer[A]) without(addr netip.Addr, gone map[removal]struct{}) *pointer[A] {
	var head *pointer[A]
	end, tail := &head, p
	for at := p; at != nil && len(gone) > 0; at = at.next {
		found := removal{addr, *at.service, at.record}
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
	if tx.bare && old == nil {
		tx.fresh = append(tx.fresh, new)
		return
	}
	tx.placeFresh()
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

// record is what the PTR record of the address that w is at has.
func (w *ptrWalk) record() record {
	r := record{host: uint32(hashString(w.node.name)), place: w.place}
	for _, f := range [...]struct {
		is   bool
		flag uint8
	}{
		{w.node.flags&flagCluster != 0, ptrCluster}, {w.node.flags&flagFront != 0, ptrFront}, {w.asking, ptrAsking},
	} {
		if f.is {
			r.flags |= f.flag
		}
	}
	return r
}

// addPTR adds a PTR record. A record that this change has removed before is left where it is.
func (tx *Tx) addPTR(addr netip.Addr, w *ptrWalk) {
	r, service := w.record(), w.node.service.shared
	back := removal{addr, *service, r}
	if _, ok := tx.gone[back]; ok {
		delete(tx.gone, back)
		return
	}
	if tree := tx.tree(r); addr.Is4() {
		tree.v4 = tree.v4.add(pointer[[sizeA]byte]{service: service, addr: addr.As4(), record: r}, tx.edit)
	} else {
		tree.v6 = tree.v6.add(pointer[[sizeAAAA]byte]{service: service, addr: addr.As16(), record: r}, tx.edit)
	}
}

// add is the tree with p among the records of its address.
func (t addresses[A]) add(p pointer[A], edit uint64) addresses[A] {
	return t.put(t.get(p.addr).with(p), edit)
}

// tree is the index that r is in.
func (tx *Tx) tree(r record) *reverse {
	if r.flags&ptrAsking != 0 {
		return &tx.snap.asking
	}
	return &tx.snap.reverse
}

// removePTR removes a PTR record. removeGone walks its list at the end of the change, once for the whole change even if
// it removes very many services of one address.
func (tx *Tx) removePTR(addr netip.Addr, w *ptrWalk) {
	if tx.gone == nil {
		tx.gone = map[removal]struct{}{}
	}
	tx.gone[removal{addr, w.node.service.owner, w.record()}] = struct{}{}
}

// removeGone takes the removed records out of their lists. All records of an address are taken out together.
func (tx *Tx) removeGone() {
	for r := range tx.gone {
		if tree := tx.tree(r.record); r.addr.Is4() {
			tree.v4 = tree.v4.removeGone(r.addr.As4(), r.addr, tx)
		} else {
			tree.v6 = tree.v6.removeGone(r.addr.As16(), r.addr, tx)
		}
	}
}

// removeGone is the tree without those records of an address that tx has removed.
func (t addresses[A]) removeGone(key A, addr netip.Addr, tx *Tx) addresses[A] {
	list := t.get(key).without(addr, tx.gone)
	if list == nil {
		return t.drop(key, tx.edit)
	}
	return t.put(*list, tx.edit)
}

// AppendFronts appends the nodes by which clients reach the services that may front this server (Builder.Front) and have
// an endpoint at addr, one of its addresses, until nodes has limit elements: a service's own name if it has cluster IPs,
// otherwise each of its hosts. If addr is a cluster IP, it appends nothing: a cluster IP is nobody's own address, even
// though kube-proxy may add all of them to an interface of the node. What other services have at addr costs nothing,
// because their records come last. m is scratch.
func (s *Snapshot) AppendFronts(nodes []Node, m *Match, addr netip.Addr, limit int) []Node {
	rest := s.reverse.at(addr)
	for range limit {
		service, r, ok := rest.next()
		if !ok || r.rank() != rankFront || len(nodes) >= limit {
			break
		}
		of := func(n Node) bool { return n.service.owner == *service }
		if !slices.ContainsFunc(nodes, of) {
			nodes = s.appendFront(nodes, m, *service, limit)
		}
	}
	return nodes
}

// appendFront appends the nodes of a service.
func (s *Snapshot) appendFront(nodes []Node, m *Match, owner string, limit int) []Node {
	service := s.services.get(append(m.scratch[:0], owner...))
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
