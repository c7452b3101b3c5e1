package watch

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// What the objects of k8s_gateway are made of. The pools are small, so that names meet.
var (
	lanSpaces  = []string{"prod", "infra"}
	lanNames   = []string{"a", "b", "c"}
	lanHosts   = []string{"a.lan.test", "b.lan.test", "*.lan.test", "x.b.lan.test", "*.b.lan.test", "a.elsewhere.test", "*.test", "lan.test"}
	lanClasses = []string{"one", "two"}
	lanLabels  = []map[string]string{nil, nil, {"app": "a"}, {"app": "b"}, {"k8s-gateway.dns/ignore": "true", "app": "a"}}
	lanKinds   = []string{"services", "ingresses", "gateways", "httproutes", "tlsroutes", "grpcroutes", "dnsendpoints", "namespaces"}
)

// lan is objects under random steps, and a source that follows them.
type lan struct {
	options Options
	state   *state
	stores  map[string]*store
	world   map[string]map[object.Key]metav1.Object // by plural
	version int
}

func drawLan(t *rapid.T) *lan {
	o := Options{Selection: object.Selection{NoEndpoints: true, Namespaces: pick(t, []string{"", "", "prod"}, "namespaces"), Hosts: object.Hosts{
		Zones: "lan.test.", TTL: 30, NameServer: "c.infra", Secondary: "b.prod",
		Resources:        drawResources(t),
		IngressClasses:   pick(t, []string{"", "one"}, "ingressClasses"),
		GatewayClasses:   pick(t, []string{"", "two three"}, "gatewayClasses"),
		ServiceSelectors: pick(t, []string{"", "app=a", "app=a\napp in (b,c)"}, "serviceLabelSelectors"),
	}}}
	s, err := newState(o, zones.NewIndex(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l := &lan{options: o, state: s, stores: map[string]*store{}, world: map[string]map[object.Key]metav1.Object{}}
	for i := range object.Resources {
		if r := &object.Resources[i]; r.When(o.Selection) {
			l.stores[r.Plural], l.world[r.Plural] = newStore(s, r, newAlive("")), map[object.Key]metav1.Object{}
		}
	}
	return l
}

func drawResources(t *rapid.T) string {
	all := []string{"Ingress", "Service", "HTTPRoute", "TLSRoute", "GRPCRoute", "DNSEndpoint"}
	order := rapid.Permutation(all).Draw(t, "resources")
	return strings.Join(order[:rapid.IntRange(1, len(all)).Draw(t, "count")], " ")
}

// TestHostsModel takes the names of k8s_gateway through random events, and compares them with those that the objects have
// when each is looked at alone.
func TestHostsModel(t *testing.T) {
	setFlag(t, "rapid.seed", strconv.FormatInt(time.Now().UnixNano(), 10))
	setFlag(t, "rapid.checks", strconv.Itoa(fewer(1000, 10)))
	setFlag(t, "rapid.nofailfile", "true")
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		l := drawLan(t)
		for _, plural := range lanKinds {
			l.relist(t, plural)
		}
		t.Repeat(map[string]func(*rapid.T){"step": func(t *rapid.T) {
			plural := pick(t, lanKinds, "kind")
			switch what := rapid.IntRange(0, 19).Draw(t, "step"); {
			case what < 16:
				l.put(t, plural, what < 4)
			case what < 18:
				l.remove(t, plural)
			default:
				l.relist(t, plural)
			}
			before := l.state.index.Hosts.Names()
			l.state.hostsNext = time.Time{}
			l.state.publish(time.Unix(1, 0))
			now := l.state.index.Hosts.Names()
			if before != nil && now != before && now.Equal(before) {
				t.Fatal("what did not change was published")
			}
			found += l.compare(t, now)
		}})
	})
	if found == 0 {
		t.Error("no name had an address")
	}
}

