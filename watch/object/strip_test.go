package object

import (
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var compareObjects = cmp.Options{
	cmp.AllowUnexported(Key{}, Port{}, Service{}, Slice{}, Endpoint{}, Namespace{}, Pod{}),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Transformer("each", unpack),
}

func pack(list ...Endpoint) Endpoints {
	var octets []byte
	for i := range list {
		octets = appendPacked(octets, &list[i])
	}
	return Endpoints(octets)
}

func unpack(p Endpoints) (list []Endpoint) {
	for e := range p.All {
		list = append(list, e)
	}
	return list
}

func TestPacked(t *testing.T) {
	long := strings.Repeat("z", 253)
	want := []Endpoint{
		{Addr: netip.MustParseAddr("10.244.0.1")},
		{Addr: netip.MustParseAddr("fd00::1"), Hostname: "db-0", Pod: "pod-0", Zone: long},
		{Addr: netip.MustParseAddr("10.244.0.2"), Zone: "a"},
		{Addr: netip.MustParseAddr("fd00::2"), Pod: "pod-2"},
		{Addr: netip.MustParseAddr("10.244.0.3"), Hostname: "db-3"},
	}
	for n := range len(want) + 1 {
		list := pack(want[:n]...)
		if diff := cmp.Diff(want[:n:n], unpack(list), compareObjects, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%d endpoints (-want +got):\n%s", n, diff)
		}
		if got := list.Count(); got != n {
			t.Errorf("count %d, want %d", got, n)
		}
	}
}

func to[T any](v T) *T { return &v }

func addrs(texts ...string) (list []netip.Addr) {
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

// words of a list of problems, one a line.
func words(list []Problem) string {
	var b strings.Builder
	for _, p := range list {
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}

func TestStripService(t *testing.T) {
	long := strings.Repeat("a", 63) + "."
	type spec = corev1.ServiceSpec
	for _, test := range []struct {
		name  string
		spec  spec
		want  Service // without key and version
		wrong string
	}{
		{"dual stack, in the object's order",
			spec{ClusterIP: "10.96.0.1", ClusterIPs: []string{"fd00:10:96::1", "10.96.0.1"}},
			Service{ClusterIPs: addrs("fd00:10:96::1", "10.96.0.1")}, ""},
		{"older than dual stack", spec{ClusterIP: "10.96.0.1"}, Service{ClusterIPs: addrs("10.96.0.1")}, ""},
		{"headless", spec{ClusterIP: "None"}, Service{Headless: true}, ""},
		{"headless in the list", spec{ClusterIPs: []string{"None"}}, Service{Headless: true}, ""},
		{"one bad address of two", spec{ClusterIPs: []string{"10.96.0.300", "fd00::1%eth0", "010.96.0.1%eth0", "10.96.0.1"}},
			Service{ClusterIPs: addrs("10.96.0.1")},
			"service prod/web: cluster IP \"10.96.0.300\" is not an IP address\n" +
				"service prod/web: cluster IP \"fd00::1%eth0\" is not an IP address\n" +
				"service prod/web: cluster IP \"010.96.0.1%eth0\" is not an IP address\n"},
		{"octets that begin with 0", spec{ClusterIP: "010.096.00.050"}, Service{ClusterIPs: addrs("10.96.0.50")}, ""},
		{"IPv4 mapped into IPv6", spec{ClusterIPs: []string{"::ffff:10.96.0.51", "fd00::0051"}},
			Service{ClusterIPs: addrs("10.96.0.51", "fd00::51")}, ""},
		{"IPv4 mapped in hexadecimal", spec{ClusterIP: "::FFFF:a60:033"}, Service{ClusterIPs: addrs("10.96.0.51")}, ""},
		{"no valid address", spec{ClusterIP: "10.96.0.300"}, Service{Flaw: misaddressed},
			"service prod/web: cluster IP \"10.96.0.300\" is not an IP address\n"},
		{"ports", spec{Ports: []corev1.ServicePort{
			{Name: "dns", Protocol: "UDP", Port: 53}, {Port: 80}, {Name: "s", Protocol: "SCTP", Port: 65535}}},
			Service{Ports: []Port{{"dns", "UDP", 53}, {"", "TCP", 80}, {"s", "SCTP", 65535}}}, ""},
		{"bad ports", spec{Ports: []corev1.ServicePort{{Name: "HTTP", Port: 80}, {Name: "a", Port: -1},
			{Name: "b", Port: 65536}, {Name: "c", Port: 1, Protocol: "ICMP"}}},
			Service{Ports: []Port{{"", "TCP", 80}}},
			"service prod/web: port name \"HTTP\" is not a DNS label\n" +
				"service prod/web: port number \"-1\" is not between 1 and 65535\n" +
				"service prod/web: port number \"65536\" is not between 1 and 65535\n" +
				"service prod/web: protocol \"ICMP\" is not TCP, UDP or SCTP\n"},
		{"external name", spec{Type: "ExternalName", ExternalName: "WWW.example.com.", ClusterIP: "10.96.0.1"},
			Service{ExternalName: "www.example.com"}, ""},
		{"external name with underscores", spec{Type: "ExternalName", ExternalName: "_sip._tcp.x"},
			Service{ExternalName: "_sip._tcp.x"}, ""},
		{"external name of 253", spec{Type: "ExternalName", ExternalName: strings.Repeat(long, 4)[:253]},
			Service{ExternalName: strings.Repeat(long, 4)[:253]}, ""},
		{"external name of 254", spec{Type: "ExternalName", ExternalName: strings.Repeat(long, 4)[:252] + "xy"},
			Service{Flaw: Misnamed},
			"service prod/web: externalName \"" + strings.Repeat(long, 4)[:252] + "xy\" is not a domain name\n"},
		{"external name IPv4", spec{Type: "ExternalName", ExternalName: "192.0.2.1"}, Service{Flaw: Misnamed},
			"service prod/web: externalName \"192.0.2.1\" is an IP address\n"},
		{"external name IPv6", spec{Type: "ExternalName", ExternalName: "2001:DB8::1"}, Service{Flaw: Misnamed},
			"service prod/web: externalName \"2001:DB8::1\" is an IP address\n"},
		{"external name like an address of old", spec{Type: "ExternalName", ExternalName: "010.0.0.1"},
			Service{ExternalName: "010.0.0.1"}, ""},
		{"external name missing", spec{Type: "ExternalName"}, Service{Flaw: Misnamed},
			"service prod/web: externalName \"\" is not a domain name\n"},
		{"external name with an empty label", spec{Type: "ExternalName", ExternalName: "a..b"}, Service{Flaw: Misnamed},
			"service prod/web: externalName \"a..b\" is not a domain name\n"},
		{"external name is left out by other types", spec{Type: "NodePort", ExternalName: "a.b", ClusterIP: "10.96.0.1"},
			Service{ClusterIPs: addrs("10.96.0.1")}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, wrong := StripService(
				&corev1.Service{
					ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "web", ResourceVersion: "7"},
					Spec:       test.spec,
				},
			)
			test.want.Key, test.want.Version = Key{"prod", "web"}, "7"
			if diff := cmp.Diff(&test.want, got, compareObjects); diff != "" {
				t.Errorf("service (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.wrong, words(wrong)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// TestStripServed: what clients outside reach a service by is kept only when something asks for it.
func TestStripServed(t *testing.T) {
	o := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "web"},
		Spec:       corev1.ServiceSpec{ClusterIP: "10.96.0.1", ExternalIPs: []string{"192.0.2.1", "nope"}},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{
			{IP: "2001:db8::1"}, {Hostname: "LB.example."}, {Hostname: "a..b"},
		}}},
	}
	if s, wrong := StripServed(o, Selection{}); s.Outside != nil || len(wrong) > 0 {
		t.Errorf("got %v, %v without a directive that needs it", s.Outside, wrong)
	}
	s, wrong := StripServed(o, Selection{External: true})
	want := &Outside{Addrs: addrs("192.0.2.1", "2001:db8::1"), Hosts: []string{"lb.example"}}
	if diff := cmp.Diff(want, s.Outside, compareObjects); diff != "" {
		t.Errorf("outside (-want +got):\n%s", diff)
	}
	if got, want := words(wrong), "service prod/web: external IP \"nope\" is not an IP address\n"+
		"service prod/web: ingress hostname \"a..b\" is not a domain name\n"; got != want {
		t.Errorf("problems: got %q, want %q", got, want)
	}
	if size := unsafe.Sizeof(Service{}); size > 128 {
		t.Errorf("a service takes %d octets: one size of Go's allocator more for each", size)
	}
}

func TestStripServiceOfAbsurdName(t *testing.T) {
	for _, meta := range []metav1.ObjectMeta{
		{Namespace: "prod", Name: "a.b"}, {Namespace: "prod"}, {Name: "web"},
		{Namespace: "prod", Name: strings.Repeat("a", 64)},
		{Namespace: "prod", Name: "-web"}, {Namespace: "PROD", Name: "web"}, {Namespace: "prod", Name: "w\x00b"},
	} {
		if got, wrong := StripService(&corev1.Service{ObjectMeta: meta}); got != nil || len(wrong) != 1 {
			t.Errorf("%q/%q: got %v with %d problems, want nil with 1", meta.Namespace, meta.Name, got, len(wrong))
		}
	}
}

func TestStripSlice(t *testing.T) {
	trigger := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	object := func(change func(*discoveryv1.EndpointSlice)) *discoveryv1.EndpointSlice {
		o := &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "web-x", ResourceVersion: "7", Labels: map[string]string{
				"kubernetes.io/service-name": "web", "multicluster.kubernetes.io/service-name": "imported",
				"multicluster.kubernetes.io/source-cluster": "east"}},
			AddressType: "IPv4",
		}
		change(o)
		return o
	}
	type endpoints = []discoveryv1.Endpoint
	target := func(name string) *corev1.ObjectReference { return &corev1.ObjectReference{Kind: "Pod", Name: name} }
	for _, test := range []struct {
		name      string
		selection Selection
		change    func(*discoveryv1.EndpointSlice)
		want      *Slice // without key, version and service
		wrong     string
	}{
		{"ready nil, true, false", Selection{}, func(o *discoveryv1.EndpointSlice) {
			o.Endpoints = endpoints{{Addresses: []string{"10.244.0.1", "10.244.0.2"}},
				{Addresses: []string{"10.244.0.3"}, Conditions: discoveryv1.EndpointConditions{Ready: to(true)}},
				{Addresses: []string{"10.244.0.4", "10.244.0.5", "x"},
					Conditions: discoveryv1.EndpointConditions{Ready: to(false)}}}
		}, &Slice{Endpoints: pack(Endpoint{Addr: netip.MustParseAddr("10.244.0.1")},
			Endpoint{Addr: netip.MustParseAddr("10.244.0.2")}, Endpoint{Addr: netip.MustParseAddr("10.244.0.3")}), Unready: 2},
			"slice prod/web-x: endpoint \"x\" is not an address of the slice's family\n"},
		{"wrong family", Selection{}, func(o *discoveryv1.EndpointSlice) {
			o.AddressType = "IPv6"
			o.Endpoints = endpoints{{Addresses: []string{"10.244.0.1", "fd00::1"}}}
		}, &Slice{Endpoints: pack(Endpoint{Addr: netip.MustParseAddr("fd00::1")})},
			"slice prod/web-x: endpoint \"10.244.0.1\" is not an address of the slice's family\n"},
		{"addresses of old", Selection{}, func(o *discoveryv1.EndpointSlice) {
			o.Endpoints = endpoints{{Addresses: []string{"010.0.0.1", "::ffff:10.0.0.2", "10.0.00.003"}}}
		}, &Slice{Endpoints: pack(Endpoint{Addr: netip.MustParseAddr("10.0.0.1")},
			Endpoint{Addr: netip.MustParseAddr("10.0.0.2")}, Endpoint{Addr: netip.MustParseAddr("10.0.0.3")})}, ""},
		{"mapped IPv4 in a slice of IPv6", Selection{}, func(o *discoveryv1.EndpointSlice) {
			o.AddressType = "IPv6"
			o.Endpoints = endpoints{{Addresses: []string{"::ffff:10.0.0.2"}}}
		}, &Slice{}, "slice prod/web-x: endpoint \"::ffff:10.0.0.2\" is not an address of the slice's family\n"},
		{"hostname, zone, pod", Selection{PodNames: true, Zonal: true}, func(o *discoveryv1.EndpointSlice) {
			o.Endpoints = endpoints{
				{Addresses: []string{"10.244.0.1"}, Hostname: to("db-0"), Zone: to("EU-1a"), TargetRef: target("db-0")},
				{Addresses: []string{"10.244.0.2"}, Hostname: to("db.1"), Zone: to("eu.west"), TargetRef: target("db.1")},
				{Addresses: []string{"10.244.0.3"}, TargetRef: target(strings.Repeat("p", 63))},
				{Addresses: []string{"10.244.0.4"}, TargetRef: target(strings.Repeat("p", 64))}}
		}, &Slice{Endpoints: pack(
			Endpoint{Addr: netip.MustParseAddr("10.244.0.1"), Hostname: "db-0", Zone: "eu-1a", Pod: "db-0"},
			Endpoint{Addr: netip.MustParseAddr("10.244.0.2"), Zone: "eu.west"},
			Endpoint{Addr: netip.MustParseAddr("10.244.0.3"), Pod: strings.Repeat("p", 63)},
			Endpoint{Addr: netip.MustParseAddr("10.244.0.4")})}, "slice prod/web-x: hostname \"db.1\" is not a DNS label\n"},
		{"no pod names unless asked for", Selection{}, func(o *discoveryv1.EndpointSlice) {
			o.Endpoints = endpoints{{Addresses: []string{"10.244.0.1"}, TargetRef: target("db-0")}}
		}, &Slice{Endpoints: pack(Endpoint{Addr: netip.MustParseAddr("10.244.0.1")})}, ""},
		{"ports", Selection{}, func(o *discoveryv1.EndpointSlice) {
			o.Ports = []discoveryv1.EndpointPort{{Name: to("http"), Protocol: to(corev1.ProtocolTCP), Port: to(int32(8080))},
				{Name: to("")}, {Name: to("bad"), Port: to(int32(0))}}
		}, &Slice{Ports: []Port{{"http", "TCP", 8080}, {"", "TCP", -1}}},
			"slice prod/web-x: port number \"0\" is not between 1 and 65535\n"},
		{"trigger", Selection{}, func(o *discoveryv1.EndpointSlice) {
			o.Annotations = map[string]string{
				"endpoints.kubernetes.io/last-change-trigger-time": trigger.Format(time.RFC3339Nano)}
		}, &Slice{Trigger: trigger}, ""},
		{"unreadable trigger", Selection{}, func(o *discoveryv1.EndpointSlice) {
			o.Annotations = map[string]string{"endpoints.kubernetes.io/last-change-trigger-time": "yesterday"}
		}, &Slice{}, ""},
		{"of a clusterset", Selection{ServiceImports: true}, func(o *discoveryv1.EndpointSlice) {},
			&Slice{Service: "imported", Cluster: "east"}, ""},
		{"of a cluster in capitals", Selection{ServiceImports: true}, func(o *discoveryv1.EndpointSlice) {
			o.Labels["multicluster.kubernetes.io/source-cluster"] = "East"
		}, &Slice{Service: "imported", Cluster: "east"}, ""},
		{"of a cluster that is no label", Selection{ServiceImports: true}, func(o *discoveryv1.EndpointSlice) {
			o.Labels["multicluster.kubernetes.io/source-cluster"] = "x..y"
		}, &Slice{Service: "imported", Nameless: true},
			"slice prod/web-x: source cluster \"x..y\" is not a DNS label: its endpoints have no names\n"},
		{"long zones", Selection{Zonal: true}, func(o *discoveryv1.EndpointSlice) {
			o.Endpoints = endpoints{
				{Addresses: []string{"10.244.0.1"}, Zone: to(strings.Repeat("z", 63))},
				{Addresses: []string{"10.244.0.2"}, Zone: to(strings.Repeat("z.", 31) + "zz")}}
		}, &Slice{Endpoints: pack(
			Endpoint{Addr: netip.MustParseAddr("10.244.0.1"), Zone: strings.Repeat("z", 63)},
			Endpoint{Addr: netip.MustParseAddr("10.244.0.2")})},
			"slice prod/web-x: topology zone \"" + strings.Repeat("z.", 31) +
				"zz\" is not a domain name of at most 63 characters\n"},
		{"FQDN", Selection{}, func(o *discoveryv1.EndpointSlice) {
			o.AddressType, o.Endpoints = "FQDN", endpoints{{Addresses: []string{"www.example.com"}}}
		}, &Slice{FQDN: true}, "slice prod/web-x: addressType \"FQDN\" is deprecated: names are not served as endpoints\n"},
		{"of no family", Selection{}, func(o *discoveryv1.EndpointSlice) { o.AddressType = "IPv5" }, nil,
			"slice prod/web-x: addressType \"IPv5\" is not IPv4, IPv6 or FQDN\n"},
		{"of no service", Selection{}, func(o *discoveryv1.EndpointSlice) { o.Labels = nil }, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, wrong := StripSlice(object(test.change), test.selection)
			if test.want != nil {
				test.want.Key, test.want.Version = Key{"prod", "web-x"}, "7"
				if test.want.Service == "" {
					test.want.Service = "web"
				}
			}
			if diff := cmp.Diff(test.want, got, compareObjects); diff != "" {
				t.Errorf("slice (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.wrong, words(wrong)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStripNamespace(t *testing.T) {
	o := &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: "prod", ResourceVersion: "7", Labels: map[string]string{"tier": "gold"}},
	}
	got, _ := stripNamespace(o, Selection{})
	if diff := cmp.Diff(&Namespace{Name: "prod", Version: "7"}, got, compareObjects); diff != "" {
		t.Errorf("without namespace_labels (-want +got):\n%s", diff)
	}
	got, _ = stripNamespace(o, Selection{NamespaceLabels: "tier=gold"})
	want := &Namespace{Name: "prod", Version: "7", Labels: map[string]string{"tier": "gold"}}
	if diff := cmp.Diff(want, got, compareObjects); diff != "" {
		t.Errorf("with namespace_labels (-want +got):\n%s", diff)
	}
	got, wrong := stripNamespace(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a.b"}}, Selection{})
	if got != nil || words(wrong) != "namespace a.b: name \"a.b\" is not a DNS label\n" {
		t.Errorf("absurd name: got %v, %q", got, words(wrong))
	}
}

func TestStripPod(t *testing.T) {
	type status = corev1.PodStatus
	for _, test := range []struct {
		name    string
		status  status
		deleted *metav1.Time
		want    []netip.Addr
		wrong   string
	}{
		{"dual stack",
			status{Phase: "Running", PodIP: "10.244.0.1", PodIPs: []corev1.PodIP{{IP: "10.244.0.1"}, {IP: "fd00::1"}}}, nil,
			addrs("10.244.0.1", "fd00::1"), ""},
		{"singular", status{Phase: "Pending", PodIP: "10.244.0.1"}, nil, addrs("10.244.0.1"), ""},
		{"one bad", status{PodIPs: []corev1.PodIP{{IP: "x"}, {IP: "fd00::1"}}}, nil, addrs("fd00::1"),
			"pod prod/p: pod IP \"x\" is not an IP address\n"},
		{"addresses of old", status{PodIPs: []corev1.PodIP{{IP: "010.244.0.1"}, {IP: "::ffff:10.244.0.2"}}}, nil,
			addrs("10.244.0.1", "10.244.0.2"), ""},
		{"no address yet", status{Phase: "Pending"}, nil, nil, ""},
		{"succeeded", status{Phase: "Succeeded", PodIP: "10.244.0.1"}, nil, nil, ""},
		{"failed", status{Phase: "Failed", PodIP: "10.244.0.1"}, nil, nil, ""},
		{"being deleted", status{Phase: "Running", PodIP: "10.244.0.1"}, to(metav1.Now()), nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, wrong := stripPod(
				&corev1.Pod{
					ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "p", ResourceVersion: "7", DeletionTimestamp: test.deleted},
					Status:     test.status,
				}, Selection{},
			)
			var want *Pod
			if test.want != nil {
				want = &Pod{Key: Key{"prod", "p"}, Version: "7", Addrs: test.want}
			}
			if diff := cmp.Diff(want, got, compareObjects); diff != "" {
				t.Errorf("pod (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.wrong, words(wrong)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPodDetails: name and labels of a pod are kept for metadata alone, and no more than 8 KiB of labels.
func TestPodDetails(t *testing.T) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: "p", Labels: map[string]string{"app": "web"}},
		Status:     corev1.PodStatus{PodIP: "10.244.0.1"},
	}
	if got, _ := stripPod(pod, Selection{VerifyPods: true}); got.Details != nil {
		t.Errorf("got %+v without metadata", got.Details)
	}
	got, wrong := stripPod(pod, Selection{VerifyPods: true, PodDetails: true})
	if value, ok := got.Details.Label("app"); value != "web" || !ok || got.Details.Name != "p" || len(wrong) > 0 {
		t.Errorf("got %+v, %v", got.Details, wrong)
	}
	pod.Labels["long"] = strings.Repeat("x", labelOctets)
	_, wrong = stripPod(pod, Selection{PodDetails: true})
	if want := "pod prod/p: 1 of its labels are left out: those of a pod may take 8 KiB\n"; words(wrong) != want {
		t.Errorf("got %q, want %q", words(wrong), want)
	}
}
