package watch

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Labels of the slices that a clusterset's controllers write (KEP-1645).
const (
	labelImportName    = "multicluster.kubernetes.io/service-name"
	labelSourceCluster = "multicluster.kubernetes.io/source-cluster"
)

// maxZone is how many characters a topology zone may have: it is the value of a Node's label. A zonal name has room for it.
const maxZone = 63

// problem is what is wrong with an object, in words for a log line. The rest of the object is used.
type problem struct {
	kind string // "service", "slice", "namespace" or "pod"
	key
	words string // the bad text in quotes
}

func (p problem) String() string {
	if p.namespace == "" {
		return p.kind + " " + p.name + ": " + p.words
	}
	return p.kind + " " + p.namespace + "/" + p.name + ": " + p.words
}

// problems collects what is wrong with one object.
type problems struct {
	kind string
	key
	list []problem
}

func (p *problems) add(value any, format string) {
	p.list = append(p.list, problem{p.kind, p.key, fmt.Sprintf(format, value)})
}

// stripService keeps what is read of a Service; nil when its own name cannot be a part of a domain name.
// Nothing that it returns refers to the decoded object, but for strings that are allocations of their own.
func stripService(o *corev1.Service) (*service, []problem) {
	wrong := problems{kind: "service", key: key{o.Namespace, o.Name}}
	if !wrong.named() {
		return nil, wrong.list
	}
	s := &service{key: wrong.key, version: o.ResourceVersion}
	if o.Spec.Type == corev1.ServiceTypeExternalName {
		s.externalName = stripExternalName(o.Spec.ExternalName, &wrong)
		if s.externalName == "" {
			s.flaw = misnamed
		}
		return s, wrong.list // cluster IPs and ports of an ExternalName say nothing (Spec 2.5)
	}
	texts := clusterIPs(o)
	for _, text := range texts {
		if text == corev1.ClusterIPNone {
			s.headless, s.clusterIPs = true, nil
			break
		}
		if addr, ok := parseAddr(text); ok {
			s.clusterIPs = append(s.clusterIPs, addr)
		} else {
			wrong.add(text, "cluster IP %q is not an IP address")
		}
	}
	if len(texts) > 0 && len(s.clusterIPs) == 0 && !s.headless {
		s.flaw = misaddressed
	}
	for _, p := range o.Spec.Ports {
		if kept, ok := stripPort(p.Name, p.Protocol, &p.Port, &wrong); ok {
			s.ports = append(s.ports, kept)
		}
	}
	return s, wrong.list
}

// clusterIPs are the texts of a service's cluster IPs. An object older than dual stack has only the singular field.
func clusterIPs(o *corev1.Service) []string {
	switch {
	case len(o.Spec.ClusterIPs) > 0:
		return o.Spec.ClusterIPs
	case o.Spec.ClusterIP != "":
		return []string{o.Spec.ClusterIP}
	}
	return nil
}

// stripExternalName is the target as a record holds it: lower case, no dot at the end; "" when it cannot be a domain name.
// An IP address looks like a name, and as a CNAME would send every client to a top-level domain that is a number.
func stripExternalName(text string, wrong *problems) string {
	name := strings.ToLower(strings.TrimSuffix(text, "."))
	if _, ok := parseAddr(name); ok {
		wrong.add(text, "externalName %q is an IP address")
		return ""
	}
	if !validName(name) {
		wrong.add(text, "externalName %q is not a domain name")
		return ""
	}
	return name
}

// stripSlice keeps what is read of an EndpointSlice; nil when no answer can come of it.
func stripSlice(o *discoveryv1.EndpointSlice, options Options) (*slice, []problem) {
	wrong := problems{kind: "slice", key: key{o.Namespace, o.Name}}
	s := &slice{key: wrong.key, version: o.ResourceVersion, service: o.Labels[discoveryv1.LabelServiceName]}
	if options.ServiceImports {
		s.service, s.cluster = o.Labels[labelImportName], strings.ToLower(o.Labels[labelSourceCluster])
	}
	if s.service == "" || o.AddressType == discoveryv1.AddressTypeFQDN {
		return nil, nil // slices without a service belong to somebody else, and FQDN slices are deprecated and hold no address
	}
	if o.AddressType != discoveryv1.AddressTypeIPv4 && o.AddressType != discoveryv1.AddressTypeIPv6 {
		wrong.add(o.AddressType, "addressType %q is not IPv4, IPv6 or FQDN")
		return nil, wrong.list
	}
	if s.cluster != "" && !validLabel(s.cluster) {
		wrong.add(o.Labels[labelSourceCluster], "source cluster %q is not a DNS label")
		return nil, wrong.list // without it, hosts of two clusters would share a name
	}
	for _, p := range o.Ports {
		if kept, ok := stripPort(value(p.Name), value(p.Protocol), p.Port, &wrong); ok {
			s.ports = append(s.ports, kept)
		}
	}
	var list []byte
	for i := range o.Endpoints {
		list = s.add(list, &o.Endpoints[i], o.AddressType, options, &wrong)
	}
	s.endpoints = packed(list)
	s.trigger, _ = time.Parse(time.RFC3339Nano, o.Annotations[corev1.EndpointsLastChangeTriggerTime]) // read by a metric only
	return s, wrong.list
}

