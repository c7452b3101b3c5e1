package e2e

//lint:file-ignore SA1019 Endpoints are deprecated, and still written by hand for services without a selector

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// clusterCorefile serves the cluster zones with names of pods that exist, and a
// few names beside them for services to lead to.
const clusterCorefile = `. {
	bind 127.0.0.1
	errors
	ready READY
	health HEALTH
	prometheus METRICS
	hosts {
		192.0.2.53 www.example.com
		2001:db8::53 www.example.com
		ttl 60
		fallthrough
	}
	kubernetes cluster.local in-addr.arpa ip6.arpa {
		kubeconfig KUBECONFIG
		pods verified
	}
}
`

// Each test here creates, changes and deletes objects of one kind, and asks for
// all names that they make exist. They share an API server, and none of their
// objects.
func TestObjectsHaveNamesAsLongAsTheyExist(t *testing.T) {
	c := startCluster(t)
	s := startServer(t, c.kubeconfig(""), clusterCorefile)
	c.startControllers(t)
	s.awaitServing(t, 30*time.Second)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *cluster, *server)
	}{
		{"ServiceOfTheAPIServer", serviceOfTheAPIServer},
		{"ClusterIPService", clusterIPService},
		{"DualStackService", dualStackService},
		{"ServiceThatGetsASecondFamily", serviceThatGetsASecondFamily},
		{"AllocatedClusterIP", allocatedClusterIP},
		{"NodePortService", nodePortService},
		{"LoadBalancerService", loadBalancerService},
		{"ServiceOfSeveralPorts", serviceOfSeveralPorts},
		{"ExternalNameService", externalNameService},
		{"ExternalNameThatIsAnAddress", externalNameThatIsAnAddress},
		{"ServiceThatChangesItsType", serviceThatChangesItsType},
		{"ServiceCreatedAgainElsewhere", serviceCreatedAgainElsewhere},
		{"Namespace", namespaceOfItsOwn},

		{"HeadlessServiceWithSlices", headlessServiceWithSlices},
		{"HeadlessReadinessFlip", headlessReadinessFlip},
		{"SliceThatChangesItsService", sliceThatChangesItsService},
		{"SliceBeforeItsService", sliceBeforeItsService},
		{"SlicesOfOtherFamilies", slicesOfOtherFamilies},
		{"CustomEndpoints", customEndpoints},
		{"CustomHeadlessEndpoints", customHeadlessEndpoints},

		{"PodBehindServices", podBehindServices},
		{"PodWithHostname", podWithHostname},
		{"PublishNotReadyAddresses", publishNotReadyAddresses},
		{"VerifiedPods", verifiedPods},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, c, s) })
	}
	if n := s.metric(t, "coredns_panics_total"); n != 0 {
		t.Errorf("%v panics", n)
	}
}

func serviceOfTheAPIServer(t *testing.T, _ *cluster, s *server) {
	s.answers(t, "kubernetes.default.svc.cluster.local. A", "@ A 10.96.0.1")
	s.answers(t, "_https._tcp.kubernetes.default.svc.cluster.local. SRV",
		"@ SRV 0 100 443 kubernetes.default.svc.cluster.local.", "+ kubernetes.default.svc.cluster.local. A 10.96.0.1")
	s.answers(t, "-x 10.96.0.1", "@ PTR kubernetes.default.svc.cluster.local.")
	// Its endpoint is not a pod, but what the API server writes of itself.
	s.answers(t, "-x 192.0.2.1", "@ PTR 192-0-2-1.kubernetes.default.svc.cluster.local.")
	s.answers(t, "dns-version.cluster.local. TXT", `@ 28800 TXT "1.1.0"`)
}

func clusterIPService(t *testing.T, c *cluster, s *server) {
	s.denies(t, "web.default.svc.cluster.local. A", "service default/web: not found")
	createService(t, c, clusterIP("web", "10.96.1.1"))
	s.answers(t, "web.default.svc.cluster.local. A", "@ A 10.96.1.1")
	s.lacks(t, "web.default.svc.cluster.local. AAAA", noSuchType)
	s.answers(t, "_http._tcp.web.default.svc.cluster.local. SRV",
		"@ SRV 0 100 80 web.default.svc.cluster.local.", "+ web.default.svc.cluster.local. A 10.96.1.1")
	s.lacks(t, "_tcp.web.default.svc.cluster.local. SRV", namesOnlyBelow)
	s.answers(t, "-x 10.96.1.1", "@ PTR web.default.svc.cluster.local.")

	changeService(t, c, "web", func(o *corev1.Service) {
		o.Spec.Ports = []corev1.ServicePort{{Name: "https", Port: 443}}
	})
	s.answers(t, "_https._tcp.web.default.svc.cluster.local. SRV",
		"@ SRV 0 100 443 web.default.svc.cluster.local.", "+ web.default.svc.cluster.local. A 10.96.1.1")
	s.denies(t, "_http._tcp.web.default.svc.cluster.local. SRV", "service default/web: no such endpoint or named port")

	deleteService(t, c, "web")
	s.denies(t, "web.default.svc.cluster.local. A", "service default/web: not found")
	s.denies(t, "web.default.svc.cluster.local. AAAA", "service default/web: not found")
	s.denies(t, "_https._tcp.web.default.svc.cluster.local. SRV", "service default/web: not found")
	s.denies(t, "-x 10.96.1.1", nobody)
}

