package differ

import (
	"fmt"
	"strings"
)

// What a seed makes of the directives rewrite, dns64 and acl. Each maker gives lines of a server block.

// rewrites are up to six rules of the directive rewrite, so that each way to match a name stands before and behind each
// other. Most lists end with one that matches many names.
func (w *world) rewrites() string {
	var b strings.Builder
	for range w.IntN(5) {
		b.WriteString(w.rewriteRule(pick(w, rewriteRules)))
	}
	if b.Len() == 0 || w.chance(80) {
		kind := pick(w, rewriteRules[len(rewriteRules)-2:])
		kind.names = kind.names[:4]
		b.WriteString(w.rewriteRule(kind))
	}
	return b.String()
}

// fields are up to six rules of rewrite about anything but options, names among them. The last is a rule for answers, so
// that CoreDNS gives the question back.
func (w *world) fields() string {
	var b strings.Builder
	for range w.IntN(4) {
		if w.chance(25) {
			b.WriteString(w.rewriteRule(pick(w, rewriteRules)))
			continue
		}
		fmt.Fprintf(&b, "\trewrite %s%s\n", pick(w, []string{"", "stop ", "continue ", "continue "}), pick(w, rewriteFields))
	}
	fmt.Fprintf(&b, "\trewrite continue %s\n", pick(w, rewriteFields))
	return b.String() + "\trewrite ttl regex .* 0-\n"
}

// rewriteFields are rules that are not for names of questions.
var rewriteFields = []string{
	"edns0 local set 0xffee 0x61626364", "edns0 local append 0xfff0 text", "edns0 local replace 0xfff1 {qname}", "edns0 nsid set",
	"edns0 subnet set 24 56", "edns0 local set 0xfff2 {client_ip} revert",
	"type AAAA A", "type MX A", "type TXT MX", "type A AAAA", "type SRV TXT", "type ANY A", "class CH IN",
	"ttl www.b.test 60", "ttl exact v4.b.test 7200", "ttl exact nowhere.b.test 200", "ttl suffix .b.test 100-250", "ttl suffix .a.test 260-",
	"ttl prefix www -70", "ttl substring b.test 130", `ttl regex ^v[0-9]\. 77`, "ttl regex .* -280",
	"rcode nowhere.b.test NXDOMAIN NOERROR", "rcode suffix .b.test SERVFAIL NXDOMAIN", "rcode suffix .b.test 3 REFUSED",
	"rcode prefix fail 2 0", "rcode regex .* NXDOMAIN NOTIMP", "rcode substring b.test REFUSED servfail",
	"cname www.b.test www.else.test", "cname exact alias.b.test v4.b.test", "cname suffix .b.test. .else.test.",
	"cname prefix www. v4.", "cname substring else b", `cname regex (.*)\.else\.test\.$ {1}.b.test.`, "cname exact nowhere.b.test www.b.test",
	"cname exact www.b.test nowhere.b.test",
}

func (w *world) rewriteRule(kind rewriteKind) string {
	rule := "name " + pick(w, kind.names) + pick(w, kind.answers)
	if w.chance(15) {
		rule = "{\n\t\t" + strings.ReplaceAll(rule, " answer ", "\n\t\tanswer ") + "\n\t}"
	}
	return fmt.Sprintf("\trewrite %s%s\n", pick(w, []string{"", "", "stop ", "continue ", "continue "}), rule)
}

// rewriteKind is names of rules of one kind, and what may be done to the names of their answers.
type rewriteKind struct{ names, answers []string }

