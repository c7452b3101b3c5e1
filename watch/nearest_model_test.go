package watch

import (
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

var nearestSteps = flag.Int("nearest.steps", 20_000, "answers that TestNearestModel compares, at least; -race takes a tenth")

// nearestQuestions is how many questions are asked of one cluster.
const nearestQuestions = 60

// A nearCluster is nodes, and headless services with their pods, from which a naive reading of docs/nearest.md and of
// zones/affinity.go says what a client is answered.
type nearCluster struct {
	nodes    []nearNode
	services []nearService
	nearest  zones.Nearest
	affinity bool
}

type nearNode struct {
	name, zone string
	addr       netip.Addr
	pods       []netip.Prefix
}

type nearService struct {
	name         string
	affine       bool
	local        bool
	distribution string
	annotation   string
	ends         []nearEnd
}

// nearEnd is one address of a pod.
type nearEnd struct {
	pod, node, zone    string
	addr               netip.Addr
	ready              bool
	forNodes, forZones []string
}

var nearZones = []string{"", "a", "b"}

// drawNearCluster draws a cluster. A pod is at one place, whichever service has it.
func drawNearCluster(t *rapid.T) *nearCluster {
	c := &nearCluster{affinity: rapid.Bool().Draw(t, "affinity"), nearest: pick(t, []zones.Nearest{zones.NearestHints, zones.NearestZone,
		zones.NearestNode, zones.NearestHints, zones.NearestOff, zones.NearestUnset}, "nearest")}
	for i := range rapid.IntRange(1, 4).Draw(t, "nodes") {
		n := nearNode{name: "n" + strconv.Itoa(i), zone: pick(t, nearZones, "zone"), addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}
		if rapid.IntRange(0, 3).Draw(t, "podCIDRs") > 0 {
			n.pods = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i), 0}), 24),
				netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 7: byte(i)}), 64)}
		}
		c.nodes = append(c.nodes, n)
	}
	var pods []nearEnd
	for i := range rapid.IntRange(1, 8).Draw(t, "pods") {
		n := pick(t, c.nodes, "node")
		at := slices.IndexFunc(c.nodes, func(o nearNode) bool { return o.name == n.name })
		p := nearEnd{pod: "p" + strconv.Itoa(i), node: n.name, zone: n.zone, addr: netip.AddrFrom4([4]byte{10, 1, byte(at), byte(i)})}
		if rapid.IntRange(0, 9).Draw(t, "node unknown") == 9 {
			p.node, p.zone = "", pick(t, nearZones, "zone")
		}
		if rapid.IntRange(0, 4).Draw(t, "zone unknown") == 4 {
			p.zone = ""
		}
		p.ready = rapid.IntRange(0, 4).Draw(t, "ready") > 0
		pods = append(pods, p)
		if rapid.IntRange(0, 2).Draw(t, "dual stack") == 2 {
			p.addr = netip.AddrFrom16([16]byte{0: 0xfd, 7: byte(at), 15: byte(i)})
			pods = append(pods, p)
		}
	}
	for i := range rapid.IntRange(1, 2).Draw(t, "services") {
		c.services = append(c.services, drawNearService(t, c, i, pods))
	}
	return c
}

func drawNearService(t *rapid.T, c *nearCluster, i int, pods []nearEnd) nearService {
	s := nearService{
		name: "s" + strconv.Itoa(i), affine: rapid.Bool().Draw(t, "sessionAffinity"),
		local:        rapid.IntRange(0, 3).Draw(t, "internalTrafficPolicy") == 3,
		distribution: pick(t, []string{"", "", "PreferSameZone", "PreferSameNode", "PreferClose"}, "trafficDistribution"),
		annotation:   pick(t, []string{"", "", "", "", "off", "hints", "zone", "node", "nonsense"}, "annotation"),
	}
	habit := rapid.IntRange(0, 5).Draw(t, "hints")
	names := []string{"gone"}
	for _, n := range c.nodes {
		names = append(names, n.name)
	}
	for _, p := range pods {
		if rapid.IntRange(0, 3).Draw(t, "endpoint") == 0 {
			continue
		}
		switch habit {
		case 1:
			p.forZones = []string{pick(t, []string{"a", "b"}, "for zone")}
		case 2:
			p.forNodes, p.forZones = []string{pick(t, names, "for node")}, []string{pick(t, []string{"a", "b"}, "for zone")}
		case 3:
			if rapid.Bool().Draw(t, "hint") {
				p.forZones = []string{"a"}
			}
		case 4:
			p.forZones = some(t, []string{"a", "b", "c"}, "for zones")
			p.forNodes = some(t, names, "for nodes")
		}
		s.ends = append(s.ends, p)
	}
	return s
}

