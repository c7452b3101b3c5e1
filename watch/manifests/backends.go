package manifests

//lint:file-ignore SA1019 Endpoints are deprecated, and still written by hand for services without a selector

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/clusterdns/clusterdns/watch/object"
)

// What an API server takes of an EndpointSlice.
const (
	maxEndpoints       = 1000
	maxAddresses       = 100
	maxPorts           = 20000
	maxHints           = 8
	maxSubsetAddresses = 1000 // that the mirroring controller takes of a subset of Endpoints
)

var addressTypes = []discoveryv1.AddressType{
	discoveryv1.AddressTypeIPv4,
	discoveryv1.AddressTypeIPv6,
	discoveryv1.AddressTypeFQDN,
}

func validateEndpoints(o *corev1.Endpoints) (list field.ErrorList) {
	for i := range o.Subsets {
		s, path := &o.Subsets[i], field.NewPath("subsets").Index(i)
		if len(s.Addresses)+len(s.NotReadyAddresses) == 0 {
			list = append(list, field.Required(path, "must specify `addresses` or `notReadyAddresses`"))
		}
		for j := range s.Addresses {
			list = append(list, validateAddress(&s.Addresses[j], path.Child("addresses").Index(j))...)
		}
		for j := range s.NotReadyAddresses {
			list = append(list, validateAddress(&s.NotReadyAddresses[j], path.Child("notReadyAddresses").Index(j))...)
		}
		for j := range s.Ports {
			p, at := &s.Ports[j], path.Child("ports").Index(j)
			if p.Name == "" && len(s.Ports) > 1 {
				list = append(list, field.Required(at.Child("name"), "there are several ports: name each"))
			}
			list = append(list, label(at.Child("name"), p.Name)...)
			list = append(list, number(at.Child("port"), p.Port)...)
			list = append(list, oneOf(at.Child("protocol"), p.Protocol, protocols)...)
			list = append(list, qualified(at.Child("appProtocol"), p.AppProtocol)...)
		}
	}
	return list
}

func validateAddress(a *corev1.EndpointAddress, at *field.Path) field.ErrorList {
	list := label(at.Child("hostname"), a.Hostname)
	list = append(list, nodeName(at.Child("nodeName"), a.NodeName)...)
	return append(list, reachable(at.Child("ip"), a.IP)...)
}

// reachable refuses what is no address, and addresses that mean something else to each client.
func reachable(at *field.Path, text string) field.ErrorList {
	if list := legacyIP(at, text); len(list) > 0 {
		return list
	}
	addr, _ := object.ParseAddr(text)
	words := ""
	switch {
	case addr.IsUnspecified():
		words = "may not be unspecified"
	case addr.IsLoopback():
		words = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
	case addr.IsLinkLocalUnicast():
		words = "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
	case addr.IsLinkLocalMulticast():
		words = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
	default:
		return nil
	}
	return field.ErrorList{field.Invalid(at, text, words)}
}

// legacyIP refuses what is no address, or means one to some and another one to others (KEP-4858): leading zeros, and
// IPv4 mapped into IPv6. Any spelling of IPv6 is taken, as ever in the fields that it is for.
func legacyIP(at *field.Path, text string) field.ErrorList {
	return utilvalidation.IsValidIPForLegacyField(at, text, true, nil)
}

func nodeName(at *field.Path, name *string) field.ErrorList {
	if name == nil {
		return nil
	}
	return each(at, *name, utilvalidation.IsDNS1123Subdomain(*name))
}

func validateSlice(o *discoveryv1.EndpointSlice) (list field.ErrorList) {
	path := field.NewPath("addressType")
	if o.AddressType == "" {
		list = append(list, field.Required(path, "IPv4, IPv6 or FQDN"))
	} else {
		list = append(list, oneOf(path, o.AddressType, addressTypes)...)
	}
	list = append(list, validateSlicePorts(o.Ports)...)
	path = field.NewPath("endpoints")
	if n := len(o.Endpoints); n > maxEndpoints {
		return append(list, field.TooMany(path, n, maxEndpoints))
	}
	for i := range o.Endpoints {
		list = append(list, validateEndpoint(&o.Endpoints[i], o.AddressType, path.Index(i))...)
	}
	return list
}

// validateSlicePorts: a number that is no port is taken, and none at all stands for every port.
func validateSlicePorts(ports []discoveryv1.EndpointPort) (list field.ErrorList) {
	path := field.NewPath("ports")
	if n := len(ports); n > maxPorts {
		return append(list, field.TooMany(path, n, maxPorts))
	}
	names := duplicates[string]{}
	for i := range ports {
		p, at := &ports[i], path.Index(i)
		name := object.Value(p.Name)
		list = append(list, label(at.Child("name"), name)...)
		list = append(list, names.add(at.Child("name"), name)...)
		list = append(list, oneOf(at.Child("protocol"), object.Value(p.Protocol), protocols)...)
		list = append(list, qualified(at.Child("appProtocol"), p.AppProtocol)...)
	}
	return list
}

func validateEndpoint(e *discoveryv1.Endpoint, family discoveryv1.AddressType, path *field.Path) (list field.ErrorList) {
	at := path.Child("addresses")
	switch n := len(e.Addresses); {
	case n == 0:
		list = append(list, field.Required(at, "must contain at least 1 address"))
	case n > maxAddresses:
		list = append(list, field.TooMany(at, n, maxAddresses))
	}
	for i, text := range e.Addresses {
		list = append(list, ofFamily(at.Index(i), text, family)...)
	}
	if e.Hostname != nil {
		list = append(list, each(path.Child("hostname"), *e.Hostname, utilvalidation.IsDNS1123Label(*e.Hostname))...)
	}
	list = append(list, nodeName(path.Child("nodeName"), e.NodeName)...)
	if e.Hints != nil {
		list = append(list, validateHints(e.Hints, path.Child("hints"))...)
	}
	return list
}

// ofFamily refuses what is no address of a family; a slice of another type is refused as a whole.
func ofFamily(at *field.Path, text string, family discoveryv1.AddressType) field.ErrorList {
	switch family {
	case discoveryv1.AddressTypeFQDN:
		return utilvalidation.IsFullyQualifiedDomainName(at, text)
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6:
		list := reachable(at, text)
		if family == discoveryv1.AddressTypeIPv6 && len(list) == 0 {
			list = utilvalidation.IsValidIP(at, text)
		}
		if addr, ok := object.ParseAddr(text); ok && discoveryv1.AddressType(familyOfAddr(addr)) != family {
			list = append(list, field.Invalid(at, text, "must be an "+string(family)+" address"))
		}
		return list
	}
	return nil
}

func validateHints(h *discoveryv1.EndpointHints, path *field.Path) (list field.ErrorList) {
	if n := max(len(h.ForZones), len(h.ForNodes)); n > maxHints {
		return append(list, field.TooMany(path, n, maxHints))
	}
	zones, nodes := duplicates[string]{}, duplicates[string]{}
	for i, zone := range h.ForZones {
		at := path.Child("forZones").Index(i).Child("name")
		list = append(list, slices.Concat(zones.add(at, zone.Name), each(at, zone.Name, utilvalidation.IsValidLabelValue(zone.Name)))...)
	}
	for i, node := range h.ForNodes {
		at := path.Child("forNodes").Index(i).Child("name")
		list = append(list, slices.Concat(nodes.add(at, node.Name), nodeName(at, &node.Name))...)
	}
	return list
}
