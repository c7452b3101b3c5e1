package differ

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/miekg/dns"
)

// A question is one message to both servers, with what came back.
type question struct {
	world *world
	msg   dns.Msg
	tcp   bool
	six   bool   // over IPv6
	what  string // how its name was made, for people
	under string // which options

	moment int    // of those of a timetable
	age    uint32 // seconds since the servers were first asked, where that is measured

	packet       []byte
	ours, theirs *reply
	listed       *reply // of CoreDNS with the options listed, where it is asked

	whole *question // the same over TCP, if one of the replies was cut
	other *question // another one, whose answer this one's should hold
	how   string    // of such a one: what it is to the first

	settled *reply // theirs, after the rules
	verdict
}

// over is the same question over TCP, perhaps with another name or type.
func (q *question) over(how, name string, qtype uint16) *question {
	o := &question{world: q.world, under: q.under, what: q.what + ", " + how, how: how, tcp: true, moment: q.moment, age: q.age, msg: *q.msg.Copy()}
	o.msg.Question[0].Name, o.msg.Question[0].Qtype = name, qtype
	var err error
	if o.packet, err = o.msg.Pack(); err != nil {
		panic(err)
	}
	return o
}

// again is the question that is to be asked before the replies to this one can
// be judged; nil if none.
func (q *question) again() *question {
	asked := q.msg.Question[0]
	links, end, endless := q.chain()
	if q.ours.tc || q.theirs.tc || !q.tcp && (len(q.ours.sections[additional]) != len(q.theirs.sections[additional]) || len(links) > 0 && asked.Qtype == dns.TypeSRV) {
		q.whole = q.over("in whole", asked.Name, asked.Qtype)
		return q.whole
	}
	if asked.Qclass != dns.ClassINET && asked.Qclass != dns.ClassANY || q.ours.rcode == dns.RcodeBadVers || asked.Qtype == dns.TypeAXFR || asked.Qtype == dns.TypeIXFR {
		return nil
	}
	switch {
	case asked.Qtype == dns.TypeANY && len(q.ours.sections[answer]) > 0 && q.apex() != "":
		q.other = q.over("one type", asked.Name, dns.StringToType[q.ours.sections[answer][0].rrtype])
	case q.ownName() && asked.Name != q.name():
		q.other = q.over("in lower case", q.name(), asked.Qtype)
	case len(links) > 0 && !endless && asked.Qtype != dns.TypeCNAME && asked.Qtype != dns.TypeANY:
		q.other = q.over("the target", end, asked.Qtype)
	case q.bare() && q.missing(cmp.Or(q.listed, q.theirs)) && !q.missing(q.ours):
		labels := dns.SplitDomainName(asked.Name)
		labels[0], labels[1] = "_"+labels[0], "_"+labels[1]
		q.other = q.over("with underscores", dns.Fqdn(strings.Join(labels, ".")), asked.Qtype)
	case (asked.Qtype == dns.TypeSOA || asked.Qtype == dns.TypeTXT) && q.apex() != "" && (q.ours.rcode != q.theirs.rcode || q.ours.aa != q.theirs.aa):
		q.other = q.over("for an address", asked.Name, dns.TypeA)
	}
	return q.other
}

// name is the question's name in lower case.
func (q *question) name() string { return strings.ToLower(q.msg.Question[0].Name) }

func (q *question) qtype() uint16 { return q.msg.Question[0].Qtype }

func (q *question) qclass() uint16 { return q.msg.Question[0].Qclass }

// offered is the UDP payload that the question has room for.
func (q *question) offered() int {
	if opt := q.msg.IsEdns0(); opt != nil {
		return max(int(opt.UDPSize()), dns.MinMsgSize)
	}
	return dns.MinMsgSize
}

// base is a name to ask about, or to make its neighbours of.
type base struct{ name, what string }

