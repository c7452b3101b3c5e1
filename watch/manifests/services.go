package manifests

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/clusterdns/clusterdns/watch/object"
)

var (
	serviceTypes = []corev1.ServiceType{
		"",
		corev1.ServiceTypeClusterIP,
		corev1.ServiceTypeNodePort,
		corev1.ServiceTypeLoadBalancer,
		corev1.ServiceTypeExternalName,
	}
	ipFamilies = []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}
	policies   = []corev1.IPFamilyPolicy{
		corev1.IPFamilyPolicySingleStack,
		corev1.IPFamilyPolicyPreferDualStack,
		corev1.IPFamilyPolicyRequireDualStack,
	}
	affinities     = []corev1.ServiceAffinity{"", corev1.ServiceAffinityNone, corev1.ServiceAffinityClientIP}
	localOrCluster = []string{"", string(corev1.ServiceInternalTrafficPolicyCluster), string(corev1.ServiceInternalTrafficPolicyLocal)}
	distributions  = []string{
		corev1.ServiceTrafficDistributionPreferClose,
		corev1.ServiceTrafficDistributionPreferSameZone,
		corev1.ServiceTrafficDistributionPreferSameNode,
	}
)

// maxAffinity is a day: an API server takes no longer session affinity.
const maxAffinity = 86400

// nodePorts are those that an API server gives by default.
const firstNodePort, lastNodePort = 30000, 32767

func validateService(o *corev1.Service) (list field.ErrorList) {
	s := &o.Spec
	list = append(list, oneOf(spec.Child("type"), s.Type, serviceTypes)...)
	if s.Type == corev1.ServiceTypeExternalName {
		list = append(list, validateExternalName(s)...)
	} else {
		list = append(list, validateClusterIPs(s)...)
	}
	list = append(list, validatePorts(s)...)
	list = append(list, metavalidation.ValidateLabels(s.Selector, spec.Child("selector"))...)
	list = append(list, validateAffinity(s)...)
	for i, text := range s.ExternalIPs {
		list = append(list, reachable(spec.Child("externalIPs").Index(i), text)...)
	}
	return append(list, validateTraffic(s)...)
}

// validateExternalName: Spec 2.5 has a CNAME and nothing else.
func validateExternalName(s *corev1.ServiceSpec) (list field.ErrorList) {
	path := spec.Child("externalName")
	if name := strings.TrimSuffix(s.ExternalName, "."); name == "" {
		list = append(list, field.Required(path, "the name that the service stands for"))
	} else {
		list = append(list, each(path, s.ExternalName, utilvalidation.IsDNS1123Subdomain(name))...)
	}
	const none = "may not be set for ExternalName services"
	if s.ClusterIP != "" || len(s.ClusterIPs) > 0 {
		list = append(list, field.Forbidden(clusterIPsPath(s), none))
	}
	if len(s.IPFamilies) > 0 {
		list = append(list, field.Forbidden(spec.Child("ipFamilies"), none))
	}
	if s.IPFamilyPolicy != nil {
		list = append(list, field.Forbidden(spec.Child("ipFamilyPolicy"), none))
	}
	return list
}

// clusterIPsPath is the field in which the cluster IPs are written.
func clusterIPsPath(s *corev1.ServiceSpec) *field.Path {
	if len(s.ClusterIPs) > 0 {
		return spec.Child("clusterIPs")
	}
	return spec.Child("clusterIP")
}

// clusterIPPath is the field of one cluster IP.
func clusterIPPath(s *corev1.ServiceSpec, i int) *field.Path {
	if len(s.ClusterIPs) > 0 {
		return spec.Child("clusterIPs").Index(i)
	}
	return spec.Child("clusterIP")
}

func isHeadless(s *corev1.ServiceSpec) bool {
	all := clusterIPs(s)
	return len(all) == 1 && all[0] == corev1.ClusterIPNone
}

// clusterIPs are the texts of a service's cluster IPs, in whatever field.
func clusterIPs(s *corev1.ServiceSpec) []string { return object.ClusterIPs(&corev1.Service{Spec: *s}) }

