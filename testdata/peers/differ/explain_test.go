package differ

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	discoveryv1 "k8s.io/api/discovery/v1"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"

	"github.com/miekg/dns"
)

// What a rule finds true of a question is here: of its name, of the world, and
// of what each server said.

const zoneName = zone + "."

// below reports whether name is one of domains or below it.
func below(name string, domains ...string) bool {
	return slices.ContainsFunc(domains, func(d string) bool { return dns.IsSubDomain(d, name) })
}

// apex is the zone of the kubernetes directive that the name is in, in lower
// case, the longest if there are several; "" for none.
func (q *question) apex() (longest string) {
	for _, z := range q.world.apexes {
		if below(q.name(), z) && len(z) > len(longest) {
			longest = z
		}
	}
	return longest
}

// reverse reports whether the name is in a reverse zone of ours.
func (q *question) reverse() bool { return below(q.apex(), reverseTrees...) && q.apex() != "" }

// reverseTrees are what reverse zones are below.
var reverseTrees = []string{"in-addr.arpa.", "ip6.arpa."}

// inClusterset reports whether the name is in the zone of imports.
func (q *question) inClusterset() bool { return q.apex() == clusterset+"." }

// inCluster reports whether the name is in a zone of services.
func (q *question) inCluster() bool { return q.apex() != "" && !q.reverse() }

// labels are those of the name before its apex.
func (q *question) labels() []string {
	return dns.SplitDomainName(strings.TrimSuffix(strings.TrimSuffix(q.name(), q.apex()), "."))
}

// service is the service that the name is below, and the labels before it.
func (q *question) service() (s *corev1.Service, below []string) {
	labels := q.labels()
	n := len(labels)
	if !q.inCluster() || n < 3 || labels[n-1] != "svc" {
		return nil, nil
	}
	list := q.world.services
	if q.inClusterset() {
		list = q.world.imports
	}
	return q.world.serviceOf(list, labels[n-3], labels[n-2]), labels[:n-3]
}

// serviceOf is the service of a name that may be seen; nil for none.
func (w *world) serviceOf(list []*corev1.Service, name, namespace string) *corev1.Service {
	for _, s := range list {
		if s.Name == name && s.Namespace == namespace && w.exposed(namespace) && (w.labels == "" || s.Labels["tier"] == "open") {
			return s
		}
	}
	return nil
}

// exposed reports whether a namespace may be seen.
func (w *world) exposed(name string) bool {
	for _, ns := range w.namespaces {
		if ns.Name == name {
			return w.exposes(ns)
		}
	}
	return w.exposes(&corev1.Namespace{}) || slices.Contains(w.namespaceList, name)
}

// onward reports whether the name is passed on when it does not exist.
func (q *question) onward() bool {
	return slices.ContainsFunc(q.world.options.onward, func(z string) bool { return below(q.name(), z+".") })
}

// missing reports whether a reply says that the name does not exist: with the
// zone's authority, or by what the upstream said where it is passed on.
func (q *question) missing(r *reply) bool {
	if len(r.sections[answer]) > 0 || r.rcode != dns.RcodeNameError {
		return false
	}
	return r.aa != q.onward()
}

// empty reports whether a reply is NODATA of our zone.
func empty(r *reply) bool {
	return r.rcode == dns.RcodeSuccess && r.aa && len(r.sections[answer]) == 0
}

// becomes makes of a reply an authoritative denial.
func (q *question) becomes(r *reply, rcode int) bool {
	ttl := q.world.ttl
	asked := q.msg.Question[0].Name
	r.rcode, r.aa = rcode, true
	r.sections = [3][]record{authority: {{
		owner: asked[len(asked)-len(q.apex()):], class: "IN", rrtype: "SOA", ttl: uint32(min(ttl, 300)),
		data: fmt.Sprintf("ns.dns.%s hostmaster.%s %s 7200 1800 86400 %d", q.primary(), q.apex(), serialOf(q.ours), ttl),
	}}}
	return true
}

// primary is the zone whose ns.dns is the MNAME of the question's zone.
func (q *question) primary() string {
	if q.reverse() {
		return zoneName
	}
	return q.apex()
}

// serialOf is the serial of the SOA in a reply.
func serialOf(r *reply) string {
	for _, section := range r.sections {
		for _, record := range section {
			if f := strings.Fields(record.data); record.rrtype == "SOA" {
				return f[2]
			}
		}
	}
	return "0"
}

func classes(q *question, ours, theirs *reply) bool {
	if q.qclass() == dns.ClassINET || ours.rcode != dns.RcodeRefused || theirs.rcode == dns.RcodeRefused || ours.tc || len(ours.sections[answer]) > 0 {
		return false
	}
	theirs.rcode, theirs.aa, theirs.tc, theirs.ra, theirs.ad, theirs.sections = dns.RcodeRefused, false, false, ours.ra, false, [3][]record{}
	return true
}

func anyClass(q *question, ours, theirs *reply) bool {
	refused := theirs.rcode == dns.RcodeRefused && len(theirs.sections[answer]) == 0 && ours.rcode != dns.RcodeRefused
	translated := q.qtype() == dns.TypeAAAA && strings.Contains(q.under, "\tdns64")
	if q.qclass() != dns.ClassANY || !refused && !translated || ours.rcode == dns.RcodeBadVers {
		return false
	}
	theirs.like(ours)
	return true
}

