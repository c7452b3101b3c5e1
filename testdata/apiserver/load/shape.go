package main

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A shape is how many services of each kind there are, and how many endpoints
// each has.
type shape struct {
	headless, headlessEndpoints   int
	clusterIP, clusterIPEndpoints int
	externalName                  int
}

var shapes = map[string]shape{
	// 10,000 services, 155,000 endpoints.
	"10k": {headless: 2_000, headlessEndpoints: 40, clusterIP: 7_500, clusterIPEndpoints: 10, externalName: 500},
	// 100,000 services, 305,000 endpoints: as many of each kind as in ten of the
	// other, with fewer endpoints each.
	"100k": {headless: 20_000, headlessEndpoints: 4, clusterIP: 75_000, clusterIPEndpoints: 3, externalName: 5_000},
}

// scaled is a shape of about so many services: up to 10,000 with as many
// endpoints each as in 10k, above as in 100k.
func scaled(services int) shape {
	s := shapes["10k"]
	if services > s.services() {
		s = shapes["100k"]
	}
	all := s.services()
	s.headless, s.clusterIP = s.headless*services/all, s.clusterIP*services/all
	s.externalName = services - s.headless - s.clusterIP
	return s
}

// namespaces is over how many namespaces the services of each shape are spread.
const namespaces = 100

// sliceSize is the most endpoints of a slice, as the controller makes them.
const sliceSize = 100

func (s shape) services() int { return s.headless + s.clusterIP + s.externalName }

// kind is a kind of service.
type kind int

const (
	headless kind = iota
	clusterIP
	externalName
)

// of says what the i-th service is: the n-th of a kind, with so many endpoints.
func (s shape) of(i int) (k kind, n, endpoints int) {
	switch {
	case i < s.headless:
		return headless, i, s.headlessEndpoints
	case i < s.headless+s.clusterIP:
		return clusterIP, i - s.headless, s.clusterIPEndpoints
	}
	return externalName, i - s.headless - s.clusterIP, 0
}

// firstEndpoint is the number of all endpoints of the services before the i-th.
func (s shape) firstEndpoint(i int) int {
	switch k, n, endpoints := s.of(i); k {
	case headless:
		return n * endpoints
	default:
		return s.headless*s.headlessEndpoints + min(n, s.clusterIP)*endpoints
	}
}

func namespaceName(i int) string { return fmt.Sprintf("team-%02d", i%namespaces) }

func namespace(i int) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceName(i)}}
}

// name is the name of the i-th service, of a length that people give.
func (s shape) name(i int) string {
	k, n, _ := s.of(i)
	return fmt.Sprintf([...]string{"store-%05d-headless", "orders-api-%05d", "partner-%05d"}[k], n)
}

// service is the i-th service.
func (s shape) service(i int) *corev1.Service {
	k, n, _ := s.of(i)
	name := s.name(i)
	o := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespaceName(i), Name: name, Labels: objectLabels(name)}}
	switch k {
	case externalName:
		o.Spec.Type, o.Spec.ExternalName = corev1.ServiceTypeExternalName, fmt.Sprintf("partner-%05d.example.com", n)
		return o
	case headless:
		o.Spec.ClusterIP = corev1.ClusterIPNone
		o.Spec.SessionAffinity = corev1.ServiceAffinityClientIP // which means nothing to a server that is not told to keep it
		o.Spec.Ports = []corev1.ServicePort{{Name: "peer", Port: 7000, TargetPort: intstr.FromInt32(7000)}}
	case clusterIP:
		o.Spec.ClusterIP = address(netip.AddrFrom4([4]byte{10, 100, 0, 0}), n).String()
		o.Spec.Ports = []corev1.ServicePort{
			{Name: "http", Port: 80, TargetPort: intstr.FromString("http")},
			{Name: "metrics", Port: 9090, TargetPort: intstr.FromString("metrics")},
		}
	}
	o.Spec.Selector = map[string]string{"app.kubernetes.io/name": name}
	o.Spec.Type = corev1.ServiceTypeClusterIP
	o.Spec.ClusterIPs = []string{o.Spec.ClusterIP}
	o.Spec.IPFamilies, o.Spec.IPFamilyPolicy = []corev1.IPFamily{corev1.IPv4Protocol}, new(corev1.IPFamilyPolicySingleStack)
	return o
}

