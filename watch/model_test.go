package watch

import (
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// What objects are made of. The pools are small, so that objects meet: hostnames that are another endpoint's address or a protocol, cluster
// IPs that are endpoints, namespaces and services called like parts of names.
var (
	poolSpaces    = []string{"prod", "svc", "default"}
	poolServices  = []string{"web", "db", "pod", "a"}
	poolHosts     = []string{"", "", "", "web-0", "web-1", "tcp", "10-244-0-1"}
	poolPods      = []string{"", "web-0", "p1", "dotted.pod"}
	poolZones     = []string{"", "a", "b", "EU.west"}
	poolV4        = []string{"10.244.0.1", "10.244.0.2", "10.244.0.3", "10.96.0.1"}
	poolV6        = []string{"fd00::1", "fd00:0:0:1::", "fd00::a:b"}
	poolCluster4  = []string{"10.96.0.1", "10.96.0.2", "10.244.0.2"}
	poolCluster6  = []string{"fd01::1", "fd00::1"}
	poolPorts     = []string{"http", "dns", ""}
	poolProtocols = []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}
	poolNumbers   = []int32{80, 53, 8080}
	poolTargets   = []string{"web.prod.svc.cluster.local", "db.default.svc.cluster.local.", "a.svc.svc.cluster.local",
		"web-0.db.prod.svc.cluster.local", "www.example.com", "10.0.0.9"}
	modelServer = netip.MustParseAddr("10.244.0.1") // the server's own address, which may be an endpoint
)

// query is a question that both are asked.
type query struct {
	name   string
	typ    uint16
	packet []byte
}

func newQuery(name string, typ uint16) query {
	m := new(dns.Msg)
	m.SetQuestion(name, typ)
	m.SetEdns0(4096, false)
	packet, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return query{name, typ, packet}
}

// modelQueries are the questions about all names that objects of the pools may have, and about their neighbours; and the same by the
// service that they are about, and by name in lower case.
var modelQueries = sync.OnceValue(func() (all questions) {
	all.byService, all.byName = map[key][]query{}, map[string][]query{}
	ask := func(name string, service key, types ...uint16) {
		for i, typ := range types {
			asked := name
			if (len(all.list)+i)%7 == 0 {
				asked = strings.ToUpper(name[:1]) + name[1:]
			}
			q := newQuery(asked, typ)
			all.list = append(all.list, q)
			all.byName[name] = append(all.byName[name], q)
			if service.name != "" {
				all.byService[service] = append(all.byService[service], q)
			}
		}
	}
	below := []string{"web-0", "web-1", "tcp", "p1", "_http._tcp", "_http._udp", "_http._sctp", "_dns._tcp", "_dns._udp", "_dns._sctp", "http.tcp", "_http.udp", "dns._udp", "_tcp", "_udp", "sctp",
		"nope", "_nope._tcp", "x.web-0", "x._http._tcp", "_zone", "zone", "pin._zone", "prefer._zone", "near._zone", "a.pin._zone", "a.prefer._zone",
		"eu.west.pin._zone", "west.pin._zone", "eu.west.prefer._zone", "c.pin._zone", "c.prefer._zone", "a.near._zone"}
	for _, text := range slices.Concat(poolV4, poolV6) {
		below = append(below, dashes(netip.MustParseAddr(text)))
	}
	for _, space := range append(poolSpaces, "nope") {
		ask(space+"."+svcZone, key{}, dns.TypeA, dns.TypeSRV)
		ask(space+".pod."+clusterZone, key{}, dns.TypeA)
		ask("x.10-244-0-1."+space+".pod."+clusterZone, key{}, dns.TypeA)
		ask("web."+space+".pod."+clusterZone, key{}, dns.TypeA)
		for _, text := range slices.Concat(poolV4, poolV6, []string{"10.244.9.9"}) {
			ask(dashes(netip.MustParseAddr(text))+"."+space+".pod."+clusterZone, key{}, dns.TypeA, dns.TypeAAAA)
		}
		for _, name := range append(poolServices, "nope") {
			k, self := key{space, name}, name+"."+space+"."+svcZone
			ask(self, k, dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypeANY, dns.TypeCNAME, dns.TypeTXT)
			for i, label := range below {
				ask(label+"."+self, k, dns.TypeA, dns.TypeAAAA, dns.TypeSRV)
				if i%5 == 0 {
					ask(label+"."+self, k, dns.TypeANY, dns.TypeMX)
				}
			}
		}
	}
	for _, name := range []string{"", "svc.", "pod.", "dns.", "ns.dns.", "x.ns.dns.", "dns-version.", "x.dns-version.", "nope.", "a.nope."} {
		ask(name+clusterZone, key{}, dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeNS, dns.TypeSOA)
		if name != "ns.dns." { // ANY may get the addresses of one of several servers
			ask(name+clusterZone, key{}, dns.TypeANY)
		}
	}
	for _, text := range slices.Concat(poolV4, poolV6, poolCluster4, poolCluster6, []string{"10.9.9.9", "fd00::99"}) {
		name, _ := dns.ReverseAddr(text)
		ask(name, key{}, dns.TypePTR, dns.TypePTR, dns.TypeA)
		_, parent, _ := strings.Cut(name, ".")
		ask(parent, key{}, dns.TypePTR)
	}
	ask("in-addr.arpa.", key{}, dns.TypeNS, dns.TypeSOA, dns.TypePTR)
	ask("x.ip6.arpa.", key{}, dns.TypePTR)
	return all
})