func dualStackService(t *testing.T, c *cluster, s *server) {
	createService(t, c, clusterIP("dual", "10.96.1.2", "fd00:10:96::102"))
	s.answers(t, "dual.default.svc.cluster.local. A", "@ A 10.96.1.2")
	s.answers(t, "dual.default.svc.cluster.local. AAAA", "@ AAAA fd00:10:96::102")
	s.answers(t, "_http._tcp.dual.default.svc.cluster.local. SRV",
		"@ SRV 0 50 80 dual.default.svc.cluster.local.",
		"+ dual.default.svc.cluster.local. A 10.96.1.2",
		"+ dual.default.svc.cluster.local. AAAA fd00:10:96::102")
	s.answers(t, "-x 10.96.1.2", "@ PTR dual.default.svc.cluster.local.")
	s.answers(t, "-x fd00:10:96::102", "@ PTR dual.default.svc.cluster.local.")

	deleteService(t, c, "dual")
	s.denies(t, "dual.default.svc.cluster.local. AAAA", "service default/dual: not found")
	s.denies(t, "-x 10.96.1.2", nobody)
	s.denies(t, "-x fd00:10:96::102", nobody)
}

// serviceThatGetsASecondFamily is how a cluster is moved to dual stack.
func serviceThatGetsASecondFamily(t *testing.T, c *cluster, s *server) {
	createService(t, c, clusterIP("grown", "10.96.1.3"))
	s.lacks(t, "grown.default.svc.cluster.local. AAAA", noSuchType)
	changeService(t, c, "grown", func(o *corev1.Service) {
		policy := corev1.IPFamilyPolicyRequireDualStack
		o.Spec.IPFamilyPolicy, o.Spec.ClusterIPs = &policy, append(o.Spec.ClusterIPs, "fd00:10:96::103")
	})
	s.answers(t, "grown.default.svc.cluster.local. AAAA", "@ AAAA fd00:10:96::103")
	s.answers(t, "grown.default.svc.cluster.local. A", "@ A 10.96.1.3")
	s.answers(t, "-x fd00:10:96::103", "@ PTR grown.default.svc.cluster.local.")

	changeService(t, c, "grown", func(o *corev1.Service) {
		policy := corev1.IPFamilyPolicySingleStack
		o.Spec.IPFamilyPolicy, o.Spec.ClusterIPs, o.Spec.IPFamilies = &policy, o.Spec.ClusterIPs[:1], o.Spec.IPFamilies[:1]
	})
	s.lacks(t, "grown.default.svc.cluster.local. AAAA", noSuchType)
	s.denies(t, "-x fd00:10:96::103", nobody)
}

func allocatedClusterIP(t *testing.T, c *cluster, s *server) {
	service := createService(t, c, dualStack("allocated"))
	s.answers(t, "allocated.default.svc.cluster.local. A", "@ A "+service.Spec.ClusterIPs[0])
	s.answers(t, "allocated.default.svc.cluster.local. AAAA", "@ AAAA "+service.Spec.ClusterIPs[1])
	s.answers(t, "-x "+service.Spec.ClusterIPs[0], "@ PTR allocated.default.svc.cluster.local.")
	s.answers(t, "-x "+service.Spec.ClusterIPs[1], "@ PTR allocated.default.svc.cluster.local.")
}

func nodePortService(t *testing.T, c *cluster, s *server) {
	service := clusterIP("nodes", "10.96.1.4")
	service.Spec.Type = corev1.ServiceTypeNodePort
	service.Spec.Ports[0].NodePort = 32600
	createService(t, c, service)
	s.answers(t, "nodes.default.svc.cluster.local. A", "@ A 10.96.1.4")
	// The port of the service, not that of the nodes.
	s.answers(t, "_http._tcp.nodes.default.svc.cluster.local. SRV",
		"@ SRV 0 100 80 nodes.default.svc.cluster.local.", "+ nodes.default.svc.cluster.local. A 10.96.1.4")
	s.answers(t, "-x 10.96.1.4", "@ PTR nodes.default.svc.cluster.local.")
	deleteService(t, c, "nodes")
	s.denies(t, "nodes.default.svc.cluster.local. A", "service default/nodes: not found")
}

