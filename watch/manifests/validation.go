package manifests

//lint:file-ignore SA1019 Endpoints are deprecated, and still written by hand for services without a selector

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/clusterdns/clusterdns/watch/object"
)

// validate finds why an API server would reject an object, as far as names and addresses go.
func (c *controlPlane) validate(o metav1.Object) (words []string) {
	switch {
	case o.GetName() == "":
		return []string{"it has no name"}
	case !object.ValidName(o.GetName()) || strings.Contains(o.GetName(), "_"):
		return []string{fmt.Sprintf("name %q is not a DNS name", o.GetName())}
	case o.GetNamespace() != "" && !object.ValidLabel(o.GetNamespace()):
		return []string{fmt.Sprintf("namespace %q is not a DNS label", o.GetNamespace())}
	}
	wrong := object.Problems{List: stripProblems(o)}
	switch o := o.(type) {
	case *corev1.Service:
		validateService(o, &wrong)
	case *object.ServiceImport:
		if t := o.Spec.Type; t != "ClusterSetIP" && t != "Headless" {
			wrong.Add(t, "type %q is not ClusterSetIP or Headless")
		}
	case *corev1.Endpoints:
		for _, mirrored := range mirror(o) {
			_, problems := object.StripSlice(mirrored, c.selection)
			wrong.List = append(wrong.List, problems...)
			validateEndpoints(mirrored, &wrong)
		}
	case *discoveryv1.EndpointSlice:
		repeated(&wrong, o.Ports, func(p discoveryv1.EndpointPort) string { return object.Value(p.Name) })
		validateEndpoints(o, &wrong)
	case *corev1.Pod:
		validateAddresses(object.PodIPs(o), &wrong)
		if o.Spec.Hostname != "" && !object.ValidLabel(o.Spec.Hostname) {
			wrong.Add(o.Spec.Hostname, "hostname %q is not a DNS label")
		}
	}
	for _, p := range wrong.List {
		if !slices.Contains(words, p.Words) {
			words = append(words, p.Words)
		}
	}
	return words
}

// stripProblems are what an object of a resource has that no name can be made of.
func stripProblems(o metav1.Object) []object.Problem {
	for _, r := range object.Resources {
		if _, problems, ok := r.Strip(o, object.Selection{}); ok {
			return problems
		}
	}
	return nil
}

// serviceTypes are those that an API server accepts; "" is ClusterIP.
var serviceTypes = []corev1.ServiceType{
	"",
	corev1.ServiceTypeClusterIP,
	corev1.ServiceTypeNodePort,
	corev1.ServiceTypeLoadBalancer,
	corev1.ServiceTypeExternalName,
}

// validateService is about what names depend on: a service without ports has them all the same, and is valid.
func validateService(o *corev1.Service, wrong *object.Problems) {
	headless := slices.Contains(object.ClusterIPs(o), corev1.ClusterIPNone)
	if t := o.Spec.Type; !slices.Contains(serviceTypes, t) {
		wrong.Add(t, "type %q is not ClusterIP, NodePort, LoadBalancer or ExternalName")
	} else if headless && t != "" && t != corev1.ServiceTypeClusterIP {
		wrong.Add(t, "type %q has no place for the cluster IP None of a headless service")
	} else if t == corev1.ServiceTypeExternalName && len(object.ClusterIPs(o)) > 0 {
		wrong.Add(object.ClusterIPs(o)[0], "cluster IP %q has no place in a service of type ExternalName")
	}
	if one, all := o.Spec.ClusterIP, o.Spec.ClusterIPs; one != "" && len(all) > 0 && one != all[0] {
		wrong.Add(one, "clusterIP %q is not the first of clusterIPs")
	}
	for _, family := range o.Spec.IPFamilies {
		if family != corev1.IPv4Protocol && family != corev1.IPv6Protocol {
			wrong.Add(family, "ipFamilies: %q is not IPv4 or IPv6")
		}
	}
	validateAddresses(object.ClusterIPs(o), wrong)
	validatePorts(o.Spec.Ports, wrong)
}

func validateEndpoints(o *discoveryv1.EndpointSlice, wrong *object.Problems) {
	for i := range o.Endpoints {
		validateAddresses(o.Endpoints[i].Addresses, wrong)
	}
}

// validateAddresses finds the forms of addresses that API servers refuse in new objects since 1.36, though they keep
// and read those that older ones took.
func validateAddresses(texts []string, wrong *object.Problems) {
	for _, text := range texts {
		_, read := object.ParseAddr(text)
		if read && len(validation.IsValidIPForLegacyField(nil, text, true, nil)) > 0 {
			wrong.Add(text, "address %q has octets that begin with 0, or is IPv4 mapped into IPv6")
		}
	}
}

// validatePorts: several ports are told apart by names, and by protocol and number.
func validatePorts(ports []corev1.ServicePort, wrong *object.Problems) {
	type number struct {
		protocol corev1.Protocol
		port     int32
	}
	numbers := map[number]bool{}
	for _, p := range ports {
		if n := p.TargetPort.IntVal; n < 0 || n > 65535 {
			wrong.Add(n, "target port \"%d\" is not between 1 and 65535")
		}
		if p.Name == "" && len(ports) > 1 {
			wrong.Add(p.Port, "port \"%d\" is one of several and has no name")
		}
		n := number{cmp.Or(p.Protocol, corev1.ProtocolTCP), p.Port}
		if numbers[n] {
			wrong.Add(p.Port, "port \"%d\" is there twice for its protocol")
		}
		numbers[n] = true
	}
	repeated(wrong, ports, func(p corev1.ServicePort) string { return p.Name })
}

// repeated adds the names that more than one port has.
func repeated[P any](wrong *object.Problems, ports []P, name func(P) string) {
	seen := map[string]bool{}
	for _, p := range ports {
		if n := name(p); n != "" && seen[n] {
			wrong.Add(n, "port name %q is there twice")
		} else {
			seen[n] = true
		}
	}
}