// add appends the addresses of one endpoint to list, or counts them when it is not ready.
func (s *slice) add(list []byte, o *discoveryv1.Endpoint, family discoveryv1.AddressType, options Options, wrong *problems) []byte {
	kept := endpoint{hostname: value(o.Hostname)}
	if kept.hostname != "" && !validLabel(kept.hostname) {
		wrong.add(kept.hostname, "hostname %q is not a DNS label")
		kept.hostname = ""
	}
	if zone := strings.ToLower(value(o.Zone)); options.Zonal && zone != "" {
		if len(zone) <= maxZone && validName(zone) {
			kept.zone = zone // "eu.west" is two labels of a zonal name
		} else {
			wrong.add(*o.Zone, "topology zone %q is not a domain name of at most 63 characters")
		}
	}
	if r := o.TargetRef; options.PodNames && r != nil && validLabel(r.Name) {
		kept.pod = r.Name // a pod's name may hold dots or be longer than 63: such a pod is named by its address
	}
	ready := o.Conditions.Ready == nil || *o.Conditions.Ready // nil means unknown, to be taken as ready (EndpointConditions)
	for _, text := range o.Addresses {
		addr, ok := parseAddr(text)
		if !ok || addr.Is4() != (family == discoveryv1.AddressTypeIPv4) {
			wrong.add(text, "endpoint %q is not an address of the slice's family")
			continue
		}
		if !ready {
			s.unready++
			continue
		}
		kept.addr = addr
		list = appendPacked(list, &kept)
	}
	return list
}

// stripPort keeps a port; number is nil in a slice of all ports. A bad name leaves the port unnamed; a bad number or protocol leaves
// nothing to answer with.
func stripPort(name string, protocol corev1.Protocol, number *int32, wrong *problems) (port, bool) {
	kept := port{name: name, number: -1}
	if number != nil {
		kept.number = *number
	}
	if name != "" && !validLabel(name) {
		wrong.add(name, "port name %q is not a DNS label")
		kept.name = ""
	}
	switch protocol { // constants, so that no slice keeps a "TCP" of its own
	case corev1.ProtocolTCP, "":
		kept.protocol = "TCP"
	case corev1.ProtocolUDP:
		kept.protocol = "UDP"
	case corev1.ProtocolSCTP:
		kept.protocol = "SCTP"
	default:
		wrong.add(protocol, "protocol %q is not TCP, UDP or SCTP")
		return port{}, false
	}
	if number != nil && (*number < 1 || *number > 65535) {
		wrong.add(*number, "port number \"%d\" is not between 1 and 65535")
		return port{}, false
	}
	return kept, true
}

// stripNamespace keeps what is read of a Namespace; nil when its name cannot be a part of a domain name.
func stripNamespace(o *corev1.Namespace, options Options) (*namespace, []problem) {
	if !validLabel(o.Name) {
		return nil, []problem{{"namespace", key{name: o.Name}, fmt.Sprintf("name %q is not a DNS label", o.Name)}}
	}
	n := &namespace{name: o.Name, version: o.ResourceVersion}
	if options.NamespaceLabels != "" {
		n.labels = o.Labels
	}
	return n, nil
}

// stripPod keeps what is read of a Pod; nil when it has no address, has ended, was lost or is being deleted: its address may be another pod's already.
func stripPod(o *corev1.Pod) (*pod, []problem) {
	wrong := problems{kind: "pod", key: key{o.Namespace, o.Name}}
	if slices.Contains([]corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed, corev1.PodUnknown}, o.Status.Phase) || o.DeletionTimestamp != nil {
		return nil, nil
	}
	p := &pod{key: wrong.key, version: o.ResourceVersion}
	for _, text := range podIPs(o) {
		if addr, ok := parseAddr(text); ok {
			p.addrs = append(p.addrs, addr)
		} else {
			wrong.add(text, "pod IP %q is not an IP address")
		}
	}
	if len(p.addrs) == 0 {
		return nil, wrong.list
	}
	return p, wrong.list
}

// podIPs are the texts of a pod's addresses. Both fields are set by a kubelet; by hand often only the singular.
func podIPs(o *corev1.Pod) []string {
	if len(o.Status.PodIPs) == 0 && o.Status.PodIP != "" {
		return []string{o.Status.PodIP}
	}
	texts := make([]string, len(o.Status.PodIPs))
	for i, p := range o.Status.PodIPs {
		texts[i] = p.IP
	}
	return texts
}

// named reports whether the object's own name and namespace can be labels of a domain name.
func (p *problems) named() bool {
	if !validLabel(p.name) {
		p.add(p.name, "name %q is not a DNS label")
	}
	if !validLabel(p.namespace) {
		p.add(p.namespace, "namespace %q is not a DNS label")
	}
	return len(p.list) == 0
}

// parseAddr takes an address that can be a record's data: no zone, and not IPv4 in IPv6's clothes, which no client would connect to.
func parseAddr(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	return addr, err == nil && addr.Zone() == "" && !addr.Is4In6()
}

// validLabel reports whether text is a label by RFC 1123 section 2.1, in lower case as Kubernetes keeps names.
func validLabel(text string) bool {
	if len(text) == 0 || len(text) > 63 || text[0] == '-' || text[len(text)-1] == '-' {
		return false
	}
	for i := range len(text) {
		c := text[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// validName reports whether text, in lower case and without a dot at its end, is a domain name that a CNAME may hold. Underscores
// are taken: names of service records and of cloud providers have them (RFC 2181 section 11).
func validName(text string) bool {
	if len(text) > 253 {
		return false
	}
	for label := range strings.SplitSeq(text, ".") {
		if !validLabel(strings.ReplaceAll(label, "_", "x")) {
			return false
		}
	}
	return true
}

// value is what p points at, or the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
