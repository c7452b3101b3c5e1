package object

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// importVersions are those of ServiceImports that are read, the preferred one first. What is read of them is the same in
// each.
var importVersions = []schema.GroupVersion{
	{Group: "multicluster.x-k8s.io", Version: "v1beta1"},
	{Group: "multicluster.x-k8s.io", Version: "v1alpha1"},
}

// ServiceImport is a custom resource (KEP-1645): the fields of it that are read, as the API server's JSON has them.
// Schemes know it by the name of its Go type.
type ServiceImport struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Type  string   `json:"type"` // "ClusterSetIP" or "Headless"
		IPs   []string `json:"ips"`
		Ports []struct {
			Name     string          `json:"name"`
			Protocol corev1.Protocol `json:"protocol"`
			Port     *int32          `json:"port"`
		} `json:"ports"`
	} `json:"spec"`
}

// ServiceImportList is a list of them. Schemes know it by the name of its Go type.
type ServiceImportList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []ServiceImport `json:"items"`
}

// DeepCopyObject implements runtime.Object.
func (o *ServiceImport) DeepCopyObject() runtime.Object {
	c := *o
	c.ObjectMeta = *o.ObjectMeta.DeepCopy()
	c.Spec.IPs, c.Spec.Ports = slices.Clone(o.Spec.IPs), slices.Clone(o.Spec.Ports)
	return &c
}

// DeepCopyObject implements runtime.Object.
func (o *ServiceImportList) DeepCopyObject() runtime.Object {
	c := *o
	c.ListMeta = *o.ListMeta.DeepCopy()
	c.Items = nil
	for i := range o.Items {
		c.Items = append(c.Items, *o.Items[i].DeepCopyObject().(*ServiceImport))
	}
	return &c
}

// stripImport keeps what is read of a ServiceImport: to names it is a service whose cluster IPs are those of the
// clusterset.
func stripImport(o *ServiceImport, selection Selection) (*Service, []Problem) {
	spec := corev1.ServiceSpec{ClusterIPs: o.Spec.IPs}
	if o.Spec.Type == "Headless" {
		spec.ClusterIPs = []string{corev1.ClusterIPNone}
	}
	for _, p := range o.Spec.Ports {
		spec.Ports = append(spec.Ports, corev1.ServicePort{Name: p.Name, Protocol: p.Protocol, Port: Value(p.Port)})
	}
	s, problems := StripService(&corev1.Service{ObjectMeta: o.ObjectMeta, Spec: spec})
	if s != nil && selection.NearestCluster {
		wrong := Problems{Key: s.Key, List: problems}
		s.Nearest, _ = annotatedNearest(o.Annotations, &wrong)
		problems = wrong.List
	}
	for i := range problems {
		problems[i].Kind = "serviceimport"
	}
	return s, problems
}
