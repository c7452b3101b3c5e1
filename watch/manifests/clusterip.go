package manifests

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/clusterdns/clusterdns/watch/object"
)

// serviceRanges are what an API server gives cluster IPs from.
var serviceRanges = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd00:10:96::/112")}

// ownAddress is the first of the range: that of the API server's own service.
var ownAddress = serviceRanges[0].Addr().Next()

// own is the name of the API server's own service.
var own = object.Key{Namespace: metav1.NamespaceDefault, Name: "kubernetes"}

// addOwn makes the service that every API server has, unless it is written. What is behind it is no object of the
// manifests, so that it has no endpoints.
func (c *controlPlane) addOwn() {
	if _, exists := c.written[id{"Service", own}]; exists || c.rejected[own] != nil {
		return
	}
	c.services = append(c.services, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: own.Namespace,
			Name:      own.Name,
			Labels:    map[string]string{"component": "apiserver", "provider": "kubernetes"},
		},
		Spec: corev1.ServiceSpec{
			ClusterIP: ownAddress.String(),
			Ports:     []corev1.ServicePort{{Name: "https", Port: 443, TargetPort: intstr.FromInt32(6443)}},
		},
	})
}

// inServiceRange refuses a cluster IP that the API server cannot give: outside the ranges, the first address of a range,
// which is that of the network, and the last one of IPv4, which is for broadcasts.
func inServiceRange(at *field.Path, addr netip.Addr) field.ErrorList {
	for _, r := range serviceRanges {
		if !r.Contains(addr) {
			continue
		}
		if addr == r.Addr() || addr.Is4() && !r.Contains(addr.Next()) {
			return field.ErrorList{field.Invalid(at, addr.String(), "may not be the first or the last address of "+r.String())}
		}
		return nil
	}
	return field.ErrorList{field.Invalid(at, addr.String(), fmt.Sprintf("must be in %s or %s, or left out to be given one",
		serviceRanges[0], serviceRanges[1]))}
}

// rejectConflicts leaves out a service that asks for a cluster IP or a node port of another one; the first that is
// written has it.
func (c *controlPlane) rejectConflicts() {
	addresses, ports := map[netip.Addr]object.Key{ownAddress: own}, map[int32]object.Key{}
	c.services = slices.DeleteFunc(c.services, func(o *corev1.Service) bool {
		self := object.KeyOf(o)
		for i, text := range object.ClusterIPs(o) {
			addr, _ := object.ParseAddr(text)
			if first, taken := addresses[addr]; taken && first != self {
				c.refuse(c.source[o], "Service", o, field.ErrorList{field.Invalid(clusterIPPath(&o.Spec, i), text,
					"is that of service "+first.Namespace+"/"+first.Name)})
				return true
			}
		}
		for i := range o.Spec.Ports {
			n := o.Spec.Ports[i].NodePort
			if first, taken := ports[n]; taken {
				c.refuse(c.source[o], "Service", o, field.ErrorList{field.Invalid(spec.Child("ports").Index(i).Child("nodePort"),
					n, "is that of service "+first.Namespace+"/"+first.Name)})
				return true
			}
		}
		for _, addr := range givenClusterIPs(o) {
			addresses[addr] = self
		}
		for _, p := range o.Spec.Ports {
			if p.NodePort != 0 {
				ports[p.NodePort] = self
			}
		}
		return false
	})
}

// givenClusterIPs are the addresses that a manifest asks for.
func givenClusterIPs(o *corev1.Service) []netip.Addr {
	s, _ := object.StripService(o)
	return s.ClusterIPs // s is not nil: a service without a valid name was rejected
}

// holdGiven keeps every address that a manifest gives from being handed out.
func (c *controlPlane) holdGiven(addresses *allocator) {
	for _, o := range c.services {
		for _, addr := range givenClusterIPs(o) {
			addresses.hold(addr)
		}
	}
	hold := func(text string) {
		if addr, ok := object.ParseAddr(text); ok {
			addresses.hold(addr)
		}
	}
	for _, o := range c.pods {
		for _, text := range object.PodIPs(o) {
			hold(text)
		}
	}
	for _, o := range c.slices {
		for i := range o.Endpoints {
			for _, text := range o.Endpoints[i].Addresses {
				hold(text)
			}
		}
	}
	for _, o := range c.endpoints {
		for i := range o.Subsets {
			for _, a := range slices.Concat(o.Subsets[i].Addresses, o.Subsets[i].NotReadyAddresses) {
				hold(a.IP)
			}
		}
	}
}

// giveClusterIPs gives each service an address of each of its families that has none yet.
func (c *controlPlane) giveClusterIPs(addresses *allocator) {
	var claims []claim
	for _, o := range c.byName() {
		for _, family := range missingFamilies(o) {
			claims = append(claims, claim{"service", object.KeyOf(o), family == corev1.IPv6Protocol})
		}
	}
	addresses.assign(claims)
	for _, o := range c.services {
		texts := slices.Clone(object.ClusterIPs(o))
		for _, family := range missingFamilies(o) {
			addr := addresses.current[claim{"service", object.KeyOf(o), family == corev1.IPv6Protocol}]
			if !addr.IsValid() {
				c.report(c.source[o].fault("", fmt.Sprintf("no %s cluster IP is free", family)))
				continue
			}
			texts = append(texts, addr.String())
		}
		o.Spec.ClusterIPs = texts
	}
}

// byName are the services in the order of their names, for the order in which files are read must not decide who gets
// an address.
func (c *controlPlane) byName() []*corev1.Service {
	return slices.SortedFunc(slices.Values(c.services), func(a, b *corev1.Service) int {
		return compareKeys(object.KeyOf(a), object.KeyOf(b))
	})
}

// families are the address families of a service, the first one first, by the rules of the API server's defaults.
func families(o *corev1.Service) (list []corev1.IPFamily) {
	add := func(family corev1.IPFamily) {
		if !slices.Contains(list, family) {
			list = append(list, family)
		}
	}
	for _, addr := range givenClusterIPs(o) {
		if addr.Is4() {
			add(corev1.IPv4Protocol)
		} else {
			add(corev1.IPv6Protocol)
		}
	}
	given := len(list)
	for _, family := range o.Spec.IPFamilies {
		add(family)
	}
	if len(list) == 0 {
		add(corev1.IPv4Protocol)
	}
	switch object.Value(o.Spec.IPFamilyPolicy) {
	case corev1.IPFamilyPolicySingleStack:
		return list[:max(given, 1)]
	case corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack:
		add(corev1.IPv4Protocol)
		add(corev1.IPv6Protocol)
	}
	return list
}

// missingFamilies are those of which a service needs a cluster IP that its manifest does not give.
func missingFamilies(o *corev1.Service) (list []corev1.IPFamily) {
	if o.Spec.Type == corev1.ServiceTypeExternalName || slices.Contains(object.ClusterIPs(o), corev1.ClusterIPNone) {
		return nil
	}
	has := map[corev1.IPFamily]bool{}
	for _, addr := range givenClusterIPs(o) {
		if addr.Is4() {
			has[corev1.IPv4Protocol] = true
		} else {
			has[corev1.IPv6Protocol] = true
		}
	}
	for _, family := range families(o) {
		if !has[family] {
			list = append(list, family)
		}
	}
	return list
}
