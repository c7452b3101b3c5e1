package watch

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// TestWho: who asks, in the publication that has the records: endpoints of any service, ready or not, and nodes.
func TestWho(t *testing.T) {
	s, err := newState(Options{Selection: object.Selection{Who: true}}, zones.NewIndex(), slog.New(slog.DiscardHandler))
	must(t, err)
	stores := map[zones.Kinds]*store{}
	for _, kind := range []zones.Kinds{zones.Services, zones.Slices, zones.Namespaces, zones.Nodes} {
		stores[kind] = newStore(s, resourceOf(kind), newAlive(""))
	}
	endpoint := func(address, node, zone string, ready bool) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{Addresses: []string{address}, NodeName: &node, Zone: &zone,
			Conditions: discoveryv1.EndpointConditions{Ready: &ready}}
	}
	web, db := sliceAt("web", "10.1.0.1", 1), sliceAt("db", "10.1.0.5", 1)
	web.Endpoints = []discoveryv1.Endpoint{endpoint("10.1.0.1", "node-a", "zone-1", true), endpoint("10.1.0.2", "node-b", "zone-2", false)}
	db.Endpoints = []discoveryv1.Endpoint{endpoint("10.1.0.5", "node-b", "zone-2", false)}
	node := func(name, zone, address, pods string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: "1", Labels: map[string]string{corev1.LabelTopologyZone: zone}},
			Spec:   corev1.NodeSpec{PodCIDR: pods},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}}}
	}
	must(t, stores[zones.Namespaces].Replace([]any{namespaceAt("prod", 1)}, "1"))
	must(t, stores[zones.Services].Replace([]any{serviceAt("web", "10.96.0.1", 1), serviceAt("db", "None", 1)}, "1"))
	must(t, stores[zones.Slices].Replace([]any{web, db}, "1"))
	must(t, stores[zones.Nodes].Replace([]any{node("node-a", "zone-1", "192.0.2.1", "10.1.0.0/24"), node("node-b", "zone-2", "192.0.2.2", "nonsense")}, "1"))
	who := func(address string) string {
		now := s.index.Snapshot()
		c := now.Who(new(zones.Match), netip.MustParseAddr(address))
		return c.Namespace + " " + now.LocalityName(c.Node) + " " + now.LocalityName(c.Zone)
	}
	expect := func(when string, want map[string]string) {
		t.Helper()
		s.publish(time.Unix(1, 0))
		for address, want := range want {
			if got := who(address); got != want {
				t.Errorf("%s: %s is %q, want %q", when, address, got, want)
			}
		}
	}
	expect("read", map[string]string{"10.1.0.1": "\x04prod node-a zone-1", "10.1.0.2": "\x04prod node-b zone-2",
		"10.1.0.5": "\x04prod node-b zone-2", "10.1.0.9": " node-a zone-1", "192.0.2.2": " node-b zone-2"})
	if s.counters.Problems != 1 {
		t.Errorf("%d problems, want that of a podCIDR", s.counters.Problems)
	}
	published := s.counters.Published
	alive := node("node-a", "zone-1", "192.0.2.1", "10.1.0.0/24")
	alive.ResourceVersion = "2"
	must(t, stores[zones.Nodes].Update(alive))
	expect("a node says that it lives", nil)
	if s.counters.Published != published {
		t.Error("it is published")
	}
	alive.ResourceVersion, alive.Labels[corev1.LabelTopologyZone] = "3", "zone-9"
	must(t, stores[zones.Nodes].Update(alive))
	web = web.DeepCopy()
	web.ResourceVersion, web.Endpoints[1].Conditions.Ready = "4", to(true)
	must(t, stores[zones.Slices].Update(web))
	must(t, stores[zones.Slices].Delete(db))
	expect("changed", map[string]string{"10.1.0.1": "\x04prod node-a zone-9", "10.1.0.2": "\x04prod node-b zone-2", "10.1.0.5": " node-a zone-9"})
	must(t, stores[zones.Nodes].Replace(nil, "5"))
	expect("without nodes", map[string]string{"10.1.0.1": "\x04prod node-a zone-1", "10.1.0.9": "  ", "192.0.2.2": "  "})
}