func transfers(q *question, ours, theirs *reply) bool {
	if t := q.qtype(); t != dns.TypeAXFR && t != dns.TypeIXFR || ours.rcode != dns.RcodeRefused || q.apex() != "" || !theirs.ra {
		return false
	}
	theirs.rcode, theirs.aa, theirs.sections = dns.RcodeRefused, false, [3][]record{}
	return true
}

// like gives theirs what the servers said to another question.
func (r *reply) like(other *reply) {
	r.rcode, r.aa, r.ra = other.rcode, other.aa, other.ra
	for i := range r.sections {
		r.sections[i] = slices.Clone(other.sections[i])
	}
	if r.opt != nil && other.opt != nil {
		r.opt.errors = other.opt.errors
	}
}

// ownName reports whether the name is the apex or ns.dns.
func (q *question) ownName() bool {
	return q.apex() != "" && (q.name() == q.apex() || q.name() == "ns.dns."+q.apex())
}

func mixedCase(q *question, ours, theirs *reply) bool {
	if q.other == nil || q.other.how != "in lower case" {
		return false
	}
	before := theirs.clone()
	theirs.like(q.other.settled)
	asked := q.msg.Question[0].Name
	for i := range theirs.sections {
		for j := range theirs.sections[i] {
			owner := &theirs.sections[i][j].owner
			switch {
			case i != additional && strings.EqualFold(*owner, asked):
				*owner = asked
			case i != additional && *owner == q.apex():
				*owner = asked[len(asked)-len(q.apex()):]
			}
		}
		sortRecords(theirs.sections[i])
	}
	innerCase(q, ours, before)
	return len(diff(theirs, before)) > 0
}

// chain follows external names from the question's name: the records, the
// name where they end, and whether that is because they go on for ever.
func (q *question) chain() (links []record, end string, endless bool) {
	asked := q.msg.Question[0].Name
	end = q.name()
	for range 11 {
		next := &question{world: q.world}
		next.msg.Question = []dns.Question{{Name: end}}
		s, rest := next.service()
		if s == nil || len(rest) > 0 || s.Spec.Type != corev1.ServiceTypeExternalName || isAddress(s.Spec.ExternalName) {
			return links, end, false
		}
		if len(links) == 10 {
			return links, end, true
		}
		target := dns.Fqdn(s.Spec.ExternalName)
		owner := end
		if len(links) == 0 {
			owner = asked
		}
		links = append(links, record{owner: owner, class: "IN", rrtype: "CNAME", ttl: uint32(q.world.ttl), data: target})
		if slices.ContainsFunc(links, func(r record) bool { return strings.EqualFold(r.owner, target) }) {
			return links, target, true
		}
		end = target
	}
	return links, end, true
}

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

func alias(q *question, ours, theirs *reply) bool {
	if q.other == nil || q.other.how != "the target" {
		return false
	}
	before := theirs.clone()
	links, _, _ := q.chain()
	theirs.like(q.other.settled)
	theirs.aa = true
	if q.world.alone && q.other.apex() == "" { // a target that is nobody's here
		theirs.rcode = dns.RcodeSuccess
	}
	theirs.sections[answer] = append(links, theirs.sections[answer]...)
	sortRecords(theirs.sections[answer])
	if ours.ra && !before.ra { // not this rule's to say
		theirs.ra = false
	}
	return len(diff(theirs, before)) > 0
}

// eleventh explains a chain whose eleventh alias CoreDNS followed.
func eleventh(q *question, ours, theirs *reply) bool {
	links, _, endless := q.chain()
	if !endless || len(links) != 10 || ours.rcode != dns.RcodeServerFailure || theirs.rcode != dns.RcodeSuccess || len(theirs.sections[answer]) < 11 {
		return false
	}
	theirs.rcode, theirs.sections = dns.RcodeServerFailure, [3][]record{answer: links}
	sortRecords(theirs.sections[answer])
	return true
}

// wildcard explains _._tcp.<service>, _http._.<service> and _._.<service>.
func wildcard(q *question, ours, theirs *reply) bool {
	s, rest := q.service()
	if s == nil || len(rest) != 2 || rest[0] != "_" && rest[1] != "_" || !theirs.aa || theirs.rcode != dns.RcodeSuccess {
		return false
	}
	return q.notFound(theirs)
}

func longPort(q *question, ours, theirs *reply) bool {
	s, rest := q.service()
	if s == nil || len(rest) != 2 || len(rest[0]) != 63 || !theirs.aa || theirs.rcode != dns.RcodeSuccess ||
		!slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == rest[0] }) {
		return false
	}
	return q.notFound(theirs)
}

// notFound makes of a reply what a name that does not exist gets.
func (q *question) notFound(theirs *reply) bool {
	if q.onward() {
		theirs.like(upstreamSays(q))
		return true
	}
	return q.becomes(theirs, dns.RcodeNameError)
}

// pod is the labels before the namespace of a name of a pod, if it is one.
func (q *question) pod() (labels []string, ok bool) {
	labels = q.labels()
	n := len(labels)
	if !q.inCluster() || n < 3 || labels[n-1] != "pod" {
		return nil, false
	}
	return labels[:n-2], true
}

func belowPod(q *question, ours, theirs *reply) bool {
	labels, ok := q.pod()
	if !ok || len(labels) < 2 || len(labels) > 3 || !theirs.aa || theirs.rcode != dns.RcodeSuccess {
		return false
	}
	return q.notFound(theirs)
}