// TestHostsBudget: what a namespace has over its budget gives no names, and takes none from another namespace.
func TestHostsBudget(t *testing.T) {
	o := Options{Selection: object.Selection{NoEndpoints: true, Hosts: object.Hosts{
		Zones: "lan.test.", Resources: "Ingress HTTPRoute DNSEndpoint", NameServer: "ns.infra"}}}
	s, err := newState(o, zones.NewIndex(), slog.New(slog.DiscardHandler))
	must(t, err)
	s.budget = 8 << 10
	out := object.Outside{Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	for i := range 100 {
		k := object.Key{Namespace: "greedy", Name: "o" + strconv.Itoa(i)}
		s.set(zones.Ingresses, &object.Ingress{Key: k, Names: []string{"i" + strconv.Itoa(i) + ".lan.test"}, Outside: out})
		s.set(zones.Gateways, &object.KeptGateway{Key: k, Outside: out, Listeners: make([]object.Listener, 64)})
		s.set(zones.HTTPRoutes, &object.Route{Key: k, Kind: "HTTPRoute", Names: []string{"r.lan.test"}})
		s.set(zones.DNSEndpoints, &object.Records{Key: k, Sets: make([]object.RecordSet, 10)})
	}
	honest := object.Key{Namespace: "honest", Name: "one"}
	s.set(zones.Ingresses, &object.Ingress{Key: honest, Names: []string{"honest.lan.test"}, Outside: out})
	if size := s.space("greedy").objects; size > s.budget/2 {
		t.Errorf("a namespace takes %d octets of %d", size, s.budget/2)
	}
	if n := len(s.ingresses.byKey) + len(s.gateways.byKey) + len(s.routes["HTTPRoute"].byKey) + len(s.records.byKey); n > 40 {
		t.Errorf("%d objects are held", n)
	}
	s.synced = o.hostsKinds()
	s.publish(time.Unix(1, 0))
	name, _ := wire.ParseName("honest.lan.test")
	if s.index.Hosts.Names().Node(name) == nil {
		t.Error("another namespace has lost its name")
	}
	for _, k := range []zones.Kinds{zones.Ingresses, zones.Gateways, zones.HTTPRoutes, zones.DNSEndpoints} {
		for key := range s.kinds[k].keys() {
			s.kinds[k].drop(key)
		}
	}
	if size := s.space("greedy").objects + s.space("honest").objects; size != 0 {
		t.Errorf("%d octets are counted of nothing", size)
	}
}

// TestHostsTakeAShareOfTheTime: where making the names takes long, what changes then waits, but not for ever.
func TestHostsTakeAShareOfTheTime(t *testing.T) {
	o := Options{Selection: object.Selection{NoEndpoints: true, Hosts: object.Hosts{Zones: "lan.test.", Resources: "Ingress"}}}
	s, err := newState(o, zones.NewIndex(), slog.New(slog.DiscardHandler))
	must(t, err)
	s.synced = o.hostsKinds()
	now := time.Unix(1, 0)
	s.publish(now)
	s.hostsNext = now.Add(time.Second) // as after one that took 100 ms
	s.set(zones.Ingresses, &object.Ingress{Key: object.Key{Namespace: "a", Name: "a"}, Names: []string{"a.lan.test"}})
	s.publish(now)
	name, _ := wire.ParseName("a.lan.test")
	if wait := s.hostsWait(now); s.index.Hosts.Names().Node(name) != nil || wait != time.Second {
		t.Errorf("the name is there at once, or waits for %v", wait)
	}
	if wait := s.hostsWait(now.Add(2 * time.Second)); wait <= 0 {
		t.Error("the time is over, and nothing publishes the name")
	}
	s.publish(now.Add(time.Second))
	if wait := s.hostsWait(now.Add(time.Second)); s.index.Hosts.Names().Node(name) == nil || wait != 0 {
		t.Errorf("the name is not there, and waits for %v", wait)
	}
}

// put makes an object, or another in its place; lost, the source is not told.
func (l *lan) put(t *rapid.T, plural string, lost bool) {
	l.version++
	m := metav1.ObjectMeta{
		Namespace: pick(t, lanSpaces, "namespace"), Name: pick(t, lanNames, "name"),
		Labels: pick(t, lanLabels, "labels"), ResourceVersion: strconv.Itoa(l.version),
	}
	o := l.draw(t, plural, m)
	if l.stores[plural] == nil {
		return
	}
	l.world[plural][keyOf(o)] = o
	if err := l.stores[plural].Add(o); err != nil {
		t.Fatal(err)
	}
	if lost { // an event of the past
		if err := l.stores[plural].Add(o); err != nil {
			t.Fatal(err)
		}
	}
}

func (l *lan) draw(t *rapid.T, plural string, m metav1.ObjectMeta) metav1.Object {
	address := func() string {
		return pick(t, []string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "lb.test", ""}, "address")
	}
	switch plural {
	case "namespaces":
		m.Namespace = ""
		return &corev1.Namespace{ObjectMeta: m}
	case "services":
		o := &corev1.Service{ObjectMeta: m}
		o.Spec.Type = pick(t, []corev1.ServiceType{corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeLoadBalancer, "ClusterIP"}, "type")
		if host := pick(t, slices.Concat([]string{"", "", ""}, lanHosts), "annotation"); host != "" {
			o.Annotations = map[string]string{"coredns.io/hostname": host}
		}
		if text := address(); text == "lb.test" {
			o.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{Hostname: text}}
		} else if text != "" {
			o.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: text}}
		}
		return o
	case "ingresses":
		o := &networkingv1.Ingress{ObjectMeta: m}
		o.Spec.IngressClassName = to(pick(t, lanClasses, "class"))
		for _, host := range some(t, lanHosts[:6], "hosts") {
			o.Spec.Rules = append(o.Spec.Rules, networkingv1.IngressRule{Host: host})
		}
		if text := address(); text == "lb.test" {
			o.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{Hostname: text}}
		} else if text != "" {
			o.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: text}}
		}
		return o
	case "gateways":
		return l.drawGateway(t, m, address())
	case "dnsendpoints":
		o := &object.DNSEndpoint{ObjectMeta: m}
		for _, host := range some(t, lanHosts[:6], "names") {
			if text := address(); text != "" {
				o.Spec.Endpoints = append(o.Spec.Endpoints, object.RecordSet{
					DNSName: host, RecordType: recordType(text), Targets: []string{text},
				})
			}
		}
		return o
	}
	return l.drawRoute(t, plural, m)
}