func (s shape) isClusterIP(i int) bool {
	k, _, _ := s.of(i)
	return k == clusterIP
}

// allocation is what says that a service has its cluster IP.
func allocation(service *corev1.Service) *networkingv1.IPAddress {
	return &networkingv1.IPAddress{
		ObjectMeta: metav1.ObjectMeta{Name: service.Spec.ClusterIP, Labels: map[string]string{
			networkingv1.LabelIPAddressFamily: "IPv4", networkingv1.LabelManagedBy: "ipallocator.k8s.io"}},
		Spec: networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{
			Resource: "services", Namespace: service.Namespace, Name: service.Name}},
	}
}

func objectLabels(name string) map[string]string {
	return map[string]string{"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/version": "1.0.0"}
}

// address is the n-th address after base.
func address(base netip.Addr, n int) netip.Addr {
	b := base.As4()
	number := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	number += uint32(n)
	return netip.AddrFrom4([4]byte{byte(number >> 24), byte(number >> 16), byte(number >> 8), byte(number)})
}

// slices are the EndpointSlices of the i-th service.
func (s shape) slices(i int, service *corev1.Service) (made []*discoveryv1.EndpointSlice) {
	_, _, count := s.of(i)
	for first := 0; first < count; first += sliceSize {
		made = append(made, s.slice(i, service, first, min(sliceSize, count-first)))
	}
	return made
}

// slice has what the EndpointSlice controller writes, for count pods of a
// service from its first-th on.
func (s shape) slice(i int, service *corev1.Service, first, count int) *discoveryv1.EndpointSlice {
	labels := objectLabels(service.Name)
	labels[discoveryv1.LabelServiceName] = service.Name
	labels[discoveryv1.LabelManagedBy] = "endpointslice-controller.k8s.io"
	o := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:    service.Namespace,
			Name:         fmt.Sprintf("%s-%05d", service.Name, first/sliceSize),
			GenerateName: service.Name + "-",
			Labels:       labels,
			Annotations:  map[string]string{corev1.EndpointsLastChangeTriggerTime: "2026-01-01T00:00:00Z"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	protocol := corev1.ProtocolTCP
	for _, p := range service.Spec.Ports {
		number := p.Port
		if p.Port == 80 {
			number = 8080
		}
		o.Ports = append(o.Ports, discoveryv1.EndpointPort{Name: &p.Name, Protocol: &protocol, Port: &number})
	}
	for j := first; j < first+count; j++ {
		o.Endpoints = append(o.Endpoints, s.endpoint(i, j, service))
	}
	return o
}

// endpoint is the j-th pod of the i-th service. Pods of headless services
// have host names, as those of a StatefulSet.
func (s shape) endpoint(i, j int, service *corev1.Service) discoveryv1.Endpoint {
	yes, no := true, false
	number := s.firstEndpoint(i) + j
	pod := fmt.Sprintf("%s-%d", service.Name, j)
	node, zone := fmt.Sprintf("node-%04d", number%1000), fmt.Sprintf("zone-%c", 'a'+number%3)
	e := discoveryv1.Endpoint{
		Addresses:  []string{address(netip.AddrFrom4([4]byte{10, 128, 0, 0}), number).String()},
		Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no},
		NodeName:   &node,
		Zone:       &zone,
		TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: service.Namespace, Name: pod,
			UID: types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012x", number))},
	}
	if k, _, _ := s.of(i); k == headless {
		e.Hostname = &pod
	}
	return e
}
