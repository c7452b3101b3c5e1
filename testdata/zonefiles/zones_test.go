package zonefiles

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// zone is a zone of chance, the same one for each seed.
type zone struct {
	origin string
	text   string // in presentation format
	owners []string
}

// The labels that names are made of. Few of them, so that names meet.
var labels = []string{"a", "b", "c", "www", "Mail", "_tcp", "*"}

// generate makes a zone.
func generate(seed uint64) zone {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1)), origin: fmt.Sprintf("z%d.example.", seed), of: map[string]string{}}
	g.zone()
	owners := []string{}
	for name := range g.of {
		owners = append(owners, name)
	}
	slices.Sort(owners)
	return zone{g.origin, strings.Join(g.lines, "\n") + "\n", owners}
}

type generator struct {
	*rand.Rand
	origin string
	lines  []string
	of     map[string]string // what stands at an owner, in lower case
}

func (g *generator) zone() {
	g.add(g.origin, "SOA", "ns hostmaster %d 7200 1800 86400 %d", g.IntN(1000), 30+g.IntN(600))
	g.add(g.origin, "NS", "ns")
	g.add(g.origin, "NS", "ns.elsewhere.example.")
	g.add("ns."+g.origin, "A", "192.0.2.53")
	g.add("ns."+g.origin, "AAAA", "2001:db8::53")
	if g.IntN(2) == 0 {
		g.add(g.origin, "MX", "10 www")
		g.add(g.origin, "TXT", `"apex"`)
	}
	for range 25 + g.IntN(25) {
		g.owner(g.name())
	}
	g.chain()
}

// chain is a line of aliases that is too long for some, a circle, and aliases by way of others.
func (g *generator) chain() {
	length := 2 + g.IntN(14)
	for i := range length {
		g.add(fmt.Sprintf("l%d.%s", i, g.origin), "CNAME", "l%d", i+1)
	}
	g.add(fmt.Sprintf("l%d.%s", length, g.origin), "A", "192.0.2.99")
	g.add("round."+g.origin, "CNAME", "about")
	g.add("about."+g.origin, "CNAME", "round")
	g.add("self."+g.origin, "CNAME", "self")
	g.add("*.spin."+g.origin, "CNAME", "x.spin")
}

// name is one to four labels below the zone; * is the first one of them mostly.
func (g *generator) name() string {
	var words []string
	for i := range 1 + g.IntN(4) {
		word := labels[g.IntN(len(labels))]
		if word == "*" && i > 0 && g.IntN(4) > 0 {
			word = "deep"
		}
		words = append(words, word)
	}
	return strings.Join(words, ".") + "." + g.origin
}

// owner gives a name records, unless there are some already that go with no others.
func (g *generator) owner(name string) {
	if g.of[strings.ToLower(name)] != "" || g.hidden(name) {
		return
	}
	switch n := g.IntN(20); {
	case n < 8:
		for i := range 1 + g.IntN(3) {
			g.add(name, "A", "192.0.2.%d", i+g.IntN(9)*10)
		}
		if g.IntN(3) == 0 {
			g.add(name, "AAAA", "2001:db8::%x", g.IntN(99))
		}
		if g.IntN(4) == 0 {
			g.add(name, "MX", "%d %s", g.IntN(30), g.target())
		}
	case n < 11:
		g.add(name, "CNAME", "%s", g.target())
	case n < 12 && !strings.HasPrefix(name, "*") && !g.above(name):
		g.add(name, "DNAME", "%s", g.target())
	case n < 15 && !strings.HasPrefix(name, "*"):
		g.delegation(name)
	case n < 17:
		g.add(name, "SRV", "1 2 %d %s", 1000+g.IntN(9), g.target())
		g.add(name, "SRV", "1 3 53 far.elsewhere.example.")
	case n < 18:
		g.add(name, "TYPE65280", `\# 4 0A00000%d`, g.IntN(9))
		g.add(name, "CAA", `0 issue "ca.example"`)
	case n < 19:
		g.add(name, "HTTPS", "1 . alpn=h2 port=%d", 8000+g.IntN(9))
		g.add(name, "PTR", "%s", g.target())
	default:
		g.add(name, "TXT", `"some text" "%d"`, g.IntN(99))
	}
}

// delegation gives a name to other servers, some of them with glue.
func (g *generator) delegation(name string) {
	g.add(name, "NS", "ns.elsewhere.example.")
	if g.IntN(2) == 0 {
		g.add(name, "NS", "ns")
	}
	if g.IntN(3) > 0 {
		g.add(name, "NS", "ns1.%s", name)
		g.add("ns1."+name, "A", "192.0.2.%d", g.IntN(200))
		if g.IntN(2) == 0 {
			g.add("ns1."+name, "AAAA", "2001:db8::%x", g.IntN(99))
		}
	}
	if g.IntN(2) == 0 {
		g.add(name, "DS", "%d 13 2 %s", g.IntN(9999), strings.Repeat("0A", 32))
	}
}

// target is a name in the zone, one that may not exist, or one of elsewhere.
func (g *generator) target() string {
	switch n := g.IntN(8); {
	case n == 0:
		return "host.elsewhere.example."
	case n < 5 && len(g.lines) > 0:
		return dns.Fqdn(strings.Fields(g.lines[g.IntN(len(g.lines))])[0])
	}
	return g.name()
}

// hidden reports whether a zone cut or a DNAME is above name: Knot DNS takes no records below a DNAME, and below a cut it
// takes glue, which is made with the cut.
func (g *generator) hidden(name string) bool {
	for at, end := dns.NextLabel(name, 0); !end; at, end = dns.NextLabel(name, at) {
		if above := g.of[strings.ToLower(name[at:])]; strings.Contains(above, " DNAME") ||
			strings.Contains(above, " NS") && !strings.EqualFold(name[at:], g.origin) {
			return true
		}
	}
	return false
}

// above reports whether names are below name.
func (g *generator) above(name string) bool {
	for other := range g.of {
		if dns.IsSubDomain(name, other) {
			return true
		}
	}
	return false
}

// add writes a record. All of an rrset have one TTL.
func (g *generator) add(name, typ, format string, values ...any) {
	data := fmt.Sprintf(format, values...)
	ttl := 60 * (1 + len(name)%7)
	g.lines = append(g.lines, fmt.Sprintf("%s %d IN %s %s", name, ttl, typ, data))
	g.of[strings.ToLower(name)] += " " + typ
}
