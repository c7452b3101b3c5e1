package config

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/clusterdns/clusterdns/resolver"
)

// defaultPrefix is the well-known prefix of RFC 6052 section 2.1.
const defaultPrefix = "64:ff9b::/96"

// dns64 [PREFIX] { prefix PREFIX; translate_all; allow_ipv4 }. Several add up, as in CoreDNS. CoreDNS passes over the
// block of a line that has a PREFIX; here both count.
func (b *blockReader) dns64(a *args) {
	d := cmp.Or(b.Steps.DNS64, &resolver.DNS64{Prefix: netip.MustParsePrefix(defaultPrefix)})
	b.Steps.DNS64 = d
	if a.more() {
		d.Prefix = a.translationPrefix()
	}
	a.options(options{
		"prefix":        func(o *args) { d.Prefix = o.translationPrefix() },
		"translate_all": set(&d.TranslateAll),
		"allow_ipv4":    set(&d.AllowIPv4),
	})
}

// translationPrefix is what IPv4 addresses are put behind; RFC 6052 section 2.2 has these lengths and no others.
func (a *args) translationPrefix() netip.Prefix {
	const want = "an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits such as " + defaultPrefix
	w := a.word(want)
	p, err := netip.ParsePrefix(w)
	if err != nil || !p.Addr().Is6() || !slices.Contains([]int{32, 40, 48, 56, 64, 96}, p.Bits()) {
		a.fail("got %q, wants %s", w, want)
	}
	return p.Masked()
}

func usesDNS64(b *Block) bool { return b.Steps.DNS64 != nil }

func summarizeDNS64(b *Block, s *summary) {
	d := b.Steps.DNS64
	if d == nil {
		return
	}
	l := s.step("dns64 %s", d.Prefix)
	l.add(d.TranslateAll, "translates all")
	l.add(d.AllowIPv4, "for clients over IPv4 too")
}
