package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/proxy"
)

var (
	proxyCases = flag.Int("proxy.cases", 3_000, "random services that TestNearestAsKubeProxy asks about")
	proxySeed  = flag.Uint64("proxy.seed", 0, "seed of the random services; 0 for a new one")
)

// nearestCorefile takes the client from the query (RFC 7871), as all of them come from one address.
const nearestCorefile = `. {
	bind 127.0.0.1
	errors
	ready READY
	kubernetes cluster.local {
		manifests manifests
		nearest hints
	}
}
`

// place is a node with a client on it.
type place struct {
	node, zone string
	client     netip.Addr
}

// proxyPlaces are the nodes of the random clusters: several in a zone, one alone in its own, and one whose zone nobody
// knows.
var proxyPlaces = []place{
	{"a-1", "a", netip.MustParseAddr("10.100.0.1")}, {"a-2", "a", netip.MustParseAddr("10.100.0.2")},
	{"a-3", "a", netip.MustParseAddr("10.100.0.3")}, {"b-1", "b", netip.MustParseAddr("10.100.0.4")},
	{"b-2", "b", netip.MustParseAddr("10.100.0.5")}, {"c-1", "c", netip.MustParseAddr("10.100.0.6")},
	{"n-1", "", netip.MustParseAddr("10.100.0.7")},
}

// proxyCase is a service, its slices, and who asks.
type proxyCase struct {
	service *corev1.Service
	slices  []*discoveryv1.EndpointSlice
	from    place
}

// anyOf is one of a list, by chance.
func anyOf[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// drawProxyCase draws a service by its number. Its hints are those that the controllers write for its fields, or stale,
// or those of another writer.
func drawProxyCase(r *rand.Rand, i int) proxyCase {
	local := corev1.ServiceInternalTrafficPolicyLocal
	s := headless(fmt.Sprintf("case-%d", i))
	s.Namespace = metav1.NamespaceDefault
	s.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}}
	distribution := anyOf(r, "", corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone,
		corev1.ServiceTrafficDistributionPreferSameNode)
	if distribution != "" {
		s.Spec.TrafficDistribution = &distribution
	}
	if r.IntN(4) == 0 {
		s.Spec.InternalTrafficPolicy = &local
	}
	c := proxyCase{service: s, from: anyOf(r, proxyPlaces...)}
	habit := r.IntN(10) // of whoever writes the hints
	for n := range 1 + r.IntN(2) {
		one := slice(s.Name, fmt.Sprintf("%s-%d", s.Name, n), discoveryv1.AddressTypeIPv4)
		one.Namespace, one.Kind, one.APIVersion = s.Namespace, "EndpointSlice", "discovery.k8s.io/v1"
		one.Labels[corev1.IsHeadlessService] = ""
		tcp := corev1.ProtocolTCP
		one.Ports[0].Protocol = &tcp
		for range r.IntN(5) {
			one.Endpoints = append(one.Endpoints, drawProxyEndpoint(r, i, n*10+len(one.Endpoints), distribution, habit))
		}
		c.slices = append(c.slices, one)
	}
	return c
}

func drawProxyEndpoint(r *rand.Rand, i, n int, distribution string, habit int) discoveryv1.Endpoint {
	e := ready("", fmt.Sprintf("10.%d.%d.%d", 128+i>>8&127, i&255, 1+n))
	at := anyOf(r, proxyPlaces...)
	if r.IntN(12) > 0 {
		e.NodeName = &at.node
	}
	if at.zone != "" && r.IntN(12) > 0 {
		e.Zone = &at.zone
	}
	yes, no := true, false
	e.Conditions = anyOf(r, discoveryv1.EndpointConditions{},
		discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no},
		discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no},
		discoveryv1.EndpointConditions{Ready: &no, Serving: &no, Terminating: &no},
		discoveryv1.EndpointConditions{Ready: &no, Serving: &yes, Terminating: &yes})
	if habit == 0 || habit == 1 && r.IntN(6) == 0 {
		return e // none, as where the controller is off, or none yet
	}
	stale := habit == 2 && r.IntN(3) == 0
	if stale {
		at = anyOf(r, proxyPlaces...)
	}
	hints := &discoveryv1.EndpointHints{}
	zone := at.zone
	if habit == 3 { // a zone without endpoints of its own gets some of another's
		zone = anyOf(r, "a", "b", "c")
	}
	if zone != "" && (distribution != "" || habit >= 3 && habit < 6) {
		hints.ForZones = append(hints.ForZones, discoveryv1.ForZone{Name: zone})
		if habit == 4 {
			hints.ForZones = append(hints.ForZones, discoveryv1.ForZone{Name: "d"})
		}
	}
	if distribution == corev1.ServiceTrafficDistributionPreferSameNode || habit == 5 {
		hints.ForNodes = append(hints.ForNodes, discoveryv1.ForNode{Name: at.node})
		if habit == 4 {
			hints.ForNodes = append(hints.ForNodes, discoveryv1.ForNode{Name: "gone"})
		}
	}
	if len(hints.ForZones)+len(hints.ForNodes) > 0 {
		e.Hints = hints
	}
	return e
}