// recordType is the type of a record whose data is text.
func recordType(text string) string {
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return "CNAME"
	case addr.Is4():
		return "A"
	}
	return "AAAA"
}

func (l *lan) drawGateway(t *rapid.T, m metav1.ObjectMeta, address string) *object.Gateway {
	o := &object.Gateway{ObjectMeta: m}
	o.Spec.GatewayClassName = pick(t, lanClasses, "class")
	for i, host := range some(t, append([]string{""}, lanHosts[:5]...), "listeners") {
		o.Spec.Listeners = append(o.Spec.Listeners, object.GatewayListener{
			Name: lanNames[i%3], Hostname: host, Port: int32(80 + i%2), Protocol: pick(t, []string{"HTTP", "TLS", "TCP", "x/y"}, "protocol"),
		})
	}
	if address != "" {
		kind := "IPAddress"
		if address == "lb.test" {
			kind = "Hostname"
		}
		o.Status.Addresses = append(o.Status.Addresses, struct {
			Type  string `json:"type"`
			Value string `json:"value"`
		}{kind, address})
	}
	return o
}

func (l *lan) drawRoute(t *rapid.T, plural string, m metav1.ObjectMeta) metav1.Object {
	var o object.HTTPRoute
	o.ObjectMeta = m
	o.Spec.Hostnames = some(t, lanHosts[:7], "hostnames")
	for range rapid.IntRange(0, 2).Draw(t, "parents") {
		ref := object.ParentRef{
			Namespace: pick(t, []string{"", "infra"}, "parent's namespace"), Name: pick(t, lanNames, "parent"),
			SectionName: pick(t, []string{"", "", "", "a"}, "section"), Port: pick(t, []int32{0, 0, 80}, "port"),
			Kind: pick(t, []string{"", "Gateway", "Service"}, "parent's kind"),
		}
		o.Spec.ParentRefs = append(o.Spec.ParentRefs, ref)
		if says := pick(t, []string{"", "True", "False"}, "accepted"); says != "" {
			o.Status.Parents = append(o.Status.Parents, object.RouteParent{
				ParentRef: ref, Conditions: []object.RouteCondition{{Type: "Accepted", Status: says}},
			})
		}
	}
	switch plural {
	case "tlsroutes":
		r := object.TLSRoute(o)
		return &r
	case "grpcroutes":
		r := object.GRPCRoute(o)
		return &r
	}
	return &o
}