type questions struct {
	list      []query
	byService map[key][]query
	byName    map[string][]query
}

// client asks a resolver. It is for one goroutine.
type client struct {
	*resolver.Resolver
	index   *zones.Index
	request resolver.Request
	buf     []byte
}

// newClient is a client of the view of an index.
func newClient(index *zones.Index, pods zones.Pods) (*client, error) {
	r, err := resolver.New(resolver.Options{Blocks: []resolver.Block{{
		Zones: []string{"."}, Bufsize: 1232, Rotate: true,
		Kubernetes: []resolver.Kubernetes{{Zones: []string{clusterZone, "in-addr.arpa.", "ip6.arpa."}, Index: index, TTL: 5 * time.Second,
			Pods: pods, Local: []netip.Addr{modelServer}}},
	}}}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return (&client{Resolver: r, index: index}).another(), nil
}

// another is a client of the same resolver for another goroutine.
func (c *client) another() *client {
	return &client{Resolver: c.Resolver, index: c.index, buf: make([]byte, 0, wire.MaxMessage),
		request: resolver.Request{Client: netip.MustParseAddrPort("10.244.7.7:5353"), Local: modelServer, Proto: resolver.TCP, Now: time.Unix(1, 0)}}
}

// send is the reply to a packet.
func (c *client) send(packet []byte) ([]byte, error) {
	if verdict := c.request.Query.Parse(packet); verdict != wire.Valid {
		return nil, fmt.Errorf("the query is not valid: %v", verdict)
	}
	reply, result := c.Answer(&c.request, c.buf)
	if result != resolver.Send {
		return nil, fmt.Errorf("result %v", result)
	}
	return reply, nil
}

// ask is the answer in the form that compares, and the serial of its SOA, 0 without.
func (c *client) ask(q *query) (v verdict, serial uint32, err error) {
	reply, err := c.send(q.packet)
	if err != nil {
		return v, 0, err
	}
	var m dns.Msg
	if err := m.Unpack(reply); err != nil {
		return v, 0, err
	}
	v = verdict{rcode: m.Rcode, error: -1}
	if m.Truncated || len(m.Question) != 1 || m.Question[0].Name != q.name {
		return v, 0, fmt.Errorf("truncated, or to another question: %v", m.Question)
	}
	for _, rr := range m.Answer {
		text, err := recordText(rr)
		if err != nil {
			return v, 0, err
		}
		v.answer = append(v.answer, text)
	}
	for _, rr := range m.Ns {
		soa, ok := rr.(*dns.SOA)
		if !ok || v.soa || len(v.answer) == 0 && !strings.HasSuffix(q.name, soa.Hdr.Name) {
			return v, 0, fmt.Errorf("in the authority section: %v", rr)
		}
		v.soa, serial = true, soa.Serial
	}
	for _, rr := range m.Extra {
		if opt, ok := rr.(*dns.OPT); ok {
			for _, o := range opt.Option {
				if e, ok := o.(*dns.EDNS0_EDE); ok {
					v.error, v.why = int(e.InfoCode), e.ExtraText
				}
			}
			continue
		}
		text, err := recordText(rr)
		if err != nil {
			return v, 0, err
		}
		v.extra = append(v.extra, text)
	}
	if (m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError) && !m.Authoritative {
		return v, 0, fmt.Errorf("not authoritative")
	}
	slices.Sort(v.answer)
	slices.Sort(v.extra)
	return v, serial, nil
}

// recordText is a record in the form that compares. The data of an SOA is its names: the serial is looked at elsewhere.
func recordText(rr dns.RR) (string, error) {
	h := rr.Header()
	text, ttl := h.Name+" "+dns.TypeToString[h.Rrtype]+" ", uint32(5)
	switch rr := rr.(type) {
	case *dns.A:
		text += rr.A.String()
	case *dns.AAAA:
		text += rr.AAAA.String()
	case *dns.SRV:
		text += strconv.Itoa(int(rr.Priority)) + " " + strconv.Itoa(int(rr.Weight)) + " " + strconv.Itoa(int(rr.Port)) + " " + rr.Target
	case *dns.PTR:
		text += rr.Ptr
	case *dns.CNAME:
		text += rr.Target
	case *dns.NS:
		text += rr.Ns
	case *dns.SOA:
		text += rr.Ns + " " + rr.Mbox
	case *dns.TXT:
		text += strings.Join(rr.Txt, " ")
		ttl = 28800
	default:
		return "", fmt.Errorf("unexpected record %v", rr)
	}
	if h.Ttl != ttl || h.Class != dns.ClassINET {
		return "", fmt.Errorf("wrong TTL or class: %v", rr)
	}
	return text, nil
}

// matches reports whether got is what the model says.
func (want verdict) matches(got verdict) bool {
	if want.rcode != got.rcode || want.error != got.error || want.soa != got.soa || want.why != "" && want.why != got.why {
		return false
	}
	return slices.Equal(want.answer, got.answer) && slices.Equal(want.extra, got.extra)
}

// machine is a cluster under random events: what its API server holds, what the server under test was told of it, and the server.
type machine struct {
	model   naive // its world is what the server was told
	truth   world // what the API server holds
	version int   // of the API server's last change
	history []event
	saved   world // a backup of the API server
	savedAt int

	state   *state
	stores  [kindsOf]*store
	client  *client
	serial  uint32
	tally   *tally
	touched []key    // the services that the last step was about
	names   []string // their names, of those that objects gave them before and after
	forgot  bool     // the event is to be forgotten: it must change nothing
}

// tally is what was asked, by what the model said.
type tally struct{ steps, questions, records, denied, srv, ptr, aliases atomic.Int64 }

func (c *tally) count(q *query, v *verdict) {
	c.questions.Add(1)
	switch {
	case v.rcode != dns.RcodeSuccess:
		c.denied.Add(1)
	case len(v.answer) == 0:
	case strings.Contains(v.answer[0], " CNAME "):
		c.aliases.Add(1)
	case q.typ == dns.TypeSRV:
		c.srv.Add(1)
	case q.typ == dns.TypePTR:
		c.ptr.Add(1)
	}
	if len(v.answer) > 0 {
		c.records.Add(1)
	}
}

func (c *tally) String() string {
	return fmt.Sprintf("%d steps, %d questions: %d answered with records (SRV %d, PTR %d, CNAME %d), %d denied or failed, the others NODATA", c.steps.Load(), c.questions.Load(),
		c.records.Load(), c.srv.Load(), c.ptr.Load(), c.aliases.Load(), c.denied.Load())
}

// event is what a watch says of an object.
type event struct {
	kind    int
	object  metav1.Object
	deleted bool
}

func newMachine(o Options, pods zones.Pods) (*machine, error) {
	s, err := newState(o, zones.NewIndex(), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	m := &machine{model: naive{world: newWorld(), options: o, pods: pods, local: modelServer}, truth: newWorld(), saved: newWorld(), state: s}
	for kind, is := range []zones.Kinds{zones.Services, zones.Slices, zones.Namespaces, zones.PodObjects} {
		m.stores[kind] = &store{state: s, kind: is, alive: newAlive("")}
	}
	m.client, err = newClient(s.index, pods)
	return m, err
}

// watches reports whether the server asks for a kind at all.
func (m *machine) watches(kind int) bool {
	return kind == servicesOf || kind == namespacesOf || kind == slicesOf && !m.model.options.NoEndpoints || kind == podsOf && m.model.options.VerifyPods
}

func keyOf(o metav1.Object) key { return key{o.GetNamespace(), o.GetName()} }

// put changes an object at the API server.
func (m *machine) put(kind int, o metav1.Object) event {
	m.version++
	o.SetResourceVersion(strconv.Itoa(m.version))
	m.truth[kind][keyOf(o)] = o
	return event{kind: kind, object: o}
}

// remove deletes an object at the API server. The event has the version of the deletion.
func (m *machine) remove(kind int, k key) event {
	m.version++
	o := deepCopy(m.truth[kind][k])
	o.SetResourceVersion(strconv.Itoa(m.version))
	delete(m.truth[kind], k)
	return event{kind: kind, object: o, deleted: true}
}

func deepCopy(o metav1.Object) metav1.Object {
	switch o := o.(type) {
	case *corev1.Service:
		return o.DeepCopy()
	case *discoveryv1.EndpointSlice:
		return o.DeepCopy()
	case *corev1.Namespace:
		return o.DeepCopy()
	default:
		return o.(*corev1.Pod).DeepCopy()
	}
}

// tell lets the server under test and the model know of an event.
func (m *machine) tell(t *rapid.T, e event) {
	m.touch(e)
	if !m.watches(e.kind) {
		return
	}
	m.send(t, e)
	m.history = append(m.history, e)
	if e.deleted {
		delete(m.model.world[e.kind], keyOf(e.object))
	} else {
		m.model.world[e.kind][keyOf(e.object)] = e.object
	}
}

// touch takes note of the services that an event is about, as before it and after it: a slice may go from one to another.
func (m *machine) touch(e event) {
	for _, o := range []metav1.Object{m.model.world[e.kind][keyOf(e.object)], e.object} {
		switch o := o.(type) {
		case *corev1.Service:
			m.touchService(keyOf(o))
			self := fqdn(o)
			for _, p := range o.Spec.Ports {
				m.names = append(m.names, portName(p.Name, p.Protocol)+"."+self)
			}
			for _, addr := range clusterAddrs(o) {
				m.names = append(m.names, reverseOf(addr))
			}
		case *discoveryv1.EndpointSlice:
			if owner := o.Labels[discoveryv1.LabelServiceName]; owner != "" {
				m.touchSlice(o, key{o.Namespace, owner})
			}
		case *corev1.Pod:
			for _, ip := range o.Status.PodIPs {
				m.names = append(m.names, dashes(netip.MustParseAddr(ip.IP))+"."+o.Namespace+".pod."+clusterZone)
			}
		}
	}
}

func (m *machine) touchService(k key) {
	m.touched = append(m.touched, k)
	m.names = append(m.names, k.name+"."+k.namespace+"."+svcZone)
}

func (m *machine) touchSlice(o *discoveryv1.EndpointSlice, owner key) {
	m.touchService(owner)
	self := owner.name + "." + owner.namespace + "." + svcZone
	for _, p := range o.Ports {
		m.names = append(m.names, portName(*p.Name, *p.Protocol)+"."+self)
	}
	for i := range o.Endpoints {
		e := &o.Endpoints[i]
		addr := netip.MustParseAddr(e.Addresses[0])
		m.names = append(m.names, m.model.host(e, addr)+"."+self, reverseOf(addr))
		if m.model.options.Zonal && e.Zone != nil {
			m.names = append(m.names, strings.ToLower(*e.Zone)+".pin._zone."+self)
		}
	}
}

func portName(name string, protocol corev1.Protocol) string {
	return "_" + name + "._" + strings.ToLower(string(protocol))
}

func reverseOf(addr netip.Addr) string {
	name, _ := dns.ReverseAddr(addr.String())
	return name
}

// send calls the store as a reflector does.
func (m *machine) send(t *rapid.T, e event) {
	var err error
	to, version := m.stores[e.kind], e.object.GetResourceVersion()
	switch n, _ := strconv.Atoi(version); {
	case !e.deleted && n%2 == 0:
		err = to.Add(e.object)
	case !e.deleted:
		err = to.Update(e.object)
	case n%2 == 0:
		err = to.Delete(e.object)
	default:
		err = to.Delete(cache.DeletedFinalStateUnknown{Key: e.object.GetName(), Obj: e.object})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("told: kind %d %v deleted %v: %v", e.kind, keyOf(e.object), e.deleted, describe(e.object))
}

// describe is what matters of an object, for a failure.
func describe(o metav1.Object) string {
	switch o := o.(type) {
	case *corev1.Service:
		return fmt.Sprint("version ", o.ResourceVersion, " IPs ", o.Spec.ClusterIPs, " external ", o.Spec.ExternalName, " ports ", o.Spec.Ports)
	case *discoveryv1.EndpointSlice:
		text := fmt.Sprint("version ", o.ResourceVersion, " of ", o.Labels)
		for _, p := range o.Ports {
			text += fmt.Sprint(" port ", *p.Name, "/", *p.Protocol, "/", value(p.Port))
		}
		for _, e := range o.Endpoints {
			text += fmt.Sprint(" end ", e.Addresses, " host ", value(e.Hostname), " ready ", e.Conditions.Ready == nil || *e.Conditions.Ready, " zone ", value(e.Zone))
		}
		return text
	case *corev1.Pod:
		return fmt.Sprint("version ", o.ResourceVersion, " ", o.Status.Phase, " ", o.Status.PodIPs, " ending ", o.DeletionTimestamp != nil)
	}
	return fmt.Sprint("version ", o.GetResourceVersion(), " ", o.GetLabels())
}

// relist gives the server the whole list of a kind, as a reflector does after a lost connection.
func (m *machine) relist(t *rapid.T, kind int) {
	if !m.watches(kind) {
		return
	}
	var list []any
	for _, o := range m.truth[kind] {
		list = append(list, o)
	}
	if err := m.stores[kind].Replace(list, strconv.Itoa(m.version)); err != nil {
		t.Fatal(err)
	}
	t.Logf("relist of kind %d: %d objects", kind, len(list))
	m.model.world[kind] = m.truth.clone()[kind]
	m.model.read[kind] = true
}

// pick draws one of a pool.
func pick[T any](t *rapid.T, pool []T, label string) T {
	return pool[rapid.IntRange(0, len(pool)-1).Draw(t, label)]
}

// some draws some of a pool, each at most once.
func some[T any](t *rapid.T, pool []T, label string) (list []T) {
	bits := rapid.IntRange(0, 1<<len(pool)-1).Draw(t, label)
	for i, v := range pool {
		if bits&(1<<i) != 0 {
			list = append(list, v)
		}
	}
	return list
}

// anyOf draws the key of an object that exists; ok is false when there is none.
func (m *machine) anyOf(t *rapid.T, kind int) (k key, ok bool) {
	var keys []key
	for k := range m.truth[kind] {
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return k, false
	}
	slices.SortFunc(keys, func(a, b key) int { return strings.Compare(a.namespace+"/"+a.name, b.namespace+"/"+b.name) })
	return pick(t, keys, "object"), true
}

// drawService makes or changes a service.
func (m *machine) drawService(t *rapid.T) event {
	s := &corev1.Service{}
	s.Namespace, s.Name = pick(t, poolSpaces, "namespace"), pick(t, poolServices, "name")
	switch rapid.IntRange(0, 8).Draw(t, "type") {
	case 0, 1, 2:
		s.Spec.ClusterIPs = []string{corev1.ClusterIPNone}
	case 3, 4:
		s.Spec.ClusterIPs = []string{pick(t, poolCluster4, "cluster IP")}
	case 5:
		s.Spec.ClusterIPs = []string{pick(t, poolCluster4, "cluster IP"), pick(t, poolCluster6, "second cluster IP")}
		s.Spec.Type = corev1.ServiceTypeLoadBalancer
	case 6:
		s.Spec.ClusterIPs = []string{pick(t, poolCluster6, "cluster IP")}
		s.Spec.Type = corev1.ServiceTypeNodePort
	case 7:
		s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, pick(t, poolTargets, "target")
	case 8: // no cluster IP yet
	}
	if len(s.Spec.ClusterIPs) > 0 {
		s.Spec.ClusterIP = s.Spec.ClusterIPs[0]
	}
	for i, name := range some(t, poolPorts, "ports") {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: name, Protocol: pick(t, poolProtocols, "protocol"), Port: poolNumbers[i]})
	}
	return m.put(servicesOf, s)
}

// drawSlice makes a slice, or puts another in its place.
func (m *machine) drawSlice(t *rapid.T) event {
	s := &discoveryv1.EndpointSlice{}
	s.Namespace = pick(t, poolSpaces, "namespace")
	s.Name = "slice-" + strconv.Itoa(rapid.IntRange(0, 7).Draw(t, "name"))
	s.Labels = map[string]string{discoveryv1.LabelServiceName: pick(t, poolServices, "service")}
	s.AddressType = discoveryv1.AddressTypeIPv4
	if rapid.IntRange(0, 2).Draw(t, "family") == 0 {
		s.AddressType = discoveryv1.AddressTypeIPv6
	}
	for i, name := range some(t, poolPorts, "ports") {
		p := discoveryv1.EndpointPort{Name: to(name), Protocol: to(pick(t, poolProtocols, "protocol")), Port: to(poolNumbers[i])}
		if rapid.IntRange(0, 9).Draw(t, "number") == 9 {
			p.Port = nil // all ports
		}
		s.Ports = append(s.Ports, p)
	}
	for range pick(t, []int{1, 2, 3, 4, 0}, "endpoints") {
		s.Endpoints = append(s.Endpoints, drawEndpoint(t, s.AddressType))
	}
	return m.put(slicesOf, s)
}

func drawEndpoint(t *rapid.T, family discoveryv1.AddressType) (e discoveryv1.Endpoint) {
	pool := poolV4
	if family == discoveryv1.AddressTypeIPv6 {
		pool = poolV6
	}
	e.Addresses = []string{pick(t, pool, "address")}
	if host := pick(t, poolHosts, "hostname"); host != "" {
		e.Hostname = &host
	}
	if pod := pick(t, poolPods, "pod"); pod != "" {
		e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Name: pod}
	}
	if zone := pick(t, poolZones, "zone"); zone != "" {
		e.Zone = &zone
	}
	switch rapid.IntRange(0, 5).Draw(t, "ready") {
	case 1:
		e.Conditions.Ready = to(true)
	case 5:
		e.Conditions = discoveryv1.EndpointConditions{Ready: to(false), Serving: to(true), Terminating: to(true)}
	}
	return e
}

