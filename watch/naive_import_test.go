package watch

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/clusterdns/clusterdns/watch/object"
)

// Here the naive index is one of a clusterset: to names an import is a service, whose slices come from the clusters
// that export it.

const setZone = "clusterset.local."

// Labels of the slices of an import (KEP-1645).
const (
	importName = "multicluster.kubernetes.io/service-name"
	memberID   = "multicluster.kubernetes.io/source-cluster"
)

// zone is the zone that has the names.
func (n *naive) zone() string {
	if n.options.ServiceImports {
		return setZone
	}
	return clusterZone
}

// version is that of the specification: deliberate difference 11.
func (n *naive) version() string {
	if n.options.ServiceImports {
		return "1.0.0"
	}
	return "1.1.0"
}

// owners is the kind of the objects that have names.
func (n *naive) owners() int {
	if n.options.ServiceImports {
		return importsOf
	}
	return servicesOf
}

// service is the service of a name, or the import in the form of one; nil for none.
func (n *naive) service(k object.Key) *corev1.Service {
	switch o := n.world[n.owners()][k].(type) {
	case *corev1.Service:
		return o
	case *object.ServiceImport:
		return imported(o)
	}
	return nil
}

// imported is an import as a service: its addresses are cluster IPs of the whole clusterset, and say nothing when it is
// headless.
func imported(o *object.ServiceImport) *corev1.Service {
	s := &corev1.Service{ObjectMeta: o.ObjectMeta}
	s.Spec.ClusterIPs = o.Spec.IPs
	if o.Spec.Type == "Headless" {
		s.Spec.ClusterIPs = []string{"None"}
	}
	for _, p := range o.Spec.Ports {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: p.Name, Protocol: p.Protocol, Port: object.Value(p.Port)})
	}
	return s
}

// member is what stands behind the hosts of a service's slice: in a clusterset the id of their cluster, in lower case.
// ok is false for a slice that is not the service's.
func (n *naive) member(s *discoveryv1.EndpointSlice, service string) (member string, ok bool) {
	if !n.options.ServiceImports {
		return "", s.Labels["kubernetes.io/service-name"] == service
	}
	if id := strings.ToLower(s.Labels[memberID]); id != "" {
		member = "." + id
	}
	return member, s.Labels[importName] == service
}

// nearestCluster leaves out endpoints of other clusters where the own one has some with a port that is wanted, IPv4 and
// IPv6 apart, if the import says so or leaves it to the option.
func (n *naive) nearestCluster(s *corev1.Service, ends []end, wanted func(discoveryv1.EndpointPort) bool) []end {
	prefers := n.options.Cluster != "" && !n.options.ClusterOff
	switch s.Annotations["clusterdns.io/nearest"] {
	case "off":
		prefers = false
	case "hints", "zone", "node":
		prefers = n.options.Cluster != ""
	}
	own := func(e end) bool { return prefers && e.from == "."+n.options.Cluster }
	return those(ends, func(e end) bool {
		return own(e) || !slices.ContainsFunc(ends, func(o end) bool {
			return own(o) && o.addr.Is4() == e.addr.Is4() && len(pairsOf([]end{o}, wanted)) > 0
		})
	})
}

// nameless reports whether the endpoints of a cluster have no names: its id is the value of a Kubernetes label, and so
// need not be a DNS label.
func nameless(member string) bool { return strings.ContainsAny(strings.TrimPrefix(member, "."), "._") }
