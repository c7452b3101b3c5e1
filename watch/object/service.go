package object

import (
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/clusterdns/clusterdns/zones"
)

// Service is what is read of a Service (core/v1).
type Service struct {
	Key
	Version      string // resourceVersion
	Headless     bool
	Affine       bool // sessionAffinity is ClientIP, and the service headless; with Selection.Affinity only
	Flaw         Flaw
	Nearest      zones.Nearest // what the service says of it; with Selection.Nearest only
	ClusterIPs   []netip.Addr  // valid ones, in the object's order
	ExternalName string        // "" unless the type is ExternalName
	Ports        []Port
	Outside      *Outside // nil without; with Selection.External only
}

// Outside is what clients outside the cluster reach a service by.
type Outside struct {
	Addrs []netip.Addr // external IPs, and those of load balancers
	Hosts []string     // names of load balancers, in lower case without a dot at the end

	Balanced bool     // Selection.Hosts gives the service names
	Named    bool     // by its annotation
	Names    []string // those of the annotation that are served
}

// Flaw is why a service has no names though it exists.
type Flaw uint8

const (
	Flawless     Flaw = iota
	Misnamed          // the type is ExternalName, and the name is not a domain name
	misaddressed      // it has cluster IPs, and none of them is valid
	Rejected          // an API server would reject its manifest for another reason
)

// String is the flaw in words that follow the service's name.
func (f Flaw) String() string {
	return [...]string{"flawless", "its external name is no domain name", "its cluster IPs are no IP addresses",
		"its manifest is refused"}[f]
}

// StripService keeps what is read of a Service; nil when its own name cannot be a part of a domain name.
// Nothing that it returns refers to the decoded object, whose texts may be parts of a message.
func StripService(o *corev1.Service) (*Service, []Problem) {
	wrong := Problems{kind: "service", Key: OwnKey(o)}
	if !wrong.named() {
		return nil, wrong.List
	}
	s := &Service{Key: wrong.Key, Version: strings.Clone(o.ResourceVersion)}
	if o.Spec.Type == corev1.ServiceTypeExternalName {
		s.ExternalName = stripExternalName(o.Spec.ExternalName, &wrong)
		if s.ExternalName == "" {
			s.Flaw = Misnamed
		}
		return s, wrong.List // cluster IPs and ports of an ExternalName mean nothing (Spec 2.5)
	}
	texts := ClusterIPs(o)
	for _, text := range texts {
		if text == corev1.ClusterIPNone {
			s.Headless, s.ClusterIPs = true, nil
			break
		}
		if addr, ok := ParseAddr(text); ok {
			s.ClusterIPs = append(s.ClusterIPs, addr)
		} else {
			wrong.Add(text, "cluster IP %q is not an IP address")
		}
	}
	if len(texts) > 0 && len(s.ClusterIPs) == 0 && !s.Headless {
		s.Flaw = misaddressed
	}
	for _, p := range o.Spec.Ports {
		if kept, ok := stripPort(p.Name, p.Protocol, &p.Port, &wrong); ok {
			s.Ports = append(s.Ports, kept)
		}
	}
	return s, wrong.List
}

// StripServed is StripService, and keeps what the selection asks for besides.
func StripServed(o *corev1.Service, selection Selection) (*Service, []Problem) {
	s, problems := StripService(o)
	if s != nil && selection.Nearest != zones.NearestUnset {
		wrong := Problems{kind: "service", Key: s.Key, List: problems}
		s.Nearest = nearest(o, selection.Nearest, &wrong)
		problems = wrong.List
	}
	named := selection.Hosts.has(o)
	if s != nil {
		s.Affine = selection.Affinity && s.Headless && o.Spec.SessionAffinity == corev1.ServiceAffinityClientIP
	}
	if s == nil || !selection.External && !named && !selection.Hosts.isServer(o) || s.ExternalName != "" || s.Flaw != Flawless {
		return s, problems
	}
	wrong := Problems{kind: "service", Key: s.Key, List: problems}
	out := &Outside{}
	for _, text := range o.Spec.ExternalIPs {
		out.addAddr(text, &wrong)
	}
	for i := range o.Status.LoadBalancer.Ingress {
		in := &o.Status.LoadBalancer.Ingress[i]
		out.add(in.IP, in.Hostname, &wrong)
	}
	if !out.empty() {
		s.Outside = out
	}
	if named {
		out.Balanced = true
		out.Names, out.Named = annotated(o.Annotations, &selection.Hosts, &wrong)
	}
	return s, wrong.List
}