// objects is the cluster as an API server has it, by the plurals of kinds.
func (c *nearCluster) objects() map[string][]any {
	all := map[string][]any{"namespaces": {&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "prod", ResourceVersion: "1"}}}}
	for _, n := range c.nodes {
		o := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name, ResourceVersion: "1"}}
		if n.zone != "" {
			o.Labels = map[string]string{corev1.LabelTopologyZone: n.zone}
		}
		o.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: n.addr.String()}}
		for _, p := range n.pods {
			o.Spec.PodCIDRs = append(o.Spec.PodCIDRs, p.String())
		}
		all["nodes"] = append(all["nodes"], o)
	}
	for i := range c.services {
		s := &c.services[i]
		all["services"] = append(all["services"], s.object())
		for _, family := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
			all["endpointslices"] = append(all["endpointslices"], s.slice(family))
		}
	}
	return all
}

func (s *nearService) object() *corev1.Service {
	o := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: s.name, ResourceVersion: "1"}}
	o.Spec.ClusterIP, o.Spec.ClusterIPs = corev1.ClusterIPNone, []string{corev1.ClusterIPNone}
	if s.affine {
		o.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	}
	if s.local {
		o.Spec.InternalTrafficPolicy = to(corev1.ServiceInternalTrafficPolicyLocal)
	}
	if s.distribution != "" {
		o.Spec.TrafficDistribution = &s.distribution
	}
	if s.annotation != "" {
		o.Annotations = map[string]string{"clusterdns.io/nearest": s.annotation}
	}
	return o
}

func (s *nearService) slice(family discoveryv1.AddressType) *discoveryv1.EndpointSlice {
	o := &discoveryv1.EndpointSlice{AddressType: family}
	o.Namespace, o.Name, o.ResourceVersion = "prod", s.name+"-"+string(family), "1"
	o.Labels = map[string]string{discoveryv1.LabelServiceName: s.name, corev1.IsHeadlessService: ""}
	o.Ports = []discoveryv1.EndpointPort{{Name: to("http"), Protocol: to(corev1.ProtocolTCP), Port: to(int32(80))}}
	for _, e := range s.ends {
		if e.addr.Is4() != (family == discoveryv1.AddressTypeIPv4) {
			continue
		}
		one := discoveryv1.Endpoint{Addresses: []string{e.addr.String()}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: e.pod},
			Hostname: to(e.pod), Conditions: discoveryv1.EndpointConditions{Ready: to(e.ready)}}
		if e.node != "" {
			one.NodeName = to(e.node)
		}
		if e.zone != "" {
			one.Zone = to(e.zone)
		}
		if len(e.forNodes)+len(e.forZones) > 0 {
			one.Hints = &discoveryv1.EndpointHints{}
			for _, z := range e.forZones {
				one.Hints.ForZones = append(one.Hints.ForZones, discoveryv1.ForZone{Name: z})
			}
			for _, n := range e.forNodes {
				one.Hints.ForNodes = append(one.Hints.ForNodes, discoveryv1.ForNode{Name: n})
			}
		}
		o.Endpoints = append(o.Endpoints, one)
	}
	return o
}

// spot is where a client is, "" for what is not known.
type spot struct{ node, zone string }

// nodeZone is the zone of a node.
func (c *nearCluster) nodeZone(name string) string {
	for _, n := range c.nodes {
		if n.name == name {
			return n.zone
		}
	}
	return ""
}

