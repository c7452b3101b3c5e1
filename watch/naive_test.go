package watch

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// The naive index is the specification once more, the other way round: nothing is compiled, and each question is
// answered by looking at all objects as the API server gives them. It shares no code with zones, records.go or
// strip.go.

// The kinds of objects, as indexes of a world.
const (
	servicesOf = iota
	slicesOf
	namespacesOf
	podsOf
	importsOf
	kindsOf // how many there are
)

// world is all objects of a cluster. Objects in it do not change.
type world [kindsOf]map[object.Key]metav1.Object

func newWorld() (w world) {
	for kind := range w {
		w[kind] = map[object.Key]metav1.Object{}
	}
	return w
}

// clone is a world that changes without w.
func (w world) clone() world {
	out := newWorld()
	for kind := range w {
		for k, o := range w[kind] {
			out[kind][k] = o
		}
	}
	return out
}

// naive answers from a world.
type naive struct {
	world
	options Options
	pods    zones.Pods
	local   netip.Addr // the address of this server
	asker   netip.Addr // the client's
	read    [kindsOf]bool
	set     *naive // of the clusterset; nil without one
}

// verdict is an answer in a form that compares: records as "owner TYPE data", in order.
type verdict struct {
	rcode         int
	answer, extra []string
	soa           string   // the zone whose SOA is in the authority section; "" for none
	error         int      // info code of the Extended DNS Error; -1 for none
	why           string   // its text, where the model knows it
	some          bool     // the answer has some of the records, or none: those of 13 name servers of more
	order         []string // the data of the last rrset in order; of the model, where that is no matter of chance
}

// matches reports whether got is what the model says.
func (want verdict) matches(got verdict) bool {
	if want.some {
		of := func(r string) bool { return !slices.Contains(want.answer, r) }
		return want.rcode == got.rcode && !slices.ContainsFunc(got.answer, of)
	}
	if want.rcode != got.rcode || want.error != got.error || want.soa != got.soa || want.why != "" && want.why != got.why {
		return false
	}
	if len(want.order) > 0 && !slices.Equal(want.order, got.order) {
		return false
	}
	return slices.Equal(want.answer, got.answer) && slices.Equal(want.extra, got.extra)
}

const (
	clusterZone = "cluster.local."
	svcZone     = "svc." + clusterZone
)

// ask answers the question. A chain of aliases is followed within the cluster, at most 10 links, loops cut.
func (n *naive) ask(asked string, typ uint16) verdict {
	v := verdict{error: -1}
	name, owner := strings.ToLower(asked), asked
	chain := []string{name}
	for {
		found := n.at(name)
		if found.alias == "" {
			found.fill(&v, owner, typ, len(chain) > 1)
			slices.Sort(v.answer)
			slices.Sort(v.extra)
			return v
		}
		if len(chain) > 10 {
			v.rcode, v.error = dns.RcodeServerFailure, 0
			break
		}
		v.answer = append(v.answer, owner+" CNAME "+found.alias)
		if typ == dns.TypeCNAME || typ == dns.TypeANY {
			break
		}
		if slices.Contains(chain, found.alias) {
			v.rcode, v.error = dns.RcodeServerFailure, 0
			break
		}
		chain = append(chain, found.alias)
		name, owner = found.alias, found.alias
	}
	slices.Sort(v.answer)
	return v
}

// found is what there is at a name.
type found struct {
	zone     string // that the name is in
	exists   bool
	waits    bool   // something has not been read yet
	outside  bool   // not a name of the cluster or the clusterset
	alias    string // target of the CNAME
	a, aaaa  []string
	srv, ptr []string
	ns, soa  []string
	txt      []string
	extra    []string // goes with SRV and NS
	affine   bool     // the addresses are in the order of the reply
	why      string
	some     bool
}

// fill makes the answer of what there is.
func (f found) fill(v *verdict, owner string, typ uint16, chained bool) {
	switch {
	case f.outside:
		v.error = int(dns.ExtendedErrorCodeNotAuthoritative)
		if !chained {
			v.rcode = dns.RcodeRefused
		}
		return
	case f.waits:
		v.rcode, v.error = dns.RcodeServerFailure, int(dns.ExtendedErrorCodeNotReady)
		return
	}
	before := len(v.answer)
	v.some = f.some
	for _, set := range []struct {
		typ  uint16
		data []string
	}{
		{dns.TypeA, f.a}, {dns.TypeAAAA, f.aaaa}, {dns.TypeSRV, f.srv}, {dns.TypePTR, f.ptr}, {dns.TypeTXT, f.txt},
		{dns.TypeSOA, f.soa}, {dns.TypeNS, f.ns},
	} {
		if typ != set.typ && (typ != dns.TypeANY || len(v.answer) > before) {
			continue
		}
		if f.affine && (set.typ == dns.TypeA || set.typ == dns.TypeAAAA) {
			v.order = set.data
		}
		for _, data := range set.data {
			v.answer = append(v.answer, owner+" "+dns.TypeToString[set.typ]+" "+data)
		}
		if (set.typ == dns.TypeSRV || set.typ == dns.TypeNS) && len(v.answer) > before {
			v.extra = f.extra
		}
	}
	if len(v.answer) == before {
		v.soa, v.error, v.why = f.zone, 0, f.why
	}
	if !f.exists {
		v.rcode = dns.RcodeNameError
	}
}

