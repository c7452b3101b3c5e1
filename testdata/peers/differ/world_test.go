package differ

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A world is a random cluster and the options under which it is served. The
// seed alone decides it: cluster IPs are chosen here and not by the API
// server, and maps are never walked.
type world struct {
	seed uint64
	*rand.Rand
	options
	rules []rule // that explain differences
	timetable
	spread uint32   // seconds that the questions before those of the timetable took
	under  string   // the name of the options
	apexes []string // of the zones that they have

	upstream upstream // what is known outside

	namespaces []*corev1.Namespace
	services   []*corev1.Service
	imports    []*corev1.Service // what ServiceImports say
	slices     []*discoveryv1.EndpointSlice
	pods       []*corev1.Pod

	hosts      map[netip.Addr]bool // addresses of endpoints and pods
	clusterIPs map[netip.Addr]bool
	local      []netip.Addr    // addresses of this machine
	reverse    map[string]bool // names of all of these
}

// label marks the namespaces that the test made, and objects that `labels`
// selects.
const label = "clusterdns.example/differ"

// Words that are something else in a DNS name than what they are here.
var (
	namespaceWords = []string{"svc", "pod", "com", "cluster", "local", "arpa", "in-addr", "ip6", "dns", "ns", "10", "1-2-3-4", "prod",
		"staging", "tcp", "any", "example", "web", strings.Repeat("n", 63), "a"}
	serviceWords = []string{"cluster", "local", "in-addr", "ip6", "arpa", "svc", "pod", "com", "dns", "ns", "dns-version", "tcp", "udp", "http",
		"any", "web", "db", "api", "cache", "mysql-external", "www", "example", "x", "kube-dns", "queue", "search", strings.Repeat("s", 63),
		"a--b", "default", "prod", "staging", "hostmaster"}
	hostWords = []string{"web-0", "web-1", "db-0", "db-1", "tcp", "udp", "http", "svc", "10-244-0-1", "fd00-10-244--1", "any", "0", "ns",
		strings.Repeat("h", 63), "shared"}
	portWords = []string{"http", "https", "metrics", "dns", "dns-tcp", "tcp", "udp", "sctp", "svc", "web-0", "x", "grpc", "9p",
		strings.Repeat("p", 62)}
	protocols = []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}
)

// newWorld makes the cluster of a seed.
func newWorld(seed uint64, local []netip.Addr) *world {
	w := &world{
		seed:       seed,
		Rand:       rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)),
		hosts:      map[netip.Addr]bool{},
		clusterIPs: map[netip.Addr]bool{},
		reverse:    map[string]bool{},
		local:      local,
		rules:      rules,
		upstream:   upstreamRecords(),
	}
	w.options = newOptions(seed)
	w.addNamespaces()
	for _, ns := range w.namespaces {
		names := slices.Clone(serviceWords)
		w.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for _, name := range names[:4+w.IntN(10)] {
			w.addService(ns.Name, name)
		}
		w.addLongNames(ns.Name)
		w.addPods(ns.Name)
	}
	w.addChain()
	w.addFront()
	for _, ns := range w.namespaces {
		w.addImports(ns.Name)
	}
	w.addReverse()
	return w
}

// listed are the world's options with the names of the namespaces in place of
// their labels.
func (w *world) listed() *options {
	o := w.options
	o.namespaceLabels, o.namespaceList = "", []string{"none"} // an empty list would be all
	for _, ns := range w.namespaces {
		if w.exposes(ns) {
			o.namespaceList = append(o.namespaceList, ns.Name)
		}
	}
	return &o
}

func (w *world) chance(percent int) bool { return w.IntN(100) < percent }

func pick[T any](w *world, list []T) T { return list[w.IntN(len(list))] }

func (w *world) addNamespaces() {
	words := slices.Clone(namespaceWords)
	w.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
	for _, name := range append(words[:11], "default") {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{label: "made"}}}
		if w.chance(75) {
			ns.Labels["tier"] = "open"
		}
		w.namespaces = append(w.namespaces, ns)
	}
}

// meta is the metadata of an object; a quarter of them lack the label that
// the option labels asks for.
func (w *world) meta(namespace, name string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{label: "made"}}
	if w.chance(75) {
		m.Labels["tier"] = "open"
	}
	return m
}

