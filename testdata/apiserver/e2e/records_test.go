package e2e

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestRecordsOfALiveCluster lists a cluster, and then the same offline, of what
// kubectl get svc,endpointslices,ns -A -o yaml prints of it: the records are
// equal.
func TestRecordsOfALiveCluster(t *testing.T) {
	c := startCluster(t)
	c.startControllers(t)
	createService(t, c, dualStack("web"))
	createReadyPod(t, c, "web-0", "web", "10.244.0.10", "fd00:10:244::10")
	createService(t, c, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "headless"},
		Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Selector: map[string]string{"app": "web"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	})
	await(t, patience, "the slices of the pod", func() bool {
		return slices.Contains(endpoints(t, c, "web"), "10.244.0.10") &&
			slices.Contains(endpoints(t, c, "headless"), "10.244.0.10")
	})
	live := c.records(t, nil, "-kubeconfig", c.kubeconfig(""))
	for _, want := range []string{"web.default.svc.cluster.local. 5 IN A ", "headless.default.svc.cluster.local. 5 IN A 10.244.0.10\n",
		"kubernetes.default.svc.cluster.local. 5 IN A "} {
		if !strings.Contains(live, "\n"+want) {
			t.Errorf("no %q in\n%s", want, live)
		}
	}
	if offline := c.records(t, c.got(t, "/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices",
		"/api/v1/namespaces"), "-f", "-"); offline != live {
		t.Errorf("live:\n%s\noffline:\n%s", live, offline)
	}
}

// records runs "clusterdns records".
func (c *cluster) records(t *testing.T, stdin []byte, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), built(t, clusterdns), append([]string{"records"}, args...)...)
	var said bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &said
	out, err := cmd.Output()
	if err != nil || said.Len() > 0 {
		t.Fatalf("records %s: %v\n%s", strings.Join(args, " "), err, &said)
	}
	return string(out)
}

// got is all objects of some resources as kubectl get prints them: one List,
// whose members have their kind.
func (c *cluster) got(t *testing.T, paths ...string) []byte {
	t.Helper()
	all := map[string]any{"apiVersion": "v1", "kind": "List"}
	var items []any
	for _, path := range paths {
		raw, err := c.CoreV1().RESTClient().Get().AbsPath(path).SetHeader("Accept", "application/json").DoRaw(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var list struct {
			metav1.TypeMeta
			Items []map[string]any
		}
		if err := json.Unmarshal(raw, &list); err != nil {
			t.Fatal(err)
		}
		for _, item := range list.Items {
			item["apiVersion"], item["kind"] = list.APIVersion, strings.TrimSuffix(list.Kind, "List")
			items = append(items, item)
		}
	}
	all["items"] = items
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
