package config

import (
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
)

// The rules of rewrite that are about anything but names, and what `check` prints of all.

// rewriteType reads OLD NEW.
func (a *args) rewriteType(r *resolver.Rewrite) {
	r.Field = resolver.RewriteType
	r.Old = a.recordType(a.word("OLD NEW, such as AAAA A"))
	r.New = a.recordType(a.word("NEW, the type in its place"))
}

// rewriteClass reads OLD NEW.
func (a *args) rewriteClass(r *resolver.Rewrite) {
	r.Field = resolver.RewriteClass
	r.Old = a.class(a.word("OLD NEW, such as CH IN"))
	r.New = a.class(a.word("NEW, the class in its place"))
}

func (a *args) class(w string) uint16 {
	code, known := dns.StringToClass[strings.ToUpper(w)]
	if !known {
		a.fail("got %q, wants a class such as IN%s", w, DidYouMean(strings.ToUpper(w), keys(dns.StringToClass)))
	}
	return code
}

func keys[T any](table map[string]T) []string { return slices.Collect(maps.Keys(table)) }

// rewriteMatched reads [MATCH] NAME before that many other words. The names are compared as those of `rewrite name`.
func (a *args) rewriteMatched(r *resolver.Rewrite, others int) {
	if len(a.words)-a.used > 1+others {
		r.Match = a.rewriteMatch("the NAME")
	}
	if r.Match == resolver.MatchRegexp {
		r.From = patternText(a.rewritePattern())
		return
	}
	r.From = dns.CanonicalName(a.word("the NAME of questions, such as a.example"))
}

// rewriteTTL reads [MATCH] NAME TTL.
func (a *args) rewriteTTL(r *resolver.Rewrite) {
	const want = "a TTL in seconds such as 60, or bounds such as 60-300, 60- or -300"
	r.Field = resolver.RewriteTTL
	a.rewriteMatched(r, 1)
	w := a.word(want)
	least, most, both := strings.Cut(w, "-")
	if !both {
		most = least
	}
	r.LeastTTL, r.MostTTL = 0, math.MaxInt32
	a.ttlBound(w, least, want, &r.LeastTTL)
	a.ttlBound(w, most, want, &r.MostTTL)
	if a.err == nil && (w == "" || w == "-" || r.LeastTTL > r.MostTTL) {
		a.fail("got %q, wants %s", w, want)
	}
}

// ttlBound reads one side of a TTL. Above 31 bits a TTL counts as 0, so that it is no more (RFC 2181 section 8).
func (a *args) ttlBound(word, side, want string, to *uint32) {
	if side == "" {
		return
	}
	n, err := strconv.ParseUint(side, 10, 32)
	if err != nil {
		a.fail("got %q, wants %s", word, want)
	}
	*to = uint32(min(n, math.MaxInt32))
}

// rewriteRcode reads [MATCH] NAME OLD NEW.
func (a *args) rewriteRcode(r *resolver.Rewrite) {
	r.Field = resolver.RewriteRcode
	a.rewriteMatched(r, 2)
	r.Old, r.New = a.rewriteCode("OLD NEW, such as NXDOMAIN NOERROR"), a.rewriteCode("NEW, the rcode in its place")
}

// rewriteCode reads an rcode by its name or number.
func (a *args) rewriteCode(want string) uint16 {
	w := a.word(want)
	if n, err := strconv.ParseUint(w, 10, 16); err == nil && n <= dns.RcodeBadCookie {
		return uint16(n)
	}
	code, known := dns.StringToRcode[strings.ToUpper(w)]
	if !known {
		a.fail("got %q, wants an rcode such as NXDOMAIN%s", w, DidYouMean(strings.ToUpper(w), keys(dns.StringToRcode)))
	}
	return uint16(code)
}

// rewriteCNAME reads [MATCH] FROM TO. Only exact names get a final dot: as in CoreDNS, a suffix has its own.
func (a *args) rewriteCNAME(r *resolver.Rewrite) {
	r.Field = resolver.RewriteCNAME
	if len(a.words)-a.used > 2 {
		r.Match = a.rewriteMatch("FROM TO")
	}
	if r.Match == resolver.MatchRegexp {
		re := a.rewritePattern()
		r.From, r.To = patternText(re), a.replacement(re)
		return
	}
	r.From = strings.ToLower(a.word("FROM TO, such as a.example b.example"))
	r.To = strings.ToLower(a.word(wantTo))
	switch {
	case r.Match == resolver.MatchExact:
		r.From, r.To = dns.Fqdn(r.From), dns.Fqdn(r.To)
	case r.Match == resolver.MatchSuffix && !strings.HasSuffix(r.From, "."):
		a.warnf("%q never matches: a target ends in a dot, so the suffix does", r.From)
	}
}

func ednsActions() map[string]resolver.EDNSAction {
	return map[string]resolver.EDNSAction{
		"set": resolver.EDNSSet, "append": resolver.EDNSAppend, "replace": resolver.EDNSReplace, "unset": resolver.EDNSUnset,
	}
}

