package object

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// TestNamesAt: the cases are those of the Gateway API for hostnames of listeners and routes.
func TestNamesAt(t *testing.T) {
	for _, test := range []struct{ route, listener, want string }{
		{"a.test", "", "a.test"},
		{"", "a.test", "a.test"},
		{"", "*.test", "*.test"},
		{"", "", ""},
		{"a.test", "a.test", "a.test"},
		{"a.test", "b.test", ""},
		{"a.test b.test", "b.test", "b.test"},
		{"a.test", "*.test", "a.test"},
		{"x.a.test", "*.test", "x.a.test"},
		{"test", "*.test", ""},
		{"best.test", "*.st.test", ""},
		{"*.test", "a.test", "a.test"},
		{"*.test", "*.test", "*.test"},
		{"*.a.test", "*.test", "*.a.test"},
		{"*.test", "*.a.test", "*.a.test"},
		{"*.test", "test", ""},
		{"*.b.test", "*.a.test", ""},
		{"*.test", "", "*.test"},
	} {
		r := Route{Names: strings.Fields(test.route)}
		if got := strings.Join(r.NamesAt(&Listener{Host: test.listener}), " "); got != test.want {
			t.Errorf("a route of %q at a listener of %q: got %q, want %q", test.route, test.listener, got, test.want)
		}
	}
}

