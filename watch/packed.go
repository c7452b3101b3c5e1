package watch

import "net/netip"

// packed is a list of endpoints in one string. A large cluster has hundreds of thousands of endpoints: packed, one takes as many octets
// as its address and texts have, and the garbage collector has nothing to follow.
// Each is an octet of flags, its address, and those of its texts that are not empty, behind an octet with their length.
type packed string

// flags of a packed endpoint.
const (
	packedIPv6 = 1 << iota
	packedHostname
	packedPod
	packedZone
)

// appendPacked appends e as packed has it. Its texts have at most 255 octets.
func appendPacked(list []byte, e *endpoint) []byte {
	flags := len(list)
	list = append(list, 0)
	if e.addr.Is6() {
		list[flags] |= packedIPv6
	}
	list = append(list, e.addr.AsSlice()...)
	for _, text := range [...]struct {
		flag byte
		text string
	}{{packedHostname, e.hostname}, {packedPod, e.pod}, {packedZone, e.zone}} {
		if text.text != "" {
			list[flags] |= text.flag
			list = append(append(list, byte(len(text.text))), text.text...)
		}
	}
	return list
}

// each calls yield with every endpoint until yield returns false. Their texts are parts of the list.
func (p packed) each(yield func(endpoint) bool) {
	for rest := string(p); rest != ""; {
		flags := rest[0]
		rest = rest[1:]
		var e endpoint
		if flags&packedIPv6 != 0 {
			e.addr = netip.AddrFrom16([16]byte([]byte(rest[:16])))
			rest = rest[16:]
		} else {
			e.addr = netip.AddrFrom4([4]byte([]byte(rest[:4])))
			rest = rest[4:]
		}
		text := func(flag byte) (text string) {
			if flags&flag != 0 {
				end := 1 + int(rest[0])
				text, rest = rest[1:end], rest[end:]
			}
			return text
		}
		e.hostname, e.pod, e.zone = text(packedHostname), text(packedPod), text(packedZone)
		if !yield(e) {
			return
		}
	}
}

// count is how many endpoints there are.
func (p packed) count() (n int) {
	for range p.each {
		n++
	}
	return n
}