// editSlice makes one small change, or moves the slice to another service. ok is false without a slice.
func (m *machine) editSlice(t *rapid.T) (e event, ok bool) {
	k, ok := m.anyOf(t, slicesOf)
	if !ok {
		return e, false
	}
	s := m.truth[slicesOf][k].(*discoveryv1.EndpointSlice).DeepCopy()
	at := len(s.Endpoints) - 1
	switch what := rapid.IntRange(0, 11).Draw(t, "edit"); {
	case what < 3 && at < 6:
		s.Endpoints = append(s.Endpoints, drawEndpoint(t, s.AddressType))
	case what < 5:
		s.Labels = map[string]string{discoveryv1.LabelServiceName: pick(t, poolServices, "service")}
	case what == 5:
		s.Labels = map[string]string{} // nobody's any more
	case what < 8 && at >= 0:
		s.Endpoints = s.Endpoints[:at]
	case what < 10 && at >= 0:
		s.Endpoints[0].Conditions.Ready = to(s.Endpoints[0].Conditions.Ready != nil && !*s.Endpoints[0].Conditions.Ready)
	case at >= 0:
		s.Endpoints[at] = drawEndpoint(t, s.AddressType)
	}
	return m.put(slicesOf, s), true
}

func (m *machine) drawNamespace(t *rapid.T) event {
	n := &corev1.Namespace{}
	n.Name = pick(t, poolSpaces, "name")
	if team := pick(t, []string{"a", "b", ""}, "team"); team != "" {
		n.Labels = map[string]string{"team": team}
	}
	return m.put(namespacesOf, n)
}

