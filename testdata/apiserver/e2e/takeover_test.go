package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// deployed reads a file of the kustomize base.
func deployed(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile("../../../deploy/base/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatal(err)
	}
}

// portsOf is which ports each address of kube-dns has in its slices.
func portsOf(all []discoveryv1.EndpointSlice) map[string][]string {
	found := map[string][]string{}
	for i := range all {
		for _, e := range all[i].Endpoints {
			for _, p := range all[i].Ports {
				found[e.Addresses[0]] = append(found[e.Addresses[0]], fmt.Sprintf("%s %d", *p.Name, *p.Port))
			}
		}
	}
	for _, ports := range found {
		slices.Sort(ports)
	}
	return found
}

// TestServiceOfHelmLosesNoEndpoint applies the Service of the base over that
// of a CoreDNS which Helm has installed. Its chart calls container ports
// udp-53, tcp-53 and tcp-9153, where kubeadm has dns, dns-tcp and metrics.
func TestServiceOfHelmLosesNoEndpoint(t *testing.T) {
	c := startCluster(t)
	c.startControllers(t)
	service, deployment := new(corev1.Service), new(appsv1.Deployment)
	deployed(t, "service.yaml", service)
	deployed(t, "deployment.yaml", deployment)
	const coredns, ours = "10.244.0.53", "10.244.0.54"
	helm := []corev1.ContainerPort{{Name: "udp-53", ContainerPort: 53, Protocol: corev1.ProtocolUDP},
		{Name: "tcp-53", ContainerPort: 53, Protocol: corev1.ProtocolTCP}, {Name: "tcp-9153", ContainerPort: 9153}}
	createServingPod(t, c, "coredns", coredns, map[string]string{"k8s-app": "kube-dns"}, helm)
	template := deployment.Spec.Template
	createServingPod(t, c, "clusterdns", ours, template.Labels, template.Spec.Containers[0].Ports)

	before := service.DeepCopy()
	before.Namespace = "default"
	before.Spec.ClusterIP = ""
	for i, name := range []string{"udp-53", "tcp-53", "tcp-9153"} {
		before.Spec.Ports[i].Name, before.Spec.Ports[i].TargetPort = name, intstr.FromString(name)
	}
	createService(t, c, before)
	endpointSlices := func() []discoveryv1.EndpointSlice {
		list, err := c.DiscoveryV1().EndpointSlices("default").List(t.Context(),
			metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=kube-dns"})
		if err != nil {
			t.Fatal(err)
		}
		return list.Items
	}
	old := []string{"tcp-53 53", "tcp-9153 9153", "udp-53 53"}
	await(t, patience, "the endpoint of CoreDNS", func() bool {
		return slices.Equal(portsOf(endpointSlices())[coredns], old)
	})

	applyService(t, c, service)
	want := []string{"dns 53", "dns-tcp 53", "metrics 9153"}
	await(t, patience, "both to be endpoints", func() bool {
		// Each port of the old names or of the new ones: at no moment is CoreDNS without one.
		now := portsOf(endpointSlices())
		if len(now[coredns]) < len(want) {
			t.Fatalf("CoreDNS has the ports %q alone", now[coredns])
		}
		return slices.Equal(now[coredns], want) && slices.Equal(now[ours], want)
	})

	// What a name would have done.
	service.Spec.Ports[0].TargetPort = intstr.FromString("dns")
	applyService(t, c, service)
	await(t, patience, "CoreDNS to lose the port of UDP", func() bool {
		return slices.Equal(portsOf(endpointSlices())[coredns], want[1:])
	})
}

// createServingPod creates a ready pod with container ports.
func createServingPod(t *testing.T, c *cluster, name, address string, labels map[string]string, ports []corev1.ContainerPort) {
	t.Helper()
	pods := c.CoreV1().Pods("default")
	pod, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: name, Image: "none", Ports: ports}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: address, PodIPs: []corev1.PodIP{{IP: address}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	if _, err := pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// applyService does what kubectl apply --server-side --force-conflicts does.
func applyService(t *testing.T, c *cluster, service *corev1.Service) {
	t.Helper()
	applied := service.DeepCopy()
	applied.Namespace, applied.Spec.ClusterIP = "default", "" // the address stays
	text, err := json.Marshal(applied)
	if err != nil {
		t.Fatal(err)
	}
	force := true
	_, err = c.CoreV1().Services("default").Patch(t.Context(), service.Name, types.ApplyPatchType, text,
		metav1.PatchOptions{FieldManager: "kubectl", Force: &force, FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		t.Fatal(err)
	}
}