func loadBalancerService(t *testing.T, c *cluster, s *server) {
	service := clusterIP("balanced", "10.96.1.5")
	service.Spec.Type = corev1.ServiceTypeLoadBalancer
	service = createService(t, c, service)
	service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "198.51.100.5"}}
	if _, err := c.CoreV1().Services("default").UpdateStatus(t.Context(), service, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	// Inside the cluster it is a service like others: the address outside is
	// not in DNS here.
	s.answers(t, "balanced.default.svc.cluster.local. A", "@ A 10.96.1.5")
	s.answers(t, "_http._tcp.balanced.default.svc.cluster.local. SRV",
		"@ SRV 0 100 80 balanced.default.svc.cluster.local.", "+ balanced.default.svc.cluster.local. A 10.96.1.5")
	s.answers(t, "-x 10.96.1.5", "@ PTR balanced.default.svc.cluster.local.")
	s.denies(t, "-x 198.51.100.5", nobody)
	deleteService(t, c, "balanced")
	s.denies(t, "balanced.default.svc.cluster.local. A", "service default/balanced: not found")
}

func serviceOfSeveralPorts(t *testing.T, c *cluster, s *server) {
	service := clusterIP("names", "10.96.1.6")
	service.Spec.Ports = []corev1.ServicePort{
		{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP},
		{Name: "dns-tcp", Port: 53},
		{Name: "metrics", Port: 9153},
	}
	createService(t, c, service)
	s.answers(t, "_dns._udp.names.default.svc.cluster.local. SRV",
		"@ SRV 0 100 53 names.default.svc.cluster.local.", "+ names.default.svc.cluster.local. A 10.96.1.6")
	s.answers(t, "_dns-tcp._tcp.names.default.svc.cluster.local. SRV",
		"@ SRV 0 100 53 names.default.svc.cluster.local.", "+ names.default.svc.cluster.local. A 10.96.1.6")
	s.denies(t, "_dns._tcp.names.default.svc.cluster.local. SRV", "service default/names: no such endpoint or named port")
	// Without a port all of them; 53 is there twice, and is one record.
	s.answers(t, "names.default.svc.cluster.local. SRV",
		"@ SRV 0 33 53 names.default.svc.cluster.local.", "@ SRV 0 33 9153 names.default.svc.cluster.local.",
		"+ names.default.svc.cluster.local. A 10.96.1.6")
}

func externalNameService(t *testing.T, c *cluster, s *server) {
	createService(t, c, externalName("outside", "www.example.com"))
	s.answers(t, "outside.default.svc.cluster.local. A", "@ CNAME www.example.com.", "www.example.com. 60 A 192.0.2.53")
	s.answers(t, "outside.default.svc.cluster.local. AAAA", "@ CNAME www.example.com.", "www.example.com. 60 AAAA 2001:db8::53")
	s.answers(t, "outside.default.svc.cluster.local. CNAME", "@ CNAME www.example.com.")

	createService(t, c, clusterIP("inside", "10.96.1.7"))
	changeService(t, c, "outside", func(o *corev1.Service) { o.Spec.ExternalName = "inside.default.svc.cluster.local" })
	s.answers(t, "outside.default.svc.cluster.local. A",
		"@ CNAME inside.default.svc.cluster.local.", "inside.default.svc.cluster.local. A 10.96.1.7")
	createService(t, c, externalName("further", "outside.default.svc.cluster.local"))
	s.answers(t, "further.default.svc.cluster.local. A",
		"@ CNAME outside.default.svc.cluster.local.",
		"outside.default.svc.cluster.local. CNAME inside.default.svc.cluster.local.",
		"inside.default.svc.cluster.local. A 10.96.1.7")
	// It is another name of the service, which keeps its own.
	s.answers(t, "-x 10.96.1.7", "@ PTR inside.default.svc.cluster.local.")

	deleteService(t, c, "further")
	deleteService(t, c, "outside")
	s.denies(t, "outside.default.svc.cluster.local. A", "service default/outside: not found")
	s.denies(t, "outside.default.svc.cluster.local. CNAME", "service default/outside: not found")
}

func serviceThatChangesItsType(t *testing.T, c *cluster, s *server) {
	createService(t, c, clusterIP("moody", "10.96.1.8"))
	s.answers(t, "moody.default.svc.cluster.local. A", "@ A 10.96.1.8")
	changeService(t, c, "moody", func(o *corev1.Service) {
		o.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "www.example.com"}
	})
	s.answers(t, "moody.default.svc.cluster.local. A", "@ CNAME www.example.com.", "www.example.com. 60 A 192.0.2.53")
	s.denies(t, "_http._tcp.moody.default.svc.cluster.local. SRV", "service default/moody: no such endpoint or named port")
	s.denies(t, "-x 10.96.1.8", nobody)
	changeService(t, c, "moody", func(o *corev1.Service) {
		o.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.1.9",
			Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}
	})
	s.answers(t, "moody.default.svc.cluster.local. A", "@ A 10.96.1.9")
	s.answers(t, "-x 10.96.1.9", "@ PTR moody.default.svc.cluster.local.")
}

