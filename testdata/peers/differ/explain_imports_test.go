package differ

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"

	"github.com/miekg/dns"
)

// What rules find true of names in the zone of the clusterset.

// bare reports whether the name is of a port of an import, without any
// underscore.
func (q *question) bare() bool {
	s, rest := q.service()
	return s != nil && q.inClusterset() && len(rest) == 2 && !strings.HasPrefix(rest[0], "_") && !strings.HasPrefix(rest[1], "_")
}

// bareImport explains a port that CoreDNS takes for an endpoint of a cluster.
func bareImport(q *question, ours, theirs *reply) bool {
	if q.other == nil || q.other.how != "with underscores" || !q.missing(theirs) {
		return false
	}
	theirs.like(q.other.settled)
	for i := range theirs.sections[answer] {
		theirs.sections[answer][i].owner = q.msg.Question[0].Name
	}
	return true
}

// importVersion explains the version of the specification.
func importVersion(q *question, ours, theirs *reply) (changed bool) {
	if q.name() != "dns-version."+clusterset+"." {
		return false
	}
	for i, r := range theirs.sections[answer] {
		if r.rrtype == "TXT" && r.data == `"1.1.0"` {
			theirs.sections[answer][i].data, changed = `"1.0.0"`, true
		}
	}
	return changed
}

// unselectedImport explains an import that the option labels leaves out.
func unselectedImport(q *question, ours, theirs *reply) bool {
	labels := q.labels()
	n := len(labels)
	if !q.inClusterset() || q.world.labels == "" || n < 3 || labels[n-1] != "svc" || !theirs.aa || theirs.rcode != dns.RcodeSuccess ||
		!slices.ContainsFunc(q.world.imports, func(s *corev1.Service) bool {
			return s.Name == labels[n-3] && s.Namespace == labels[n-2] && s.Labels["tier"] != "open"
		}) {
		return false
	}
	return q.notFound(theirs)
}

// selectedImport explains an import that CoreDNS leaves out for want of the
// labels that its namespace has. Told the namespaces by name, it has it.
func selectedImport(q *question, ours, theirs *reply) bool {
	s, _ := q.service()
	if s == nil || !q.inClusterset() || !q.world.selectsImports() || s.Labels["tier"] == "open" || !q.missing(theirs) || q.missing(q.listed) {
		return false
	}
	theirs.like(q.listed)
	return true
}

// importEndpoint explains what CoreDNS knows of the endpoints of an import with
// the option noendpoints: the names of a headless one, those of the endpoints,
// and with `ignore empty_service` that there are any.
func importEndpoint(q *question, ours, theirs *reply) bool {
	s, rest := q.service()
	if s == nil || !q.inClusterset() || !q.world.noEndpoints || q.world.readyEndpoints(s) == 0 || !theirs.aa || theirs.rcode != dns.RcodeSuccess ||
		kindOf(s) != "headless" && !q.world.ofEndpoint(s, rest) && !q.world.ignoreEmpty {
		return false
	}
	return q.notFound(theirs)
}

// ofEndpoint reports whether labels are those of a ready endpoint of an import
// and of its cluster.
func (w *world) ofEndpoint(s *corev1.Service, labels []string) bool {
	return len(labels) == 2 && slices.ContainsFunc(w.slicesOf(s), func(slice *discoveryv1.EndpointSlice) bool {
		return slice.Labels[mcsv1alpha1.LabelSourceCluster] == labels[1] && slices.ContainsFunc(slice.Endpoints, func(e discoveryv1.Endpoint) bool {
			return isReady(e) && mayBe(e, labels[0])
		})
	})
}

// mayBe reports whether some options give an endpoint this name.
func mayBe(e discoveryv1.Endpoint, name string) bool {
	return e.Hostname != nil && *e.Hostname == name || e.TargetRef != nil && e.TargetRef.Name == name ||
		slices.ContainsFunc(e.Addresses, func(a string) bool { return dashes(netip.MustParseAddr(a)) == name })
}

// importedPod explains a pod in the clusterset.
func importedPod(q *question, ours, theirs *reply) bool {
	labels := q.labels()
	if !q.inClusterset() || len(labels) < 2 || labels[len(labels)-1] != "pod" || !theirs.aa || theirs.rcode != dns.RcodeSuccess {
		return false
	}
	return q.notFound(theirs)
}