// at looks a name in lower case up.
func (n *naive) at(name string) (f found) {
	zone := n.zoneOf(name)
	switch zone {
	case "":
		return found{outside: true}
	case name:
		f = n.apex(zone)
	case clusterZone:
		f = n.below(zone, strings.TrimSuffix(name, "."+zone), n)
	case setZone:
		f = n.below(zone, strings.TrimSuffix(name, "."+zone), n.set)
	default:
		f = n.reverse(name)
	}
	f.zone = zone
	return f
}

// zoneOf is the zone that a name is in; "" for none.
func (n *naive) zoneOf(name string) string {
	for _, zone := range []string{clusterZone, setZone, "in-addr.arpa.", "ip6.arpa."} {
		above, ok := strings.CutSuffix(name, zone)
		if ok && (above == "" || above[len(above)-1] == '.') && (zone != setZone || n.set != nil) {
			return zone
		}
	}
	return ""
}

// below looks a name below the zone of a cluster or a clusterset up. What has names there is of one index; the name
// servers are the cluster's, also of a clusterset.
func (n *naive) below(zone, below string, index *naive) found {
	labels := strings.Split(below, ".")
	slices.Reverse(labels) // the last first, as the specification writes names from right to left
	switch {
	case labels[0] == "svc":
		return index.svc(labels[1:])
	case labels[0] == "pod":
		return index.pod(labels[1:])
	case below == "dns-version":
		return found{exists: true, txt: []string{index.version()}} // Spec 2.2
	case below == "dns":
		return found{exists: true}
	case below == "ns.dns":
		servers, addrs := n.servers(zone)
		f := found{exists: true, some: len(servers) > maxServers}
		f.add(addrs)
		return f
	}
	return found{}
}