// serviceCreatedAgainElsewhere is what tools do that replace objects.
func serviceCreatedAgainElsewhere(t *testing.T, c *cluster, s *server) {
	createService(t, c, clusterIP("again", "10.96.1.10"))
	s.answers(t, "again.default.svc.cluster.local. A", "@ A 10.96.1.10")
	deleteService(t, c, "again")
	createService(t, c, clusterIP("again", "10.96.1.11"))
	s.answers(t, "again.default.svc.cluster.local. A", "@ A 10.96.1.11")
	s.denies(t, "-x 10.96.1.10", nobody)
	// And its address may be another service's.
	createService(t, c, clusterIP("heir", "10.96.1.10"))
	s.answers(t, "-x 10.96.1.10", "@ PTR heir.default.svc.cluster.local.")
}

func namespaceOfItsOwn(t *testing.T, c *cluster, s *server) {
	namespaces := c.CoreV1().Namespaces()
	s.denies(t, "prod.svc.cluster.local. A", "namespace prod: not found")
	s.denies(t, "prod.pod.cluster.local. A", "namespace prod: not found")
	s.denies(t, "web.prod.svc.cluster.local. A", "service prod/web: the namespace does not exist")
	if _, err := namespaces.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "prod"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.lacks(t, "prod.svc.cluster.local. A", namesOnlyBelow)
	s.lacks(t, "prod.pod.cluster.local. A", namesOnlyBelow)
	s.denies(t, "web.prod.svc.cluster.local. A", "service prod/web: not found")
	if _, err := c.CoreV1().Services("prod").Create(t.Context(), clusterIP("web", "10.96.1.12"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.answers(t, "web.prod.svc.cluster.local. A", "@ A 10.96.1.12")
	s.answers(t, "-x 10.96.1.12", "@ PTR web.prod.svc.cluster.local.")
	if err := c.CoreV1().Services("prod").Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.denies(t, "web.prod.svc.cluster.local. A", "service prod/web: not found")

	// The namespace controller is not there: the test is it.
	if err := namespaces.Delete(t.Context(), "prod", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	prod, err := namespaces.Get(t.Context(), "prod", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	prod.Spec.Finalizers = nil
	if _, err := namespaces.Finalize(t.Context(), prod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.denies(t, "prod.svc.cluster.local. A", "namespace prod: not found")
	s.denies(t, "web.prod.svc.cluster.local. A", "service prod/web: the namespace does not exist")
}

// headlessServiceWithSlices follows three slices of one service: names for
// endpoints with and without a hostname, a hostname of several addresses, an
// address in two slices, and one endpoint that is not ready.
func headlessServiceWithSlices(t *testing.T, c *cluster, s *server) {
	createService(t, c, headless("db"))
	s.denies(t, "db.default.svc.cluster.local. A", "service default/db: 0 of 0 endpoints ready")
	first := createSlice(t, c, slice("db", "db-a", discoveryv1.AddressTypeIPv4,
		ready("db-0", "10.3.0.10"), ready("", "10.3.0.11"), unready("late", "10.3.0.12")))
	createSlice(t, c, slice("db", "db-b", discoveryv1.AddressTypeIPv4, ready("", "10.3.0.11"), ready("db-0", "10.3.0.13")))
	createSlice(t, c, slice("db", "db-c", discoveryv1.AddressTypeIPv6, ready("db-0", "fd00:10:3::10")))

	s.answers(t, "db.default.svc.cluster.local. A", "@ A 10.3.0.10", "@ A 10.3.0.11", "@ A 10.3.0.13")
	s.answers(t, "db.default.svc.cluster.local. AAAA", "@ AAAA fd00:10:3::10")
	s.answers(t, "db-0.db.default.svc.cluster.local. A", "@ A 10.3.0.10", "@ A 10.3.0.13")
	s.answers(t, "db-0.db.default.svc.cluster.local. AAAA", "@ AAAA fd00:10:3::10")
	s.answers(t, "10-3-0-11.db.default.svc.cluster.local. A", "@ A 10.3.0.11")
	s.denies(t, "10-3-0-10.db.default.svc.cluster.local. A", "service default/db: no such endpoint or named port")
	s.denies(t, "late.db.default.svc.cluster.local. A", "service default/db: no such endpoint or named port")
	// Five addresses share the weight, of which one is there twice.
	s.answers(t, "_http._tcp.db.default.svc.cluster.local. SRV",
		"@ SRV 0 20 8080 db-0.db.default.svc.cluster.local.",
		"@ SRV 0 20 8080 10-3-0-11.db.default.svc.cluster.local.",
		"+ db-0.db.default.svc.cluster.local. A 10.3.0.10",
		"+ db-0.db.default.svc.cluster.local. A 10.3.0.13",
		"+ db-0.db.default.svc.cluster.local. AAAA fd00:10:3::10",
		"+ 10-3-0-11.db.default.svc.cluster.local. A 10.3.0.11")
	s.answers(t, "-x 10.3.0.10", "@ PTR db-0.db.default.svc.cluster.local.")
	s.answers(t, "-x 10.3.0.11", "@ PTR 10-3-0-11.db.default.svc.cluster.local.")
	s.answers(t, "-x 10.3.0.13", "@ PTR db-0.db.default.svc.cluster.local.")
	s.answers(t, "-x fd00:10:3::10", "@ PTR db-0.db.default.svc.cluster.local.")
	s.denies(t, "-x 10.3.0.12", nobody)

	first.Endpoints[2].Conditions.Ready = nil // nobody knows: to be taken as ready
	updateSlice(t, c, first)
	s.answers(t, "late.db.default.svc.cluster.local. A", "@ A 10.3.0.12")
	s.answers(t, "-x 10.3.0.12", "@ PTR late.db.default.svc.cluster.local.")

	deleteSlice(t, c, "db-b")
	s.answers(t, "db.default.svc.cluster.local. A", "@ A 10.3.0.10", "@ A 10.3.0.11", "@ A 10.3.0.12")
	s.answers(t, "db-0.db.default.svc.cluster.local. A", "@ A 10.3.0.10")
	s.answers(t, "-x 10.3.0.11", "@ PTR 10-3-0-11.db.default.svc.cluster.local.")
	s.denies(t, "-x 10.3.0.13", nobody)

	deleteSlice(t, c, "db-c")
	s.lacks(t, "db.default.svc.cluster.local. AAAA", noSuchType)
	deleteSlice(t, c, "db-a")
	s.denies(t, "db.default.svc.cluster.local. A", "service default/db: 0 of 0 endpoints ready")
	s.denies(t, "-x 10.3.0.10", nobody)
	deleteService(t, c, "db")
	s.denies(t, "db.default.svc.cluster.local. A", "service default/db: not found")
}

func headlessReadinessFlip(t *testing.T, c *cluster, s *server) {
	createService(t, c, headless("flip"))
	name := "flip.default.svc.cluster.local. A"
	createSlice(t, c, slice("flip", "flip", discoveryv1.AddressTypeIPv4, ready("one", "10.3.1.1"), ready("two", "10.3.1.2")))
	s.answers(t, name, "@ A 10.3.1.1", "@ A 10.3.1.2")
	updateSlice(t, c, slice("flip", "flip", discoveryv1.AddressTypeIPv4, unready("one", "10.3.1.1"), ready("two", "10.3.1.2")))
	s.answers(t, name, "@ A 10.3.1.2")
	s.denies(t, "-x 10.3.1.1", nobody)
	updateSlice(t, c, slice("flip", "flip", discoveryv1.AddressTypeIPv4, unready("one", "10.3.1.1"), unready("two", "10.3.1.2")))
	s.denies(t, name, "service default/flip: 0 of 2 endpoints ready")
	updateSlice(t, c, slice("flip", "flip", discoveryv1.AddressTypeIPv4, ready("one", "10.3.1.1"), unready("two", "10.3.1.2")))
	s.answers(t, name, "@ A 10.3.1.1")
	s.answers(t, "-x 10.3.1.1", "@ PTR one.flip.default.svc.cluster.local.")
}

// sliceThatChangesItsService moves a slice to another service by its label.
func sliceThatChangesItsService(t *testing.T, c *cluster, s *server) {
	createService(t, c, headless("blue"))
	createService(t, c, headless("green"))
	createSlice(t, c, slice("blue", "moving", discoveryv1.AddressTypeIPv4, ready("", "10.3.2.1")))
	s.answers(t, "blue.default.svc.cluster.local. A", "@ A 10.3.2.1")
	updateSlice(t, c, slice("green", "moving", discoveryv1.AddressTypeIPv4, ready("", "10.3.2.1")))
	s.answers(t, "green.default.svc.cluster.local. A", "@ A 10.3.2.1")
	s.denies(t, "blue.default.svc.cluster.local. A", "service default/blue: 0 of 0 endpoints ready")
	s.answers(t, "-x 10.3.2.1", "@ PTR 10-3-2-1.green.default.svc.cluster.local.")
}

func sliceBeforeItsService(t *testing.T, c *cluster, s *server) {
	createSlice(t, c, slice("early", "early", discoveryv1.AddressTypeIPv4, ready("", "10.3.3.1")))
	s.denies(t, "early.default.svc.cluster.local. A", "service default/early: not found")
	createService(t, c, headless("early"))
	s.answers(t, "early.default.svc.cluster.local. A", "@ A 10.3.3.1")
}

// slicesOfOtherFamilies: one of names, which nobody can be sent to any more,
// and one of IPv6 with an address that looks unlike the others.
func slicesOfOtherFamilies(t *testing.T, c *cluster, s *server) {
	createService(t, c, headless("mixed"))
	createSlice(t, c, slice("mixed", "mixed-names", discoveryv1.AddressTypeFQDN, ready("", "www.example.com")))
	createSlice(t, c, slice("mixed", "mixed", discoveryv1.AddressTypeIPv6, ready("", "fd00:10:3::"), ready("", "fd00:10:3::5")))
	s.answers(t, "mixed.default.svc.cluster.local. AAAA", "@ AAAA fd00:10:3::", "@ AAAA fd00:10:3::5")
	// A label must not end in a dash.
	s.answers(t, "fd00-10-3--0.mixed.default.svc.cluster.local. AAAA", "@ AAAA fd00:10:3::")
	s.answers(t, "-x fd00:10:3::", "@ PTR fd00-10-3--0.mixed.default.svc.cluster.local.")
	s.lacks(t, "mixed.default.svc.cluster.local. A", noSuchType)
}

// externalNameThatIsAnAddress is a mistake that the API server does not find.
// It must not hide the services around it. It is counted each time, and logged
// once.
func externalNameThatIsAnAddress(t *testing.T, c *cluster, s *server) {
	const problems = "clusterdns_kubernetes_object_problems_total"
	before := s.metric(t, problems)
	createService(t, c, externalName("mistaken", "192.0.2.7"))
	changeService(t, c, "mistaken", func(o *corev1.Service) { o.Labels = map[string]string{"seen": "twice"} })
	createService(t, c, clusterIP("beside", "10.96.1.20"))
	s.answers(t, "beside.default.svc.cluster.local. A", "@ A 10.96.1.20")
	s.awaitAnswer(t, patience, "mistaken.default.svc.cluster.local.", dns.TypeA, denied)
	await(t, patience, "both to be counted", func() bool { return s.metric(t, problems) == before+2 })
	if n := strings.Count(s.said(), "default/mistaken"); n != 1 {
		t.Errorf("it is in %d lines of the log:\n%s", n, s.said())
	}
	changeService(t, c, "mistaken", func(o *corev1.Service) { o.Spec.ExternalName = "www.example.com" })
	s.answers(t, "mistaken.default.svc.cluster.local. A", "@ CNAME www.example.com.", "www.example.com. 60 A 192.0.2.53")
}

// customEndpoints is a database outside of the cluster: a service without a
// selector, and Endpoints by hand, which a controller mirrors.
func customEndpoints(t *testing.T, c *cluster, s *server) {
	service := clusterIP("mysql-external", "10.96.1.50")
	service.Spec.Ports = []corev1.ServicePort{{Name: "mysql", Port: 3366}}
	createService(t, c, service)
	custom := createEndpoints(t, c, "mysql-external", corev1.EndpointSubset{
		Addresses: []corev1.EndpointAddress{{IP: "10.0.0.206"}},
		Ports:     []corev1.EndpointPort{{Name: "mysql", Port: 3306}},
	})
	s.answers(t, "mysql-external.default.svc.cluster.local. A", "@ A 10.96.1.50")
	s.answers(t, "_mysql._tcp.mysql-external.default.svc.cluster.local. SRV",
		"@ SRV 0 100 3366 mysql-external.default.svc.cluster.local.", "+ mysql-external.default.svc.cluster.local. A 10.96.1.50")
	s.answers(t, "10-0-0-206.mysql-external.default.svc.cluster.local. A", "@ A 10.0.0.206")
	s.answers(t, "-x 10.0.0.206", "@ PTR 10-0-0-206.mysql-external.default.svc.cluster.local.")
	s.answers(t, "-x 10.96.1.50", "@ PTR mysql-external.default.svc.cluster.local.")

	custom.Subsets[0].Addresses[0].IP = "10.0.0.207"
	if _, err := c.CoreV1().Endpoints("default").Update(t.Context(), custom, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.answers(t, "-x 10.0.0.207", "@ PTR 10-0-0-207.mysql-external.default.svc.cluster.local.")
	s.denies(t, "-x 10.0.0.206", nobody)

	if err := c.CoreV1().Endpoints("default").Delete(t.Context(), "mysql-external", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.denies(t, "-x 10.0.0.207", nobody)
	s.answers(t, "mysql-external.default.svc.cluster.local. A", "@ A 10.96.1.50")
}

func customHeadlessEndpoints(t *testing.T, c *cluster, s *server) {
	service := headless("legacy")
	service.Spec.Ports = []corev1.ServicePort{{Name: "ldap", Port: 389}}
	createService(t, c, service)
	createEndpoints(t, c, "legacy", corev1.EndpointSubset{
		Addresses:         []corev1.EndpointAddress{{IP: "10.0.0.1", Hostname: "primary"}, {IP: "10.0.0.2"}},
		NotReadyAddresses: []corev1.EndpointAddress{{IP: "10.0.0.3"}},
		Ports:             []corev1.EndpointPort{{Name: "ldap", Port: 1389}},
	})
	s.answers(t, "legacy.default.svc.cluster.local. A", "@ A 10.0.0.1", "@ A 10.0.0.2")
	s.answers(t, "primary.legacy.default.svc.cluster.local. A", "@ A 10.0.0.1")
	s.answers(t, "_ldap._tcp.legacy.default.svc.cluster.local. SRV",
		"@ SRV 0 50 1389 primary.legacy.default.svc.cluster.local.",
		"@ SRV 0 50 1389 10-0-0-2.legacy.default.svc.cluster.local.",
		"+ primary.legacy.default.svc.cluster.local. A 10.0.0.1",
		"+ 10-0-0-2.legacy.default.svc.cluster.local. A 10.0.0.2")
	s.answers(t, "-x 10.0.0.1", "@ PTR primary.legacy.default.svc.cluster.local.")
	s.denies(t, "-x 10.0.0.3", nobody)
	deleteService(t, c, "legacy")
	s.denies(t, "primary.legacy.default.svc.cluster.local. A", "service default/legacy: not found")
	s.denies(t, "-x 10.0.0.1", nobody)
}

func createEndpoints(t *testing.T, c *cluster, name string, subsets ...corev1.EndpointSubset) *corev1.Endpoints {
	t.Helper()
	created, err := c.CoreV1().Endpoints("default").Create(t.Context(),
		&corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: name}, Subsets: subsets}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// podBehindServices follows one pod through its life, with a service of each
// kind that selects it; the controllers write the slices.
func podBehindServices(t *testing.T, c *cluster, s *server) {
	service := clusterIP("front", "10.96.1.60")
	service.Spec.Selector = map[string]string{"app": "life"}
	createService(t, c, service)
	service = headless("life")
	service.Spec.Selector = map[string]string{"app": "life"}
	createService(t, c, service)
	s.answers(t, "front.default.svc.cluster.local. A", "@ A 10.96.1.60")
	s.denies(t, "life.default.svc.cluster.local. A", "service default/life: 0 of 0 endpoints ready")

	createReadyPod(t, c, "life-0", "life", "10.244.1.10")
	s.answers(t, "life.default.svc.cluster.local. A", "@ A 10.244.1.10")
	s.answers(t, "10-244-1-10.life.default.svc.cluster.local. A", "@ A 10.244.1.10")
	s.answers(t, "_http._tcp.life.default.svc.cluster.local. SRV",
		"@ SRV 0 100 80 10-244-1-10.life.default.svc.cluster.local.",
		"+ 10-244-1-10.life.default.svc.cluster.local. A 10.244.1.10")
	// A cluster IP is a name whoever is behind it, and endpoints have names of
	// their own there too.
	s.answers(t, "10-244-1-10.front.default.svc.cluster.local. A", "@ A 10.244.1.10")
	s.answers(t, "-x 10.244.1.10",
		"@ PTR 10-244-1-10.front.default.svc.cluster.local.", "@ PTR 10-244-1-10.life.default.svc.cluster.local.")

	setReady(t, c, "life-0", corev1.ConditionFalse)
	s.denies(t, "life.default.svc.cluster.local. A", "service default/life: 0 of 1 endpoints ready")
	s.denies(t, "-x 10.244.1.10", nobody)
	s.answers(t, "front.default.svc.cluster.local. A", "@ A 10.96.1.60")
	setReady(t, c, "life-0", corev1.ConditionTrue)
	s.answers(t, "life.default.svc.cluster.local. A", "@ A 10.244.1.10")

	createReadyPod(t, c, "life-1", "life", "10.244.1.11")
	s.answers(t, "life.default.svc.cluster.local. A", "@ A 10.244.1.10", "@ A 10.244.1.11")
	deletePod(t, c, "life-0")
	s.answers(t, "life.default.svc.cluster.local. A", "@ A 10.244.1.11")
	deletePod(t, c, "life-1")
	s.denies(t, "life.default.svc.cluster.local. A", "service default/life: 0 of 0 endpoints ready")
}

// podWithHostname is what a StatefulSet makes: its pods have names below the
// service that governs it.
func podWithHostname(t *testing.T, c *cluster, s *server) {
	service := headless("set")
	policy := corev1.IPFamilyPolicyRequireDualStack
	service.Spec.IPFamilyPolicy, service.Spec.Selector = &policy, map[string]string{"app": "set"}
	createService(t, c, service)
	_, err := c.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "set-0", Labels: map[string]string{"app": "set"}},
		Spec: corev1.PodSpec{
			NodeName: node, Hostname: "set-0", Subdomain: "set",
			Containers: []corev1.Container{{Name: "main", Image: "none"}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	changePodStatus(t, c, "set-0", func(status *corev1.PodStatus) {
		status.Phase, status.PodIP = corev1.PodRunning, "10.244.1.20"
		status.PodIPs = []corev1.PodIP{{IP: "10.244.1.20"}, {IP: "fd00:10:244::20"}}
		status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	})
	s.answers(t, "set-0.set.default.svc.cluster.local. A", "@ A 10.244.1.20")
	s.answers(t, "set-0.set.default.svc.cluster.local. AAAA", "@ AAAA fd00:10:244::20")
	s.answers(t, "_http._tcp.set.default.svc.cluster.local. SRV",
		"@ SRV 0 50 80 set-0.set.default.svc.cluster.local.",
		"+ set-0.set.default.svc.cluster.local. A 10.244.1.20",
		"+ set-0.set.default.svc.cluster.local. AAAA fd00:10:244::20")
	s.answers(t, "-x 10.244.1.20", "@ PTR set-0.set.default.svc.cluster.local.")
	s.answers(t, "-x fd00:10:244::20", "@ PTR set-0.set.default.svc.cluster.local.")
	deletePod(t, c, "set-0")
	s.denies(t, "set-0.set.default.svc.cluster.local. A", "service default/set: 0 of 0 endpoints ready")
}

// publishNotReadyAddresses is for members that find each other before they are
// ready.
func publishNotReadyAddresses(t *testing.T, c *cluster, s *server) {
	service := headless("peers")
	service.Spec.Selector = map[string]string{"app": "peers"}
	createService(t, c, service)
	service = headless("members")
	service.Spec.Selector, service.Spec.PublishNotReadyAddresses = map[string]string{"app": "peers"}, true
	createService(t, c, service)
	createReadyPod(t, c, "peers-0", "peers", "10.244.1.30")
	setReady(t, c, "peers-0", corev1.ConditionFalse)
	s.denies(t, "peers.default.svc.cluster.local. A", "service default/peers: 0 of 1 endpoints ready")
	s.answers(t, "members.default.svc.cluster.local. A", "@ A 10.244.1.30")
	s.answers(t, "-x 10.244.1.30", "@ PTR 10-244-1-30.members.default.svc.cluster.local.")
}

// verifiedPods asks for names of pods where they are checked.
func verifiedPods(t *testing.T, c *cluster, s *server) {
	const noPod = "namespace default: no live pod has this address"
	s.denies(t, "10-244-1-40.default.pod.cluster.local. A", noPod)
	createReadyPod(t, c, "lone", "lone", "10.244.1.40", "fd00:10:244::40")
	s.answers(t, "10-244-1-40.default.pod.cluster.local. A", "@ A 10.244.1.40")
	s.lacks(t, "10-244-1-40.default.pod.cluster.local. AAAA", noSuchType)
	s.answers(t, "fd00-10-244--40.default.pod.cluster.local. AAAA", "@ AAAA fd00:10:244::40")
	s.denies(t, "10-244-1-40.kube-system.pod.cluster.local. A", "namespace kube-system: no live pod has this address")
	s.denies(t, "lone.default.pod.cluster.local. A", "namespace default: a pod's name is its address with dashes")

	// A pod need not be ready to have a name, but it must live.
	setReady(t, c, "lone", corev1.ConditionFalse)
	s.answers(t, "10-244-1-40.default.pod.cluster.local. A", "@ A 10.244.1.40")
	changePodStatus(t, c, "lone", func(status *corev1.PodStatus) { status.Phase = corev1.PodSucceeded })
	s.denies(t, "10-244-1-40.default.pod.cluster.local. A", noPod)

	// Pods on the network of their node share its address.
	createReadyPod(t, c, "shared-0", "lone", "10.244.1.41")
	createReadyPod(t, c, "shared-1", "lone", "10.244.1.41")
	s.answers(t, "10-244-1-41.default.pod.cluster.local. A", "@ A 10.244.1.41")
	deletePod(t, c, "shared-0")
	createReadyPod(t, c, "after", "lone", "10.244.1.42") // an event behind the deletion
	s.answers(t, "10-244-1-42.default.pod.cluster.local. A", "@ A 10.244.1.42")
	s.answers(t, "10-244-1-41.default.pod.cluster.local. A", "@ A 10.244.1.41")
	deletePod(t, c, "shared-1")
	s.denies(t, "10-244-1-41.default.pod.cluster.local. A", noPod)
}

// TestReasonOfAnExternalNameThatIsAnAddress: a service of type ExternalName
// never has a cluster IP, so that the lack of one explains nothing.
func TestReasonOfAnExternalNameThatIsAnAddress(t *testing.T) {
	c := startCluster(t)
	createService(t, c, externalName("mistaken", "192.0.2.7"))
	s := startServer(t, c.kubeconfig(""), corefile)
	s.awaitServing(t, 30*time.Second)
	s.denies(t, "mistaken.default.svc.cluster.local. A", "service default/mistaken: its external name is no domain name")
}
