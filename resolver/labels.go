package resolver

import "github.com/clusterdns/clusterdns/zones/wire"

// TypeLabels are the qtypes with a label of their own in metrics, as in CoreDNS; all others are "other", so that a
// client cannot make series.
var TypeLabels = [...]string{"other", "A", "AAAA", "ANY", "AXFR", "CNAME", "DNSKEY", "DS", "HTTPS", "IXFR", "MX", "NS",
	"NSEC", "NSEC3", "PTR", "RRSIG", "SOA", "SRV", "SVCB", "TXT"}

// typeLabel is the index in TypeLabels of the qtypes below 256.
var typeLabel = [256]uint8{1: 1, 28: 2, 255: 3, 252: 4, 5: 5, 48: 6, 43: 7, 65: 8, 251: 9, 15: 10, 2: 11,
	47: 12, 50: 13, 12: 14, 46: 15, 6: 16, 33: 17, 64: 18, 16: 19}

// TypeLabel is the index in TypeLabels of t.
func TypeLabel(t wire.Type) uint8 {
	if t < wire.Type(len(typeLabel)) {
		return typeLabel[t]
	}
	return 0
}

// classLabels are the classes with a label of their own; IN is the first.
var classLabels = [...]string{"IN", "CH", "HS", "NONE", "ANY", "other"}

// classLabel is the index in classLabels of c.
func classLabel(c wire.Class) int {
	switch c {
	case wire.ClassIN:
		return 0
	case wire.ClassCH:
		return 1
	case 4:
		return 2
	case 254:
		return 3
	case wire.ClassANY:
		return 4
	}
	return len(classLabels) - 1
}
