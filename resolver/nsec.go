package resolver

import (
	"slices"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// nsecKind is what an NSEC record says of its owner (RFC 9824).
type nsecKind uint8

const (
	existing    nsecKind = iota // it has no records of the qtype
	empty                       // it has no records at all
	apex                        // it is that of a zone, without records of the qtype
	nonexistent                 // it does not exist
	delegation                  // the zone at it is not signed
)

// The types that an NSEC record says a name has. Which ones a name has is not known here: those that it may have, without
// the qtype, keep a resolver that uses the record for other questions (RFC 8198) from denying what exists. CNAME and
// DNAME, NS and SOA are not among them, since validators draw conclusions from these.
var (
	mayHave = []wire.Type{wire.TypeA, wire.TypePTR, wire.TypeHINFO, wire.TypeMX, wire.TypeTXT, 17, 18, wire.TypeAAAA, 29,
		wire.TypeSRV, 35, 36, 37, 44, wire.TypeRRSIG, wire.TypeNSEC, 52, 53, 55, 61, 64, 65, 99, 108, 109, 256, 257}
	typesOf = map[nsecKind][]wire.Type{
		existing:    mayHave,
		empty:       {wire.TypeRRSIG, wire.TypeNSEC},
		apex:        append([]wire.Type{wire.TypeNS, wire.TypeSOA, wire.TypeDNSKEY, 59, 60, 62}, mayHave...),
		nonexistent: {wire.TypeRRSIG, wire.TypeNSEC, wire.TypeNXNAME},
		delegation:  {wire.TypeNS, wire.TypeRRSIG, wire.TypeNSEC},
	}
	bitmaps = compileBitmaps()
)

// bitmap has a bit for each type of the first two windows of an NSEC record.
type bitmap [2][32]byte

func compileBitmaps() (all [delegation + 1]bitmap) {
	for kind, types := range typesOf {
		for _, t := range types {
			all[kind][t>>8][t&0xff>>3] |= 0x80 >> (t & 7)
		}
	}
	return all
}

// appendTypes appends the types of an NSEC record of that kind as its data has them (RFC 4034 section 4.1.2), without t,
// unless it is one that the record itself brings.
func appendTypes(data []byte, kind nsecKind, t wire.Type) []byte {
	b := bitmaps[kind]
	if int(t>>8) < len(b) && (kind == existing || kind == apex) && t != wire.TypeRRSIG && t != wire.TypeNSEC {
		b[t>>8][t&0xff>>3] &^= 0x80 >> (t & 7)
	}
	for window, bits := range b {
		size := len(bits)
		for size > 0 && bits[size-1] == 0 {
			size--
		}
		if size > 0 {
			data = append(append(data, byte(window), byte(size)), bits[:size]...)
		}
	}
	return data
}

// appendSuccessor appends the name that comes next after name, which is in wire form and lower case, in the order of
// DNSSEC (RFC 4471 section 3.1): one below it if there is room, unless beside says that names below are not ours.
func appendSuccessor(data, name []byte, beside bool) []byte {
	if !beside && len(name)+2 <= wire.MaxName {
		return append(append(data, 1, 0), name...)
	}
	for len(name) > 1 {
		label, rest := name[1:1+int(name[0])], name[1+int(name[0]):]
		if len(label) < 63 && len(name) < wire.MaxName {
			data = append(append(data, byte(len(label)+1)), label...)
			return append(append(data, 0), rest...)
		}
		if label = increment(label); len(label) > 0 {
			return append(append(append(data, byte(len(label))), label...), rest...)
		}
		name = rest
	}
	return append(data, 0) // the last name of all leads to the first
}

// increment is the least label that is larger than all that begin with label; empty if there is none.
func increment(label []byte) []byte {
	label = slices.Clone(label)
	for len(label) > 0 {
		last := &label[len(label)-1]
		if *last != 0xff {
			if *last++; *last == 'A' {
				*last = 'Z' + 1 // capitals count as small letters
			}
			return label
		}
		label = label[:len(label)-1]
	}
	return nil
}