// bases are all names that the world may have, and some that it has not, in
// a fixed order.
func (w *world) bases() []base {
	var list []base
	add := func(what string, parts ...string) {
		list = append(list, base{strings.Join(parts, ".") + ".", what})
	}
	for range 1 + 30/len(w.apexes) { // little else has as much to go wrong
		for _, apex := range w.apexes {
			list = append(list, base{apex, "apex"}, base{"ns.dns." + apex, "ns.dns"}, base{"dns-version." + apex, "dns-version"})
		}
	}
	add("svc", "svc", zone)
	add("pod", "pod", zone)
	add("dns", "dns", zone)
	add("hostmaster", "hostmaster", zone)
	for _, name := range outside {
		add("outside", name)
	}
	add("outside", "com")
	list = append(list, base{".", "outside"})
	var spaces []string
	for _, ns := range w.namespaces {
		spaces = append(spaces, ns.Name)
	}
	for _, ns := range append(spaces, "kube-system", "missing") {
		add("namespace", ns, "svc", zone)
		add("pod namespace", ns, "pod", zone)
		add("namespace without svc", ns, zone)
	}
	for _, s := range w.services {
		w.serviceBases(s, zone, add)
	}
	if w.multicluster {
		for _, s := range slices.Repeat(w.imports, 5) { // they are few among services
			w.importBases(s, add)
		}
	}
	var addresses []netip.Addr
	for addr := range w.hosts {
		addresses = append(addresses, addr)
	}
	for addr := range w.clusterIPs {
		addresses = append(addresses, addr)
	}
	addresses = append(addresses, netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("203.0.113.7"))
	slices.SortFunc(addresses, netip.Addr.Compare)
	for _, addr := range slices.Compact(addresses) {
		reverse, _ := dns.ReverseAddr(addr.String())
		list = append(list, base{reverse, "reverse"})
		add("pod address", dashes(addr), pick(w, spaces), "pod", zone)
	}
	for _, p := range w.pods {
		for _, ip := range p.Status.PodIPs {
			addr := netip.MustParseAddr(ip.IP)
			add("pod "+string(p.Status.Phase), dashes(addr), p.Namespace, "pod", zone)
			add("pod in full", strings.NewReplacer(".", "-", ":", "-").Replace(addr.StringExpanded()), p.Namespace, "pod", zone)
		}
		add("pod name", p.Name, p.Namespace, "pod", zone)
	}
	for _, odd := range oddPods {
		add("odd pod address", odd, pick(w, spaces), "pod", zone)
	}
	for _, odd := range oddReverse {
		add("odd reverse", odd)
	}
	return list
}

// Labels that are an address or not, depending on how one reads them.
var oddPods = []string{"1-2-3-4", "1-2-3", "1-2-3-256", "01-2-3-4", "1-2-3-4-5", "--1", "--", "1--", "1--0", "fd00--1", "fd00-0-0-0-0-0-0-1", "fd00--1--2",
	"FD00--AB", "--ffff-1-2-3-4", "--ffff-102-304", "1--2-3", "a-b-c-d", "0-0-0-0", "255-255-255-255", "1-2-3-4-5-6-7-8", "1-2-3-4-5-6-7-8-9", "-1-2-3-4",
	"1-2-3-4-", "fe80--1%25eth0", "12345--1", "0001--1", "web-0", "1-2--3", "1-2--3-4", "::1", "fd00::1"}

// Names below the reverse zones that stand for no address, or not for one in
// the usual form.
var oddReverse = []string{"10.in-addr.arpa", "96.10.in-addr.arpa", "0.96.10.in-addr.arpa", "1.1.0.96.10.in-addr.arpa", "01.0.96.10.in-addr.arpa",
	"256.0.96.10.in-addr.arpa", "1-2.0.96.10.in-addr.arpa", "d.f.ip6.arpa", "0.0.d.f.ip6.arpa", "1.ip6.arpa", "g.ip6.arpa", "00.0.d.f.ip6.arpa",
	"x.in-addr.arpa", "svc.in-addr.arpa", "pod.in-addr.arpa", "default.svc.in-addr.arpa", "kubernetes.default.svc.in-addr.arpa", "dns-version.in-addr.arpa",
	"ns.dns.in-addr.arpa", "dns.ip6.arpa", "1-2-3-4.default.pod.in-addr.arpa", "1.0.96.10.ip6.arpa", "arpa", "home.arpa"}

