package e2e

//lint:file-ignore SA1019 Endpoints are deprecated, and still written by hand for services without a selector

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The tests of this file are of the harness itself: what the other tests take
// for granted about the API server and the controllers.

// dualStack is a service of both families with a selector.
func dualStack(name string) *corev1.Service {
	policy := corev1.IPFamilyPolicyPreferDualStack
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{
			IPFamilyPolicy: &policy,
			Selector:       map[string]string{"app": name},
			Ports:          []corev1.ServicePort{{Name: "http", Port: 80}},
		},
	}
}

// createService creates a service in the namespace default.
func createService(t testing.TB, c *cluster, service *corev1.Service) *corev1.Service {
	t.Helper()
	created, err := c.CoreV1().Services("default").Create(t.Context(), service, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// createReadyPod creates a pod labelled app=app in the namespace default and
// gives it the status that a kubelet would: running, ready, with addresses of
// which the first is the primary one.
func createReadyPod(t testing.TB, c *cluster, name, app string, addresses ...string) {
	t.Helper()
	createReadyPodOn(t, c, node, name, app, addresses...)
}

// createReadyPodOn is createReadyPod on a certain node.
func createReadyPodOn(t testing.TB, c *cluster, node, name, app string, addresses ...string) {
	t.Helper()
	pods := c.CoreV1().Pods("default")
	pod, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{
			NodeName:   node,
			Containers: []corev1.Container{{Name: "main", Image: "none"}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod.Status.Phase = corev1.PodRunning
	pod.Status.PodIP = addresses[0]
	for _, address := range addresses {
		pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: address})
	}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	if _, err := pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// endpoints returns the ready addresses in the slices of a service, sorted.
func endpoints(t testing.TB, c *cluster, service string) []string {
	t.Helper()
	list, err := c.DiscoveryV1().EndpointSlices("default").List(t.Context(),
		metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, slice := range list.Items {
		for _, endpoint := range slice.Endpoints {
			if ready := endpoint.Conditions.Ready; ready == nil || *ready {
				found = append(found, endpoint.Addresses...)
			}
		}
	}
	slices.Sort(found)
	return found
}

func TestDualStackServiceGetsAnAddressOfEachRange(t *testing.T) {
	c := startCluster(t)
	service := createService(t, c, dualStack("web"))
	if len(service.Spec.ClusterIPs) != 2 {
		t.Fatalf("clusterIPs %q, want two", service.Spec.ClusterIPs)
	}
	for i, prefix := range []string{"10.96.0.0/12", "fd00:10:96::/112"} {
		if address := netip.MustParseAddr(service.Spec.ClusterIPs[i]); !netip.MustParsePrefix(prefix).Contains(address) {
			t.Errorf("address %v is not of %s", address, prefix)
		}
	}
}

func TestKilledServerComesBackWithItsObjects(t *testing.T) {
	c := startCluster(t)
	before := createService(t, c, dualStack("web"))
	c.kill(t)
	began := time.Now()
	c.start(t)
	t.Logf("ready again after %v", time.Since(began))
	// The same client: address, certificate and token are the same too.
	after, err := c.CoreV1().Services("default").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(before, after) {
		t.Errorf("before the kill:\n%v\nafter:\n%v", before, after)
	}
}

func TestRestoredSnapshotForgetsWhatCameLater(t *testing.T) {
	c := startCluster(t)
	createService(t, c, dualStack("early"))
	c.kill(t)
	snapshot := c.snapshot(t)
	c.start(t)
	late := createService(t, c, dualStack("late"))
	c.kill(t)
	c.restore(t, snapshot)
	c.start(t)

	services := c.CoreV1().Services("default")
	if _, err := services.Get(t.Context(), "early", metav1.GetOptions{}); err != nil {
		t.Errorf("the service in the snapshot: %v", err)
	}
	if _, err := services.Get(t.Context(), "late", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the service after the snapshot: error %v, want not found", err)
	}
	again := createService(t, c, dualStack("late"))
	if again.UID == late.UID {
		t.Error("the service created again is the old one")
	}
}

func TestControllersMakeSlices(t *testing.T) {
	c := startCluster(t)
	c.startControllers(t)

	createService(t, c, dualStack("web"))
	createReadyPod(t, c, "web-0", "web", "10.244.0.10", "fd00:10:244::10")
	want := []string{"10.244.0.10", "fd00:10:244::10"}
	await(t, patience, "the slices of the pod", func() bool {
		return slices.Equal(endpoints(t, c, "web"), want)
	})

	// Custom Endpoints of a service without a selector are mirrored.
	createService(t, c, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "external"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 3306}}},
	})
	_, err := c.CoreV1().Endpoints("default").Create(t.Context(), &corev1.Endpoints{
		ObjectMeta: metav1.ObjectMeta{Name: "external"},
		Subsets: []corev1.EndpointSubset{{
			Addresses: []corev1.EndpointAddress{{IP: "10.0.0.206"}},
			Ports:     []corev1.EndpointPort{{Port: 3306}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	await(t, patience, "the mirrored slice", func() bool {
		return slices.Equal(endpoints(t, c, "external"), []string{"10.0.0.206"})
	})
}

func TestRBACRefusesAUserWithoutRights(t *testing.T) {
	c := startCluster(t, "-authorization-mode", "RBAC", "-token", "guest=secret")
	guest := c.client(t, "guest")
	_, err := guest.CoreV1().Services("").List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("a user without rights: error %v, want forbidden", err)
	}
	createService(t, c, dualStack("web"))
}