func podPort(q *question, ours, theirs *reply) bool {
	labels, ok := q.pod()
	if !ok || len(labels) != 1 || q.qtype() != dns.TypeSRV || len(theirs.sections[answer]) != 1 {
		return false
	}
	if f := strings.Fields(theirs.sections[answer][0].data); f[2] != "0" || !strings.EqualFold(f[3], q.name()) {
		return false
	}
	return q.becomes(theirs, dns.RcodeSuccess)
}

func podColons(q *question, ours, theirs *reply) bool {
	labels, ok := q.pod()
	if !ok || len(labels) != 1 || !isAddress(labels[0]) || !theirs.aa || theirs.rcode != dns.RcodeSuccess {
		return false
	}
	return q.notFound(theirs)
}

// podForm explains the address of a live pod in another form than its status
// has.
func podForm(q *question, ours, theirs *reply) bool {
	labels, ok := q.pod()
	if !ok || len(labels) != 1 || q.world.options.pods != "verified" || !q.missing(theirs) {
		return false
	}
	text := strings.ReplaceAll(labels[0], "-", ":")
	addr, err := netip.ParseAddr(text)
	if err != nil || text == addr.String() || !q.world.live(addr, q.labels()[1]) {
		return false
	}
	q.becomes(theirs, dns.RcodeSuccess)
	if q.qtype() == dns.TypeAAAA {
		theirs.sections = [3][]record{answer: {{owner: q.msg.Question[0].Name, class: "IN", rrtype: "AAAA", ttl: uint32(q.world.ttl), data: addr.String()}}}
	}
	return true
}

// live reports whether a pod that may be seen has the address.
func (w *world) live(addr netip.Addr, namespace string) bool {
	return w.exposed(namespace) && slices.ContainsFunc(w.pods, func(p *corev1.Pod) bool {
		return p.Namespace == namespace && p.DeletionTimestamp == nil && (p.Status.Phase == corev1.PodRunning || p.Status.Phase == corev1.PodPending) &&
			(w.labels == "" || p.Labels["tier"] == "open") &&
			slices.ContainsFunc(p.Status.PodIPs, func(ip corev1.PodIP) bool { return ip.IP == addr.String() })
	})
}

// dotted is the name that a pod's name with dots should not have given.
const dottedName = "a.dotted.name"

// dottedPod gives the endpoints of such pods their addresses as names.
func dottedPod(q *question, ours, theirs *reply) (changed bool) {
	if !q.world.podNames {
		return false
	}
	s, rest := q.service()
	endpoint := 1 // label, and in a clusterset that of its cluster
	if q.inClusterset() {
		endpoint = 2
	}
	named := s != nil && len(rest) == endpoint && q.world.dottedAt(s, rest[0])
	if named && (q.missing(theirs) || q.qtype() == dns.TypeSRV) && ours.isAt(rest[0]) {
		// The name itself, which CoreDNS does not know, or for other endpoints
		// of that address, so that the weights are others.
		ra := theirs.ra
		theirs.like(ours)
		theirs.ra = ra
		return true
	}
	if named && q.addDotted(theirs, ours, rest[0]) {
		return true
	}
	const prefix = dottedName + "."
	for i := range theirs.sections {
		var kept []record
		for _, r := range theirs.sections[i] {
			f := strings.Fields(r.data)
			switch {
			case r.rrtype == "PTR" && strings.HasPrefix(r.data, prefix):
				r.data = dashes(q.address()) + "." + strings.TrimPrefix(r.data, prefix)
			case i == additional && strings.HasPrefix(r.owner, prefix):
				if addr, err := netip.ParseAddr(r.data); err == nil {
					r.owner = dashes(addr) + "." + strings.TrimPrefix(r.owner, prefix)
				}
			case r.rrtype == "SRV" && s != nil && strings.HasPrefix(f[3], prefix):
				kept, changed = append(kept, q.dottedTargets(s, r, ours)...), true
				continue
			default:
				kept = append(kept, r)
				continue
			}
			kept, changed = append(kept, r), true
		}
		sortRecords(kept)
		theirs.sections[i] = slices.Compact(kept)
	}
	return changed
}

// addDotted adds the address that a label stands for, of which ours must have a
// record, to those of endpoints that have the label as their hostname.
func (q *question) addDotted(r, ours *reply, label string) bool {
	i := slices.IndexFunc(ours.sections[answer], func(r record) bool {
		addr, err := netip.ParseAddr(r.data)
		return err == nil && dashes(addr) == label && typeOf(addr) == q.qtype()
	})
	if i < 0 || !r.aa || r.rcode != dns.RcodeSuccess {
		return false
	}
	missing := record{owner: q.msg.Question[0].Name, class: "IN", rrtype: dns.TypeToString[q.qtype()], ttl: uint32(q.world.ttl), data: ours.sections[answer][i].data}
	if slices.Contains(r.sections[answer], missing) {
		return false
	}
	r.sections[answer], r.sections[authority] = append(r.sections[answer], missing), nil
	sortRecords(r.sections[answer])
	return true
}

// isAt reports whether all addresses of the answer are the one of a label.
func (r *reply) isAt(label string) bool {
	return r.rcode == dns.RcodeSuccess && !slices.ContainsFunc(r.sections[answer], func(r record) bool {
		addr, err := netip.ParseAddr(r.data)
		return err == nil && dashes(addr) != label
	})
}