// addService adds a service of a random kind with its slices.
func (w *world) addService(namespace, name string) {
	s := &corev1.Service{ObjectMeta: w.meta(namespace, name)}
	ports := w.servicePorts(1 + w.IntN(4))
	switch kind := w.IntN(20); {
	case kind < 4:
		s.Spec.Type = corev1.ServiceTypeClusterIP
	case kind < 6:
		s.Spec.Type = corev1.ServiceTypeNodePort
	case kind < 8:
		s.Spec.Type = corev1.ServiceTypeLoadBalancer
		s.Spec.ExternalIPs = []string{"203.0.113.9"}
	case kind < 15:
		s.Spec.Type = corev1.ServiceTypeClusterIP
		s.Spec.ClusterIP = corev1.ClusterIPNone
		if w.chance(15) {
			ports = nil
		}
	default:
		s.Spec.Type = corev1.ServiceTypeExternalName
		s.Spec.ExternalName = w.externalName()
		if w.chance(70) {
			ports = nil
		}
	}
	s.Spec.Ports = ports
	if w.chance(60) && s.Spec.Type != corev1.ServiceTypeExternalName {
		s.Spec.Selector = map[string]string{"app": "web"}
	}
	s.Spec.PublishNotReadyAddresses = w.chance(10)
	if s.Spec.Type != corev1.ServiceTypeExternalName {
		w.setFamilies(s)
	}
	w.services = append(w.services, s)
	if s.Spec.Type != corev1.ServiceTypeExternalName || w.chance(20) {
		w.addSlices(s)
	}
}

// setFamilies chooses the IP families of a service, and its cluster IPs.
func (w *world) setFamilies(s *corev1.Service) {
	policy := pick(w, []corev1.IPFamilyPolicy{corev1.IPFamilyPolicySingleStack, corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack})
	families := []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}
	if w.chance(40) {
		slices.Reverse(families)
	}
	if policy == corev1.IPFamilyPolicySingleStack {
		families = families[:1]
	}
	s.Spec.IPFamilyPolicy, s.Spec.IPFamilies = &policy, families
	if s.Spec.ClusterIP == corev1.ClusterIPNone {
		s.Spec.ClusterIPs = []string{corev1.ClusterIPNone}
		return
	}
	for _, family := range families {
		s.Spec.ClusterIPs = append(s.Spec.ClusterIPs, w.clusterIP(family).String())
	}
	s.Spec.ClusterIP = s.Spec.ClusterIPs[0]
}

// clusterIP chooses an address that no service has.
func (w *world) clusterIP(family corev1.IPFamily) netip.Addr {
	for {
		n := w.Uint32()
		addr := netip.AddrFrom4([4]byte{10, 96 + byte(n>>16)%16, byte(n >> 8), 2 + byte(n)%250})
		if family == corev1.IPv6Protocol {
			addr = netip.MustParseAddr(fmt.Sprintf("fd00:10:96::%x", 0x100+n%0xff00))
		}
		if !w.clusterIPs[addr] {
			w.clusterIPs[addr] = true
			return addr
		}
	}
}

func (w *world) servicePorts(n int) (ports []corev1.ServicePort) {
	used := map[string]bool{}
	for i := range n {
		p := corev1.ServicePort{Name: pick(w, portWords), Protocol: pick(w, protocols), Port: pick(w, []int32{53, 80, 443, 3306, 65535, 1})}
		if w.chance(20) {
			p.Name = fmt.Sprintf("p%d", i)
		}
		if n == 1 && w.chance(40) {
			p.Name = ""
		}
		at := fmt.Sprint(p.Port, p.Protocol)
		if used[p.Name] || used[at] {
			continue
		}
		used[p.Name], used[at] = true, true
		ports = append(ports, p)
	}
	return ports
}

