package watch

import (
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
	"pgregory.net/rapid"

	"github.com/clusterdns/clusterdns/watch/object"
)

// poolMembers are the ids of clusters: one that is a protocol, one in capitals, some that are no DNS labels, and none
// at all.
var poolMembers = []string{"east", "east", "west", "tcp", "West", "no.label", "no_label", ""}

// drawImport makes or changes an import.
func (m *machine) drawImport(t *rapid.T) event {
	o := &object.ServiceImport{}
	o.Namespace, o.Name = pick(t, poolSpaces, "namespace"), pick(t, poolServices, "name")
	o.Spec.Type = pick(t, []string{"ClusterSetIP", "Headless"}, "type")
	// a headless one's are passed over
	o.Spec.IPs = slices.Concat(some(t, poolCluster4, "IPs"), some(t, poolCluster6, "IPv6"))
	names := some(t, poolPorts, "ports")
	o.Spec.Ports = slices.Grow(o.Spec.Ports, len(names))[:len(names)]
	for i, name := range names {
		p := &o.Spec.Ports[i]
		p.Name, p.Protocol, p.Port = name, pick(t, poolProtocols, "protocol"), to(poolNumbers[i])
	}
	if how := pick(t, []string{"", "", "off", "zone", "nearby"}, "nearest"); how != "" {
		o.Annotations = map[string]string{"clusterdns.io/nearest": how}
	}
	return m.put(importsOf, o)
}

// drawLabels are labels of a slice that is a service's; with the option multicluster also those of one that is an
// import's, or of both.
func (m *machine) drawLabels(t *rapid.T) map[string]string {
	labels, owner := map[string]string{}, 0
	if m.multicluster() {
		owner = rapid.IntRange(0, 5).Draw(t, "owner")
	}
	if owner < 3 {
		labels[discoveryv1.LabelServiceName] = pick(t, poolServices, "service")
	}
	if owner > 1 {
		labels[importName] = pick(t, poolServices, "import")
		if id := pick(t, poolMembers, "cluster"); id != "" {
			labels[memberID] = id
		}
	}
	return labels
}
