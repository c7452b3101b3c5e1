package watch

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	corev1 "k8s.io/api/core/v1"
)

// ServiceImport is a custom resource (KEP-1645). These are the fields of it that are read, in the form the API server's JSON has.

var importsVersion = schema.GroupVersion{Group: "multicluster.x-k8s.io", Version: "v1alpha1"}

type serviceImport struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Type  string   `json:"type"` // "ClusterSetIP" or "Headless"
		IPs   []string `json:"ips"`
		Ports []struct {
			Name     string          `json:"name"`
			Protocol corev1.Protocol `json:"protocol"`
			Port     int32           `json:"port"`
		} `json:"ports"`
	} `json:"spec"`
}

type serviceImportList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []serviceImport `json:"items"`
}

// DeepCopyObject implements runtime.Object.
func (o *serviceImport) DeepCopyObject() runtime.Object {
	c := *o
	c.ObjectMeta = *o.ObjectMeta.DeepCopy()
	c.Spec.IPs, c.Spec.Ports = slices.Clone(o.Spec.IPs), slices.Clone(o.Spec.Ports)
	return &c
}

// DeepCopyObject implements runtime.Object.
func (o *serviceImportList) DeepCopyObject() runtime.Object {
	c := *o
	c.ListMeta = *o.ListMeta.DeepCopy()
	c.Items = nil
	for i := range o.Items {
		c.Items = append(c.Items, *o.Items[i].DeepCopyObject().(*serviceImport))
	}
	return &c
}

func addImportsToScheme(s *runtime.Scheme) error {
	s.AddKnownTypeWithName(importsVersion.WithKind("ServiceImport"), &serviceImport{})
	s.AddKnownTypeWithName(importsVersion.WithKind("ServiceImportList"), &serviceImportList{})
	return nil
}

// stripImport keeps what is read of a ServiceImport: to names it is a service whose cluster IPs are those of the clusterset.
func stripImport(o *serviceImport) (*service, []problem) {
	spec := corev1.ServiceSpec{ClusterIPs: o.Spec.IPs}
	if o.Spec.Type == "Headless" {
		spec.ClusterIPs = []string{corev1.ClusterIPNone}
	}
	for _, p := range o.Spec.Ports {
		spec.Ports = append(spec.Ports, corev1.ServicePort{Name: p.Name, Protocol: p.Protocol, Port: p.Port})
	}
	s, problems := stripService(&corev1.Service{ObjectMeta: o.ObjectMeta, Spec: spec})
	for i := range problems {
		problems[i].kind = "serviceimport"
	}
	return s, problems
}