// dottedTargets are the SRV records that stand for one with the name of such
// a pod, as ours has them.
func (q *question) dottedTargets(s *corev1.Service, r record, ours *reply) (list []record) {
	f := strings.Fields(r.data)
	for _, our := range ours.sections[answer] {
		g := strings.Fields(our.data)
		if our.rrtype == "SRV" && slices.Equal(f[:3], g[:3]) && strings.HasSuffix(g[3], strings.ToLower(strings.TrimPrefix(f[3], dottedName))) {
			if label, _, _ := strings.Cut(g[3], "."); q.world.dottedAt(s, label) {
				list = append(list, our)
			}
		}
	}
	return list
}

// address is the one that a reverse name stands for.
func (q *question) address() netip.Addr {
	labels := dns.SplitDomainName(q.name())
	labels = labels[:len(labels)-2]
	slices.Reverse(labels)
	text := strings.Join(labels, ".")
	if below(q.name(), "ip6.arpa.") {
		text = ""
		for part := range slices.Chunk(labels, 4) {
			text += ":" + strings.Join(part, "")
		}
	}
	addr, _ := netip.ParseAddr(strings.TrimPrefix(text, ":"))
	return addr
}

// dottedAt reports whether label is the address of an endpoint of a pod whose
// name has dots.
func (w *world) dottedAt(s *corev1.Service, label string) bool {
	for _, slice := range w.slicesOf(s) {
		for _, e := range slice.Endpoints {
			if e.Hostname == nil && e.TargetRef != nil && e.TargetRef.Name == dottedName &&
				slices.ContainsFunc(e.Addresses, func(a string) bool { return dashes(netip.MustParseAddr(a)) == label }) {
				return true
			}
		}
	}
	return false
}

func loop(q *question, ours, theirs *reply) bool {
	links, _, endless := q.chain()
	first := len(links) > 0 && slices.Equal(theirs.sections[answer], links[:1]) // where the loop is in another zone
	if !endless || ours.rcode != dns.RcodeServerFailure || theirs.rcode != dns.RcodeSuccess || !empty(theirs) && !first {
		return false
	}
	theirs.rcode, theirs.sections = dns.RcodeServerFailure, [3][]record{answer: links}
	sortRecords(theirs.sections[answer])
	return true
}

func anything(q *question, ours, theirs *reply) bool {
	if q.other == nil || q.other.how != "one type" || !empty(theirs) && !q.missing(theirs) {
		return false
	}
	ra := theirs.ra
	theirs.like(q.other.settled)
	theirs.ra = ra || !empty(theirs) && q.missing(theirs)
	if q.onward() {
		theirs.ra = ours.ra
	}
	theirs.sections[authority], theirs.sections[additional] = nil, nil
	return true
}

func emptyNonTerminal(q *question, ours, theirs *reply) bool {
	if !empty(ours) || !q.missing(theirs) || !q.nonTerminal() {
		return false
	}
	return q.becomes(theirs, dns.RcodeSuccess)
}

// nonTerminal reports whether a name below the question's has records, and
// CoreDNS takes no notice: dns.<zone>, _tcp.<service> of a named port, and
// what is above reverse names.
func (q *question) nonTerminal() bool {
	if q.reverse() {
		return q.world.anyAddress(func(address string) bool {
			owner, err := dns.ReverseAddr(address)
			return err == nil && strings.HasSuffix(owner, "."+q.name())
		})
	}
	if q.inCluster() && q.name() == "dns."+q.apex() {
		return true
	}
	s, rest := q.service()
	if s == nil {
		return false
	}
	if above := strings.Join(rest, "."); above == "_zone" || above == "pin._zone" || above == "prefer._zone" {
		return q.world.zonal && kindOf(s) == "headless" && q.world.anyReady(s)
	}
	if len(rest) != 1 {
		return false
	}
	if q.inClusterset() && slices.ContainsFunc(q.world.slicesOf(s), func(slice *discoveryv1.EndpointSlice) bool {
		return slice.Labels[mcsv1alpha1.LabelSourceCluster] == rest[0] && q.world.shows(slice) && slices.ContainsFunc(slice.Endpoints, isReady)
	}) {
		return true
	}
	protocol := corev1.Protocol(strings.ToUpper(strings.TrimPrefix(rest[0], "_")))
	if kindOf(s) == "cluster IP" {
		return slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool {
			return p.Name != "" && cmp.Or(p.Protocol, corev1.ProtocolTCP) == protocol
		})
	}
	for _, slice := range q.world.slicesOf(s) {
		if !slices.ContainsFunc(slice.Endpoints, isReady) || !q.world.shows(slice) {
			continue
		}
		for _, p := range slice.Ports {
			if p.Name != nil && *p.Name != "" && (p.Protocol == nil && protocol == corev1.ProtocolTCP || p.Protocol != nil && *p.Protocol == protocol) {
				return true
			}
		}
	}
	return false
}

// zonalOfNone explains zonal names of a service that has no name itself.
func zonalOfNone(q *question, ours, theirs *reply) bool {
	s, rest := q.service()
	n := len(rest)
	if s == nil || !q.world.zonal || kindOf(s) != "headless" || n < 3 || rest[n-1] != "_zone" || rest[n-2] != "pin" && rest[n-2] != "prefer" ||
		q.world.anyReady(s) || !empty(theirs) {
		return false
	}
	return q.notFound(theirs)
}