// rewriteRules are the rules by kind, those that match many names last. No pattern matches the root: CoreDNS would
// put another name into the place of the OPT's owner. A few names become impossible, those of questions and of answers.
var rewriteRules = []rewriteKind{
	{
		names:   []string{"a.test b.test", "www.a.test v6.b.test"},
		answers: []string{""},
	},
	{
		names: []string{"exact www.a.test www.b.test", "exact own.a.test alias.b.test",
			"exact chain.a.test away.b.test",
			"exact v4.a.test v4.local.test", "exact _http._tcp.a.test _http._tcp.b.test",
			"exact www.c.test Some.B.test",
			"exact 10.2.0.192.in-addr.arpa ptr.b.test", "exact big.a.test big.b.test",
			"exact mid.a.test nowhere.b.test",
			"exact lost.a.test fail.b.test", "exact text.a.test text..b.test", "exact host.a.test host.b.test",
			"exact v4.c.test four.b.test"},
		answers: []string{"", "", "", " answer auto", ` answer name (.*)\.b\.test {1}.c.test`,
			` answer value (.*)\.b\.test {1}.c.test`},
	},
	{
		names: []string{"prefix www big", "prefix own. www.", "prefix x. mid.", "prefix mid x.mid",
			"prefix web prod.web", "prefix _http._tcp _http._tcp.www"},
		answers: []string{"", "", " answer auto", ` answer name ^(big|mid)\.(.*)\.$ www.{2}`,
			` answer name ^mid\.(.*)\.$ x.{1} answer value ^www\.(.*)\.$ own.{1}`},
	},
	{
		names: []string{"substring a.test b.test", "substring mid own", "substring www.a www.b",
			"substring test a.test", "substring c b"},
		answers: []string{"", " answer auto", ` answer name (.*)\.b\.test {1}.a.test`,
			` answer value (.*)b\.test {1}.a.test`},
	},
	{
		names: []string{"suffix .a.test .b.test", "suffix .a.test .b.test.", "suffix a.test b.test",
			"suffix .c.test .b.test", "suffix .b.test .a.test",
			"suffix .a.test .local.test", "suffix .c.test ." + strings.Repeat(strings.Repeat("l", 60)+".",
				3) + "b.test"},
		answers: []string{"", " answer auto", " answer auto", ` answer name (.*)\.b\.test {1}.a.test`,
			` answer value (.*)\.b\.test {1}.a.test`,
			` answer name (.*)\.b\.test {1}.c.test answer value (.*)\.b\.test {1}.d.test`,
			` answer auto answer value (.*)\.a\.test {1}.c.test`},
	},
	{
		names: []string{`regex (.*)\.a\.test {1}.b.test`, `regex ^(.*)\.a\.test\.$ {1}.b.test`, `regex a\.test b.test`,
			`regex (.*)-(.*)\.a\.test {1}.{2}.b.test`,
			`regex ([a-z]+)\.([a-z]+)\.a\.test {1}-{2}.b.test`, `regex (.*)\.c\.test ingress.b.test`,
			`regex ^(www|v4|own)\.a\.test {0}.b.test`,
			`regex (.*)\.A\.test {1}.b.test`, `regex ^(.+)\.c\.test\.$ {1}..b.test`,
			`regex (.*)\.in-addr\.arpa ptr.b.test`},
		answers: []string{"", " answer auto", " answer auto", ` answer name (.*)\.b\.test {1}.a.test`,
			` answer value (.*)\.b\.test {1}.a.test`,
			` answer name (.*)-(.*)\.b\.test {1}.{2}.a.test answer value (.*)\.b\.test {1}.c.test`},
	},
}

// dns64 is the directive dns64. With a prefix on its line it has no other option: CoreDNS passes over a block behind
// that.
func (w *world) dns64() string {
	prefix := fmt.Sprintf("2001:db8:64:6464::/%d", pick(w, []int{32, 40, 48, 56, 64, 96, 96}))
	switch w.IntN(8) {
	case 0:
		return "\tdns64\n"
	case 1:
		return "\tdns64 " + prefix + "\n"
	}
	var lines []string
	if w.chance(70) {
		lines = append(lines, "prefix "+prefix)
	}
	if w.chance(40) {
		lines = append(lines, "translate_all")
	}
	if w.chance(75) {
		lines = append(lines, "allow_ipv4")
	}
	w.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	return "\tdns64 {\n\t\t" + strings.Join(lines, "\n\t\t") + "\n\t}\n"
}

// acls are one to three of the directive acl, each with one to four rules.
func (w *world) acls() string {
	var b strings.Builder
	for range 1 + w.IntN(3) {
		b.WriteString("\tacl")
		for range pick(w, []int{0, 0, 1, 1, 2}) {
			b.WriteString(" " + pick(w, []string{".", "a.test", "b.test", "test", "www.b.test", "local.test",
				"else.test", "in-addr.arpa", "B.Test."}))
		}
		b.WriteString(" {\n")
		for range w.IntN(5) {
			b.WriteString("\t\t" + w.aclRule() + "\n")
		}
		b.WriteString("\t}\n")
	}
	return b.String()
}

// aclRule is one rule: all queries match, or those of some types, of some clients, or both in either order.
func (w *world) aclRule() string {
	some := func(word string, list []string) string {
		text := word
		for range 1 + w.IntN(3) {
			text += " " + pick(w, list)
		}
		return text
	}
	parts := []string{some("net", aclNets), some("type", aclTypes)}
	w.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	parts = parts[w.IntN(2):]
	if w.chance(5) {
		parts = nil
	}
	action := pick(w, []string{"allow", "block", "block", "filter", "filter", "drop", "BLOCK"})
	return strings.Join(append([]string{action}, parts...), " ")
}

// The clients are 127.0.0.1 and ::1.
var (
	aclNets = []string{"127.0.0.0/8", "127.0.0.1", "127.0.0.1/32", "127.0.0.2/30", "127.0.0.2", "128.0.0.0/8",
		"0.0.0.0/0", "10.0.0.0/8", "::1", "::1/128",
		"::/0", "::2/127", "::2/126", "::/96", "fd00::/8", "2001:db8::1", "*"}
	aclTypes = []string{"A", "AAAA", "AAAA", "MX", "ANY", "TXT", "SRV", "PTR", "SOA", "NS", "CNAME", "HTTPS", "AXFR",
		"*"}
)
