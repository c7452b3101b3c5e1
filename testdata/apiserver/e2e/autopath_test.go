package e2e

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// autopathCorefile completes names for pods, and knows one name outside of the
// cluster. It offers recursion, as every Corefile of a cluster does.
const autopathCorefile = `. {
	bind 127.0.0.1
	errors
	ready READY
	prometheus METRICS
	kubernetes cluster.local {
		kubeconfig KUBECONFIG
		pods verified
	}
	autopath @kubernetes
	cache
	hosts {
		192.0.2.1 www.example.com
		fallthrough
	}
	forward invalid 127.0.0.1:9
}
`

// createPodAt creates a pod that runs since then at an address.
func createPodAt(t testing.TB, c *cluster, namespace, name, address string, since time.Time, hostNetwork bool) {
	t.Helper()
	pods := c.CoreV1().Pods(namespace)
	pod, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			NodeName: node, HostNetwork: hostNetwork,
			Containers: []corev1.Container{{Name: "main", Image: "none"}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, StartTime: &metav1.Time{Time: since},
		PodIP: address, PodIPs: []corev1.PodIP{{IP: address}},
	}
	if hostNetwork {
		pod.Status.HostIP, pod.Status.HostIPs = address, []corev1.HostIP{{IP: address}}
	}
	if _, err := pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestAutopath: a pod that the API server knows by its address gets names
// completed in its own namespace, until another pod has the address. So it does
// with search, whose alias lives no longer than the denial in its place.
func TestAutopath(t *testing.T) {
	c := startCluster(t)
	createService(t, c, clusterIP("web", "10.96.1.1"))
	dev := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "dev"}}
	if _, err := c.CoreV1().Namespaces().Create(t.Context(), dev, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	began := time.Now().Add(-time.Hour)
	createPodAt(t, c, "default", "client", "127.0.0.2", began, false)
	createPodAt(t, c, "dev", "agent", "127.0.0.3", began, true)
	searchCorefile := strings.Replace(autopathCorefile, "autopath @kubernetes", "search", 1)
	completing := map[string]*server{
		"3600": startServer(t, c.kubeconfig(""), autopathCorefile),
		"5":    startServer(t, c.kubeconfig(""), searchCorefile),
	}
	const (
		inDefault = "www.example.com.default.svc.cluster.local"
		inDev     = "www.example.com.dev.svc.cluster.local"
		address   = "www.example.com. 3600 IN A 192.0.2.1"
		denied    = "NXDOMAIN qr aa rd ra"
		found     = "NOERROR qr aa rd ra"
	)
	for ttl, s := range completing {
		s.awaitServing(t, 30*time.Second)
		s.digs(t, "-b 127.0.0.2 "+inDefault, found, inDefault+". "+ttl+" IN CNAME www.example.com.", address)
		s.digs(t, "-b 127.0.0.2 +tcp web.default.default.svc.cluster.local", found,
			"web.default.default.svc.cluster.local. 5 IN CNAME web.default.svc.cluster.local.",
			"web.default.svc.cluster.local. 5 IN A 10.96.1.1")
		s.digs(t, "-b 127.0.0.2 nothing."+inDefault, denied)
		s.digs(t, "-b 127.0.0.2 "+inDev, denied)
		s.digs(t, "-b 127.0.0.3 "+inDev, denied) // the address of a node
		s.digs(t, "-b 127.0.0.4 "+inDefault, denied)
	}

	// The address is given to another pod before the old one is deleted.
	createPodAt(t, c, "dev", "next", "127.0.0.2", began.Add(time.Minute), false)
	theirs := func() {
		for ttl, s := range completing {
			await(t, 10*time.Second, "the other pod to be known", func() bool {
				return status(t, s.dig(t, "-b", "127.0.0.2", inDefault)) == denied
			})
			s.digs(t, "-b 127.0.0.2 "+inDev, found, inDev+". "+ttl+" IN CNAME www.example.com.", address)
		}
	}
	theirs()
	deletePod(t, c, "client")
	theirs()
}
