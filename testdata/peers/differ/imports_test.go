package differ

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/mcs-api/config/crd"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
)

// clusterset is the zone of services that other clusters export, and members
// are those clusters.
const clusterset = "clusterset.local"

var members = []string{"east", "west", "tcp"}

// importsPath is where the API server has the imports of a namespace.
func importsPath(namespace string) string {
	return "/apis/multicluster.x-k8s.io/v1alpha1/namespaces/" + namespace + "/serviceimports"
}

// addImports adds imports to a namespace, some of them named like services,
// with the slices that the clusterset's controllers would copy.
func (w *world) addImports(namespace string) {
	names := append([]string{}, serviceWords...)
	w.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names[:w.IntN(4)] {
		s := &corev1.Service{ObjectMeta: w.meta(namespace, name)}
		s.Spec.Ports = w.servicePorts(1 + w.IntN(3))
		if w.chance(60) {
			s.Spec.ClusterIP = corev1.ClusterIPNone
		} else {
			s.Spec.ClusterIPs = []string{fmt.Sprintf("10.42.%d.%d", w.IntN(4), 1+w.IntN(250))}
			if w.chance(40) {
				s.Spec.ClusterIPs = append(s.Spec.ClusterIPs, fmt.Sprintf("fd00:42::%x", 1+w.IntN(4000)))
			}
		}
		w.imports = append(w.imports, s)
		for range w.IntN(4) {
			slice := w.newSlice(s, pick(w, []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6}))
			slice.Labels[discoveryv1.LabelServiceName] = "derived" // without a name CoreDNS does not answer for its addresses
			slice.Labels[mcsv1alpha1.LabelServiceName] = name
			slice.Labels[mcsv1alpha1.LabelSourceCluster] = pick(w, members)
			slice.Ports = w.slicePorts(s)
			for range w.IntN(4) {
				slice.Endpoints = append(slice.Endpoints, w.endpoint(s, slice.AddressType))
			}
			w.slices = append(w.slices, slice)
		}
	}
}

// serviceImport is the object of which s says what its names are made of.
func serviceImport(s *corev1.Service) *mcsv1alpha1.ServiceImport {
	o := &mcsv1alpha1.ServiceImport{
		TypeMeta:   metav1.TypeMeta{APIVersion: "multicluster.x-k8s.io/v1alpha1", Kind: "ServiceImport"},
		ObjectMeta: s.ObjectMeta,
		Spec:       mcsv1alpha1.ServiceImportSpec{Type: mcsv1alpha1.ClusterSetIP, IPs: s.Spec.ClusterIPs, Ports: []mcsv1alpha1.ServicePort{}},
	}
	if kindOf(s) == "headless" {
		o.Spec.Type = mcsv1alpha1.Headless
	}
	for _, p := range s.Spec.Ports {
		o.Spec.Ports = append(o.Spec.Ports, mcsv1alpha1.ServicePort{Name: p.Name, Protocol: p.Protocol, Port: p.Port})
	}
	return o
}

// importBases are the names of an import, and those that a service would have.
func (w *world) importBases(s *corev1.Service, add func(what string, parts ...string)) {
	w.serviceBases(s, clusterset, add)
	below := func(what string, labels ...string) {
		add(kindOf(s)+" import "+what, append(labels, s.Name, s.Namespace, "svc", clusterset)...)
	}
	for _, slice := range w.slicesOf(s) {
		member := slice.Labels[mcsv1alpha1.LabelSourceCluster]
		below("member", member)
		for _, e := range slice.Endpoints {
			if e.Hostname != nil {
				below("hostname", *e.Hostname, member)
				below("hostname of another", *e.Hostname, pick(w, members))
			}
			for _, address := range e.Addresses {
				below("dashed", dashes(netip.MustParseAddr(address)), member)
			}
		}
	}
}

// defineImports tells the API server of the resource, and waits until it has
// it.
func defineImports(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	api := client.Discovery().RESTClient()
	err := api.Post().AbsPath("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").SetHeader("Content-Type", "application/yaml").
		Body(crd.ServiceImportCRD).Do(t.Context()).Error()
	if err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if err := api.Get().AbsPath(importsPath("default")).Do(t.Context()).Error(); err == nil {
			return
		} else if time.Since(began) > time.Minute {
			t.Fatal(err)
		}
	}
}

// loadImports makes the imports of the world.
func (w *world) loadImports(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	all(t, w.imports, func(s *corev1.Service) error {
		body, err := json.Marshal(serviceImport(s))
		if err != nil {
			return err
		}
		return client.Discovery().RESTClient().Post().AbsPath(importsPath(s.Namespace)).SetHeader("Content-Type", "application/json").
			Body(body).Do(t.Context()).Error()
	})
}

// unloadImports deletes them.
func unloadImports(ctx context.Context, client kubernetes.Interface, namespace string) error {
	err := client.Discovery().RESTClient().Delete().AbsPath(importsPath(namespace)).Do(ctx).Error()
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