// serviceBases are the names of a service: what it has, and what another kind
// of service would have.
func (w *world) serviceBases(s *corev1.Service, zone string, add func(what string, parts ...string)) {
	kind := kindOf(s)
	if endpoints := w.readyEndpoints(s); endpoints > 9 {
		// These fill messages: there are few of them, and much to see.
		for range 12 {
			add("large", s.Name, s.Namespace, "svc", zone)
			if slice := w.slicesOf(s)[0]; len(slice.Ports) > 0 && slice.Ports[0].Name != nil && *slice.Ports[0].Name != "" {
				add("large port", "_"+*slice.Ports[0].Name, "_tcp", s.Name, s.Namespace, "svc", zone)
			}
		}
	}
	self := []string{s.Name, s.Namespace, "svc", zone}
	add(kind, self...)
	add(kind+" as a pod", s.Name, s.Namespace, "pod", zone)
	below := func(what string, labels ...string) { add(kind+" "+what, append(labels, self...)...) }
	if w.zonal {
		for _, where := range append(topologyZones, "missing") {
			below("pin", where, "pin", "_zone")
			below("prefer", where, "prefer", "_zone")
		}
		below("zones", "_zone")
		below("zones", pick(w, []string{"pin", "prefer", "near"}), "_zone")
	}
	seen := map[string]bool{}
	port := func(name, protocol string) {
		at := name + "." + protocol
		if name == "" || protocol == "" || seen[at] {
			return
		}
		seen[at] = true
		protocol = strings.ToLower(protocol)
		if len(name) < 63 {
			below("port", "_"+name, "_"+protocol)
			below("port", name, "_"+protocol)
			below("port", "_"+name, protocol)
		}
		below("port", name, protocol)
		below("protocol", "_"+protocol)
		below("protocol", protocol)
	}
	for _, p := range s.Spec.Ports {
		port(p.Name, string(p.Protocol))
	}
	port("http", "tcp")
	for _, slice := range w.slicesOf(s) {
		for _, p := range slice.Ports {
			if p.Name != nil && p.Protocol != nil {
				port(*p.Name, string(*p.Protocol))
			}
		}
		for _, e := range slice.Endpoints {
			for _, address := range e.Addresses {
				below("dashed", dashes(netip.MustParseAddr(address)))
			}
			if e.Hostname != nil && !seen[*e.Hostname] {
				seen[*e.Hostname] = true
				below("hostname", *e.Hostname)
			}
			if e.TargetRef != nil && len(e.TargetRef.Name) < 64 && !seen[e.TargetRef.Name] {
				seen[e.TargetRef.Name] = true
				below("pod", e.TargetRef.Name)
			}
		}
	}
}

func kindOf(s *corev1.Service) string {
	switch {
	case s.Spec.Type == corev1.ServiceTypeExternalName:
		return "external name"
	case s.Spec.ClusterIP == corev1.ClusterIPNone:
		return "headless"
	}
	return "cluster IP"
}

func dashes(addr netip.Addr) string {
	text := strings.NewReplacer(".", "-", ":", "-").Replace(addr.String())
	if strings.HasSuffix(text, "-") {
		text += "0"
	}
	return text
}

// ask makes the number-th question: a name of the world or a neighbour of
// one.
func (w *world) ask(bases []base) *question {
	for {
		b := pick(w, bases)
		q := &question{world: w, under: w.under, what: b.what}
		name := w.elsewhere(b.name)
		for w.chance(45) {
			var how string
			name, how = w.neighbour(name)
			q.what += ", " + how
		}
		if w.chance(20) {
			name = w.mixCase(name)
		}
		q.msg.Question = []dns.Question{{Name: name, Qtype: w.qtype(name), Qclass: dns.ClassINET}}
		if w.chance(3) {
			q.msg.Question[0].Qclass = pick(w, []uint16{dns.ClassCHAOS, dns.ClassHESIOD, dns.ClassNONE, dns.ClassANY, 0, 2, 65535})
		}
		q.msg.RecursionDesired, q.msg.CheckingDisabled, q.msg.AuthenticatedData = w.chance(80), w.chance(10), w.chance(10)
		q.tcp = w.chance(20)
		if w.chance(60) {
			w.addOPT(&q.msg)
		}
		var err error
		if q.packet, err = q.msg.Pack(); err == nil {
			return q
		} // else a label or the name became too long
	}
}

// elsewhere is the same name in one of the zones of services.
func (w *world) elsewhere(name string) string {
	before, ok := strings.CutSuffix(name, zone+".")
	another := pick(w, w.apexes)
	if ok && !below(another, reverseTrees...) {
		return before + another
	}
	return name
}

// neighbour is a name one label away from another, or one slip of the hand.
func (w *world) neighbour(name string) (neighbour, how string) {
	labels := dns.SplitDomainName(name)
	if len(labels) == 0 {
		return pick(w, serviceWords) + ".", "down"
	}
	i := w.IntN(len(labels))
	switch n := w.IntN(12); {
	case n < 3:
		labels, how = labels[1:], "up"
	case n < 6:
		labels, how = append([]string{w.anyLabel()}, labels...), "down"
	case n == 6:
		labels, how = append(labels[:i:i], labels[i+1:]...), "without a label"
	case n == 7:
		labels, how = append(labels[:i:i], append([]string{w.anyLabel()}, labels[i:]...)...), "with a label more"
	case n == 8:
		labels, how = slices.Clone(labels), "with another label"
		labels[i] = w.anyLabel()
	case n == 9:
		labels, how = slices.Clone(labels), "labels changed about"
		j := w.IntN(len(labels))
		labels[i], labels[j] = labels[j], labels[i]
	default:
		labels, how = slices.Clone(labels), "misspelt"
		labels[i] = w.misspell(labels[i])
	}
	return dns.Fqdn(strings.Join(labels, ".")), how
}

