package config

import (
	"net/netip"

	"github.com/clusterdns/clusterdns/resolver"
)

// secondary [ZONES…] { transfer from ADDRESS…; fallthrough [ZONES…] }
func (b *blockReader) secondary(a *args) {
	s := resolver.Secondary{Zones: a.zonesOr(b.zones...)}
	a.options(options{
		"transfer":    func(o *args) { o.primaries(&s) },
		"fallthrough": func(o *args) { s.Fallthrough.Zones = o.zonesOr(".") },
		"upstream":    outdated,
		"catalog":     nil,
	})
	if a.err == nil && len(s.From) == 0 {
		a.fail("needs the option transfer from: the addresses of the primaries")
	}
	b.Steps.Secondaries = append(b.Steps.Secondaries, s)
}

// primaries reads from ADDRESS…, each an IP address with or without a port.
func (a *args) primaries(s *resolver.Secondary) {
	if w := a.word("from, and the addresses of the primaries"); a.err == nil && w != "from" {
		a.fail("got %q, wants from", w)
	}
	for _, w := range a.atLeastOne("the address of a primary") {
		address, ok := upstreamAddress(w, dnsPort)
		if !ok {
			a.fail("got %q, wants an IP address, or an address and a port", w)
			return
		}
		s.From = append(s.From, netip.AddrPortFrom(address.Addr().Unmap(), address.Port()))
	}
}

func usesSecondary(b *Block) bool { return len(b.Steps.Secondaries) > 0 }

func summarizeSecondaries(b *Block, s *summary) {
	for i := range b.Steps.Secondaries {
		z := &b.Steps.Secondaries[i]
		l := s.step("secondary for %s from", names(z.Zones))
		for _, from := range z.From {
			l.WriteString(" " + from.String())
		}
		l.passes(z.Fallthrough)
	}
}