func ownNames(q *question, ours, theirs *reply) bool {
	name := strings.Join(q.labels(), ".")
	if !q.inCluster() || name != "dns-version" && name != "ns.dns" || !empty(ours) || !q.missing(theirs) {
		return false
	}
	return q.becomes(theirs, dns.RcodeSuccess)
}

func reverseType(q *question, ours, theirs *reply) bool {
	if !q.reverse() || q.qtype() == dns.TypePTR || !empty(ours) || !q.missing(theirs) || !q.world.hasReverse(q.name()) {
		return false
	}
	return q.becomes(theirs, dns.RcodeSuccess)
}

// hasReverse reports whether a name is that of an address of the cluster.
func (w *world) hasReverse(name string) bool { return w.reverse[name] }

// addReverse notes the reverse names of all addresses.
func (w *world) addReverse() {
	add := func(addr netip.Addr) {
		reverse, _ := dns.ReverseAddr(addr.String())
		w.reverse[reverse] = true
	}
	for addr := range w.hosts {
		add(addr)
	}
	for addr := range w.clusterIPs {
		add(addr)
	}
	for _, addr := range w.local {
		add(addr)
	}
	for _, own := range ofAPIServer {
		add(netip.MustParseAddr(own))
	}
}

// reverseForm: below a reverse zone there are names of addresses, and nothing
// of a cluster zone.
func reverseForm(q *question, ours, theirs *reply) bool {
	name := strings.Join(q.labels(), ".")
	if !q.reverse() || !slices.Contains([]string{"svc", "pod", "dns-version", "ns.dns"}, name) || q.missing(theirs) || !theirs.aa {
		return false
	}
	return q.notFound(theirs)
}

// reverseLonger explains an address that CoreDNS read from a part of a name.
func reverseLonger(q *question, ours, theirs *reply) bool {
	whole := 4 + 2 // labels
	if below(q.name(), "ip6.arpa.") {
		whole = 32 + 2
	}
	if !q.reverse() || dns.CountLabel(q.name()) <= whole && !strings.Contains(q.name(), `\.`) || !theirs.aa || len(theirs.sections[answer]) == 0 {
		return false
	}
	return q.notFound(theirs)
}

// upstreamSays is the upstream's reply to a question.
func upstreamSays(q *question) *reply {
	m := new(dns.Msg).SetReply(&q.msg)
	m.RecursionAvailable = true
	asked := q.msg.Question[0]
	q.world.upstream.answer(m, asked.Name, asked.Qtype)
	packet, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return read(packet)
}

func hiddenServer(q *question, ours, theirs *reply) bool {
	if !q.ownName() || q.world.exposed("kube-system") {
		return false
	}
	if q.name() != "ns.dns."+q.apex() || !empty(theirs) {
		return q.frontless(theirs)
	}
	// The hidden service has no address of this family; this machine has.
	for _, addr := range q.world.local {
		if rrtype := typeOf(addr); rrtype == q.qtype() {
			theirs.sections[authority] = nil
			theirs.sections[answer] = append(theirs.sections[answer], record{owner: q.msg.Question[0].Name, class: "IN",
				rrtype: dns.TypeToString[rrtype], ttl: uint32(q.world.ttl), data: addr.String()})
		}
	}
	sortRecords(theirs.sections[answer])
	return !empty(theirs)
}

// typeOf is the type of an address's record.
func typeOf(addr netip.Addr) uint16 {
	if addr.Is4() {
		return dns.TypeA
	}
	return dns.TypeAAAA
}

func hiddenNamespace(q *question, ours, theirs *reply) bool {
	return q.world.namespaceLabels != "" && q.withoutPTR(ours, theirs, func(target *question) bool {
		labels := target.labels()
		return len(labels) > 1 && !q.world.exposed(labels[len(labels)-2])
	})
}

// frontless makes of the records of a name server those of this machine.
func (q *question) frontless(theirs *reply) (changed bool) {
	const front = "kube-dns.kube-system.svc."
	ns := q.name() == "ns.dns."+q.apex()
	for i := range theirs.sections {
		var addresses []record
		theirs.sections[i] = slices.DeleteFunc(theirs.sections[i], func(r record) bool {
			_, err := netip.ParseAddr(r.data)
			drop := err == nil && (ns || strings.HasPrefix(r.owner, front))
			if drop {
				addresses = append(addresses, r)
			}
			return drop
		})
		for _, addr := range q.world.local {
			rrtype := dns.TypeToString[typeOf(addr)]
			at := slices.IndexFunc(addresses, func(r record) bool { return r.rrtype == rrtype || !ns })
			if at < 0 {
				continue
			}
			r := addresses[at]
			r.rrtype, r.data, changed = rrtype, addr.String(), true
			if !ns {
				r.owner = q.ownServer()
			}
			theirs.sections[i] = append(theirs.sections[i], r)
		}
		for j := range theirs.sections[i] {
			if r := &theirs.sections[i][j]; r.rrtype == "NS" && strings.HasPrefix(r.data, front) {
				r.data, changed = q.ownServer(), true
			}
		}
		sortRecords(theirs.sections[i])
	}
	return changed
}

// ownServer is the name server of a zone that no service fronts: reverse zones
// have no such name themselves.
func (q *question) ownServer() string {
	if q.reverse() {
		return "ns.dns." + zoneName
	}
	return "ns.dns." + q.apex()
}

