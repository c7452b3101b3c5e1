package config

import (
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
)

// transfer [ZONES…] { to ADDRESS… }
func (b *blockReader) transfer(a *args) {
	t := resolver.ZoneTransfer{Zones: a.zonesOr(b.zones...)}
	a.options(options{
		"to":     func(o *args) { o.secondaries(&t) },
		"source": nil,
	})
	if a.err == nil && !t.Any && len(t.To) == 0 {
		a.fail("needs the option to: the addresses of the secondaries, or *")
	}
	b.Steps.Transfers = append(b.Steps.Transfers, t)
	b.transfers = append(b.transfers, a.at)
}

// warnTransfers warns of zones that a block offers for transfer and does not serve: no secondary gets them, and none is
// notified of changes.
func warnTransfers(blocks []*blockReader, warn warner) {
	for _, b := range blocks {
		for i, t := range b.Steps.Transfers {
			for _, zone := range t.Zones {
				if !b.transferable(zone) {
					warn(b.transfers[i], "transfer: no directive of this block serves %s%s",
						zone, elsewhere(blocks, zone))
				}
			}
		}
	}
}

// transferable reports whether a directive of the block serves zone, or a zone below it. The zones of auto come and go:
// any that is in its zones may be one.
func (b *blockReader) transferable(zone string) bool {
	var served, origins []string
	o := &b.Steps
	for i := range o.Kubernetes {
		served = append(served, o.Kubernetes[i].Zones...)
	}
	for i := range o.Externals {
		served = append(served, o.Externals[i].Zones...)
	}
	for i := range o.Files {
		served = append(served, o.Files[i].Zones...)
	}
	for i := range o.Secondaries {
		served = append(served, o.Secondaries[i].Zones...)
	}
	for i := range o.Folders {
		origins = append(origins, o.Folders[i].Zones...)
	}
	return slices.ContainsFunc(append(served, origins...), func(z string) bool { return dns.IsSubDomain(zone, z) }) ||
		slices.ContainsFunc(origins, func(z string) bool { return dns.IsSubDomain(z, zone) })
}

// elsewhere names the block that the directive belongs in, "" when there is none.
func elsewhere(blocks []*blockReader, zone string) string {
	for _, b := range blocks {
		if b.transferable(zone) {
			return "; the block at " + b.At + " has one that does"
		}
	}
	return ""
}

// secondaries reads ADDRESS…, each an IP address with or without a port, or * for everybody.
func (a *args) secondaries(t *resolver.ZoneTransfer) {
	for _, w := range a.atLeastOne("the address of a secondary, or *") {
		if w == "*" {
			t.Any = true
			continue
		}
		address, ok := upstreamAddress(w, dnsPort)
		if !ok {
			a.fail("got %q, wants an IP address, an address and a port, or *", w)
			return
		}
		t.To = append(t.To, netip.AddrPortFrom(address.Addr().Unmap(), address.Port()))
	}
}

func usesTransfer(b *Block) bool { return len(b.Steps.Transfers) > 0 }

func summarizeTransfers(b *Block, s *summary) {
	for _, t := range b.Steps.Transfers {
		l := s.step("transfer %s to", names(t.Zones))
		if t.Any {
			l.WriteString(" everybody")
		}
		for _, to := range t.To {
			l.WriteString(" " + to.String())
		}
	}
}
