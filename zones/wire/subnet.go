package wire

import "net/netip"

// OptionSubnet is the code of the EDNS option for the network of the client that a cache asks for (RFC 7871).
const OptionSubnet = 8

// subnetHead is the octets of the option before its address: family, source and scope prefix length.
const subnetHead = 4

// Subnet is the network that a cache says it asks for.
type Subnet struct {
	Network netip.Prefix // invalid if it is not said, as a cache does whose client wants that, or of an unknown family
	option  []byte       // part of the query
}

// Given reports whether the query has the option.
func (s *Subnet) Given() bool { return s.option != nil }

// Subnet reads the option of the query. It reports false if it is malformed (RFC 7871 section 6): more octets or bits than
// it says, or a scope.
func (q *Query) Subnet() (s Subnet, ok bool) {
	ok = true
	EachOption(q.Options, func(code uint16, data []byte) bool {
		if code == OptionSubnet {
			s, ok = readSubnet(data)
			return false
		}
		return true
	})
	return s, ok
}

func readSubnet(data []byte) (s Subnet, ok bool) {
	if len(data) < subnetHead || data[3] != 0 {
		return s, false
	}
	family, bits, address := int(data[0])<<8|int(data[1]), int(data[2]), data[subnetHead:]
	var full [16]byte
	size := 0
	switch family {
	case 1:
		size = 4
	case 2:
		size = 16
	default:
		s.option = data
		return s, true
	}
	if bits > 8*size || len(address) != (bits+7)/8 {
		return s, false
	}
	copy(full[:], address)
	network := netip.PrefixFrom(netip.AddrFrom16(full), bits)
	if family == 1 {
		network = netip.PrefixFrom(netip.AddrFrom4([4]byte(full[:4])), bits)
	}
	if network != network.Masked() {
		return s, false
	}
	if s.option = data; bits > 0 {
		s.Network = network
	}
	return s, true
}

// Answer puts the option into the reply, with the scope that Scope says: the prefix length of the networks that the answer
// holds for; 0 for all (RFC 7871 section 7.2.1).
func (r *Reply) Answer(s *Subnet) {
	if r.subnet == nil && s.Given() {
		r.subnet = s.option
		r.limit -= 4 + len(s.option)
	}
}

// Scope narrows the scope of the reply.
func (r *Reply) Scope(bits int) { r.scope = max(r.scope, byte(bits)) }