// reverseServers puts the name servers of reverse zones where they exist.
func reverseServers(q *question, ours, theirs *reply) (changed bool) {
	if !q.reverse() && !q.inClusterset() || q.name() != q.apex() || q.qtype() != dns.TypeNS {
		return false
	}
	move := func(name *string) {
		if before, ok := strings.CutSuffix(*name, ".svc."+q.apex()); ok {
			*name, changed = before+".svc."+zoneName, true
		} else if q.reverse() && *name == "ns.dns."+q.apex() {
			*name, changed = "ns.dns."+zoneName, true
		}
	}
	for i := range theirs.sections {
		for j := range theirs.sections[i] {
			r := &theirs.sections[i][j]
			if r.rrtype == "NS" {
				move(&r.data)
			} else if i == additional {
				move(&r.owner)
			}
		}
	}
	return changed
}

// reversePrimary puts the MNAME of reverse zones where it exists.
func reversePrimary(q *question, ours, theirs *reply) (changed bool) {
	for i := range theirs.sections {
		for j := range theirs.sections[i] {
			their := &theirs.sections[i][j]
			if rest, ok := strings.CutPrefix(their.data, "ns.dns."+q.apex()+" "); ok && q.reverse() && their.rrtype == "SOA" {
				their.data, changed = "ns.dns."+zoneName+" "+rest, true
			}
		}
	}
	return changed
}

// anyAddress reports whether a service, or an endpoint of one, has an address
// like this.
func (w *world) anyAddress(like func(string) bool) bool {
	return slices.ContainsFunc(ofAPIServer, like) ||
		slices.ContainsFunc(w.services, func(s *corev1.Service) bool { return slices.ContainsFunc(s.Spec.ClusterIPs, like) }) ||
		slices.ContainsFunc(w.slices, func(s *discoveryv1.EndpointSlice) bool {
			return slices.ContainsFunc(s.Endpoints, func(e discoveryv1.Endpoint) bool { return slices.ContainsFunc(e.Addresses, like) })
		})
}

func twice(q *question, ours, theirs *reply) (changed bool) {
	for i := range theirs.sections {
		n := len(theirs.sections[i])
		theirs.sections[i] = slices.Compact(theirs.sections[i])
		changed = changed || len(theirs.sections[i]) < n
	}
	return changed
}

// innerCase changes what stands inside of records, and who owns additional
// ones.
func innerCase(q *question, ours, theirs *reply) (changed bool) {
	if q.apex() == "" {
		return false
	}
	for i := range theirs.sections {
		for j := range theirs.sections[i] {
			their := &theirs.sections[i][j]
			if slices.Contains([]string{"SOA", "SRV", "NS"}, their.rrtype) && strings.ToLower(their.data) != their.data {
				their.data, changed = strings.ToLower(their.data), true
			}
			if i == additional && strings.ToLower(their.owner) != their.owner {
				their.owner, changed = strings.ToLower(their.owner), true
			}
		}
		sortRecords(theirs.sections[i])
	}
	return changed
}

// recent reports whether a serial is the second of a change of the last day.
func recent(serial string) bool {
	n, err := strconv.ParseInt(serial, 10, 64)
	age := time.Now().Unix() - n
	return err == nil && age >= -60 && age < 24*60*60
}

// serial changes the serial of the zone's SOA.
func serial(q *question, ours, theirs *reply) (changed bool) {
	for i := range theirs.sections {
		for j := range theirs.sections[i] {
			their := &theirs.sections[i][j]
			f := strings.Fields(their.data)
			own := serialOf(ours)
			if !recent(own) {
				continue
			}
			if their.rrtype == "SOA" && slices.Contains(append([]string{zoneName}, q.world.apexes...), strings.TrimPrefix(f[0], "ns.dns.")) && own != "0" && f[2] != own {
				f[2] = own
				their.data, changed = strings.Join(f, " "), true
			}
		}
	}
	return changed
}

func recursion(q *question, ours, theirs *reply) bool {
	if !ours.ra || theirs.ra || !theirs.aa && theirs.rcode != dns.RcodeRefused {
		return false
	}
	theirs.ra = true
	return true
}

func upstreamAuthority(q *question, ours, theirs *reply) bool {
	if !below(q.name(), "example.org.") || !theirs.aa || !theirs.ra {
		return false
	}
	theirs.aa = false
	return true
}

// linkLocal drops addresses that only a neighbour on one link could use.
func linkLocal(q *question, ours, theirs *reply) bool {
	if q.apex() == "" || q.name() != "ns.dns."+q.apex() && q.name() != q.apex() {
		return false
	}
	found := false
	for i := range theirs.sections {
		theirs.sections[i] = slices.DeleteFunc(theirs.sections[i], func(r record) bool {
			addr, err := netip.ParseAddr(r.data)
			drop := err == nil && addr.IsLinkLocalUnicast()
			found = found || drop
			return drop
		})
	}
	return found
}

// hasLinkLocal reports whether this machine has such an address, which CoreDNS
// would give.
func hasLinkLocal() bool {
	all, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(all, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr().IsLinkLocalUnicast()
	})
}

// forwardedCase takes the case of names that the upstream sent for none that
// matters.
func forwardedCase(q *question, ours, theirs *reply) (changed bool) {
	if theirs.aa || !theirs.ra {
		return false
	}
	for i := range theirs.sections {
		for j := range theirs.sections[i] {
			their := &theirs.sections[i][j]
			for _, our := range ours.sections[i] {
				if *their != our && strings.EqualFold(their.String(), our.String()) {
					*their, changed = our, true
				}
			}
		}
		sortRecords(theirs.sections[i])
	}
	return changed
}

