package zones

import "net/netip"

// Pods is how <dashed address>.<namespace>.pod.<zone> is answered (option `pods`).
type Pods uint8

// The modes, as CoreDNS names them.
const (
	PodsDisabled Pods = iota // NXDOMAIN
	PodsInsecure             // any address in an existing namespace
	PodsVerified             // only addresses of live pods of that namespace
)

// dashed parses the address in a pod's label, such as 10-244-3-1 or fd00-244--11. It accepts what netip.ParseAddr
// accepts with dots or colons in place of the dashes, but does not allocate an error: queries for names that are not
// addresses are common.
func dashed(label []byte) (netip.Addr, bool) {
	if addr, ok := dashed4(label); ok {
		return addr, true
	}
	return dashed6(label)
}

func dashed4(label []byte) (netip.Addr, bool) {
	var ip [4]byte
	group, digits, value := 0, 0, 0
	for _, c := range label {
		switch {
		case c == '-' && digits > 0 && group < 3:
			ip[group] = byte(value)
			group, digits, value = group+1, 0, 0
		case c >= '0' && c <= '9' && (digits == 0 || value > 0):
			value = value*10 + int(c-'0')
			if digits++; value > 255 {
				return netip.Addr{}, false
			}
		default:
			return netip.Addr{}, false
		}
	}
	ip[3] = byte(value)
	return netip.AddrFrom4(ip), group == 3 && digits > 0
}

func dashed6(label []byte) (netip.Addr, bool) {
	var ip [16]byte
	n, gap := 0, -1 // octets so far, and the position of "::" among them
	for i := 0; i < len(label); {
		if label[i] == '-' {
			double := i+1 < len(label) && label[i+1] == '-'
			switch {
			case double && gap < 0:
				gap = n
				i += 2
				continue
			case double || i == 0 || gap == n:
				return netip.Addr{}, false
			}
			i++
		}
		value, digits := 0, 0
		for ; i < len(label) && digits < 5; i++ {
			d, ok := hex(label[i])
			if !ok {
				break
			}
			value, digits = value<<4|d, digits+1
		}
		if digits == 0 || digits > 4 || n == 16 {
			return netip.Addr{}, false
		}
		ip[n], ip[n+1] = byte(value>>8), byte(value)
		n += 2
		if i < len(label) && label[i] != '-' {
			return netip.Addr{}, false
		}
	}
	if gap < 0 {
		return netip.AddrFrom16(ip).Unmap(), n == 16
	}
	if n == 16 {
		return netip.Addr{}, false // "::" must stand for something
	}
	copy(ip[16-(n-gap):], ip[gap:n])
	clear(ip[gap : 16-(n-gap)])
	return netip.AddrFrom16(ip).Unmap(), true
}

func hex(c byte) (int, bool) {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0'), true
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10, true
	}
	return 0, false
}
