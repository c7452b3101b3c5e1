package config

import (
	"net/netip"
	"slices"
)

// standardBufsize keeps UDP replies below the size at which networks fragment them (RFC 9715 section 3.2).
const standardBufsize = 1232

// binding is an address to listen on, and where the file says so.
type binding struct {
	netip.Addr
	at position
}

// bind ADDRESS|IFACE… { except ADDRESS|IFACE… }
func (b *block) listen(a *args) {
	all := a.bindAddresses()
	var except []netip.Addr
	a.options(options{
		"except": func(o *args) { except = append(except, o.bindAddresses()...) },
	})
	all = slices.DeleteFunc(all, func(x netip.Addr) bool { return slices.Contains(except, x) })
	if len(all) == 0 {
		a.fail("leaves no address to listen on")
	}
	for _, address := range all {
		b.bind = append(b.bind, binding{address, a.at})
	}
}

func (a *args) bindAddresses() (all []netip.Addr) {
	const want = "an address or the name of a network interface"
	for _, w := range a.atLeastOne(want) {
		address, err := netip.ParseAddr(w)
		found := []netip.Addr{address.Unmap()}
		if err != nil {
			found, err = a.addresses(w)
		}
		if err != nil {
			a.fail("got %q, wants %s", w, want)
			return nil
		}
		all = append(all, found...)
	}
	return all
}

// bufsize [SIZE]
func (b *block) bufsize(a *args) {
	b.Steps.Bufsize = standardBufsize
	if a.more() {
		b.Steps.Bufsize = uint16(a.number(512, 4096))
	}
	a.finish()
}

// loadbalance [round_robin]
func (b *block) loadbalance(a *args) {
	switch policy := a.peek(); policy {
	case "weighted":
		a.fail("policy %q is not supported yet, only round_robin", policy)
	case "":
	default:
		choose(a, map[string]bool{"round_robin": true})
	}
	a.options(options{"prefer": nil, "reload": nil})
	b.Steps.Rotate = true
}

// loop
func (b *block) loop(a *args) {
	b.Steps.Loop = true
	a.finish()
}
