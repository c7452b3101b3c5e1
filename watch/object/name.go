package object

import (
	"net/netip"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Key names an object. The namespace of a Namespace is "".
type Key struct{ Namespace, Name string }

// KeyOf is the key of a decoded object.
func KeyOf(o metav1.Object) Key { return Key{o.GetNamespace(), o.GetName()} }

// ParseAddr takes an address that can be a record's data: one with a zone, or IPv4 mapped into IPv6 (::ffff:10.0.0.1),
// is none: no client would connect to it.
func ParseAddr(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	return addr, err == nil && addr.Zone() == "" && !addr.Is4In6()
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
