package e2e

import (
	"bytes"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pageCorefile serves the page at PAGE.
const pageCorefile = `. {
	bind 127.0.0.1
	ready READY
	dashboard PAGE
	kubernetes cluster.local in-addr.arpa {
		kubeconfig KUBECONFIG
	}
}
`

// plugin runs kubectl dns as a user, and returns what it prints.
func (c *cluster) plugin(t *testing.T, user string, args ...string) (out, mistakes string, err error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), built(t, kubectlDNS), append(args, "--kubeconfig", c.kubeconfig(user))...)
	var said, complained bytes.Buffer
	command.Stdout, command.Stderr = &said, &complained
	err = command.Run()
	return said.String(), complained.String(), err
}

// createServerPod creates a pod of clusterdns that is ready at an address.
func createServerPod(t *testing.T, c *cluster, address string) {
	t.Helper()
	pods := c.CoreV1().Pods("kube-system")
	pod, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "clusterdns-0", Labels: map[string]string{"app.kubernetes.io/name": "clusterdns"}},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "main", Image: "none"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: address, PodIPs: []corev1.PodIP{{IP: address}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}
	if _, err := pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestPluginThroughProxy: records, top and tail of kubectl dns, by the API server's proxy to the address of a pod, and
// what is said where that is not permitted or nothing listens.
func TestPluginThroughProxy(t *testing.T) {
	c := startCluster(t, "-authorization-mode", "RBAC", "-token", "reader=secret")
	address, port := ownAddress(t), freePort(t)
	createService(t, c, clusterIP("web", "10.96.1.1"))
	createServerPod(t, c, address)
	s := startServer(t, c.kubeconfig(""), strings.Replace(pageCorefile, "PAGE", net.JoinHostPort(address, port), 1))
	s.awaitServing(t, 30*time.Second)
	s.answers(t, "web.default.svc.cluster.local. A", "@ A 10.96.1.1")

	for args, want := range map[string]string{
		"records default":         "web.default.svc.cluster.local. 5 IN A 10.96.1.1\n",
		"records":                 "web.default.svc.cluster.local. 5 IN A 10.96.1.1\n",
		"records -A":              "dns-version.cluster.local. ",
		"explain web":             "web.default.svc.cluster.local",
		"records default -o json": `"data": "10.96.1.1"`,
	} {
		out, mistakes, err := c.plugin(t, "", strings.Fields(args)...)
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("kubectl dns %s: %v, no %q in\n%s%s", args, err, want, out, mistakes)
		}
	}
	if out, _, _ := c.plugin(t, "", "records", "kube-system"); strings.Contains(out, "web.default") {
		t.Errorf("records of kube-system has another namespace:\n%s", out)
	}
	await(t, patience, "top to show a question", func() bool { // what was asked a moment ago may not be counted yet
		out, _, err := c.plugin(t, "", "top", "--dns-port", port)
		return err == nil && strings.Contains(out, "web.default.svc.cluster.local")
	})
	tail := start(t, nil, built(t, kubectlDNS), "tail", "--dns-port", port, "--name", "web.default.svc.cluster.local", "--kubeconfig", c.kubeconfig(""))
	await(t, patience, "tail to print a question", func() bool {
		s.dig(t, "web.default.svc.cluster.local", "A")
		return strings.Contains(tail.said(), " web.default.svc.cluster.local.")
	})

	// Nothing listens at the other port, and there is no kubelet.
	_, mistakes, err := c.plugin(t, "", "top", "--dns-port", freePort(t))
	for _, want := range []string{"By the API server's proxy: ", "connection refused", "By a port-forward: ", "the directive dashboard"} {
		if err == nil || !strings.Contains(mistakes, want) {
			t.Errorf("top: %v, no %q in\n%s", err, want, mistakes)
		}
	}
	grant(t, c, "reader", "pods", &rbacv1.ClusterRole{Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}}}})
	_, mistakes, err = c.plugin(t, "reader", "top", "--dns-port", port)
	if want := `{apiGroups: [""], resources: [pods/proxy], verbs: [get]}`; err == nil || !strings.Contains(mistakes, want) {
		t.Errorf("top: %v, no %q in\n%s", err, want, mistakes)
	}
	grant(t, c, "reader", "proxy", &rbacv1.ClusterRole{Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods/proxy"}, Verbs: []string{"get"}}}})
	await(t, patience, "the reader to be permitted", func() bool {
		out, _, err := c.plugin(t, "reader", "top", "--dns-port", port)
		return err == nil && strings.Contains(out, "web.default.svc.cluster.local")
	})
}
