package manifests

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/clusterdns/clusterdns/watch/object"
)

// rejectConflicts leaves out a service that asks for a cluster IP of another one; the first that is written has it.
func (c *controlPlane) rejectConflicts() {
	owner := map[netip.Addr]*corev1.Service{}
	c.services = slices.DeleteFunc(c.services, func(o *corev1.Service) bool {
		given := givenClusterIPs(o)
		for _, addr := range given {
			if first := owner[addr]; first != nil {
				words := fmt.Sprintf("cluster IP %q is that of service %s/%s", addr, first.Namespace, first.Name)
				c.report(c.source[o].faultIn(words))
				c.reject(o)
				return true
			}
		}
		for _, addr := range given {
			owner[addr] = o
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
