package object

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Hosts says which objects have names in the zones of one k8s_gateway. It is comparable, and lists are words. The zero
// Hosts is none.
type Hosts struct {
	Zones     string // absolute
	Resources string // Ingress, Service, HTTPRoute …: the first that has a name decides

	IngressClasses   string // "" for all
	GatewayClasses   string
	ServiceSelectors string // label selectors, one on a line, of which one has to match; "" for all services
	NameServer       string // labels below a zone
	Secondary        string // likewise; "" for none
	TTL              uint32 // seconds
}

// ignoreLabel on an object leaves it out when its value is "true".
const ignoreLabel = "k8s-gateway.dns/ignore"

// Reads reports whether names come from a resource.
func (h *Hosts) Reads(resource string) bool { return hasWord(h.Resources, resource) }

// ReadsRoutes reports whether names come from routes of any kind, and so from their Gateways.
func (h *Hosts) ReadsRoutes() bool { return slices.ContainsFunc(RouteKinds, h.Reads) }

// Serves reports whether a name, in lower case and without a dot at its end, is in one of the zones.
func (h *Hosts) Serves(name string) bool {
	for zone := range strings.FieldsSeq(h.Zones) {
		zone = strings.TrimSuffix(zone, ".")
		if above, ok := strings.CutSuffix(name, zone); ok && (zone == "" || above == "" || strings.HasSuffix(above, ".")) {
			return true
		}
	}
	return false
}

// mayServe reports whether a hostname of a route is served, or is a wildcard that may meet a listener that is.
func (h *Hosts) mayServe(name string) bool {
	meets := func(zone string) bool { return covers(name, strings.TrimSuffix(zone, ".")) }
	return name != "" && (h.Serves(name) || slices.ContainsFunc(strings.Fields(h.Zones), meets))
}

// has reports whether a service may have names.
func (h *Hosts) has(o *corev1.Service) bool {
	return o.Spec.Type == corev1.ServiceTypeLoadBalancer && h.Reads("Service") && h.selects(o.Labels) && !ignored(o)
}

// selects reports whether a service with these labels may have names.
func (h *Hosts) selects(set map[string]string) bool {
	for text := range strings.Lines(h.ServiceSelectors) {
		selector, err := labels.Parse(strings.TrimSpace(text))
		if err == nil && selector.Matches(labels.Set(set)) {
			return true
		}
	}
	return h.ServiceSelectors == ""
}

// isServer reports whether a service is one of the name servers.
func (h *Hosts) isServer(o *corev1.Service) bool {
	return o.Spec.Type == corev1.ServiceTypeLoadBalancer &&
		slices.Contains([]string{h.NameServer, h.Secondary}, o.Name+"."+o.Namespace)
}

// hasWord reports whether a list of words has one.
func hasWord(list, word string) bool {
	return slices.Contains(strings.Fields(list), word)
}

// ignored reports whether an object says that it has no names.
func ignored(o metav1.Object) bool { return o.GetLabels()[ignoreLabel] == "true" }

// appendHost appends a name that is served, which may begin with the label *.
func (h *Hosts) appendHost(names []string, text string, wrong *Problems) []string {
	name := strings.ToLower(strings.TrimSuffix(text, "."))
	switch {
	case !ValidName(strings.TrimPrefix(name, "*.")):
		wrong.Add(text, "host %q is not a domain name")
	case h.Serves(name):
		return append(names, strings.Clone(name))
	}
	return names
}
