package config

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
)

// acl [ZONES…] { ACTION [type QTYPE…] [net SOURCE…] }
func (b *blockReader) acl(a *args) {
	acl := resolver.ACL{Zones: a.zonesOr(b.zones...)}
	a.optionsOr(nil, func(o *args) bool {
		acl.Rules = append(acl.Rules, o.aclRule())
		return true
	})
	if a.err == nil && len(acl.Rules) == 0 {
		a.warnf("has no rule and keeps nothing from anybody: rules such as \"block net 10.0.0.0/8\" stand in its block")
	}
	b.Steps.ACLs = append(b.Steps.ACLs, acl)
}

func aclActions() map[string]resolver.ACLAction {
	return map[string]resolver.ACLAction{
		"allow": resolver.ACLAllow, "block": resolver.ACLBlock, "filter": resolver.ACLFilter, "drop": resolver.ACLDrop,
	}
}

// aclRule reads one line. Several sections of a kind add up, and a * in one of them stands for everything.
func (a *args) aclRule() (rule resolver.ACLRule) {
	actions := slices.Sorted(maps.Keys(aclActions()))
	action, known := aclActions()[strings.ToLower(a.name)]
	if !known {
		a.fail("no such action, wants %s%s", sentence(actions), DidYouMean(a.name, actions))
	}
	rule.Action = action
	allTypes, allNetworks := false, false
	for a.more() {
		switch section := a.word(""); strings.ToLower(section) {
		case "type":
			allTypes = a.aclSection("a type of records such as AAAA, or *", func(w string) {
				rule.Types = append(rule.Types, a.recordType(w))
			}) || allTypes
		case "net":
			allNetworks = a.aclSection("an address, a network such as 10.0.0.0/8, or *", func(w string) {
				rule.Networks = append(rule.Networks, a.network(w))
			}) || allNetworks
		default:
			a.fail("got %q, wants type or net%s", section, DidYouMean(section, []string{"type", "net"}))
		}
	}
	if allTypes {
		rule.Types = nil
	}
	if allNetworks {
		rule.Networks = nil
	}
	return rule
}

// aclSection reads the words up to the next section, at least one, and reports whether a * stands for everything.
func (a *args) aclSection(want string, read func(string)) (all bool) {
	for first := true; first || a.more() && !isSection(a.peek()); first = false {
		if isSection(a.peek()) {
			a.fail("needs %s, before %s", want, a.peek())
		}
		switch w := a.word(want); {
		case w == "*":
			all = true
		case a.err == nil && !all: // CoreDNS does not look at what follows a *
			read(w)
		}
	}
	return all
}

func isSection(w string) bool { return strings.EqualFold(w, "type") || strings.EqualFold(w, "net") }

// recordType is a type by its name, or by its number as in TYPE65 (RFC 3597 section 5).
func (a *args) recordType(w string) uint16 {
	upper := strings.ToUpper(w)
	code, known := dns.StringToType[upper]
	if digits, ok := strings.CutPrefix(upper, "TYPE"); ok && !known {
		n, err := strconv.ParseUint(digits, 10, 16)
		code, known = uint16(n), err == nil
	}
	if !known {
		a.fail("got %q, wants a type of records such as AAAA or TYPE65%s", w, DidYouMean(upper, keys(dns.StringToType)))
	}
	return code
}

// network parses a prefix, or an address by itself. IPv4 mapped into IPv6 becomes IPv4, as it does in the addresses of
// clients.
func (a *args) network(w string) netip.Prefix {
	p, err := netip.ParsePrefix(w)
	if address, notAddress := netip.ParseAddr(w); notAddress == nil && address.Zone() == "" {
		p, err = netip.PrefixFrom(address, address.BitLen()), nil
	}
	if err != nil {
		a.fail("got %q, wants an address, a network such as 10.0.0.0/8, or *", w)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

func usesACL(b *Block) bool { return len(b.Steps.ACLs) > 0 }

func summarizeACLs(b *Block, s *summary) {
	for _, acl := range b.Steps.ACLs {
		l := s.step("acl for %s", names(acl.Zones))
		l.add(len(acl.Rules) == 0, "no rule")
		for i := range acl.Rules {
			l.add(true, "%s", aclRuleText(&acl.Rules[i]))
		}
	}
}

// aclRuleText writes a rule as a Corefile does.
func aclRuleText(r *resolver.ACLRule) string {
	words := []string{[...]string{"allow", "block", "filter", "drop"}[r.Action]}
	if len(r.Types) > 0 {
		words = append(words, "type")
	}
	for _, t := range r.Types {
		words = append(words, dns.Type(t).String())
	}
	if len(r.Networks) > 0 {
		words = append(words, "net")
	}
	for _, n := range r.Networks {
		words = append(words, n.String())
	}
	return strings.Join(words, " ")
}
