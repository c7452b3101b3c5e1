package differ

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

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

// importedPod explains a pod in the clusterset.
func importedPod(q *question, ours, theirs *reply) bool {
	labels := q.labels()
	if !q.inClusterset() || len(labels) < 2 || labels[len(labels)-1] != "pod" || !theirs.aa || theirs.rcode != dns.RcodeSuccess {
		return false
	}
	return q.notFound(theirs)
}
