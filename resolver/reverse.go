package resolver

import (
	"net/netip"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// The labels that end reverse names, in wire form: RFC 1035 section 3.5 and RFC 3596 section 2.5.
const (
	arpa4 = "\x07in-addr\x04arpa\x00"
	arpa6 = "\x03ip6\x04arpa\x00"
)

// reverseAddr is the address that name, the owner of a PTR record, stands for.
func reverseAddr(name *wire.QName) (netip.Addr, bool) {
	switch name.Labels() {
	case 6:
		if string(name.Suffix(4)) == arpa4 {
			return reverse4(name)
		}
	case 34:
		if string(name.Suffix(32)) == arpa6 {
			return reverse6(name)
		}
	}
	return netip.Addr{}, false
}

func reverse4(name *wire.QName) (netip.Addr, bool) {
	var ip [4]byte
	for i := range ip {
		label := name.Label(3 - i)
		if len(label) > 3 || label[0] == '0' && len(label) > 1 {
			return netip.Addr{}, false
		}
		value := 0
		for _, c := range label {
			if c < '0' || c > '9' {
				return netip.Addr{}, false
			}
			value = value*10 + int(c-'0')
		}
		if value > 255 {
			return netip.Addr{}, false
		}
		ip[i] = byte(value)
	}
	return netip.AddrFrom4(ip), true
}

func reverse6(name *wire.QName) (netip.Addr, bool) {
	var ip [16]byte
	for i := range 32 {
		label := name.Label(31 - i)
		var nibble byte
		switch c := label[0]; {
		case len(label) != 1:
			return netip.Addr{}, false
		case c >= '0' && c <= '9':
			nibble = c - '0'
		case c >= 'a' && c <= 'f':
			nibble = c - 'a' + 10
		default:
			return netip.Addr{}, false
		}
		ip[i/2] = ip[i/2]<<4 | nibble
	}
	return netip.AddrFrom16(ip), true
}
