package config

import (
	"net/netip"

	"github.com/clusterdns/clusterdns/resolver"
)

// transfer [ZONES…] { to ADDRESS… }
func (b *block) transfer(a *args) {
	t := resolver.Transfer{Zones: a.zonesOr(b.zones...)}
	a.options(options{
		"to":     func(o *args) { o.secondaries(&t) },
		"source": nil,
	})
	if a.err == nil && !t.Any && len(t.To) == 0 {
		a.fail("needs the option to: the addresses of the secondaries, or *")
	}
	b.Steps.Transfers = append(b.Steps.Transfers, t)
}

// secondaries reads ADDRESS…, each an IP address with or without a port, or * for everybody.
func (a *args) secondaries(t *resolver.Transfer) {
	for _, w := range a.atLeastOne("the address of a secondary, or *") {
		if w == "*" {
			t.Any = true
			continue
		}
		address, ok := upstreamAddress(w, "dns")
		if !ok {
			a.fail("got %q, wants an IP address, an address and a port, or *", w)
			return
		}
		t.To = append(t.To, netip.AddrPortFrom(address.Addr().Unmap(), address.Port()))
	}
}