func (l *lan) remove(t *rapid.T, plural string) {
	if keys := sortedKeys(l.world[plural]); len(keys) > 0 {
		l.version++
		k := pick(t, keys, "object")
		o := l.world[plural][k]
		delete(l.world[plural], k)
		o.SetResourceVersion(strconv.Itoa(l.version))
		if err := l.stores[plural].Delete(o); err != nil {
			t.Fatal(err)
		}
	}
}

// relist gives the source a list, from which one object may be missing.
func (l *lan) relist(t *rapid.T, plural string) {
	if l.stores[plural] == nil {
		return
	}
	if keys := sortedKeys(l.world[plural]); len(keys) > 0 && rapid.Bool().Draw(t, "lost") {
		delete(l.world[plural], pick(t, keys, "object"))
	}
	if err := l.stores[plural].Replace(listOf(l.world[plural]), strconv.Itoa(l.version)); err != nil {
		t.Fatal(err)
	}
}

func sortedKeys(all map[object.Key]metav1.Object) (keys []object.Key) {
	for k := range all {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b object.Key) int { return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name) })
	return keys
}

// compare compares the records of every name that objects may have, and returns how many have some.
func (l *lan) compare(t *rapid.T, names *zones.Names) (found int) {
	all := slices.Clone(lanHosts)
	for _, k := range []string{"a.prod", "b.prod", "c.prod", "a.infra", "b.infra", "c.infra"} {
		all = append(all, k+".lan.test")
	}
	for _, name := range all {
		wireName, _ := wire.ParseName(name)
		var got []string
		if node := names.Node(wireName); node != nil {
			got = recordsOf(node)
		}
		want := l.naive(name)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s (-model +server):\n%s", name, diff)
		}
		found += len(want)
	}
	return found
}

// recordsOf are the addresses of a name, or its alias.
func recordsOf(node *zones.NamesNode) (list []string) {
	for _, set := range node.RRsets {
		size := map[wire.Type]int{wire.TypeA: 4, wire.TypeAAAA: 16}[set.Type]
		for packed := set.Addr; size > 0 && len(packed) > 0; packed = packed[size:] {
			addr, _ := netip.AddrFromSlice([]byte(packed[:size]))
			list = append(list, addr.String())
		}
	}
	if node.Alias != "" {
		list = append(list, fmt.Sprintf("alias %q", node.Alias))
	}
	slices.Sort(list)
	return list
}

// naive are the records of a name: those of the first resource that has it, or of a name server.
func (l *lan) naive(name string) []string {
	if name != "lan.test" && !strings.HasSuffix(name, ".lan.test") {
		return nil
	}
	for resource := range strings.FieldsSeq(l.options.Hosts.Resources) {
		if texts := l.texts(resource, name); len(texts) > 0 {
			return outsideOf(texts, name == "lan.test")
		}
	}
	for _, server := range []object.Key{{Namespace: "infra", Name: "c"}, {Namespace: "prod", Name: "b"}} {
		s, ok := l.world["services"][server].(*corev1.Service)
		if ok && s.Spec.Type == corev1.ServiceTypeLoadBalancer && name == server.Name+"."+server.Namespace+".lan.test" {
			return outsideOf(balanced(s), false)
		}
	}
	return nil
}

// outsideOf are the addresses among texts, or an alias without any, but not at the apex.
func outsideOf(texts []string, apex bool) (list []string) {
	slices.Sort(texts)
	texts = slices.Compact(texts)
	for _, text := range texts {
		if text != "lb.test" {
			list = append(list, text)
		}
	}
	if len(list) == 0 && slices.Contains(texts, "lb.test") && !apex {
		return []string{`alias "\x02lb\x04test\x00"`}
	}
	return list
}

func balanced(s *corev1.Service) (texts []string) {
	for _, in := range s.Status.LoadBalancer.Ingress {
		texts = append(texts, in.IP+in.Hostname)
	}
	return texts
}