// anyLabel is a label that means something somewhere, or nothing anywhere.
func (w *world) anyLabel() string {
	switch w.IntN(9) {
	case 0:
		return pick(w, namespaceWords)
	case 1:
		return pick(w, hostWords)
	case 2:
		return pick(w, portWords)
	case 3:
		return "_" + pick(w, []string{"tcp", "udp", "sctp", "http", "dns", "x", "zone", ""})
	case 4:
		return pick(w, []string{"*", "any", "\\000", "\\032", "\\255", "a\\.b", "\\\\", "_", "__", "-", "xn--mnchen-3ya", "\\195\\188", "\\200", "\\@", "\\042"})
	case 5:
		return pick(w, oddPods[:20])
	case 6:
		return pick(w, []string{"pin", "prefer", "_zone", "zone-a", strings.Repeat("z", 63)})
	}
	return pick(w, serviceWords)
}

// misspell changes, drops or adds a character. Escapes stay what they are.
func (w *world) misspell(label string) string {
	if strings.Contains(label, "\\") {
		return "x" + label
	}
	i := w.IntN(len(label))
	letter := string("abcxyz0129-_"[w.IntN(12)])
	switch w.IntN(3) {
	case 0:
		return label[:i] + letter + label[i+1:]
	case 1:
		if len(label) > 1 {
			return label[:i] + label[i+1:]
		}
	}
	return label[:i] + letter + label[i:]
}

func (w *world) mixCase(name string) string {
	text := []byte(name)
	for i, c := range text {
		if c >= 'a' && c <= 'z' && w.chance(40) {
			text[i] = c - 'a' + 'A'
		}
	}
	return string(text)
}

// usual are the types that programs ask for, as often as they do about.
var usual = []uint16{dns.TypeA, dns.TypeA, dns.TypeA, dns.TypeA, dns.TypeAAAA, dns.TypeAAAA, dns.TypeAAAA, dns.TypeSRV, dns.TypeSRV, dns.TypeSRV,
	dns.TypePTR, dns.TypeCNAME, dns.TypeTXT, dns.TypeSOA, dns.TypeNS, dns.TypeANY, dns.TypeMX, dns.TypeHTTPS, dns.TypeDS}

// types are all types that have a name, and some that have none.
var types = func() []uint16 {
	list := []uint16{0, 65280, 65535, 4711, 250}
	for t := range dns.TypeToString {
		list = append(list, t)
	}
	slices.Sort(list)
	return slices.Compact(list)
}()

func (w *world) qtype(name string) uint16 {
	switch n := w.IntN(10); {
	case n < 3 && strings.HasSuffix(strings.ToLower(name), ".arpa."):
		return dns.TypePTR
	case n < 3 && strings.HasPrefix(name, "dns-version."):
		return dns.TypeTXT
	case n < 7:
		return pick(w, usual)
	}
	return pick(w, types)
}

// addOPT adds EDNS with a size, a version, flags and options.
func (w *world) addOPT(m *dns.Msg) {
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	opt.SetUDPSize(pick(w, []uint16{0, 1, 511, 512, 513, 1024, 1220, 1231, 1232, 1233, 1400, 1452, 4096, 8192, 65535}))
	if w.chance(30) {
		opt.SetDo()
	}
	if w.chance(3) {
		opt.SetVersion(pick(w, []uint8{1, 2, 128, 255}))
	}
	switch w.IntN(12) {
	case 0:
		opt.Option = append(opt.Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: fmt.Sprintf("%016x", w.Uint64())})
	case 1:
		opt.Option = append(opt.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
	case 2:
		opt.Option = append(opt.Option, &dns.EDNS0_PADDING{Padding: make([]byte, w.IntN(64))})
	case 3:
		opt.Option = append(opt.Option, &dns.EDNS0_LOCAL{Code: 65001, Data: []byte("data")})
	case 4:
		opt.Option = append(opt.Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: []byte{192, 0, 2, 0}})
	}
	m.Extra = append(m.Extra, opt)
}
