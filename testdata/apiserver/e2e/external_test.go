package e2e

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// externalCorefile names services for clients outside of the cluster.
const externalCorefile = `. {
	bind 127.0.0.1
	errors
	ready READY
	prometheus METRICS
	kubernetes cluster.local {
		kubeconfig KUBECONFIG
	}
	k8s_external ext.example {
		ttl 33
	}
	k8s_external all.example {
		apex edge
		headless
	}
	forward invalid 127.0.0.1:9
}
`

// TestExternalNames: load balancers, external IPs and headless services, by
// their names outside of the cluster, while their objects change.
func TestExternalNames(t *testing.T) {
	c := startCluster(t)
	createBalanced(t, c, "shop", "10.96.1.1", nil, corev1.LoadBalancerIngress{IP: "192.0.2.10"})
	createBalanced(t, c, "cloud", "10.96.1.2", nil, corev1.LoadBalancerIngress{Hostname: "lb.cloud.example"})
	pinned := clusterIP("pinned", "10.96.1.3")
	pinned.Spec.ExternalIPs = []string{"192.0.2.11"}
	createService(t, c, pinned)
	createService(t, c, headless("db"))
	createSlice(t, c, slice("db", "db", "IPv4", ready("db-0", "10.3.0.1"), ready("", "10.3.0.2")))
	s := startServer(t, c.kubeconfig(""), externalCorefile)
	s.awaitServing(t, 30*time.Second)

	const found, denied = "NOERROR qr aa rd ra", "NXDOMAIN qr aa rd ra"
	s.digs(t, "shop.default.ext.example", found, "shop.default.ext.example. 33 IN A 192.0.2.10")
	srv := s.digs(t, "_http._tcp.shop.default.ext.example SRV", found,
		"_http._tcp.shop.default.ext.example. 33 IN SRV 0 100 80 shop.default.ext.example.")
	if got, want := section(srv, "ADDITIONAL"), []string{"shop.default.ext.example. 33 IN A 192.0.2.10"}; !slices.Equal(got, want) {
		t.Errorf("additional %q, want %q", got, want)
	}
	s.digs(t, "shop.default.ext.example AAAA", found)
	s.digs(t, "cloud.default.ext.example", found, "cloud.default.ext.example. 33 IN CNAME lb.cloud.example.")
	s.digs(t, "pinned.default.ext.example", found, "pinned.default.ext.example. 33 IN A 192.0.2.11")
	s.digs(t, "db.default.ext.example", denied)
	s.digs(t, "kubernetes.default.ext.example", denied)

	s.digs(t, "+tcp db.default.all.example", found, "db.default.all.example. 5 IN A 10.3.0.1", "db.default.all.example. 5 IN A 10.3.0.2")
	s.digs(t, "db-0.db.default.all.example", found, "db-0.db.default.all.example. 5 IN A 10.3.0.1")
	s.digs(t, "10-3-0-2.db.default.all.example", found, "10-3-0-2.db.default.all.example. 5 IN A 10.3.0.2")
	s.digs(t, "all.example NS", found, "all.example. 5 IN NS ns1.edge.all.example.")
	s.digs(t, "ns1.edge.all.example", found) // no service fronts this server
	contains(t, s.digs(t, "nothing.all.example", denied), "all.example.\t\t5\tIN\tSOA\tns1.edge.all.example. hostmaster.edge.all.example. ")
	contains(t, s.digs(t, "nothing.ext.example", denied), "ext.example.\t\t33\tIN\tSOA\tns1.dns.ext.example. hostmaster.dns.ext.example. ")

	// What changes is answered at once.
	service := changeService(t, c, "pinned", func(o *corev1.Service) { o.Spec.ExternalIPs = []string{"192.0.2.12"} })
	s.becomes(t, "pinned.default.ext.example", "pinned.default.ext.example. 33 IN A 192.0.2.12")
	changeService(t, c, "pinned", func(o *corev1.Service) { o.Spec.ExternalIPs = nil })
	s.becomes(t, service.Name+".default.ext.example")
	deleteService(t, c, "shop")
	s.becomes(t, "shop.default.ext.example")
	cloud, err := c.CoreV1().Services("default").Get(t.Context(), "cloud", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cloud.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.13"}}
	if _, err := c.CoreV1().Services("default").UpdateStatus(t.Context(), cloud, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.becomes(t, "cloud.default.ext.example", "cloud.default.ext.example. 33 IN A 192.0.2.13")
	deleteSlice(t, c, "db")
	s.becomes(t, "db.default.all.example")
}

// becomes asks with dig until the answer has these records and no others.
func (s *server) becomes(t *testing.T, name string, records ...string) {
	t.Helper()
	await(t, patience, name, func() bool { return slices.Equal(section(s.dig(t, name), "ANSWER"), records) })
}