// proxyChoice is what kube-proxy on the client's node does with a connection to the service, if it had a cluster IP: the
// addresses that it may go to, and whether all of them are ready.
func (c *proxyCase) proxyChoice() (addresses []string, ready bool) {
	s := c.service.DeepCopy()
	s.Spec.ClusterIP, s.Spec.ClusterIPs = "10.96.0.1", []string{"10.96.0.1"}
	services, ports := proxy.NewServiceChangeTracker(corev1.IPv4Protocol, nil, nil), proxy.ServicePortMap{}
	services.Update(nil, s)
	ports.Update(services)
	slices4, endpoints := proxy.NewEndpointsChangeTracker(corev1.IPv4Protocol, c.from.node, nil, nil), proxy.EndpointsMap{}
	for _, one := range c.slices {
		slices4.EndpointSliceUpdate(one, false)
	}
	endpoints.Update(slices4)
	ready = true
	for name, port := range ports {
		cluster, local, _, _ := proxy.CategorizeEndpoints(endpoints[name], port, c.from.node, map[string]string{corev1.LabelTopologyZone: c.from.zone})
		chosen := cluster
		if port.InternalPolicyLocal() {
			chosen = local
		}
		for _, e := range chosen {
			addresses, ready = append(addresses, e.IP()), ready && e.IsReady()
		}
	}
	slices.Sort(addresses)
	return addresses, ready
}

// anyReady reports whether the service has a name.
func (c *proxyCase) anyReady() bool {
	for _, one := range c.slices {
		for _, e := range one.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				return true
			}
		}
	}
	return false
}

// TestNearestAsKubeProxy: the answer for a headless service has the endpoints that kube-proxy on the client's node would
// choose for a service with a cluster IP and the same fields and slices. Where no endpoint is ready kube-proxy takes
// those that are ending, and DNS has no name for them: these cases are passed over.
func TestNearestAsKubeProxy(t *testing.T) {
	seed := *proxySeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-proxy.seed=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	cases := make([]proxyCase, *proxyCases)
	for i := range cases {
		cases[i] = drawProxyCase(r, i)
	}
	s := serveProxyCases(t, cases)
	connection, err := dns.Dial("udp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	compared, all, dropped, passed := 0, 0, 0, 0
	for i := range cases {
		c := &cases[i]
		want, ready := c.proxyChoice()
		if !ready || !c.anyReady() {
			passed++
			continue
		}
		got, rcode := askFrom(t, connection, c.service.Name+".default.svc.cluster.local.", c.from.client)
		if !slices.Equal(got, want) || rcode != dns.RcodeSuccess {
			text, _ := json.Marshal(c.slices)
			policy, _ := json.Marshal(c.service.Spec)
			t.Errorf("from %s in zone %q: %s %v, and kube-proxy chooses %v\n%s\n%s", c.from.node, c.from.zone, dns.RcodeToString[rcode], got,
				want, policy, text)
		}
		compared++
		switch len(want) {
		case 0:
			dropped++
		case c.ready():
			all++
		}
	}
	t.Logf("%d services compared: %d with all their endpoints, %d with none, %d with some; %d passed over", compared, all, dropped,
		compared-all-dropped, passed)
	if compared < *proxyCases/2 || dropped == 0 || all == 0 || compared-all-dropped < *proxyCases/10 {
		t.Error("too few of a kind")
	}
}

// ready is how many endpoints are ready.
func (c *proxyCase) ready() (n int) {
	for _, one := range c.slices {
		for _, e := range one.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				n++
			}
		}
	}
	return n
}

// serveProxyCases serves the services of all cases, and one that has the clients as endpoints.
func serveProxyCases(t *testing.T, cases []proxyCase) *server {
	t.Helper()
	var items []any
	for i := range cases {
		cases[i].service.Kind, cases[i].service.APIVersion = "Service", "v1"
		items = append(items, cases[i].service)
		for _, one := range cases[i].slices {
			items = append(items, one)
		}
	}
	clients := headless("clients")
	clients.Namespace, clients.Kind, clients.APIVersion = metav1.NamespaceDefault, "Service", "v1"
	where := slice("clients", "clients", discoveryv1.AddressTypeIPv4)
	where.Namespace, where.Kind, where.APIVersion = metav1.NamespaceDefault, "EndpointSlice", "discovery.k8s.io/v1"
	for _, p := range proxyPlaces {
		e := of("client-"+p.node, ready("", p.client.String()))
		e.NodeName = &p.node
		if p.zone != "" {
			e.Zone = &p.zone
		}
		where.Endpoints = append(where.Endpoints, e)
	}
	text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": append(items, clients, where)})
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "all.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, "", strings.ReplaceAll(nearestCorefile, "manifests manifests", "manifests "+folder))
	s.awaitServing(t, patience)
	return s
}

// askFrom asks for the A records of a name as a cache does that asks for a client.
func askFrom(t *testing.T, connection *dns.Conn, name string, client netip.Addr) (addresses []string, rcode int) {
	t.Helper()
	query := new(dns.Msg).SetQuestion(name, dns.TypeA)
	query.SetEdns0(4096, false)
	query.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 32, Address: net.IP(client.AsSlice())}}
	reply, _, err := new(dns.Client).ExchangeWithConn(query, connection)
	if err != nil {
		t.Fatal(err)
	}
	for _, rr := range reply.Answer {
		if a, ok := rr.(*dns.A); ok {
			addresses = append(addresses, a.A.String())
		}
	}
	slices.Sort(addresses)
	return addresses, reply.Rcode
}