// who is where the client is, and whether anything is known of it.
func (c *nearCluster) who(client netip.Addr) (at spot, known bool) {
	for _, n := range c.nodes {
		if n.addr == client {
			return spot{n.name, n.zone}, true
		}
	}
	for _, s := range c.services {
		for _, e := range s.ends {
			if e.addr == client {
				known = true // its namespace, at least
				at = spot{e.node, cmpOr(c.nodeZone(e.node), e.zone)}
			}
		}
	}
	if at.node != "" {
		return at, true
	}
	for _, n := range c.nodes {
		for _, p := range n.pods {
			if p.Contains(client) {
				return spot{n.name, cmpOr(n.zone, at.zone)}, true
			}
		}
	}
	return at, known || at.zone != ""
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// how is the rule for a service.
func (c *nearCluster) how(s *nearService) string {
	option := map[zones.Nearest]string{zones.NearestUnset: "off", zones.NearestOff: "off", zones.NearestHints: "hints",
		zones.NearestZone: "zone", zones.NearestNode: "node"}[c.nearest]
	switch {
	case c.nearest == zones.NearestUnset:
		return "off"
	case s.annotation != "" && s.annotation != "nonsense":
		return s.annotation
	case c.nearest == zones.NearestOff:
		return "off"
	case s.local:
		return "local"
	case s.distribution != "":
		return "hints"
	}
	return option
}

// choose is the ready endpoints of a family that a client at a place is given.
func (c *nearCluster) choose(s *nearService, v4 bool, at spot) (chosen []nearEnd) {
	var ready []nearEnd
	for _, e := range s.ends {
		if e.ready && e.addr.Is4() == v4 {
			ready = append(ready, e)
		}
	}
	keep := func(of func(nearEnd) bool) (list []nearEnd) {
		for _, e := range ready {
			if of(e) {
				list = append(list, e)
			}
		}
		return list
	}
	onNode := keep(func(e nearEnd) bool { return at.node != "" && e.node == at.node })
	inZone := keep(func(e nearEnd) bool { return at.zone != "" && cmpOr(e.zone, c.nodeZone(e.node)) == at.zone })
	forNode := keep(func(e nearEnd) bool { return at.node != "" && slices.Contains(e.forNodes, at.node) })
	forZone := keep(func(e nearEnd) bool { return at.zone != "" && slices.Contains(e.forZones, at.zone) })
	all := func(of func(nearEnd) bool) bool { return len(keep(of)) == len(ready) }
	switch how := c.how(s); {
	case how == "local" && at.node != "":
		return onNode
	case how == "hints" && all(func(e nearEnd) bool { return len(e.forNodes) > 0 }) && len(forNode) > 0:
		return forNode
	case how == "hints" && all(func(e nearEnd) bool { return len(e.forZones) > 0 }) && len(forZone) > 0:
		return forZone
	case how == "node" && len(onNode) > 0:
		return onNode
	case (how == "node" || how == "zone") && len(inZone) > 0:
		return inZone
	}
	return ready
}

// depends reports whether clients elsewhere are given others.
func (c *nearCluster) depends(s *nearService, v4 bool, at spot) bool {
	of := func(at spot) string { return fmt.Sprint(c.choose(s, v4, at)) }
	for _, zone := range nearZones {
		for _, n := range append(c.nodes, nearNode{}) {
			if of(spot{n.name, zone}) != of(at) {
				return true
			}
		}
	}
	return false
}

// nearAnswer is what counts of an answer: names of pods with the data of their records, in order where that is the
// client's.
type nearAnswer struct {
	Rcode   int
	Records []string
	Extra   []string
	TTL     uint32
	Why     string
}

// answer is what a client gets. some says that the TTL may be 0 too.
func (c *nearCluster) answer(s *nearService, client netip.Addr, subnet bool, typ uint16) (a nearAnswer, some bool) {
	if !slices.ContainsFunc(s.ends, func(e nearEnd) bool { return e.ready }) {
		return nearAnswer{Rcode: dns.RcodeNameError}, false
	}
	at, known := c.who(client)
	ready := 0
	for _, e := range s.ends {
		if e.ready {
			ready++
		}
	}
	ordered := c.affinity && s.affine && ready > 1
	a.TTL = 5
	var given []nearEnd
	depends := false
	for _, v4 := range []bool{true, false} {
		chosen := c.choose(s, v4, at)
		depends = depends || c.depends(s, v4, at)
		given = append(given, chosen...)
	}
	scores := map[string]uint64{} // of pods
	for _, e := range given {
		stands := e.addr
		for _, o := range s.ends {
			if o.pod == e.pod && o.addr.Is4() && o.ready {
				stands = o.addr
			}
		}
		scores[e.pod] = mixed(mixed(numberOf(client)+0x9e3779b97f4a7c15) ^ numberOf(stands))
	}
	rank := func(e nearEnd, among []nearEnd) int {
		higher := map[string]bool{}
		for _, o := range among {
			if scores[o.pod] > scores[e.pod] {
				higher[o.pod] = true
			}
		}
		return min(len(higher), 3)
	}
	var of []nearEnd
	for _, e := range given {
		if typ == dns.TypeSRV || e.addr.Is4() == (typ == dns.TypeA) {
			of = append(of, e)
		}
	}
	for _, e := range of {
		switch {
		case typ == dns.TypeSRV:
			priority := 0
			if ordered {
				priority = rank(e, of)
			}
			a.Records = append(a.Records, fmt.Sprint(priority, " ", e.pod))
			a.Extra = append(a.Extra, e.addr.String())
		default:
			a.Records = append(a.Records, e.addr.String())
		}
	}
	if ordered && typ != dns.TypeSRV {
		place := map[string]int{}
		for _, e := range of {
			place[e.addr.String()] = rank(e, of)
		}
		slices.SortFunc(of, func(x, y nearEnd) int { return x.addr.Compare(y.addr) })
		slices.SortStableFunc(of, func(x, y nearEnd) int { return place[x.addr.String()] - place[y.addr.String()] })
		a.Records = nil
		for _, e := range of {
			a.Records = append(a.Records, e.addr.String())
		}
	} else {
		slices.Sort(a.Records)
		a.Records = slices.Compact(a.Records)
	}
	slices.Sort(a.Extra)
	if (depends || ordered) && !known && !subnet {
		a.TTL = 0
	}
	if len(a.Records) == 0 {
		a.TTL = 0
		if any := func(e nearEnd) bool { return e.ready && (typ == dns.TypeSRV || e.addr.Is4() == (typ == dns.TypeA)) }; slices.ContainsFunc(s.ends, any) {
			a.Why = "no endpoint is ready on the client's node " + at.node
		}
	}
	return a, !known && !subnet
}

// TestNearestModel asks random clusters from random clients: each answer is what a naive reading of the rules says, of
// nearest endpoints and of session affinity together.
func TestNearestModel(t *testing.T) {
	steps := fewer(*nearestSteps, 10)
	setFlag(t, "rapid.seed", strconv.FormatInt(time.Now().UnixNano(), 10))
	setFlag(t, "rapid.checks", strconv.Itoa(steps/nearestQuestions+1))
	setFlag(t, "rapid.nofailfile", "true")
	t.Logf("-rapid.seed=%v", flag.Lookup("rapid.seed").Value)
	var compared, fewer, ordered, zero int
	rapid.Check(t, func(t *rapid.T) {
		c := drawNearCluster(t)
		ask := c.serve(t)
		clients := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("10.1.0.200"),
			netip.MustParseAddr("10.1.1.200")}
		for _, n := range c.nodes {
			clients = append(clients, n.addr)
		}
		for _, s := range c.services {
			for _, e := range s.ends {
				clients = append(clients, e.addr)
			}
		}
		random := rapid.Uint64().Draw(t, "questions")
		next := func(n int) int {
			random = mixed(random + 0x9e3779b97f4a7c15)
			return int(random % uint64(n))
		}
		for range nearestQuestions {
			s, client := &c.services[next(len(c.services))], clients[next(len(clients))]
			typ, subnet := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSRV}[next(3)], c.nearest != zones.NearestUnset && next(4) == 0
			name := []string{"", "_http._tcp.", "http.tcp."}[next(3)] + s.name + ".prod." + svcZone
			want, some := c.answer(s, client, subnet, typ)
			got := ask(name, typ, client, subnet, c.affinity && s.affine && typ != dns.TypeSRV)
			if some && got.TTL == 0 {
				want.TTL = 0
			}
			if !strings.Contains(got.Why, want.Why) || want.Why == "" {
				got.Why = ""
			} else {
				got.Why = want.Why
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s %s from %v, subnet %v, nearest %v, affinity %v: (-model +server)\n%s\n%+v", name, dns.TypeToString[typ], client, subnet,
					c.how(s), c.affinity, diff, *c)
			}
			compared++
			if len(want.Records) > 0 && want.TTL == 0 {
				zero++
			}
			if c.affinity && s.affine && len(want.Records) > 1 {
				ordered++
			}
			at, _ := c.who(client)
			if len(c.choose(s, typ == dns.TypeA, at)) < len(c.choose(s, typ == dns.TypeA, spot{})) {
				fewer++
			}
		}
	})
	t.Logf("%d answers: %d with some of the endpoints, %d in the order of the client, %d with TTL 0", compared, fewer, ordered, zero)
	if flag.Lookup("rapid.failfile").Value.String() == "" && (compared < steps || fewer == 0 || ordered == 0 || zero == 0) {
		t.Error("too few of a kind")
	}
}