// texts are the addresses and names that objects of a resource give a name.
func (l *lan) texts(resource, name string) (texts []string) {
	h := &l.options.Hosts
	plural := map[string]string{"Ingress": "ingresses", "Service": "services"}[resource]
	if plural == "" {
		plural = strings.ToLower(resource) + "s"
	}
	for _, o := range l.world[plural] {
		if o.GetLabels()["k8s-gateway.dns/ignore"] != "" || l.options.Namespaces != "" && o.GetNamespace() != "prod" {
			continue
		}
		switch o := o.(type) {
		case *corev1.Service:
			of := o.Annotations["coredns.io/hostname"]
			if of == "" {
				of = o.Name + "." + o.Namespace + ".lan.test"
			}
			label := o.Labels["app"]
			if o.Spec.Type == "LoadBalancer" && of == name &&
				(h.ServiceSelectors == "" || label == "a" || label == "b" && strings.Contains(h.ServiceSelectors, "b")) {
				texts = append(texts, balanced(o)...)
			}
		case *networkingv1.Ingress:
			if h.IngressClasses != "" && *o.Spec.IngressClassName != "one" {
				continue
			}
			for _, rule := range o.Spec.Rules {
				for _, in := range o.Status.LoadBalancer.Ingress {
					if rule.Host == name {
						texts = append(texts, in.IP+in.Hostname)
					}
				}
			}
		case *object.DNSEndpoint:
			for _, set := range o.Spec.Endpoints {
				if set.DNSName == name {
					texts = append(texts, set.Targets...)
				}
			}
		case *object.HTTPRoute:
			texts = append(texts, l.routed(o, resource, name)...)
		case *object.TLSRoute:
			r := object.HTTPRoute(*o)
			texts = append(texts, l.routed(&r, resource, name)...)
		case *object.GRPCRoute:
			r := object.HTTPRoute(*o)
			texts = append(texts, l.routed(&r, resource, name)...)
		}
	}
	return texts
}

// routed are the addresses that a route gives a name.
func (l *lan) routed(o *object.HTTPRoute, kind, name string) (texts []string) {
	for _, ref := range o.Spec.ParentRefs {
		accepted, refused := false, false
		for _, p := range o.Status.Parents {
			same := p.ParentRef
			if same.Kind == "" {
				same.Kind = "Gateway"
			}
			as := ref
			if as.Kind == "" {
				as.Kind = "Gateway"
			}
			if same.Namespace == "" {
				same.Namespace = o.Namespace
			}
			if as.Namespace == "" {
				as.Namespace = o.Namespace
			}
			accepted = accepted || same == as && p.Conditions[0].Status == "True"
			refused = refused || same == as && p.Conditions[0].Status == "False"
		}
		space := ref.Namespace
		if space == "" {
			space = o.Namespace
		}
		g, ok := l.world["gateways"][object.Key{Namespace: space, Name: ref.Name}].(*object.Gateway)
		if !ok || ref.Kind == "Service" || refused && !accepted ||
			l.options.Hosts.GatewayClasses != "" && g.Spec.GatewayClassName != "two" {
			continue
		}
		for _, listener := range g.Spec.Listeners {
			if ref.SectionName != "" && ref.SectionName != listener.Name || ref.Port != 0 && ref.Port != listener.Port {
				continue
			}
			takes := map[string]string{"HTTP": "HTTPRoute GRPCRoute", "TLS": "TLSRoute", "x/y": kind}[listener.Protocol]
			if slices.Contains(strings.Fields(takes), kind) && meets(o.Spec.Hostnames, listener.Hostname, name) {
				for _, addr := range g.Status.Addresses {
					texts = append(texts, addr.Value)
				}
			}
		}
	}
	return texts
}

// meets reports whether name is where one of the hostnames of a route and that of a listener meet.
func meets(hostnames []string, listener, name string) bool {
	within := func(a, b string) bool {
		return b == "" || a == b || strings.HasPrefix(b, "*.") && strings.HasSuffix(strings.TrimPrefix(a, "*"), b[1:])
	}
	if len(hostnames) == 0 {
		return listener == name
	}
	return slices.ContainsFunc(hostnames, func(host string) bool {
		return host == name && within(host, listener) || listener == name && within(listener, host)
	})
}
