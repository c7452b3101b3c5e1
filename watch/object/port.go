package object

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Port is a port of a Service or an EndpointSlice.
type Port struct {
	Name     string // "" when unnamed
	Protocol string // "TCP", "UDP" or "SCTP"
	Number   int32  // -1 when the slice gives none
}

// stripPort keeps a port; number is nil in a slice of all ports. A bad name leaves the port unnamed; a bad number or
// protocol leaves nothing to answer with.
func stripPort(name string, protocol corev1.Protocol, number *int32, wrong *Problems) (Port, bool) {
	kept := Port{Name: strings.Clone(name), Number: -1}
	if number != nil {
		kept.Number = *number
	}
	if name != "" && !ValidLabel(name) {
		wrong.Add(name, "port name %q is not a DNS label")
		kept.Name = ""
	}
	switch protocol { // constants, so that no slice keeps a "TCP" of its own
	case corev1.ProtocolTCP, "":
		kept.Protocol = "TCP"
	case corev1.ProtocolUDP:
		kept.Protocol = "UDP"
	case corev1.ProtocolSCTP:
		kept.Protocol = "SCTP"
	default:
		wrong.Add(protocol, "protocol %q is not TCP, UDP or SCTP")
		return Port{}, false
	}
	if number != nil && (*number < 1 || *number > 65535) {
		wrong.Add(*number, "port number \"%d\" is not between 1 and 65535")
		return Port{}, false
	}
	return kept, true
}

// portsSize is about how many octets ports take.
func portsSize(ports []Port) (size int) {
	for _, p := range ports {
		size += 48 + len(p.Name)
	}
	return size
}