// serve is a server of the cluster, as a function that asks it.
func (c *nearCluster) serve(t *rapid.T) func(string, uint16, netip.Addr, bool, bool) nearAnswer {
	who := c.nearest != zones.NearestUnset || c.affinity
	o := Options{Selection: object.Selection{Nearest: c.nearest, Affinity: c.affinity, Who: who}}
	index := zones.NewIndex()
	s, err := newState(o, index, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	objects := c.objects()
	for i := range object.Resources {
		if r := &object.Resources[i]; r.When(s.options.Selection) {
			if err := newStore(s, r, newAlive("")).Replace(objects[r.Plural], "1"); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.publish(time.Unix(1, 0))
	r, err := resolver.New(resolver.Options{Blocks: []resolver.Block{{Zones: []string{"."}, Rotate: true, Kubernetes: []resolver.Kubernetes{{
		Zones: []string{clusterZone}, Index: index, TTL: 5 * time.Second, Nearest: who}}}}}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 1<<16)
	return func(name string, typ uint16, client netip.Addr, subnet, ordered bool) nearAnswer {
		m := new(dns.Msg).SetQuestion(name, typ)
		m.SetEdns0(4096, false)
		request := &resolver.Request{Client: netip.AddrPortFrom(client, 5353), Local: modelServer, Proto: resolver.TCP, Now: time.Unix(1, 0)}
		if subnet {
			request.Client = netip.MustParseAddrPort("192.0.2.53:5353")
			family := uint16(1)
			if client.Is6() {
				family = 2
			}
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: family, SourceNetmask: uint8(client.BitLen()),
				Address: client.AsSlice()}}
		}
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		packet, _ = r.Answer(request, packet, buf)
		var reply dns.Msg
		if err := reply.Unpack(packet); err != nil {
			t.Fatal(err)
		}
		return readNear(&reply, ordered)
	}
}

// readNear is what counts of a reply.
func readNear(reply *dns.Msg, ordered bool) (a nearAnswer) {
	a.Rcode = reply.Rcode
	for _, rr := range reply.Answer {
		a.TTL = rr.Header().Ttl
		switch rr := rr.(type) {
		case *dns.A:
			a.Records = append(a.Records, rr.A.String())
		case *dns.AAAA:
			a.Records = append(a.Records, rr.AAAA.String())
		case *dns.SRV:
			host, _, _ := strings.Cut(rr.Target, ".")
			a.Records = append(a.Records, fmt.Sprint(rr.Priority, " ", host))
		}
	}
	if !ordered {
		slices.Sort(a.Records)
	}
	for _, rr := range reply.Extra {
		switch rr := rr.(type) {
		case *dns.A:
			a.Extra = append(a.Extra, rr.A.String())
		case *dns.AAAA:
			a.Extra = append(a.Extra, rr.AAAA.String())
		}
	}
	slices.Sort(a.Extra)
	_, a.Why = reason(reply)
	return a
}