func (m *machine) drawPod(t *rapid.T) event {
	p := &corev1.Pod{}
	p.Namespace, p.Name = pick(t, poolSpaces, "namespace"), "pod-"+strconv.Itoa(rapid.IntRange(0, 3).Draw(t, "name"))
	p.Status.Phase = pick(t, []corev1.PodPhase{corev1.PodRunning, corev1.PodRunning, corev1.PodPending, corev1.PodFailed, corev1.PodSucceeded}, "phase")
	for _, pool := range [][]string{poolV4, poolV6} {
		if rapid.IntRange(0, 3).Draw(t, "family") > 0 {
			p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: pick(t, pool, "address")})
		}
	}
	if rapid.IntRange(0, 7).Draw(t, "ending") == 7 {
		p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	}
	return m.put(podsOf, p)
}

// change is one change at the API server that the server under test has not been told of.
func (m *machine) change(t *rapid.T) (event, bool) {
	switch what := rapid.IntRange(0, 31).Draw(t, "change"); {
	case what < 6:
		return m.drawService(t), true
	case what < 15:
		return m.drawSlice(t), true
	case what < 23:
		return m.editSlice(t)
	case what < 25:
		return m.drawNamespace(t), true
	case what < 27:
		return m.drawPod(t), true
	default:
		kind := pick(t, []int{servicesOf, slicesOf, slicesOf, namespacesOf, podsOf}, "kind")
		k, ok := m.anyOf(t, kind)
		if !ok {
			return event{}, false
		}
		return m.remove(kind, k), true
	}
}

