package e2e

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// hintsCorefile reads the API server, where nearestCorefile reads manifests.
const hintsCorefile = `. {
	bind 127.0.0.1
	errors
	ready READY
	kubernetes cluster.local {
		kubeconfig KUBECONFIG
		nearest
	}
}
`

// addressesFor is what a client behind a cache gets, which says for whom it
// asks; and for how many bits of that the answer holds.
func (s *server) addressesFor(t *testing.T, name, client string) (addresses []string, scope uint8) {
	t.Helper()
	query := new(dns.Msg).SetQuestion(name, dns.TypeA)
	query.SetEdns0(1232, false)
	subnet := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 32, Address: net.ParseIP(client)}
	query.IsEdns0().Option = append(query.IsEdns0().Option, subnet)
	reply, err := dns.ExchangeContext(t.Context(), query, s.address)
	if err != nil {
		t.Fatal(err)
	}
	for _, rr := range reply.Answer {
		if a, ok := rr.(*dns.A); ok {
			addresses = append(addresses, a.A.String())
		}
	}
	slices.Sort(addresses)
	for _, option := range reply.IsEdns0().Option {
		if o, ok := option.(*dns.EDNS0_SUBNET); ok {
			scope = o.SourceScope
		}
	}
	return addresses, scope
}

// TestNearest: by hints as the endpointslice controller writes them, each
// client gets the pod of its own zone or node, and all where there is none.
func TestNearest(t *testing.T) {
	c := startCluster(t)
	c.startControllers(t)
	for i, name := range []string{"node-1", "node-2", "node-3"} {
		_, err := c.CoreV1().Nodes().Create(t.Context(), &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelTopologyZone: fmt.Sprint("zone-", i+1)}},
			Spec:       corev1.NodeSpec{PodCIDR: fmt.Sprintf("10.244.%d.0/24", i+1), PodCIDRs: []string{fmt.Sprintf("10.244.%d.0/24", i+1)}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	host := map[string]int{"zonal": 10, "local": 20}
	for name, distribution := range map[string]string{"zonal": corev1.ServiceTrafficDistributionPreferSameZone, "local": corev1.ServiceTrafficDistributionPreferSameNode} {
		service := dualStack(name)
		service.Spec.ClusterIP, service.Spec.TrafficDistribution = corev1.ClusterIPNone, &distribution
		createService(t, c, service)
		for i := 1; i <= 2; i++ {
			createReadyPodOn(t, c, fmt.Sprint("node-", i), fmt.Sprint(name, "-", i), name, fmt.Sprintf("10.244.%d.%d", i, host[name]))
		}
	}
	s := startServer(t, c.kubeconfig(""), hintsCorefile)
	s.awaitServing(t, 30*time.Second)
	for name := range host {
		own := func(i int) string { return fmt.Sprintf("10.244.%d.%d", i, host[name]) }
		for client, want := range map[string][]string{
			"10.244.1.77": {own(1)},
			"10.244.2.77": {own(2)},
			"10.244.3.77": {own(1), own(2)},
			"192.0.2.1":   {own(1), own(2)},
		} {
			question := name + ".default.svc.cluster.local."
			var got []string
			var scope uint8
			await(t, patience, fmt.Sprintf("%s for %s: %v", question, client, want), func() bool {
				got, scope = s.addressesFor(t, question, client)
				return slices.Equal(got, want)
			})
			if client != "192.0.2.1" && scope != 24 {
				t.Errorf("%s for %s holds for %d bits", question, client, scope)
			}
		}
	}
}