func version(q *question, ours, theirs *reply) bool {
	asked := q.msg.IsEdns0()
	if asked == nil || asked.Version() == 0 || theirs.opt == nil {
		return false
	}
	switch {
	case theirs.rcode == dns.RcodeBadVers && theirs.opt.size == 0 && !theirs.opt.do:
	case theirs.rcode == dns.RcodeRefused && q.qclass() != dns.ClassINET && q.world.alone:
	default:
		return false
	}
	theirs.rcode, theirs.opt.size, theirs.opt.do = dns.RcodeBadVers, 1232, asked.Do()
	return true
}

func payload(q *question, ours, theirs *reply) bool {
	asked := q.msg.IsEdns0()
	size := uint16(cmp.Or(q.bufsize(), 1232))
	if asked == nil || theirs.opt == nil || theirs.rcode == dns.RcodeBadVers || theirs.opt.size != min(asked.UDPSize(), uint16(cmp.Or(q.bufsize(), 65535))) &&
		theirs.opt.size != asked.UDPSize() || theirs.opt.size == size {
		return false
	}
	theirs.opt.size = size
	return true
}

func extendedError(q *question, ours, theirs *reply) bool {
	if ours.opt == nil || theirs.opt == nil || len(ours.opt.errors) != 1 || len(theirs.opt.errors) != 0 ||
		ours.rcode == dns.RcodeSuccess && len(ours.sections[answer]) > 0 {
		return false
	}
	theirs.opt.errors = ours.opt.errors
	return true
}

// The replies that were cut are compared with what the same server says over
// TCP, which is compared by itself.

// cutOf reports whether r, over UDP, is what is left of whole after it was
// made to fit: less, and with TC unless only additional data is missing.
func cutOf(r, whole *reply, limit int) bool {
	if r.size > limit || r.rcode != whole.rcode && !r.tc || r.aa != whole.aa || whole.tc {
		return false
	}
	for i := range r.sections {
		for _, record := range r.sections[i] {
			if !slices.ContainsFunc(whole.sections[i], record.isButForSerial) {
				return false
			}
		}
		if !r.tc && i != additional && len(r.sections[i]) != len(whole.sections[i]) {
			return false
		}
	}
	return true
}

// isButForSerial reports whether two records are equal, or SOA records whose
// serials alone differ: what changed gets its serial within a second, and the
// two may have been asked for before and after.
func (r record) isButForSerial(other record) bool {
	if r.rrtype == "SOA" && other.rrtype == "SOA" {
		r.data, other.data = serialless(r.data), serialless(other.data)
	}
	return r == other
}

func serialless(soa string) string {
	f := strings.Fields(soa)
	return strings.Join(slices.Delete(f, 2, 3), " ")
}

// largest is more than a record of the test has octets, with an Extended DNS
// Error that there was no room for.
const largest = 400

// limits are the least and the most octets that a reply of ours is cut at: what
// is forwarded at 1232, what is ours at 4096, and behind an alias of ours
// either.
func (q *question) limits(ours *reply) (least, most int) {
	least, most = 1232, 1232
	if ours.aa {
		most = 4096
		if len(ours.sections[answer]) == 0 || ours.sections[answer][0].rrtype != "CNAME" {
			least = most
		}
	}
	if size := q.bufsize(); size > 0 {
		least, most = size, size
	}
	return min(q.offered(), least), min(q.offered(), most)
}

// bufsizes are the sizes that the directive may have.
var bufsizes = regexp.MustCompile(`\tbufsize(?: (\d+))?\n`)

// bufsize is the payload size that the directive bufsize says, 0 without one.
func (q *question) bufsize() int {
	found := bufsizes.FindStringSubmatch(q.under)
	if found == nil || strings.Contains(q.under, "\ncluster.local {") && below(q.name(), zoneName) { // in a block of its own
		return 0
	}
	size, _ := strconv.Atoi(cmp.Or(found[1], "1232"))
	return size
}

// wasCut reports whether both replies are what is left of a longer one.
func (q *question) wasCut(ours, theirs *reply) bool {
	least, most := q.limits(ours)
	if ours.tc && ours.aa && least-ours.size > largest {
		return false // there was room; of what is forwarded, ours leaves out all
	}
	return q.whole != nil && cutOf(ours, q.whole.ours, most) && cutOf(q.theirs, q.whole.theirs, q.offered()) && (!ours.tc || q.whole.ours.size > least)
}

// fits gives theirs the part of the answer that ours has.
func (r *reply) fits(ours *reply) bool {
	r.rcode, r.aa, r.tc, r.sections = ours.rcode, ours.aa, ours.tc, ours.sections
	if r.opt != nil && ours.opt != nil {
		r.opt.errors = ours.opt.errors
	}
	return true
}

// cutOther explains replies that were cut of two answers that differ and are
// explained: the rules are those of the answers.
func (q *question) cutOther(theirs *reply) bool {
	if !q.wasCut(q.ours, theirs) || len(q.whole.left) > 0 || q.whole.ours.rcode == q.whole.theirs.rcode &&
		slices.Equal(q.whole.ours.sections[answer], q.whole.theirs.sections[answer]) {
		return false
	}
	q.rules = append(q.rules, q.whole.rules...)
	theirs.ra = q.whole.settled.ra
	return theirs.fits(q.ours)
}