// step is one random event, or a few that are published together.
func (m *machine) step(t *rapid.T) {
	m.forgot = false
	switch what := rapid.IntRange(0, 99).Draw(t, "step"); {
	case what < 70:
		if e, ok := m.change(t); ok {
			m.tell(t, e)
		}
	case what < 77: // events come faster than they are published
		for range rapid.IntRange(2, 5).Draw(t, "burst") {
			if e, ok := m.change(t); ok {
				m.tell(t, e)
			}
		}
	case what < 86: // an event from the past, or the last one again
		m.forgot = true
		if len(m.history) > 0 {
			m.send(t, pick(t, m.history, "past"))
		}
	case what < 88:
		kind := rapid.IntRange(0, kindsOf-1).Draw(t, "kind")
		if m.watches(kind) {
			m.forgot = true
			m.must(t, m.stores[kind].Bookmark(strconv.Itoa(m.version)))
		}
	case what < 97: // a connection was lost, and with it some events
		m.loseAndRelist(t)
	default:
		m.backup(t)
	}
	m.publish(t)
}

func (m *machine) must(t *rapid.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

// loseAndRelist changes the API server behind the back of the server, and then lets it list all kinds that changed, and one more.
func (m *machine) loseAndRelist(t *rapid.T) {
	var lost [kindsOf]bool
	lost[rapid.IntRange(0, kindsOf-1).Draw(t, "kind")] = true
	changed := false
	for range rapid.IntRange(0, 4).Draw(t, "lost") {
		if e, ok := m.change(t); ok {
			m.touch(e)
			lost[e.kind], changed = true, true
		}
	}
	m.forgot = !changed
	for kind := range lost {
		if lost[kind] {
			m.relist(t, kind)
			if changed && rapid.Bool().Draw(t, "published between kinds") {
				m.publish(t)
			}
		}
	}
}

// backup saves the API server's objects, or puts back what was saved last: an older state with lower versions.
func (m *machine) backup(t *rapid.T) {
	if rapid.Bool().Draw(t, "save") {
		m.saved, m.savedAt = m.truth.clone(), m.version
		return
	}
	m.truth, m.version, m.history = m.saved.clone(), m.savedAt, nil
	for kind := range m.truth {
		m.relist(t, kind)
	}
}

// publish compiles what changed. An event that changes nothing publishes nothing, and a change has a serial of its own.
func (m *machine) publish(t *rapid.T) {
	before := m.state.index.Snapshot()
	m.state.publish(time.Unix(1, 0))
	after := m.state.index.Snapshot()
	if m.forgot && after != before {
		t.Fatal("an event that is to be passed over was published")
	}
	if after != before && after.Serial() <= before.Serial() {
		t.Fatalf("serial %d after %d", after.Serial(), before.Serial())
	}
	m.serial = after.Serial()
}

// compare asks both the same.
func (m *machine) compare(t *rapid.T, q *query) {
	want := m.model.ask(q.name, q.typ)
	m.tally.count(q, &want)
	got, serial, err := m.client.ask(q)
	if err != nil {
		t.Fatalf("%s %s: %v", q.name, dns.TypeToString[q.typ], err)
	}
	if strings.EqualFold(q.name, "ns.dns."+clusterZone) {
		got.answer = slices.Compact(got.answer) // hosts of a headless service may share an address, which then comes once for each
	}
	if want.soa && serial != m.serial {
		t.Fatalf("%s %s: serial %d, want %d", q.name, dns.TypeToString[q.typ], serial, m.serial)
	}
	if !want.matches(got) {
		t.Fatalf("%s %s (-model +server):\n%s", q.name, dns.TypeToString[q.typ],
			cmp.Diff(want, got, cmp.AllowUnexported(verdict{})))
	}
}

// drawMachine is an empty cluster with options, whose kinds are read one after the other.
func drawMachine(t *rapid.T) *machine {
	o := Options{
		Namespaces:      pick(t, []string{"", "", "", "prod,svc"}, "namespaces"),
		NamespaceLabels: pick(t, []string{"", "", "", "", "team=a"}, "namespace_labels"),
		PodNames:        rapid.Bool().Draw(t, "endpoint_pod_names"),
		IgnoreEmpty:     rapid.IntRange(0, 4).Draw(t, "ignore empty_service") == 4,
		NoEndpoints:     rapid.IntRange(0, 9).Draw(t, "noendpoints") == 9,
		Zonal:           rapid.Bool().Draw(t, "zonal"),
	}
	pods := pick(t, []zones.Pods{zones.PodsVerified, zones.PodsVerified, zones.PodsInsecure, zones.PodsDisabled}, "pods")
	o.VerifyPods = pods == zones.PodsVerified
	m, err := newMachine(o, pods)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var modelSteps = flag.Int("model.steps", 100_000, "random events that TestModel takes the index and the model through; -race takes a tenth")

// modelCase is how many steps a cluster is taken through, on average.
const modelCase = 250

// TestModel takes the index and a naive one through random events, and asks both the same questions after each.
// Shrinking needs few draws, so a step draws its questions by one number.
func TestModel(t *testing.T) {
	all := modelQueries()
	tally := &tally{}
	one := func(t *rapid.T) {
		m := drawMachine(t)
		m.tally = tally
		ask := func(list []query, random *rand.Rand, count int) {
			for range count {
				if len(list) > 0 {
					m.compare(t, &list[random.IntN(len(list))])
				}
			}
		}
		for range 3 {
			m.change(t)
		}
		for _, kind := range rapid.Permutation([]int{servicesOf, slicesOf, namespacesOf, podsOf}).Draw(t, "order") {
			ask(all.list, rand.New(rand.NewPCG(uint64(kind), 0)), 20)
			m.relist(t, kind)
			m.publish(t)
		}
		t.Repeat(map[string]func(*rapid.T){
			"step": func(t *rapid.T) {
				tally.steps.Add(1)
				m.touched, m.names = m.touched[:0], m.names[:0]
				m.step(t)
				random := rand.New(rand.NewPCG(uint64(rapid.Uint32().Draw(t, "questions")), 0))
				for range min(len(m.names), 12) {
					ask(all.byName[m.names[random.IntN(len(m.names))]], random, 2)
				}
				for _, service := range m.touched {
					ask(all.byService[service], random, max(1, 4/len(m.touched)))
				}
				ask(all.list, random, 4)
			},
		})
	}
	setFlag(t, "rapid.steps", strconv.Itoa(fewer(modelCase, 3)))
	setFlag(t, "rapid.nofailfile", "true") // the seed tells it again
	for tally.steps.Load() < int64(fewer(*modelSteps, 10)) && !t.Failed() {
		rapid.Check(t, one)
	}
	t.Log(tally)
}

// setFlag sets a flag until the end of the test, unless the command line has it.
func setFlag(t *testing.T, name, text string) {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	if f := flag.Lookup(name); f != nil && !given {
		before := f.Value.String()
		must(t, f.Value.Set(text))
		t.Cleanup(func() { must(t, f.Value.Set(before)) })
	}
}
