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

// TestClients: whose address it is, by slices and nodes, in the publication that has their records too.
func TestClients(t *testing.T) {
	s, err := newState(Options{Selection: object.Selection{Clients: true}}, zones.NewIndex(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	slices, nodes := newStore(s, resourceOf(zones.Slices), newAlive("")), newStore(s, resourceOf(zones.Nodes), newAlive(""))
	ready := false
	endpoint := func(address, kind, namespace, name string) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
			TargetRef: &corev1.ObjectReference{Kind: kind, Namespace: namespace, Name: name}}
	}
	web := sliceAt("web", "10.244.0.9", 1)
	web.Endpoints = append(web.Endpoints, endpoint("10.244.0.1", "Pod", "prod", "web-0"), endpoint("10.244.0.2", "Pod", "", "web-1"),
		endpoint("10.244.0.3", "Pod", "dev", "foreign"), endpoint("10.244.0.4", "Node", "", "node"),
		endpoint("10.244.0.5", "Pod", "prod", "[INFO]\nforged"), endpoint("192.0.2.1", "Pod", "prod", "agent"))
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node", ResourceVersion: "1"}}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "10.244.0.1"},
		{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}, {Type: corev1.NodeExternalIP, Address: "2001:db8::1"}}
	must(t, slices.Replace([]any{web}, "1"))
	expect := func(when string, want map[string]string) {
		t.Helper()
		s.publish(time.Unix(1, 0))
		for _, address := range []string{"10.244.0.1", "10.244.0.2", "10.244.0.3", "10.244.0.4", "10.244.0.5", "10.244.0.9", "192.0.2.1"} {
			if got := s.index.Snapshot().Client(new(zones.Match), netip.MustParseAddr(address)); got != want[address] {
				t.Errorf("%s: %s is %q, want %q", when, address, got, want[address])
			}
		}
	}
	expect("before nodes are read", nil)
	must(t, nodes.Replace([]any{node}, "1"))
	both := map[string]string{"10.244.0.1": "prod/web-0", "10.244.0.2": "prod/web-1"}
	expect("read", both)

	// The pod is in another service too, and another pod gets the address of one that is gone.
	again := sliceAt("again", "10.244.0.9", 2)
	again.Endpoints = []discoveryv1.Endpoint{endpoint("10.244.0.1", "Pod", "prod", "web-0"), endpoint("10.244.0.2", "Pod", "prod", "next")}
	must(t, slices.Add(again))
	expect("two slices", map[string]string{"10.244.0.1": "prod/web-0"})
	changed := web.DeepCopy()
	changed.ResourceVersion, changed.Endpoints = "3", web.Endpoints[:2]
	must(t, slices.Update(changed))
	expect("the old pod is gone", map[string]string{"10.244.0.1": "prod/web-0", "10.244.0.2": "prod/next"})
	must(t, slices.Delete(again))
	expect("one slice", map[string]string{"10.244.0.1": "prod/web-0"})

	moved := node.DeepCopy()
	moved.ResourceVersion, moved.Status.Addresses[1].Address = "4", "10.244.0.1"
	must(t, nodes.Update(moved))
	expect("a node has the address", nil)
	must(t, slices.Replace(nil, "5"))
	must(t, nodes.Replace(nil, "5"))
	s.publish(time.Unix(1, 0))
	if n := s.index.Snapshot().Clients(); n != 0 {
		t.Errorf("%d addresses are left", n)
	}
}

// TestClientsCostNothing: without the option nothing is kept.
func TestClientsCostNothing(t *testing.T) {
	o := sliceAt("web", "10.244.0.1", 1)
	o.Endpoints[0].TargetRef = &corev1.ObjectReference{Kind: "Pod", Namespace: "prod", Name: "web-0"}
	for selection, want := range map[object.Selection]bool{{}: false, {Clients: true}: true, {Clients: true, VerifyPods: true}: false} {
		if kept, _ := object.StripSlice(o, selection); (kept.Clients != "") != want {
			t.Errorf("%+v: kept %q", selection, kept.Clients)
		}
	}
}