// validateClusterIPs is about the addresses, families and policy of a service that is no ExternalName.
func validateClusterIPs(s *corev1.ServiceSpec) (list field.ErrorList) {
	all, path := clusterIPs(s), clusterIPsPath(s)
	switch {
	case len(s.ClusterIPs) > 0 && s.ClusterIP == "":
		list = append(list, field.Invalid(path, all, "must be empty when `clusterIP` is not specified: write the first one there too"))
	case len(s.ClusterIPs) > 0 && s.ClusterIP != s.ClusterIPs[0]:
		list = append(list, field.Invalid(path, all, "first value must match `clusterIP`"))
	}
	seen := duplicates[corev1.IPFamily]{}
	for i, family := range s.IPFamilies {
		at := spec.Child("ipFamilies").Index(i)
		list = append(list, oneOf(at, family, ipFamilies)...)
		list = append(list, seen.add(at, family)...)
	}
	if s.IPFamilyPolicy != nil {
		list = append(list, oneOf(spec.Child("ipFamilyPolicy"), *s.IPFamilyPolicy, policies)...)
	}
	if isHeadless(s) {
		if s.Type == corev1.ServiceTypeNodePort || s.Type == corev1.ServiceTypeLoadBalancer {
			list = append(list, field.Invalid(path, corev1.ClusterIPNone, "may not be set to 'None' for "+string(s.Type)+" services"))
		}
	} else if bad := validateAddresses(s, all); len(bad) > 0 {
		return append(list, bad...) // what follows would be about addresses that are none
	}
	return append(list, validatePolicy(s, all)...)
}

// validateAddresses is about each address alone, and that there is one of a family.
func validateAddresses(s *corev1.ServiceSpec, all []string) (list field.ErrorList) {
	seen := map[corev1.IPFamily]bool{}
	for i, text := range all {
		at := clusterIPPath(s, i)
		if text == corev1.ClusterIPNone && i == 0 {
			list = append(list, field.Invalid(at, text, "'None' must be the first and only value"))
			continue
		}
		bad := legacyIP(at, text)
		if len(bad) > 0 {
			list = append(list, bad...)
			continue
		}
		addr, _ := object.ParseAddr(text)
		family := familyOfAddr(addr)
		switch {
		case seen[family]:
			list = append(list, field.Invalid(at, text, "may specify no more than one IP for each IP family"))
		case i < len(s.IPFamilies) && s.IPFamilies[i] != family:
			list = append(list, field.Invalid(at, text, "expected an address of the family that `ipFamilies` has in its place"))
		default:
			list = append(list, inServiceRange(at, addr)...)
		}
		seen[family] = true
	}
	return list
}

