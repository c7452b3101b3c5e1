package zones

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// WriteText writes the contents of s as lines of a zone file for zone ("cluster.local."). Equal contents give equal
// text: services sorted by namespace and name, live pods by namespace and address, then PTR records by address.
// Comments say what a zone file cannot: kinds of objects that have not been read yet, names without records, by which
// rules of visibility a namespace sees others, which namespaces are refused, and why a service has no names.
func (s *Snapshot) WriteText(to io.Writer, zone string, ttl uint32) error {
	w := &text{Writer: bufio.NewWriter(to), zone: zone, below: "svc." + zone, ttl: ttl}
	if missing := ServiceKinds &^ s.synced; missing != 0 {
		fmt.Fprintf(w, "; not read yet: %s\n", missing)
	}
	for _, name := range s.sortedNamespaces((*namespace).exists) {
		owner := wire.NameString([]byte(name)) + "svc." + zone
		fmt.Fprintf(w, "; %s exists, without records\n", owner)
		if n := s.namespaces.get([]byte(name)); n.sees|n.shown != 0 {
			fmt.Fprintf(w, "; %s sees by rules %x, is seen by %x\n", owner, uint64(n.sees), uint64(n.shown))
		}
	}
	for _, name := range s.sortedNamespaces((*namespace).isRefused) {
		fmt.Fprintf(w, "; %s%s is refused\n", wire.NameString([]byte(name)), "svc."+zone)
	}
	for _, r := range sortedServices(s.services) {
		w.service(r)
	}
	for _, p := range s.sortedPods() {
		w.pod(p)
	}
	for addr := range s.reverse.each {
		w.ptrs(s, addr)
	}
	w.externals(s)
	return w.Flush()
}

