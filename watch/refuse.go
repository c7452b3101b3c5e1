package watch

//lint:file-ignore SA1019 Endpoints are deprecated, and still written by hand for services without a selector

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// refuse says why an API server would not take an object, as far as names and addresses go.
func (c *cluster) refuse(o metav1.Object) (words []string) {
	switch {
	case o.GetName() == "":
		return []string{"it has no name"}
	case !validName(o.GetName()) || strings.Contains(o.GetName(), "_"):
		return []string{fmt.Sprintf("name %q is not a DNS name", o.GetName())}
	case o.GetNamespace() != "" && !validLabel(o.GetNamespace()):
		return []string{fmt.Sprintf("namespace %q is not a DNS label", o.GetNamespace())}
	}
	var wrong problems
	switch o := o.(type) {
	case *corev1.Namespace:
		_, wrong.list = stripNamespace(o, c.options)
	case *corev1.Service:
		refuseService(o, &wrong)
	case *serviceImport:
		_, wrong.list = stripImport(o)
		if t := o.Spec.Type; t != "ClusterSetIP" && t != "Headless" {
			wrong.add(t, "type %q is not ClusterSetIP or Headless")
		}
	case *corev1.Endpoints:
		for _, mirrored := range mirror(o) {
			_, problems := stripSlice(mirrored, c.options)
			wrong.list = append(wrong.list, problems...)
		}
	case *discoveryv1.EndpointSlice:
		_, wrong.list = stripSlice(o, Options{})
		repeated(&wrong, o.Ports, func(p discoveryv1.EndpointPort) string { return value(p.Name) })
	case *corev1.Pod:
		_, wrong.list = stripPod(o)
		if o.Spec.Hostname != "" && !validLabel(o.Spec.Hostname) {
			wrong.add(o.Spec.Hostname, "hostname %q is not a DNS label")
		}
	}
	for _, p := range wrong.list {
		if !slices.Contains(words, p.words) {
			words = append(words, p.words)
		}
	}
	return words
}

// serviceTypes are those an API server knows; "" is ClusterIP.
var serviceTypes = []corev1.ServiceType{"", corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeExternalName}

// refuseService is about what names depend on: a service without ports has them all the same, and is taken.
func refuseService(o *corev1.Service, wrong *problems) {
	_, wrong.list = stripService(o)
	if t := o.Spec.Type; !slices.Contains(serviceTypes, t) {
		wrong.add(t, "type %q is not ClusterIP, NodePort, LoadBalancer or ExternalName")
	} else if headless := slices.Contains(clusterIPs(o), corev1.ClusterIPNone); headless && t != "" && t != corev1.ServiceTypeClusterIP {
		wrong.add(t, "type %q has no place for the cluster IP None of a headless service")
	} else if t == corev1.ServiceTypeExternalName && len(clusterIPs(o)) > 0 {
		wrong.add(clusterIPs(o)[0], "cluster IP %q has no place in a service of type ExternalName")
	}
	if one, all := o.Spec.ClusterIP, o.Spec.ClusterIPs; one != "" && len(all) > 0 && one != all[0] {
		wrong.add(one, "clusterIP %q is not the first of clusterIPs")
	}
	for _, family := range o.Spec.IPFamilies {
		if family != corev1.IPv4Protocol && family != corev1.IPv6Protocol {
			wrong.add(family, "ipFamilies: %q is not IPv4 or IPv6")
		}
	}
	refusePorts(o.Spec.Ports, wrong)
}

// refusePorts: several ports are told apart by names, and by protocol and number.
func refusePorts(ports []corev1.ServicePort, wrong *problems) {
	type number struct {
		protocol corev1.Protocol
		port     int32
	}
	numbers := map[number]bool{}
	for _, p := range ports {
		if n := p.TargetPort.IntVal; n < 0 || n > 65535 {
			wrong.add(n, "target port \"%d\" is not between 1 and 65535")
		}
		if p.Name == "" && len(ports) > 1 {
			wrong.add(p.Port, "port \"%d\" is one of several and has no name")
		}
		n := number{cmp.Or(p.Protocol, corev1.ProtocolTCP), p.Port}
		if numbers[n] {
			wrong.add(p.Port, "port \"%d\" is there twice for its protocol")
		}
		numbers[n] = true
	}
	repeated(wrong, ports, func(p corev1.ServicePort) string { return p.Name })
}

// repeated adds the names that more than one port has.
func repeated[P any](wrong *problems, ports []P, name func(P) string) {
	seen := map[string]bool{}
	for _, p := range ports {
		if n := name(p); n != "" && seen[n] {
			wrong.add(n, "port name %q is there twice")
		} else {
			seen[n] = true
		}
	}
}
