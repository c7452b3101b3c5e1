package config

import (
	"net/netip"
	"slices"

	"github.com/clusterdns/clusterdns/resolver"
)

// binding is an address to listen on, and where the file says so.
type binding struct {
	netip.Addr
	at position
}

// bind ADDRESS|IFACE… { except ADDRESS|IFACE… }
func (b *blockReader) listen(a *args) {
	all := a.bindAddresses()
	var except []netip.Addr
	a.options(options{
		"except": func(o *args) { except = append(except, o.bindAddresses()...) },
	})
	all = slices.DeleteFunc(all, func(x netip.Addr) bool { return slices.Contains(except, x) })
	if len(all) == 0 && len(a.mistakes()) == 0 {
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
		if isMissing(err) {
			a.fail("%q: %v", w, err)
			return nil
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
func (b *blockReader) bufsize(a *args) {
	b.Steps.Bufsize = resolver.DefaultBufsize
	if a.more() {
		b.Steps.Bufsize = uint16(a.number(512, resolver.MostBufsize))
	}
	a.finish()
}

func usesBufsize(b *Block) bool { return b.Steps.Bufsize != 0 }

func summarizeBufsize(b *Block, s *summary) {
	s.note(b.Steps.Bufsize != 0, "bufsize %d", b.Steps.Bufsize)
}

// loop
func (b *blockReader) loop(a *args) {
	b.Steps.Loop = true
	a.finish()
}

func usesLoop(b *Block) bool { return b.Steps.Loop }

func summarizeLoop(b *Block, s *summary) {
	if b.Steps.Loop {
		s.step("loop")
	}
}