// String is the names of the kinds.
func (k Kinds) String() string {
	var names []string
	for i, name := range []string{"services", "slices", "namespaces", "pods", "ingresses"} {
		if k&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// text writes records in presentation form.
type text struct {
	*bufio.Writer
	begin string // of each line
	zone  string
	below string // what services are below
	ttl   uint32
}

func (w *text) record(owner, typ, data string) {
	fmt.Fprintf(w, "%s%s %d IN %s %s\n", w.begin, owner, w.ttl, typ, data)
}

// absolute is the name with these labels in wire form below svc.<zone>, or in an external zone.
func (w *text) absolute(labels string) string {
	return wire.NameString([]byte(labels)) + w.below
}

// The lines of an external zone, whose name is written as @. They are comments, since another zone has the records; the
// second form is that of services with the flag headless.
const (
	beginExternal = "; external: "
	beginHeadless = "; external, headless: "
)

func (w *text) externals(s *Snapshot) {
	w.below = "@"
	for _, r := range sortedServices(s.externals) {
		var self Node
		w.begin = beginExternal
		if r.find(&self, nil); self.flags&flagHeadless != 0 {
			w.begin = beginHeadless
		}
		w.service(r)
	}
}

// WriteText writes the names of one service as WriteText of a Snapshot does.
func (r *ServiceRecords) WriteText(to io.Writer, zone string, ttl uint32) error {
	w := &text{Writer: bufio.NewWriter(to), zone: zone, below: "svc." + zone, ttl: ttl}
	w.service(r)
	return w.Flush()
}

// Names is the name of the service, and of its namespace.
func (r *ServiceRecords) Names() (service, namespace string) {
	service, namespace = r.split()
	return labelText(service), labelText(namespace)
}

// labelText is a label as people write it.
func labelText(label string) string {
	name := wire.NameString(append([]byte{byte(len(label))}, label...))
	return name[:len(name)-1]
}

// EachService calls yield with every service, in no order, until it returns false.
func (s *Snapshot) EachService(yield func(*ServiceRecords) bool) { s.services.each(yield) }

func (w *text) service(r *ServiceRecords) {
	if why := r.Why(); why != "" {
		fmt.Fprintf(w, "%s; %s has no names: %s\n", w.begin, w.absolute(r.owner), why)
	}
	if r.Affine() {
		fmt.Fprintf(w, "%s; %s has an endpoint that comes first for each client\n", w.begin, w.absolute(r.owner))
	}
	for n := range r.each {
		w.node(n)
	}
}

func (w *text) node(n *Node) {
	owner := w.absolute(n.name + n.service.owner)
	if n.Empty() {
		fmt.Fprintf(w, "%s; %s exists, without records\n", w.begin, owner)
	}
	if n.cname != "" {
		w.record(owner, "CNAME", wire.NameString([]byte(n.cname)))
	}
	for a := range slices.Chunk([]byte(n.a), sizeA) {
		w.record(owner, "A", address(a))
	}
	for a := range slices.Chunk([]byte(n.aaaa), sizeAAAA) {
		w.record(owner, "AAAA", address(a))
	}
	for i := range len(n.twins) / sizeA {
		if twin := n.twins[i*sizeA:][:sizeA]; twin != string(noTwin[:]) {
			fmt.Fprintf(w, "%s; %s is at %s and %s\n", w.begin, owner, address([]byte(n.aaaa[i*sizeAAAA:][:sizeAAAA])), address([]byte(twin)))
		}
	}
	for s := n.SRVs(nil); s.Next(); {
		weight, port := int(s.Fixed[2])<<8|int(s.Fixed[3]), int(s.Fixed[4])<<8|int(s.Fixed[5])
		target := w.absolute(s.Target.name + n.service.owner)
		if s.Target.IsHost() {
			target = wire.NameString([]byte(s.Target.name))
		}
		w.record(owner, "SRV", fmt.Sprintf("0 %d %d %s", weight, port, target))
	}
}

func (w *text) pod(p LivePod) {
	addr := p.Addr
	typ := "A"
	if addr.Is6() {
		typ = "AAAA"
	}
	label := strings.NewReplacer(".", "-", ":", "-").Replace(addr.String())
	if strings.HasSuffix(label, "-") {
		label += "0" // a label must not end in a dash
	}
	owner := label + "." + p.Namespace + ".pod." + w.zone
	w.record(owner, typ, addr.String())
	if p.Details != nil {
		fmt.Fprintf(w, "%s; %s is of pod %s\n", w.begin, owner, p.Details)
	}
}

func (w *text) ptrs(s *Snapshot, addr netip.Addr) {
	var targets []string
	var m Match
	owner := reverseName(addr)
	for p := s.Reverse(&m, addr); p.Next(); {
		targets = append(targets, w.absolute(p.Host()+p.Service()))
	}
	slices.Sort(targets)
	for _, target := range targets {
		w.record(owner, "PTR", target)
	}
}

func address(packed []byte) string {
	addr, _ := netip.AddrFromSlice(packed)
	return addr.String()
}

// reverseName is the owner of an address's PTR records.
func reverseName(addr netip.Addr) string { return wire.NameString(appendArpa(nil, addr)) }

func sortedServices(t trie[*ServiceRecords]) []*ServiceRecords {
	return sorted(t, func(a, b *ServiceRecords) int {
		nameA, spaceA := a.split()
		nameB, spaceB := b.split()
		return cmp.Or(cmp.Compare(spaceA, spaceB), cmp.Compare(nameA, nameB))
	})
}

// split is the labels of the service and of its namespace.
func (r *ServiceRecords) split() (service, namespace string) {
	end := 1 + int(r.owner[0])
	return r.owner[1:end], r.owner[end+1:]
}

// sortedNamespaces are the labels of those namespaces in wire form.
func (s *Snapshot) sortedNamespaces(which func(*namespace) bool) []string {
	var names []string
	for _, n := range sorted(s.namespaces, func(a, b *namespace) int { return cmp.Compare(a.label[1:], b.label[1:]) }) {
		if which(n) {
			names = append(names, n.label)
		}
	}
	return names
}

func (s *Snapshot) sortedPods() (list []LivePod) {
	s.pods.each(func(p *podAddress) bool {
		addr, _ := netip.AddrFromSlice([]byte(p.addr))
		for _, pod := range p.pods {
			list = append(list, LivePod{Namespace: pod.label[1:], Addr: addr.Unmap(), Details: pod.details})
		}
		return true
	})
	slices.SortFunc(list, func(a, b LivePod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), a.Addr.Compare(b.Addr))
	})
	return slices.Compact(list)
}

// sorted returns the leaves of t in order.
func sorted[L leaf[L]](t trie[L], order func(a, b L) int) []L {
	leaves := make([]L, 0, t.size)
	t.each(func(l L) bool {
		leaves = append(leaves, l)
		return true
	})
	slices.SortFunc(leaves, order)
	return leaves
}