func familyOfAddr(addr netip.Addr) corev1.IPFamily {
	if addr.Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

// validatePolicy is about contradictions between policy, families and addresses.
func validatePolicy(s *corev1.ServiceSpec, all []string) (list field.ErrorList) {
	single := object.Value(s.IPFamilyPolicy) == corev1.IPFamilyPolicySingleStack
	if s.IPFamilyPolicy == nil && !(isHeadless(s) && len(s.Selector) == 0) {
		single = true
	}
	if single && len(all) > 1 {
		list = append(list, field.Invalid(spec.Child("ipFamilyPolicy"), s.IPFamilyPolicy,
			"must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified"))
	}
	if single && len(s.IPFamilies) > 1 {
		list = append(list, field.Invalid(spec.Child("ipFamilyPolicy"), s.IPFamilyPolicy,
			"must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"))
	}
	return list
}

// validatePorts: several ports are told apart by names, and by protocol and number.
func validatePorts(s *corev1.ServiceSpec) (list field.ErrorList) {
	path := spec.Child("ports")
	if len(s.Ports) == 0 && !isHeadless(s) && s.Type != corev1.ServiceTypeExternalName {
		list = append(list, field.Required(path, "a service needs one, unless it is headless (clusterIP: None)"))
	}
	names, numbers := duplicates[string]{}, duplicates[numbered]{}
	nodePorts, portOf := duplicates[numbered]{}, map[int32]int32{}
	for i := range s.Ports {
		p, at := &s.Ports[i], path.Index(i)
		list = append(list, validatePort(p, at, len(s.Ports) > 1)...)
		if p.Name != "" {
			list = append(list, names.add(at.Child("name"), p.Name)...)
		}
		protocol := withDefault(p.Protocol)
		list = append(list, numbers.add(at.Child("port"), numbered{protocol, p.Port})...)
		if p.NodePort == 0 {
			continue
		}
		at = at.Child("nodePort")
		list = append(list, nodePorts.add(at, numbered{protocol, p.NodePort})...)
		if other, taken := portOf[p.NodePort]; taken && other != p.Port {
			list = append(list, field.Invalid(at, p.NodePort, "is that of another port: only protocols of one port share it"))
		}
		portOf[p.NodePort] = p.Port
		switch s.Type {
		case "", corev1.ServiceTypeClusterIP:
			list = append(list, field.Forbidden(at, "may not be used when `type` is 'ClusterIP'"))
		case corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
			list = append(list, each(at, p.NodePort, utilvalidation.IsInRange(int(p.NodePort), firstNodePort, lastNodePort))...)
		}
	}
	return list
}

// numbered is what tells two ports apart.
type numbered struct {
	protocol corev1.Protocol
	port     int32
}

func (n numbered) String() string { return fmt.Sprintf("%d/%s", n.port, n.protocol) }

// withDefault is the protocol that an API server puts in the place of none.
func withDefault(p corev1.Protocol) corev1.Protocol {
	if p == "" {
		return corev1.ProtocolTCP
	}
	return p
}

func validatePort(p *corev1.ServicePort, at *field.Path, several bool) (list field.ErrorList) {
	if several && p.Name == "" {
		list = append(list, field.Required(at.Child("name"), "there are several ports: name each"))
	}
	list = append(list, label(at.Child("name"), p.Name)...)
	list = append(list, number(at.Child("port"), p.Port)...)
	list = append(list, oneOf(at.Child("protocol"), p.Protocol, protocols)...)
	target := at.Child("targetPort")
	switch {
	case p.TargetPort == intstr.IntOrString{}, p.TargetPort == intstr.FromString(""): // that of the port
	case p.TargetPort.Type == intstr.Int:
		list = append(list, number(target, p.TargetPort.IntVal)...)
	default:
		list = append(list, each(target, p.TargetPort.StrVal, utilvalidation.IsValidPortName(p.TargetPort.StrVal))...)
	}
	return append(list, qualified(at.Child("appProtocol"), p.AppProtocol)...)
}

func validateAffinity(s *corev1.ServiceSpec) field.ErrorList {
	list := oneOf(spec.Child("sessionAffinity"), s.SessionAffinity, affinities)
	c := s.SessionAffinityConfig
	if s.SessionAffinity != corev1.ServiceAffinityClientIP || c == nil || c.ClientIP == nil || c.ClientIP.TimeoutSeconds == nil {
		return list
	}
	seconds := int(*c.ClientIP.TimeoutSeconds)
	at := spec.Child("sessionAffinityConfig", "clientIP", "timeoutSeconds")
	return append(list, each(at, seconds, utilvalidation.IsInRange(seconds, 1, maxAffinity))...)
}

// validateTraffic is about fields that only some types of services have.
func validateTraffic(s *corev1.ServiceSpec) (list field.ErrorList) {
	balanced := s.Type == corev1.ServiceTypeLoadBalancer
	external := balanced || s.Type == corev1.ServiceTypeNodePort || len(s.ExternalIPs) > 0 && s.Type != corev1.ServiceTypeExternalName
	local := string(s.ExternalTrafficPolicy) == string(corev1.ServiceExternalTrafficPolicyLocal)
	only := func(set bool, name, where string) {
		if set {
			list = append(list, field.Forbidden(spec.Child(name), "may only be used "+where))
		}
	}
	only(!balanced && s.AllocateLoadBalancerNodePorts != nil, "allocateLoadBalancerNodePorts", "when `type` is 'LoadBalancer'")
	only(!balanced && len(s.LoadBalancerSourceRanges) > 0, "loadBalancerSourceRanges", "when `type` is 'LoadBalancer'")
	only(!balanced && s.LoadBalancerClass != nil, "loadBalancerClass", "when `type` is 'LoadBalancer'")
	only(!external && s.ExternalTrafficPolicy != "", "externalTrafficPolicy", "for services that are reached from outside")
	only(!(balanced && local) && s.HealthCheckNodePort != 0, "healthCheckNodePort",
		"when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'")
	if balanced {
		list = append(list, qualified(spec.Child("loadBalancerClass"), s.LoadBalancerClass)...)
		for i, text := range s.LoadBalancerSourceRanges {
			at := spec.Child("loadBalancerSourceRanges").Index(i)
			list = append(list, utilvalidation.IsValidCIDRForLegacyField(at, strings.TrimSpace(text), true, nil)...)
		}
	}
	if external {
		list = append(list, oneOf(spec.Child("externalTrafficPolicy"), string(s.ExternalTrafficPolicy), localOrCluster)...)
	}
	policy := string(object.Value(s.InternalTrafficPolicy))
	list = append(list, oneOf(spec.Child("internalTrafficPolicy"), policy, localOrCluster)...)
	if d := s.TrafficDistribution; d != nil && !slices.Contains(distributions, *d) {
		list = append(list, field.NotSupported(spec.Child("trafficDistribution"), *d, distributions))
	}
	return list
}
