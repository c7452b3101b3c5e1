package object

import (
	"net/netip"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	netutils "k8s.io/utils/net"
)

// Key names an object. The namespace of a Namespace is "".
type Key struct{ Namespace, Name string }

// KeyOf is the key of a decoded object.
func KeyOf(o metav1.Object) Key { return Key{o.GetNamespace(), o.GetName()} }

// OwnKey is the key of a decoded object whose texts are parts of a message that is not kept.
func OwnKey(o metav1.Object) Key {
	return Key{strings.Clone(o.GetNamespace()), strings.Clone(o.GetName())}
}

// ParseAddr reads the address in a field of an object as Kubernetes does: octets of IPv4 may begin with 0 and are decimal
// (010.96.0.50), and IPv4 that is mapped into IPv6 (::ffff:10.96.0.50) is IPv4. API servers before 1.36 stored both, and
// later ones still serve them; kube-proxy and the API server's own IPAddress objects read them so. An address with a
// zone is none.
func ParseAddr(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil { // rarely: what is read here is slower, and allocates
		addr, _ = netip.AddrFromSlice(netutils.ParseIPSloppy(text))
	}
	return addr.Unmap(), addr.IsValid() && addr.Zone() == ""
}

// ValidLabel reports whether text is a label by RFC 1123 section 2.1, in lower case as Kubernetes keeps names.
func ValidLabel(text string) bool {
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

// ValidName reports whether text, in lower case and without a dot at its end, is a domain name that a CNAME may hold.
// Underscores are taken: names of service records and of cloud providers have them (RFC 2181 section 11).
func ValidName(text string) bool {
	if len(text) > 253 {
		return false
	}
	for label := range strings.SplitSeq(text, ".") {
		if !ValidLabel(strings.ReplaceAll(label, "_", "x")) {
			return false
		}
	}
	return true
}

// Value is what p points at, or the zero value.
func Value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
