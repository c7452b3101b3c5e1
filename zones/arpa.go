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

// ParseArpa is the address that a reverse name stands for; ok is false if name is not a complete reverse name.
func ParseArpa(name *wire.QName) (netip.Addr, bool) {
	switch name.Labels() {
	case 6:
		if string(name.Suffix(4)) == arpa4 {
			return parseArpa4(name)
		}
	case 34:
		if string(name.Suffix(32)) == arpa6 {
			return parseArpa6(name)
		}
	}
	return netip.Addr{}, false
}

func parseArpa4(name *wire.QName) (netip.Addr, bool) {
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

func parseArpa6(name *wire.QName) (netip.Addr, bool) {
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
