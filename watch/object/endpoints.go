package object

import (
	"encoding/binary"
	"iter"
	"net/netip"

	"github.com/clusterdns/clusterdns/zones"
)

// Endpoint is one address of a ready endpoint (conditions.ready nil or true).
type Endpoint struct {
	Addr     netip.Addr
	Hostname string      // the endpoint's own; "" without
	Pod      string      // name of the target pod, kept only for endpoint_pod_names
	Zone     string      // topology zone in lower case, kept only for zonal names; "" without
	Pair     string      // two addresses of a service with equal ones are of one pod, kept only for affinity; "" for unknown
	Place    zones.Place // where it is, kept only with Selection.Who; 0 if that is not known

	unready bool
}

// Endpoints is a list of endpoints in one string. A large cluster has hundreds of thousands of endpoints: packed, one
// takes as many octets as its address and texts have, and the garbage collector has nothing to follow. Each is an octet
// of flags, its address, its place if that is known, and those of its texts that are not empty, behind an octet with their
// length. With Selection.Who those that are not ready are in it as well.
type Endpoints string

// flags of a packed endpoint.
const (
	packedIPv6 = 1 << iota
	packedHostname
	packedPod
	packedZone
	packedPlace
	packedUnready
	packedPair
)

// appendPacked appends e as Endpoints have it. Its texts have at most 255 octets.
func appendPacked(list []byte, e *Endpoint) []byte {
	flags := len(list)
	list = append(list, 0)
	if e.Addr.Is6() {
		list[flags] |= packedIPv6
	}
	list = append(list, e.Addr.AsSlice()...)
	if e.unready {
		list[flags] |= packedUnready
	}
	if e.Place != 0 {
		list[flags] |= packedPlace
		list = binary.BigEndian.AppendUint16(list, uint16(e.Place))
	}
	for _, text := range [...]struct {
		flag byte
		text string
	}{{packedHostname, e.Hostname}, {packedPod, e.Pod}, {packedZone, e.Zone}, {packedPair, e.Pair}} {
		if text.text != "" {
			list[flags] |= text.flag
			list = append(append(list, byte(len(text.text))), text.text...)
		}
	}
	return list
}

// All calls yield with every endpoint that is ready until yield returns false. Their texts are parts of the list.
func (p Endpoints) All(yield func(Endpoint) bool) { p.each(false, yield) }

// Asking are those that are not ready, of which the addresses and the places are kept.
func (p Endpoints) Asking() iter.Seq[Endpoint] {
	return func(yield func(Endpoint) bool) { p.each(true, yield) }
}

// None reports whether no endpoint is ready.
func (p Endpoints) None() bool {
	for range p.All {
		return false
	}
	return true
}

// V4 reports whether the first address, which there must be, is one of IPv4; those of a slice are of one family.
func (p Endpoints) V4() bool { return p[0]&packedIPv6 == 0 }

func (p Endpoints) each(unready bool, yield func(Endpoint) bool) {
	p.walk(func(e Endpoint) bool { return e.unready != unready || yield(e) })
}

// walk calls yield with every endpoint, in their order.
func (p Endpoints) walk(yield func(Endpoint) bool) {
	for rest := string(p); rest != ""; {
		flags := rest[0]
		rest = rest[1:]
		var e Endpoint
		if flags&packedIPv6 != 0 {
			e.Addr = netip.AddrFrom16([16]byte([]byte(rest[:16])))
			rest = rest[16:]
		} else {
			e.Addr = netip.AddrFrom4([4]byte([]byte(rest[:4])))
			rest = rest[4:]
		}
		if flags&packedPlace != 0 {
			e.Place = zones.Place(rest[0])<<8 | zones.Place(rest[1])
			rest = rest[2:]
		}
		text := func(flag byte) (text string) {
			if flags&flag != 0 {
				end := 1 + int(rest[0])
				text, rest = rest[1:end], rest[end:]
			}
			return text
		}
		e.Hostname, e.Pod, e.Zone, e.Pair = text(packedHostname), text(packedPod), text(packedZone), text(packedPair)
		e.unready = flags&packedUnready != 0
		if !yield(e) {
			return
		}
	}
}

// Count is how many endpoints there are.
func (p Endpoints) Count() (n int) {
	for range p.All {
		n++
	}
	return n
}

// wellFormed reports whether All may walk the list: it ends with the end of an endpoint.
func (p Endpoints) wellFormed() bool {
	for rest := string(p); rest != ""; {
		flags, size := rest[0], placeIn(rest[0])
		if flags&packedPlace != 0 {
			size += 2
		}
		if flags >= packedPair<<1 || len(rest) < size {
			return false
		}
		for _, flag := range [...]byte{packedHostname, packedPod, packedZone, packedPair} {
			if flags&flag == 0 {
				continue
			}
			if len(rest) <= size || rest[size] == 0 || len(rest) <= size+int(rest[size]) {
				return false
			}
			size += 1 + int(rest[size])
		}
		rest = rest[size:]
	}
	return true
}

// placeIn is where the place of an endpoint with these flags stands, behind its address.
func placeIn(flags byte) int {
	if flags&packedIPv6 != 0 {
		return 1 + 16
	}
	return 1 + 4
}

// Relocate gives the places of an object that was read from a file the numbers that they have now. It must be the only one
// that knows the object. A place without a number is not known any more.
func Relocate(o Object, number func(namespace string, old zones.Place) zones.Place) {
	switch o := o.(type) {
	case *Slice:
		o.Endpoints = o.Endpoints.relocate(func(old zones.Place) zones.Place { return number(o.Namespace, old) })
	case *Pod:
		if o.Place != 0 {
			o.Place = number(o.Namespace, o.Place)
		}
	}
}

func (p Endpoints) relocate(number func(zones.Place) zones.Place) Endpoints {
	if p == "" {
		return p
	}
	list := make([]byte, 0, len(p))
	p.walk(func(e Endpoint) bool {
		if e.Place != 0 {
			e.Place = number(e.Place)
		}
		list = appendPacked(list, &e)
		return true
	})
	if string(list) == string(p) {
		return p // which shares its octets with the object's texts
	}
	return Endpoints(list)
}