func cutAtMost(q *question, ours, theirs *reply) bool {
	least, _ := q.limits(ours)
	if !q.wasCut(ours, theirs) || q.offered() <= least || q.whole.ours.size <= least || len(diff(ours, theirs)) == 0 || theirs.tc && ours.tc {
		return false
	}
	return theirs.fits(ours)
}

func cutAdditional(q *question, ours, theirs *reply) bool {
	if !q.wasCut(ours, theirs) || ours.tc || !theirs.tc || len(q.whole.ours.sections[additional]) == 0 {
		return false
	}
	return theirs.fits(ours)
}

func cutElsewhere(q *question, ours, theirs *reply) bool {
	if !q.wasCut(ours, theirs) || !ours.tc || len(diff(ours, theirs)) == 0 {
		return false
	}
	return theirs.fits(ours)
}

// existence explains that theirs is about a name that exists for some types
// and does not for qtype: the replies for A say whether it does.
func (q *question) existence(theirs *reply, qtype uint16) bool {
	if q.other == nil || q.other.how != "for an address" || q.qtype() != qtype || !empty(theirs) && !q.missing(theirs) {
		return false
	}
	says := q.other.settled
	switch {
	case (q.missing(says) || q.onward() && !says.aa) && empty(theirs):
		theirs.like(says)
	case (empty(says) || says.aa && len(says.sections[answer]) > 0) && q.missing(theirs):
		q.becomes(theirs, dns.RcodeSuccess)
	default:
		return false
	}
	return true
}

func existenceSOA(q *question, ours, theirs *reply) bool { return q.existence(theirs, dns.TypeSOA) }

func existenceTXT(q *question, ours, theirs *reply) bool { return q.existence(theirs, dns.TypeTXT) }

// orphans are PTR records whose targets do not exist, since their service
// does not, or has no endpoints, or is hidden for want of one.
func orphans(q *question, ours, theirs *reply) bool {
	return q.withoutPTR(ours, theirs, func(target *question) bool {
		s, _ := target.service()
		if s == nil {
			return target.inCluster() && !below(target.name(), "kubernetes.default.svc."+zoneName)
		}
		return s.Spec.Type == corev1.ServiceTypeExternalName || q.world.ignoreEmpty && !q.world.anyReady(s)
	})
}

// endpointsOnly reports whether all PTR records point at ready endpoints with
// the address that is asked for.
func (q *question) endpointsOnly(r *reply) bool {
	return len(r.sections[answer]) > 0 && !slices.ContainsFunc(r.sections[answer], func(r record) bool {
		target := &question{world: q.world}
		target.msg.Question = []dns.Question{{Name: r.data}}
		s, rest := target.service()
		return s == nil || len(rest) != 1 || !slices.ContainsFunc(q.world.slicesOf(s), func(slice *discoveryv1.EndpointSlice) bool {
			return slices.ContainsFunc(slice.Endpoints, func(e discoveryv1.Endpoint) bool {
				return isReady(e) && slices.Contains(e.Addresses, q.address().String())
			})
		})
	})
}

func isReady(e discoveryv1.Endpoint) bool { return e.Conditions.Ready == nil || *e.Conditions.Ready }

// shows reports whether the options labels and noendpoints leave a slice in.
func (w *world) shows(slice *discoveryv1.EndpointSlice) bool {
	return !w.noEndpoints && (w.labels == "" || slice.Labels["tier"] == "open")
}

// anyReady reports whether a service has a ready endpoint that may be seen.
func (w *world) anyReady(s *corev1.Service) bool {
	for _, slice := range w.slicesOf(s) {
		for _, e := range slice.Endpoints {
			if isReady(e) && w.shows(slice) {
				return true
			}
		}
	}
	return false
}

// withoutPTR drops PTR records by their target.
func (q *question) withoutPTR(ours, theirs *reply, drop func(target *question) bool) bool {
	if !q.reverse() || q.qtype() != dns.TypePTR || !theirs.aa {
		return false
	}
	all := theirs.sections[answer]
	service := false // that has the address itself
	theirs.sections[answer] = slices.DeleteFunc(slices.Clone(all), func(r record) bool {
		target := &question{world: q.world}
		target.msg.Question = []dns.Question{{Name: r.data}}
		service = service || len(target.labels()) == 3
		return drop(target)
	})
	switch {
	case len(theirs.sections[answer]) == len(all):
		return false
	case len(theirs.sections[answer]) > 0:
		return true
	case service && q.endpointsOnly(ours):
		theirs.like(ours) // the service stood before endpoints of the same address
		return true
	}
	return q.notFound(theirs)
}

// glue adds the addresses of SRV targets that CoreDNS leaves out: those of
// endpoints without a port.
func glue(q *question, ours, theirs *reply) (changed bool) {
	if !q.inCluster() || q.qtype() != dns.TypeSRV || theirs.tc {
		return false
	}
	for _, r := range ours.sections[additional] {
		if slices.Contains(theirs.sections[additional], r) || !slices.ContainsFunc(theirs.sections[answer], func(srv record) bool {
			return strings.EqualFold(strings.Fields(srv.data)[3], r.owner)
		}) {
			continue
		}
		if addr, err := netip.ParseAddr(r.data); err == nil && q.world.hosts[addr] {
			theirs.sections[additional] = append(theirs.sections[additional], r)
			changed = true
		}
	}
	sortRecords(theirs.sections[additional])
	return changed
}

// ofAPIServer are the addresses of the service kubernetes and its endpoint.
var ofAPIServer = []string{"10.96.0.1", "192.0.2.1"}
