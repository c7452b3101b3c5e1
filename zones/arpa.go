package zones

import (
	"net/netip"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// Reverse names stand for addresses: RFC 1035 section 3.5 and RFC 3596 section 2.5.

// The labels that end them, in wire form.
const (
	arpa4 = "\x07in-addr\x04arpa\x00"
	arpa6 = "\x03ip6\x04arpa\x00"
)

// IsArpa reports whether name, in wire form and lower case, is at or below one of the zones of reverse names.
func IsArpa(name []byte) bool {
	return wire.Within(name, []byte(arpa4)) || wire.Within(name, []byte(arpa6))
}

// ParseArpa is the addresses that a reverse name stands for: one, or those whose reverse names are below it, so that
// 96.10.in-addr.arpa is 10.96.0.0/16. ok is false if no reverse name is below name.
func ParseArpa(name *wire.QName) (prefix netip.Prefix, ok bool) {
	below := name.Labels() - 2
	switch {
	case below < 0:
	case below <= 4 && string(name.Suffix(below)) == arpa4:
		return parseArpa4(name, below)
	case below <= 32 && string(name.Suffix(below)) == arpa6:
		return parseArpa6(name, below)
	}
	return prefix, false
}

func parseArpa4(name *wire.QName, labels int) (prefix netip.Prefix, ok bool) {
	var ip [4]byte
	for i := range labels {
		label := name.Label(labels - 1 - i)
		if len(label) > 3 || label[0] == '0' && len(label) > 1 {
			return prefix, false
		}
		value := 0
		for _, c := range label {
			if c < '0' || c > '9' {
				return prefix, false
			}
			value = value*10 + int(c-'0')
		}
		if value > 255 {
			return prefix, false
		}
		ip[i] = byte(value)
	}
	return netip.PrefixFrom(netip.AddrFrom4(ip), 8*labels), true
}

func parseArpa6(name *wire.QName, labels int) (prefix netip.Prefix, ok bool) {
	var ip [16]byte
	for i := range labels {
		label := name.Label(labels - 1 - i)
		var nibble byte
		switch c := label[0]; {
		case len(label) != 1:
			return prefix, false
		case c >= '0' && c <= '9':
			nibble = c - '0'
		case c >= 'a' && c <= 'f':
			nibble = c - 'a' + 10
		default:
			return prefix, false
		}
		ip[i/2] |= nibble << (4 * (1 - i%2))
	}
	return netip.PrefixFrom(netip.AddrFrom16(ip), 4*labels), true
}

// appendArpa appends the reverse name of addr, in wire form.
func appendArpa(name []byte, addr netip.Addr) []byte {
	const digits = "0123456789abcdef"
	if addr.Is6() {
		ip := addr.As16()
		for i := 15; i >= 0; i-- {
			name = append(name, 1, digits[ip[i]&0xf], 1, digits[ip[i]>>4])
		}
		return append(name, arpa6...)
	}
	ip := addr.As4()
	for i := 3; i >= 0; i-- {
		at := len(name)
		name = append(name, 0)
		if ip[i] >= 100 {
			name = append(name, digits[ip[i]/100])
		}
		if ip[i] >= 10 {
			name = append(name, digits[ip[i]/10%10])
		}
		name = append(name, digits[ip[i]%10])
		name[at] = byte(len(name) - at - 1)
	}
	return append(name, arpa4...)
}