// annotationNearest says how endpoints of a headless service are chosen.
const annotationNearest = "clusterdns.io/nearest"

// nearest is what a service says of the choice: by its annotation, else by its fields, unless the choice is off. Where
// it has a traffic distribution, its slices have the hints.
func nearest(o *corev1.Service, otherwise zones.Nearest, wrong *Problems) zones.Nearest {
	if mode, ok := annotatedNearest(o.Annotations, wrong); ok {
		return mode
	}
	switch {
	case otherwise == zones.NearestOff:
		return zones.NearestUnset
	case Value(o.Spec.InternalTrafficPolicy) == corev1.ServiceInternalTrafficPolicyLocal:
		return zones.NearestLocal
	case Value(o.Spec.TrafficDistribution) != "":
		return zones.NearestHints
	}
	return zones.NearestUnset
}

// annotatedNearest is the choice that an annotation has, if there is one that is a choice.
func annotatedNearest(annotations map[string]string, wrong *Problems) (zones.Nearest, bool) {
	text, ok := annotations[annotationNearest]
	if !ok {
		return zones.NearestUnset, false
	}
	mode, ok := zones.NearestModes()[text]
	if !ok {
		wrong.Add(text, "annotation "+annotationNearest+" %q is not off, hints, zone or node")
	}
	return mode, ok
}

// The annotations that name a load balancer: the first one that is there counts.
var hostAnnotations = []string{"coredns.io/hostname", "external-dns.alpha.kubernetes.io/hostname"}

// annotated are the names that annotations give a load balancer, and whether there is such an annotation.
func annotated(annotations map[string]string, h *Hosts, wrong *Problems) (names []string, ok bool) {
	for _, annotation := range hostAnnotations {
		if text := annotations[annotation]; text != "" {
			for name := range strings.SplitSeq(text, ",") {
				names = h.appendHost(names, strings.TrimSpace(name), wrong)
			}
			return names, true
		}
	}
	return nil, false
}

// add adds one point of ingress: an address or a name.
func (out *Outside) add(addr, host string, wrong *Problems) {
	if addr != "" {
		out.addAddr(addr, wrong)
	}
	if host == "" {
		return
	}
	if name := strings.ToLower(strings.TrimSuffix(host, ".")); ValidName(name) {
		out.Hosts = append(out.Hosts, strings.Clone(name))
	} else {
		wrong.Add(host, "ingress hostname %q is not a domain name")
	}
}

func (out *Outside) addAddr(text string, wrong *Problems) {
	if addr, ok := ParseAddr(text); ok {
		out.Addrs = append(out.Addrs, addr)
	} else {
		wrong.Add(text, "external IP %q is not an IP address")
	}
}

// Size is about how many octets out takes; none if it is nil.
func (out *Outside) Size() int {
	if out == nil {
		return 0
	}
	return 64 + len(out.Addrs)*24 + textsSize(out.Hosts) + textsSize(out.Names)
}

// empty reports whether there is no address and no name.
func (out *Outside) empty() bool { return len(out.Addrs)+len(out.Hosts) == 0 }

// ClusterIPs are the texts of a service's cluster IPs. An object older than dual stack has only the singular field.
func ClusterIPs(o *corev1.Service) []string {
	switch {
	case len(o.Spec.ClusterIPs) > 0:
		return o.Spec.ClusterIPs
	case o.Spec.ClusterIP != "":
		return []string{o.Spec.ClusterIP}
	}
	return nil
}

// stripExternalName is the target as a record holds it: lower case, no dot at the end; "" when it cannot be a domain
// name. An IP address looks like a name, and as a CNAME would send every client to a top-level domain that is a number.
func stripExternalName(text string, wrong *Problems) string {
	name := strings.ToLower(strings.TrimSuffix(text, "."))
	if _, err := netip.ParseAddr(name); err == nil { // not ParseAddr: 010.0.0.1 is a name to all but Kubernetes
		wrong.Add(text, "externalName %q is an IP address")
		return ""
	}
	if !ValidName(name) {
		wrong.Add(text, "externalName %q is not a domain name")
		return ""
	}
	return strings.Clone(name)
}

// Size is about how many octets s takes; none if it is nil.
func (s *Service) Size() int {
	if s == nil {
		return 0
	}
	size := 256 + len(s.Name) + len(s.Namespace) + len(s.Version) + len(s.ExternalName)
	return size + len(s.ClusterIPs)*24 + portsSize(s.Ports) + s.Outside.Size()
}

// About implements Object.
func (s *Service) About() (Key, string) { return s.Key, s.Version }