// rewriteEDNS reads local|nsid|subnet ACTION and what belongs to it. revert may stand last: what is set goes upstream
// alone, so that there is nothing to take back from the client's reply.
func (a *args) rewriteEDNS(r *resolver.Rewrite) {
	r.Field, r.EDNS = resolver.RewriteEDNS0, new(resolver.RewriteEDNS)
	kinds := map[string]func(*args, *resolver.RewriteEDNS){
		"local": (*args).localOption, "subnet": (*args).subnetOption,
		"nsid": func(_ *args, o *resolver.RewriteEDNS) { o.Code, o.Value = dns.EDNS0NSID, []byte{} },
	}
	w := a.word("local, nsid or subnet")
	read := kinds[strings.ToLower(w)]
	if read == nil {
		a.fail("edns0: got %q, wants local, nsid or subnet%s", w, DidYouMean(w, keys(kinds)))
		return
	}
	actions := slices.Sorted(maps.Keys(ednsActions()))
	w = a.word(sentence(actions))
	action, known := ednsActions()[strings.ToLower(w)]
	if !known {
		a.fail("edns0: got %q, wants %s%s", w, sentence(actions), DidYouMean(w, actions))
	}
	r.EDNS.Action = action
	read(a, r.EDNS)
	if action != resolver.EDNSUnset && a.peek() == "revert" {
		a.word("")
	}
}

// localOption reads CODE VALUE, or CODE to unset.
func (a *args) localOption(o *resolver.RewriteEDNS) {
	const want = "the code of an option, such as 0xffee"
	w := a.word(want)
	code, err := strconv.ParseUint(w, 0, 16)
	if err != nil {
		a.fail("edns0: got %q, wants %s", w, want)
	}
	o.Code = uint16(code)
	if o.Action == resolver.EDNSUnset {
		return
	}
	w = a.word("a value: text, 0xHEX or a variable such as {client_ip}")
	variable, isVariable := strings.CutPrefix(w, "{")
	switch {
	case isVariable && strings.HasSuffix(variable, "}"):
		o.Variable = a.optionVariable(strings.TrimSuffix(variable, "}"))
	case strings.HasPrefix(w, "0x"):
		if o.Value, err = hex.DecodeString(w[2:]); err != nil {
			a.fail("edns0: got %q, wants hexadecimal digits behind 0x, two for each octet", w)
		}
	default:
		o.Value = []byte(w)
	}
}

// optionVariable is the name of a variable, or of a piece of metadata.
func (a *args) optionVariable(name string) string {
	known := []string{"qname", "qtype", "client_ip", "client_port", "protocol", "server_ip", "server_port"}
	if before, after, slash := strings.Cut(name, "/"); slash && before != "" && after != "" || slices.Contains(known, name) {
		return name
	}
	a.fail("edns0: no such variable {%s}, wants {%s}, or metadata such as {kubernetes/client-namespace}%s", name,
		strings.Join(known, "}, {"), DidYouMean(name, known))
	return ""
}

// subnetOption reads the bits of IPv4 and IPv6 addresses that go upstream.
func (a *args) subnetOption(o *resolver.RewriteEDNS) {
	o.Code = dns.EDNS0SUBNET
	if o.Action != resolver.EDNSUnset {
		o.Subnet = [2]int{a.number(0, 32), a.number(0, 128)}
	}
}

func usesRewrite(b *Block) bool { return len(b.Steps.Rewrites) > 0 }

func summarizeRewrites(b *Block, s *summary) {
	for i := range b.Steps.Rewrites {
		r := &b.Steps.Rewrites[i]
		l := s.step("rewrite %s", rewriteText(r))
		l.add(r.Metadata, "metadata")
		l.add(r.Auto, "answer auto")
		for _, answer := range r.Answers {
			l.add(!answer.Value, "answer name %#q to %#q", answer.From, answer.To)
			l.add(answer.Value, "answer value %#q to %#q", answer.From, answer.To)
		}
		l.add(r.Continue, "continue")
	}
}

func rewriteText(r *resolver.Rewrite) string {
	match := fmt.Sprintf("%s %#q", [...]string{"exact", "prefix", "suffix", "substring", "regex"}[r.Match], r.From)
	switch r.Field {
	case resolver.RewriteType:
		return fmt.Sprintf("type %s to %s", dns.Type(r.Old), dns.Type(r.New))
	case resolver.RewriteClass:
		return fmt.Sprintf("class %s to %s", dns.Class(r.Old), dns.Class(r.New))
	case resolver.RewriteTTL:
		return fmt.Sprintf("ttl of %s to %d-%d", match, r.LeastTTL, r.MostTTL)
	case resolver.RewriteRcode:
		return fmt.Sprintf("rcode of %s from %s to %s", match, dns.RcodeToString[int(r.Old)], dns.RcodeToString[int(r.New)])
	case resolver.RewriteCNAME:
		return fmt.Sprintf("cname %s to %#q", match, r.To)
	case resolver.RewriteEDNS0:
		return ednsText(r.EDNS)
	}
	return fmt.Sprintf("name %s to %#q", match, r.To)
}

func ednsText(o *resolver.RewriteEDNS) string {
	action := [...]string{"set", "append", "replace", "unset"}[o.Action]
	switch {
	case o.Action == resolver.EDNSUnset:
		return fmt.Sprintf("edns0 %s option %d", action, o.Code)
	case o.Variable != "":
		return fmt.Sprintf("edns0 %s option %d to {%s}", action, o.Code, o.Variable)
	case o.Code == dns.EDNS0SUBNET && o.Value == nil:
		return fmt.Sprintf("edns0 %s the client's subnet of %d bits, or of %d in IPv6", action, o.Subnet[0], o.Subnet[1])
	}
	return fmt.Sprintf("edns0 %s option %d to %q", action, o.Code, o.Value)
}
