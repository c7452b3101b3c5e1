package e2e

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// namingCorefile logs who asks, by slices and nodes, as no pods are read.
const namingCorefile = `. {
	bind 127.0.0.1
	log . "{remote} {name} {clusterdns/pod}"
	ready READY
	kubernetes cluster.local {
		kubeconfig KUBECONFIG
	}
}
`

// ownAddress is an address of this machine that an API server takes for a pod's. It refuses those of loopback.
func ownAddress(t testing.TB) string {
	t.Helper()
	networks, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range networks {
		prefix, err := netip.ParsePrefix(n.String())
		if a := prefix.Addr(); err == nil && a.Is4() && a.IsGlobalUnicast() {
			return a.String()
		}
	}
	t.Fatal("this machine has no IPv4 address but that of loopback")
	return ""
}

// of is an endpoint that is a pod.
func of(pod string, e discoveryv1.Endpoint) discoveryv1.Endpoint {
	e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Namespace: metav1.NamespaceDefault, Name: pod}
	return e
}

// TestLogNamesPods: the log says which pod asks, and nobody where a node or a second pod has the address too.
func TestLogNamesPods(t *testing.T) {
	c := startCluster(t, "-authorization-mode", "RBAC", "-token", "clusterdns=secret")
	grant(t, c, "clusterdns", "all", deployedRole(t))
	address := ownAddress(t)
	createService(t, c, headless("web"))
	createSlice(t, c, slice("web", "web-1", "IPv4", of("web-0", unready("", address))))
	s := startServer(t, c.kubeconfig("clusterdns"), namingCorefile)
	s.awaitServing(t, 30*time.Second)
	asks := func(question, who string) {
		t.Helper()
		await(t, patience, "the log to name "+who, func() bool {
			s.dig(t, "-b", address, question)
			all := strings.Split(strings.TrimSpace(s.said()), "\n")
			return all[len(all)-1] == "[INFO] "+address+" "+question+" "+who
		})
	}
	asks("first.default.svc.cluster.local.", "default/web-0")
	s.dig(t, "-b", "127.0.0.2", "other.default.svc.cluster.local.")
	await(t, patience, "the line of a stranger", func() bool {
		return strings.Contains(s.said(), "127.0.0.2 other.default.svc.cluster.local. -\n")
	})

	createSlice(t, c, slice("web", "web-2", "IPv4", of("web-1", ready("", address))))
	asks("second.default.svc.cluster.local.", "-")
	deleteSlice(t, c, "web-2")
	asks("third.default.svc.cluster.local.", "default/web-0")

	// A pod with hostNetwork is the only one at the address of its node.
	n, err := c.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}
	if _, err := c.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	asks("fourth.default.svc.cluster.local.", "-")
	if n := refused(t, c); n != 0 {
		t.Errorf("%v requests were refused", n)
	}
}
