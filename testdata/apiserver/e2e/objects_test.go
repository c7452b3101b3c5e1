package e2e

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What tests write to an API server, in the namespace default unless they say
// otherwise.

// clusterIP is a service with the cluster IPs given, and the port http, 80.
func clusterIP(name string, addresses ...string) *corev1.Service {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{
			ClusterIP:  addresses[0],
			ClusterIPs: addresses,
			Ports:      []corev1.ServicePort{{Name: "http", Port: 80}},
		},
	}
	if len(addresses) == 2 {
		policy := corev1.IPFamilyPolicyRequireDualStack
		service.Spec.IPFamilyPolicy = &policy
	}
	return service
}

// headless is a service without a cluster IP, with the port http, 80.
func headless(name string) *corev1.Service { return clusterIP(name, corev1.ClusterIPNone) }

// externalName is a service that is another name.
func externalName(name, target string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: target},
	}
}

// changeService gets, edits and updates a service.
func changeService(t testing.TB, c *cluster, name string, edit func(*corev1.Service)) *corev1.Service {
	t.Helper()
	services := c.CoreV1().Services("default")
	service, err := services.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	edit(service)
	if service, err = services.Update(t.Context(), service, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	return service
}

func deleteService(t testing.TB, c *cluster, name string) {
	t.Helper()
	if err := c.CoreV1().Services("default").Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// slice is an EndpointSlice of a service, written by hand, with its port http,
// 8080.
func slice(service, name string, family discoveryv1.AddressType, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	port, number := "http", int32(8080)
	return &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: family,
		Ports:       []discoveryv1.EndpointPort{{Name: &port, Port: &number}},
		Endpoints:   endpoints,
	}
}

// ready is an endpoint without a word on its readiness, which means ready;
// hostname may be empty.
func ready(hostname, address string) discoveryv1.Endpoint {
	endpoint := discoveryv1.Endpoint{Addresses: []string{address}}
	if hostname != "" {
		endpoint.Hostname = &hostname
	}
	return endpoint
}

// unready is an endpoint that must not be answered.
func unready(hostname, address string) discoveryv1.Endpoint {
	endpoint, no := ready(hostname, address), false
	endpoint.Conditions.Ready = &no
	return endpoint
}

func createSlice(t testing.TB, c *cluster, slice *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	t.Helper()
	created, err := c.DiscoveryV1().EndpointSlices("default").Create(t.Context(), slice, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// updateSlice writes a slice whatever is there by now.
func updateSlice(t testing.TB, c *cluster, slice *discoveryv1.EndpointSlice) {
	t.Helper()
	if _, err := c.DiscoveryV1().EndpointSlices("default").Update(t.Context(), slice, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func deleteSlice(t testing.TB, c *cluster, name string) {
	t.Helper()
	if err := c.DiscoveryV1().EndpointSlices("default").Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// changePodStatus gets a pod, edits its status and updates it, as a kubelet
// does.
func changePodStatus(t testing.TB, c *cluster, name string, edit func(*corev1.PodStatus)) {
	t.Helper()
	pods := c.CoreV1().Pods("default")
	pod, err := pods.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	edit(&pod.Status)
	if _, err := pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// setReady changes the condition that readiness probes are for.
func setReady(t testing.TB, c *cluster, pod string, status corev1.ConditionStatus) {
	t.Helper()
	changePodStatus(t, c, pod, func(s *corev1.PodStatus) {
		s.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}
	})
}

// deletePod deletes a pod at once, as a kubelet does when it has ended.
func deletePod(t testing.TB, c *cluster, name string) {
	t.Helper()
	now := int64(0)
	err := c.CoreV1().Pods("default").Delete(t.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	if err != nil {
		t.Fatal(err)
	}
}