// externalName is a target: in the zone, out of it, nowhere, or an address.
func (w *world) externalName() string {
	switch n := w.IntN(20); {
	case n < 9:
		return pick(w, outside)
	case n < 16:
		ns := pick(w, namespaceWords)
		if len(w.services) > 0 && w.chance(70) {
			s := pick(w, w.services)
			return dotted(w, s.Name+"."+s.Namespace+".svc."+zone)
		}
		return dotted(w, pick(w, serviceWords)+"."+ns+".svc."+zone)
	case n < 17:
		return "10.1.2.3"
	case n < 18:
		return pick(w, []string{zone, "svc." + zone, "dns-version." + zone, "ns.dns." + zone, "prod.svc." + zone, "_zone", "1-2-3-4.prod.pod." + zone}[:5])
	case n < 19:
		return pick(w, []string{"1-2-3-4.default.pod." + zone, "web-0.web.prod.svc." + zone, "1.0.96.10.in-addr.arpa"})
	default:
		return pick(w, []string{"localhost", "com", strings.Repeat("a", 63) + ".example.com"})
	}
}

// dotted ends a name with a dot now and then.
func dotted(w *world, name string) string {
	if w.chance(20) {
		return name + "."
	}
	return name
}

// addChain adds chains of external names that end, that are longer than
// anyone follows, and that are loops.
func (w *world) addChain() {
	const ns = "default"
	link := func(name, target string) {
		s := &corev1.Service{ObjectMeta: w.meta(ns, name)}
		s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, target
		w.services = append(w.services, s)
	}
	below := "." + ns + ".svc." + zone
	for _, length := range []int{3, 9, 10, 11, 12, 15} {
		for i := range length {
			target := fmt.Sprintf("chain-%d-%d", length, i+1) + below
			if i == length-1 {
				target = pick(w, []string{"kubernetes" + below, "www.example.com", "missing" + below})
			}
			link(fmt.Sprintf("chain-%d-%d", length, i), target)
		}
	}
	link("loop-self", "loop-self"+below)
	link("loop-a", "loop-b"+below)
	link("loop-b", "loop-a"+below)
	link("loop-tail", "loop-a"+below)
}

// addFront adds a service whose endpoint is this machine: the name server of
// the zone. Half of the seeds have none.
func (w *world) addFront() {
	if !w.front {
		return
	}
	s := &corev1.Service{ObjectMeta: w.meta("kube-system", "kube-dns")}
	s.Labels["tier"] = "open"
	s.Spec.Ports = []corev1.ServicePort{{Name: "dns", Protocol: corev1.ProtocolUDP, Port: 53}, {Name: "dns-tcp", Protocol: corev1.ProtocolTCP, Port: 53}}
	w.setFamilies(s)
	w.services = append(w.services, s)
	for _, addr := range w.local {
		// Nothing random: what is asked must not depend on the machine.
		slice := &discoveryv1.EndpointSlice{ObjectMeta: *s.ObjectMeta.DeepCopy(), AddressType: familyOf(addr)}
		slice.Name = "front-" + dashes(addr)
		slice.Labels[discoveryv1.LabelServiceName] = s.Name
		slice.Ports = slicePorts(s.Spec.Ports)
		slice.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{addr.String()}}}
		again := slice.DeepCopy() // as while an endpoint moves from one slice to another
		again.Name += "-again"
		w.slices = append(w.slices, slice, again)
	}
}

func familyOf(addr netip.Addr) discoveryv1.AddressType {
	if addr.Is4() {
		return discoveryv1.AddressTypeIPv4
	}
	return discoveryv1.AddressTypeIPv6
}

// addLongNames adds services on which the longest labels meet.
func (w *world) addLongNames(namespace string) {
	if !w.chance(30) {
		return
	}
	s := &corev1.Service{ObjectMeta: w.meta(namespace, strings.Repeat("l", 63))}
	s.Spec.ClusterIP = corev1.ClusterIPNone
	const tcp = corev1.ProtocolTCP
	s.Spec.Ports = []corev1.ServicePort{{Name: strings.Repeat("p", 62), Protocol: tcp, Port: 80}, {Name: "short", Protocol: tcp, Port: 81}}
	if w.chance(30) {
		s.Spec.Ports[1].Name = strings.Repeat("q", 63) // no label with its underscore
	}
	w.setFamilies(s)
	w.services = append(w.services, s)
	slice := w.newSlice(s, discoveryv1.AddressTypeIPv4)
	slice.Ports = slicePorts(s.Spec.Ports)
	long := strings.Repeat("h", 63)
	slice.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{w.podIP(slice.AddressType)}, Hostname: &long}}
	w.slices = append(w.slices, slice)
}