// add puts addresses in place, each once.
func (f *found) add(addrs []netip.Addr) {
	for _, addr := range addrs {
		list := &f.aaaa
		if addr.Is4() {
			list = &f.a
		}
		if text := addr.String(); !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
}

// apex is a zone's own name: the name servers are the service that fronts this server.
func (n *naive) apex(zone string) found {
	server := zone
	if zone != setZone {
		server = clusterZone
	}
	f := found{exists: true, soa: []string{"ns.dns." + server + " hostmaster." + zone}}
	servers, _ := n.servers(zone)
	f.some = len(servers) > maxServers
	for name, addrs := range servers {
		f.ns = append(f.ns, name)
		f.extra = append(f.extra, records(name, addrs)...)
	}
	return f
}

// records are address records.
func records(owner string, addrs []netip.Addr) (list []string) {
	for _, addr := range addrs {
		typ := " AAAA "
		if addr.Is4() {
			typ = " A "
		}
		if text := owner + typ + addr.String(); !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

// maxServers is how many name servers a zone has at most: those of the root.
const maxServers = 13

// servers are the names and addresses of services of kube-system among whose endpoints this server is; else ns.dns of the zone, and
// of the cluster's for a reverse zone.
func (n *naive) servers(zone string) (byName map[string][]netip.Addr, all []netip.Addr) {
	byName = map[string][]netip.Addr{}
	for _, s := range n.named() {
		if slices.Contains(clusterAddrs(s), n.local) {
			clear(byName) // a cluster IP is nobody's own address
			break
		}
		ends := n.ends(s)
		if s.Namespace != "kube-system" || s.Spec.Type == corev1.ServiceTypeExternalName ||
			!slices.ContainsFunc(ends, func(e end) bool { return e.addr == n.local }) {
			continue
		}
		if !isHeadless(s) {
			byName[n.fqdn(s)] = clusterAddrs(s)
			continue
		}
		for _, e := range ends {
			name := e.host + "." + n.fqdn(s)
			byName[name] = append(byName[name], e.addr)
		}
	}
	if len(byName) == 0 {
		if zone != setZone {
			zone = clusterZone
		}
		byName["ns.dns."+zone] = []netip.Addr{n.local}
	}
	for _, addrs := range byName {
		all = append(all, addrs...)
	}
	return byName, all
}

func (n *naive) fqdn(s *corev1.Service) string {
	return s.Name + "." + s.Namespace + ".svc." + n.zone()
}

func isHeadless(s *corev1.Service) bool { return slices.Contains(s.Spec.ClusterIPs, "None") }

// clusterAddrs are the cluster IPs of a service.
func clusterAddrs(s *corev1.Service) (list []netip.Addr) {
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	for _, text := range s.Spec.ClusterIPs {
		if text != "None" {
			list = append(list, address(text))
		}
	}
	return list
}

// shown: options namespaces and namespace_labels.
func (n *naive) shown(namespace string) bool {
	if o := n.options.Namespaces; o != "" && !slices.Contains(strings.Split(o, ","), namespace) {
		return false
	}
	switch n.options.NamespaceLabels {
	case "":
		return true
	case "team=a":
		o := n.world[namespacesOf][object.Key{Name: namespace}]
		return o != nil && o.GetLabels()["team"] == "a"
	}
	panic("the model knows one selector")
}

// space reports whether a namespace has a name: the object exists, or a service in it once services are known.
func (n *naive) space(namespace string) bool {
	if !n.shown(namespace) {
		return false
	}
	for k := range n.world[n.owners()] {
		if k.Namespace == namespace && n.servicesRead() {
			return true
		}
	}
	return n.world[namespacesOf][object.Key{Name: namespace}] != nil
}

// pod looks up labels, the last first, below pod.<zone>.
func (n *naive) pod(labels []string) found {
	switch {
	case len(labels) == 0:
		return found{exists: true}
	case len(labels) > 2 || n.pods == zones.PodsDisabled:
		return found{}
	case !n.read[namespacesOf], n.pods == zones.PodsVerified && !n.read[podsOf]:
		return found{waits: true}
	case !n.space(labels[0]):
		return found{}
	case len(labels) == 1:
		return found{exists: true}
	}
	text := strings.ReplaceAll(labels[1], "-", ".")
	addr, err := netip.ParseAddr(text)
	if err != nil {
		addr, err = netip.ParseAddr(strings.ReplaceAll(labels[1], "-", ":"))
	}
	if err != nil || n.pods == zones.PodsVerified && !n.lives(labels[0], addr) {
		return found{}
	}
	f := found{exists: true}
	f.add([]netip.Addr{addr})
	return f
}

// lives reports whether a live pod of the namespace has the address.
func (n *naive) lives(namespace string, addr netip.Addr) bool {
	return slices.ContainsFunc(n.podsAt(addr), func(p *corev1.Pod) bool { return p.Namespace == namespace })
}

// podsAt is the live pods that have the address.
func (n *naive) podsAt(addr netip.Addr) (all []*corev1.Pod) {
	for _, o := range n.world[podsOf] {
		p := o.(*corev1.Pod)
		ended := slices.Contains([]corev1.PodPhase{corev1.PodFailed, corev1.PodSucceeded, corev1.PodUnknown}, p.Status.Phase)
		at := slices.ContainsFunc(p.Status.PodIPs, func(ip corev1.PodIP) bool { return address(ip.IP) == addr })
		if !ended && p.DeletionTimestamp == nil && at {
			all = append(all, p)
		}
	}
	return all
}

// namespaceOf is the namespace of a client by its address: that of the pod that started last, if all that did are of one
// and none is on the network of its node.
func (n *naive) namespaceOf(addr netip.Addr) string {
	if !n.read[podsOf] {
		return ""
	}
	last, spaces := int64(-1), map[string]bool{}
	for _, p := range n.podsAt(addr) {
		started := int64(0)
		if p.Status.StartTime != nil {
			started = p.Status.StartTime.Unix()
		}
		if p.Spec.HostNetwork {
			return ""
		}
		if started > last {
			last = started
			clear(spaces)
		}
		if started == last {
			spaces[p.Namespace] = true
		}
	}
	for space := range spaces {
		if len(spaces) == 1 {
			return space
		}
	}
	return ""
}

// address reads the forms of addresses that an API server may have stored: octets may begin with 0, and IPv4 may be
// mapped into IPv6.
func address(text string) netip.Addr {
	if addr, ok := addresses.Load(text); ok {
		return addr.(netip.Addr)
	}
	addr := readAddress(text)
	addresses.Store(text, addr)
	return addr
}

// addresses are those that have been read: they are few, and read for each question.
var addresses sync.Map

func readAddress(text string) netip.Addr {
	return netip.MustParseAddr(leadingZeros.ReplaceAllString(strings.TrimPrefix(text, "::ffff:"), "$1"))
}

var leadingZeros = regexp.MustCompile(`\b0+(\d)`)