func TestStripRoute(t *testing.T) {
	hosts := Selection{Hosts: Hosts{Zones: "lan.example.", Resources: "HTTPRoute"}}
	edge := []Parent{{Key: Key{"prod", "edge"}}}
	for _, test := range []struct {
		name, yaml string
		want       *Route // without key and kind
		wrong      string
	}{
		{"hostnames", `{spec: {hostnames: [A.lan.example, b.example, "*.lan.example", "*.example"], parentRefs: [{name: edge}]}}`,
			&Route{Names: []string{"a.lan.example", "*.lan.example", "*.example"}, Parents: edge}, ""},
		{"none that is served", `{spec: {hostnames: [b.example], parentRefs: [{name: edge}]}}`, nil, ""},
		{"no hostnames", `{spec: {parentRefs: [{name: edge}]}}`, &Route{Parents: edge}, ""},
		{"no parents", `{spec: {hostnames: [a.lan.example]}}`, nil, ""},
		{"wrong hostnames", `{spec: {hostnames: ["a..lan.example", "", "*.*.lan.example"], parentRefs: [{name: edge}]}}`, nil,
			"httproute prod/web: hostname \"a..lan.example\" is not a domain name\n" +
				"httproute prod/web: hostname \"*.*.lan.example\" is not a domain name\n"},
		{"parents", `{spec: {parentRefs: [{name: edge, namespace: infra, sectionName: web, port: 80}, {name: web, kind: Service, group: ""},
			{name: other, group: example.com, kind: Gateway}]}}`,
			&Route{Parents: []Parent{{Key{"infra", "edge"}, "web", 80}}}, ""},
		{"accepted and refused", `{spec: {parentRefs: [{name: edge}, {name: not}, {name: both}]}, status: {parents: [
			{parentRef: {name: edge}, conditions: [{type: ResolvedRefs, status: "False"}]},
			{parentRef: {name: not, kind: Gateway, namespace: prod}, conditions: [{type: Accepted, status: "False"}]},
			{parentRef: {name: both}, conditions: [{type: Accepted, status: "False"}]},
			{parentRef: {name: both}, conditions: [{type: Accepted, status: "True"}]}]}}`,
			&Route{Parents: []Parent{{Key: Key{"prod", "edge"}}, {Key: Key{"prod", "both"}}}}, ""},
		{"ignored", `{metadata: {labels: {k8s-gateway.dns/ignore: "true"}}, spec: {parentRefs: [{name: edge}]}}`, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var o HTTPRoute
			if err := yaml.Unmarshal([]byte(test.yaml), &o); err != nil {
				t.Fatal(err)
			}
			o.Namespace, o.Name = "prod", "web"
			got, wrong := stripHTTPRoute(&o, hosts)
			if test.want != nil {
				test.want.Key, test.want.Kind = Key{"prod", "web"}, "HTTPRoute"
			}
			if diff := cmp.Diff(test.want, got, compareObjects); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if diff := cmp.Diff(test.wrong, words(wrong)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStripGateway(t *testing.T) {
	const text = `{metadata: {namespace: infra, name: edge}, spec: {gatewayClassName: a, listeners: [
		{name: web, port: 80, protocol: HTTP, hostname: "*.LAN.example"}, {name: wrong, port: 81, protocol: HTTP, hostname: a..b}]},
		status: {addresses: [{value: 192.0.2.1}, {type: IPAddress, value: "2001:db8::1"}, {type: Hostname, value: lb.example},
			{type: example.com/Named, value: pool}, {value: nope}]}}`
	var o Gateway
	if err := yaml.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	want := &KeptGateway{Key: Key{"infra", "edge"}, Listeners: []Listener{{"web", "*.lan.example", 80, "HTTP"}},
		Outside: Outside{Addrs: addrs("192.0.2.1", "2001:db8::1"), Hosts: []string{"lb.example"}}}
	got, wrong := stripGateway(&o, Selection{Hosts: Hosts{GatewayClasses: "b a"}})
	if diff := cmp.Diff(want, got, compareObjects); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got, want := words(wrong), "gateway infra/edge: external IP \"nope\" is not an IP address\n"+
		"gateway infra/edge: hostname \"a..b\" is not a domain name\n"; got != want {
		t.Errorf("problems: got %q, want %q", got, want)
	}
	if got, _ := stripGateway(&o, Selection{Hosts: Hosts{GatewayClasses: "b"}}); got != nil {
		t.Error("a Gateway of another class is kept")
	}
}

// TestCustomCopies: a copy of a custom resource shares nothing with it.
func TestCustomCopies(t *testing.T) {
	const route = `metadata: {name: a}, spec: {hostnames: [a], parentRefs: [{name: a}]}, status: {parents: [{parentRef: {name: a},
		conditions: [{type: Accepted, status: "True"}]}]}`
	for _, test := range []struct {
		list runtime.Object
		item string
	}{
		{&HTTPRouteList{}, route}, {&TLSRouteList{}, route}, {&GRPCRouteList{}, route},
		{&GatewayList{}, `metadata: {name: a}, spec: {listeners: [{name: a}]}, status: {addresses: [{value: a}]}`},
		{&DNSEndpointList{}, `metadata: {name: a}, spec: {endpoints: [{dnsName: a, targets: [a]}]}`},
	} {
		text := `{metadata: {resourceVersion: "7"}, items: [{` + test.item + `}]}`
		if err := yaml.UnmarshalStrict([]byte(text), test.list); err != nil {
			t.Fatal(err)
		}
		before, err := yaml.Marshal(test.list)
		if err != nil {
			t.Fatal(err)
		}
		c := test.list.DeepCopyObject()
		if diff := cmp.Diff(test.list, c, cmp.AllowUnexported(HTTPRoute{}, TLSRoute{}, GRPCRoute{}, HTTPRouteList{},
			TLSRouteList{}, GRPCRouteList{}, GatewayList{}, DNSEndpointList{})); diff != "" {
			t.Errorf("%T (-object +copy):\n%s", c, diff)
		}
		switch c := c.(type) {
		case *HTTPRouteList:
			spoil(&c.Items[0].route)
		case *TLSRouteList:
			spoil(&c.Items[0].route)
		case *GRPCRouteList:
			spoil(&c.Items[0].route)
		case *DNSEndpointList:
			c.Items[0].Spec.Endpoints[0].Targets[0] = "b"
		case *GatewayList:
			c.Items[0].Spec.Listeners[0].Name, c.Items[0].Status.Addresses[0].Value = "b", "b"
		}
		if after, _ := yaml.Marshal(test.list); string(after) != string(before) {
			t.Errorf("%T shares with its copy:\n%s", c, after)
		}
	}
}

func spoil(r *route) {
	r.Spec.Hostnames[0], r.Spec.ParentRefs[0].Name = "b", "b"
	r.Status.Parents[0].ParentRef.Name, r.Status.Parents[0].Conditions[0].Status = "b", "False"
}
