package differ

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// stepRules explain the differences of TestSameSteps: some of the rules that docs/differences.md lists, which are about every
// answer, and those of the directives. The order is that of rules: what the answer is, how it is said, how much of it
// fits.
var stepRules = slices.Concat(
	[]rule{
		{
			name: "dns64 is around rewrite",
			reason: "the AAAA records that dns64 makes are those of the A records that the client would get, " +
				"names put back; CoreDNS asks for A records of the new name, which is rewritten once more, and " +
				"puts nothing back, not even the question",
			see:      "RFC 6147 section 5.1.6, RFC 5452 section 9.1",
			story:    "rfc/dns64.txtar",
			shows:    "door.example.com. AAAA",
			explains: stepTwice,
		},
		{
			name: "NXDOMAIN behind an alias is NXDOMAIN",
			reason: "dns64 passes on that the target of an alias does not exist; CoreDNS asks for A records then, " +
				"which acl may judge otherwise",
			see:      "RFC 6147 section 5.1.2",
			story:    "rfc/dns64.txtar",
			shows:    "lost.example.com. AAAA",
			here:     func() bool { return false }, // it takes more questions than there are by default
			explains: stepLost,
		},
		{
			name: "what dns64 leaves is ours",
			reason: "an answer of our own zones that dns64 has made no records of has AA; CoreDNS clears it " +
				"wherever it has asked for A records",
			see:      "RFC 1035 section 4.1.1",
			story:    "rfc/dns64.txtar",
			shows:    "out.prod.svc.cluster.local. AAAA",
			explains: stepOwn,
		},
		{
			name: "the question comes back",
			reason: "the question of a reply is that of the query; with `continue` and no rule for answers " +
				"CoreDNS sends the new name",
			see:      "RFC 5452 section 9.1",
			story:    "spec/rewrite-exact.txtar",
			shows:    "third.example.com. A +apart",
			explains: stepQuestionBack,
		},
		{
			name: "what is not answered at all is refused first",
			reason: "other classes than IN are refused whatever acl says of them; of a transfer acl and nothing " +
				"else is asked, about the name of the query, not a rewritten one",
			see:      "RFC 1035 section 3.2.4, RFC 5936 section 2, item 12",
			story:    "spec/acl.txtar",
			shows:    "dropped.example.com. A CH",
			explains: stepRefused,
		},
		{
			name: "OPT of acl is for clients that sent one",
			reason: "what acl answers has an OPT only for a client with EDNS, with our payload size and the " +
				"client's DO bit; CoreDNS sends one to all, with DO",
			see:      "RFC 6891 sections 6.1.1 and 7, RFC 3225 section 3",
			story:    "spec/acl.txtar",
			shows:    "x.blocked.example.com. A +noedns",
			explains: stepOPT,
		},
		{
			name: "hosts answers all types",
			reason: "a name of hosts exists for every type, and ANY gets an rrset of it; CoreDNS says NODATA " +
				"to ANY, and passes PTR on",
			see:      "RFC 8482 section 4.1, RFC 2308 section 2.2",
			story:    "spec/rewrite-exact.txtar",
			shows:    "local.example.com. ANY",
			explains: stepHosts,
		},
		{
			name: "an impossible answer is a failure",
			reason: "an answer with a name that rewriting made impossible, such as `a..test`, is SERVFAIL; " +
				"CoreDNS cannot write it, and sends nothing",
			see:      "RFC 1035 section 4.1.1",
			story:    "spec/rewrite-regex.txtar",
			shows:    "web.broken.example.com. A +noedns",
			explains: stepImpossible,
		},
		{
			name: "an OPT has no TTL",
			reason: "`rewrite ttl` is for records that have a TTL; CoreDNS bounds the field of the OPT too, which " +
				"holds its version and flags",
			see:      "RFC 6891 section 6.1.3",
			story:    "spec/rewrite-fields.txtar",
			shows:    "least.example.com. A",
			here:     func() bool { return false }, // it takes more questions than there are by default
			explains: stepFlagsOfOPT,
		},
		{
			name: "the new target denies",
			reason: "behind an alias whose target was rewritten, rcode and authority are those of the new target; " +
				"CoreDNS keeps those of the old one",
			see:      "RFC 6604 section 3, RFC 2308 section 2.2",
			story:    "spec/rewrite-fields.txtar",
			shows:    "a9.example.com. A",
			explains: stepNewTarget,
		},
		{
			name: "ANY is the alias",
			reason: "a question of type ANY for an alias is answered with the alias, whatever its target was rewritten to; " +
				"CoreDNS appends what the new target has",
			see:      "RFC 1034 section 4.3.2, RFC 8482 section 4.1",
			story:    "spec/rewrite-fields.txtar",
			shows:    "a9.example.com. ANY",
			explains: stepAliasAlone,
		},
		{
			name: "options for the upstream stay there",
			reason: "options that `rewrite edns0` adds are for the upstream; CoreDNS sends them to the client too, in an OPT that " +
				"the client did not ask for",
			see:      "RFC 6891 section 6.1.1",
			story:    "spec/rewrite-edns0.txtar",
			shows:    "echo.test. TXT +noedns +udp",
			explains: stepOptions,
		},
		{
			name: "a dot in a label is no border of labels",
			reason: "`.b.test` is the end of names below b.test; CoreDNS compares the presentation format, in which a label may " +
				"have a dot",
			see:      "RFC 1035 section 5.1",
			story:    "spec/rewrite-fields.txtar",
			shows:    `failing\.down.example.com. A`,
			explains: stepDot,
		},
		{
			name:     "what is rewritten is not authentic",
			reason:   "AD is about the names that were validated; CoreDNS passes it on with other names",
			see:      "RFC 4035 section 3.2.3",
			story:    "spec/rewrite-exact.txtar",
			shows:    "unsigned.example.net. A +ad",
			explains: stepAuthentic,
		},
	},
	rulesNamed("only class IN", "any class is class IN", "transfers stay here"),
	[]rule{
		{
			name: "each record has its own TTL",
			reason: "a cached record keeps its own TTL; the cache of CoreDNS gives all records of a message " +
				"the smallest one, and 5 s to an alias that leads to nothing",
			see:      "RFC 1035 section 3.2.1, RFC 2181 section 5.2",
			story:    "rfc/dns64.txtar",
			shows:    "chain.example.com. A",
			explains: stepTTL,
		},
		stepAge,
		{
			name: "recursion is available, whatever the step",
			reason: "a block with `forward` offers recursion, and says so in every reply to a query that is " +
				"well formed; CoreDNS says so only in what it forwarded",
			see:      "RFC 1035 section 4.1.1, item 4",
			story:    "differences/04-recursion-available.txtar",
			shows:    "web.prod.svc.cluster.local. A",
			explains: stepRecursion,
		},
		{
			name:     "authority is ours, whatever the step",
			reason:   "AA is set on data of our own zones only; CoreDNS passes on that of the upstream",
			see:      "RFC 1035 section 4.1.1, item 4",
			story:    "differences/04-recursion-available.txtar",
			shows:    "www.example.com. A",
			explains: stepAuthority,
		},
		stepLetters,
	},
	rulesNamed("EDNS of another version", "payload size is our own"),
	[]rule{{
		name:     "absence says why, if acl does not",
		reason:   "what is no answer, or an empty one, says why in an Extended DNS Error",
		see:      "RFC 8914 section 3, item 9",
		story:    "differences/09-extended-errors.txtar",
		shows:    "wbe.prod.svc.cluster.local. A",
		explains: stepReason,
	}},
	rulesNamed("4096 and 1232 octets", "cut elsewhere"),
)

// stepLetters is about what a cache keeps of the first client that asked, and so about the order of the questions too.
var stepLetters = rule{
	name: "case of names is the query's",
	reason: "names keep the case of the query, or have none that matters; CoreDNS sends owners in lower case, " +
		"or as the cache has them",
	see:      "RFC 4343 sections 3 and 4.1, item 3",
	story:    "rfc/rfc4343-case.txtar",
	shows:    "wWw.eXample.cOm. A",
	explains: stepCase,
}

// stepAge is about the time of the questions, not about a server.
var stepAge = rule{
	name: "age",
	reason: "of what a cache holds the TTLs count down, and the two servers cached and were asked at moments " +
		"of their own",
	see:      "RFC 1035 section 3.2.1",
	story:    "differences/05-no-cache-in-front.txtar",
	shows:    "www.example.com. A",
	here:     func() bool { return false }, // a matter of seconds
	explains: aged,
}

// rulesNamed are rules of docs/differences.md.
func rulesNamed(names ...string) (list []rule) {
	for _, name := range names {
		i := slices.IndexFunc(rules, func(r rule) bool { return r.name == name })
		list = append(list, rules[i])
	}
	return list
}

// longest is how many seconds may pass between the first question of a trial and the last reply.
const longest = 20

// apart is by how many seconds the two servers may have been answered at different times.
func (q *question) apart() uint32 {
	if q.age > 0 {
		return 1 + q.world.spread
	}
	return longest
}

// aged explains TTLs that differ by the time that a trial may take.
func aged(q *question, ours, theirs *reply) (changed bool) {
	if !strings.Contains(q.under, "\tcache ") {
		return false
	}
	for i := range theirs.sections {
		for j := range theirs.sections[i] {
			their := &theirs.sections[i][j]
			for _, our := range ours.sections[i] {
				if our.ttl != their.ttl && our.same(*their) &&
					max(our.ttl, their.ttl)-min(our.ttl, their.ttl) <= q.apart() {
					their.ttl, changed = our.ttl, true
				}
			}
		}
		sortRecords(theirs.sections[i])
	}
	return changed
}

func stepRecursion(q *question, ours, theirs *reply) bool {
	if !ours.ra || theirs.ra || theirs.silent || theirs.rcode == dns.RcodeBadVers {
		return false
	}
	theirs.ra = true
	return true
}

func stepAuthority(q *question, ours, theirs *reply) bool {
	if ours.aa || !theirs.aa || !theirs.ra || len(theirs.sections[answer]) == 0 &&
		len(theirs.sections[authority]) == 0 {
		return false
	}
	theirs.aa = false
	return true
}

// shortest is the TTL that CoreDNS gives what it does not know for how long to keep.
const shortest = 5

// stepTTL explains a message in which all TTLs are the smallest one.
func stepTTL(q *question, ours, theirs *reply) (changed bool) {
	all, own := slices.Concat(theirs.sections[:]...), slices.Concat(ours.sections[:]...)
	if !strings.Contains(q.under, "\tcache ") || len(all) == 0 || len(own) == 0 || slices.ContainsFunc(all,
		func(r record) bool { return r.ttl != all[0].ttl }) {
		return false
	}
	least := slices.MinFunc(own, func(a, b record) int { return int(a.ttl) - int(b.ttl) }).ttl
	denied := len(theirs.sections[answer]) > 0 && len(theirs.sections[authority]) > 0
	if all[0].ttl > least+q.apart() || all[0].ttl+q.apart() < least && !(denied && all[0].ttl <= shortest) {
		return false
	}
	for i := range theirs.sections {
		for j := range theirs.sections[i] {
			their := &theirs.sections[i][j]
			for _, our := range ours.sections[i] {
				if our.ttl > their.ttl && our.same(*their) {
					their.ttl, changed = our.ttl, true
				}
			}
		}
		sortRecords(theirs.sections[i])
	}
	return changed
}

// same reports whether two records are one but for TTL and case.
func (r record) same(other record) bool {
	return strings.EqualFold(r.owner, other.owner) && r.class == other.class && r.rrtype == other.rrtype &&
		(r.data == other.data || r.rrtype != "TXT" && strings.EqualFold(r.data, other.data))
}

func stepCase(q *question, ours, theirs *reply) (changed bool) {
	for i := range theirs.sections {
		for j := range theirs.sections[i] {
			their := &theirs.sections[i][j]
			for _, our := range ours.sections[i] {
				if *their != our && their.ttl == our.ttl && our.same(*their) {
					*their, changed = our, true
				}
			}
		}
		sortRecords(theirs.sections[i])
	}
	return changed
}

// ofACL reports whether a reply of CoreDNS was made by acl.
func (r *reply) ofACL() bool {
	return r.opt != nil && len(r.opt.errors) == 1 && (r.opt.errors[0] == "15 " || r.opt.errors[0] == "17 ")
}

func stepAuthentic(q *question, ours, theirs *reply) bool {
	if ours.ad || !theirs.ad || !strings.Contains(q.under, "\trewrite") {
		return false
	}
	theirs.ad = false
	return true
}

func stepRefused(q *question, ours, theirs *reply) bool {
	t, other := q.qtype(), q.qclass() != dns.ClassINET
	ofACL := func(r *reply) bool { return r.silent || r.ofACL() }
	switch {
	case other && ours.rcode == dns.RcodeRefused && (ofACL(theirs) || empty(theirs)):
	case t != dns.TypeAXFR && t != dns.TypeIXFR:
		return false
	case ours.rcode == dns.RcodeRefused && empty(theirs):
	case strings.Contains(q.under, "\trewrite") && (ofACL(ours) || ofACL(theirs)):
	default:
		return false
	}
	*theirs = *ours.clone()
	return true
}

// stepAgain is q.again, or the question for the A records of a name whose AAAA records dns64 made in CoreDNS behind rewrite.
func (q *question) stepAgain() *question {
	if next := q.again(); next != nil {
		return next
	}
	theirs := q.theirs // what dns64 makes has neither AA nor RA
	if q.qtype() == dns.TypeAAAA && strings.Contains(q.under, "\tdns64") && theirs.question != q.ours.question &&
		!theirs.silent && !theirs.aa && !theirs.ra && (q.six || strings.Contains(q.under, "allow_ipv4")) {
		q.other = q.over("four", q.msg.Question[0].Name, dns.TypeA)
	}
	return q.other
}

// stepTwice gives theirs the AAAA records of the answer for A records.
func stepTwice(q *question, ours, theirs *reply) bool {
	if w := q.whole; w != nil && w.other != nil && w.other.how == "four" && len(w.left) == 0 &&
		cutOf(ours, w.ours, min(q.offered(), 4096)) {
		*theirs = *ours.clone()
		return true
	}
	if q.other == nil || q.other.how != "four" {
		return false
	}
	four := q.other.settled
	if four.silent {
		*theirs = *ours.clone()
		return ours.silent
	}
	asked, size := theirs.opt, theirs.size
	*theirs = *four.clone()
	theirs.question, theirs.ad, theirs.size = ours.question, false, size
	if theirs.opt == nil {
		theirs.opt = asked
	}
	for i := range theirs.sections[answer] {
		r := &theirs.sections[answer][i]
		if r.rrtype != "A" {
			continue
		}
		ttl := min(r.ttl, 600)
		r.rrtype, r.data, theirs.aa = "AAAA", q.embed(netip.MustParseAddr(r.data)).String(), false
		for _, our := range ours.sections[answer] {
			if our.same(*r) && our.ttl <= ttl {
				ttl = our.ttl // the denial's, which only ours has seen
			}
		}
		r.ttl = ttl
	}
	sortRecords(theirs.sections[answer])
	return true
}

// embed is an address in the prefix of dns64, RFC 6052 section 2.2: bits 64 to 71 are zero, and the address goes around them.
func (q *question) embed(addr netip.Addr) netip.Addr {
	_, after, _ := strings.Cut(q.under, "\tdns64")
	prefix := netip.MustParsePrefix("64:ff9b::/96")
	for _, word := range strings.Fields(after) {
		if p, err := netip.ParsePrefix(word); err == nil {
			prefix = p.Masked()
			break
		}
	}
	six, at := prefix.Addr().As16(), prefix.Bits()/8
	for i, octet := range addr.As4() {
		if to := at + i; at <= 8 && to >= 8 {
			six[to+1] = octet
		} else {
			six[to] = octet
		}
	}
	return netip.AddrFrom16(six)
}

func stepLost(q *question, ours, theirs *reply) bool {
	if q.qtype() != dns.TypeAAAA || !strings.Contains(q.under, "\tdns64") || ours.rcode != dns.RcodeNameError ||
		len(ours.sections[answer]) == 0 || !theirs.ofACL() {
		return false
	}
	*theirs = *ours.clone()
	return true
}

func stepOwn(q *question, ours, theirs *reply) bool {
	if q.qtype() != dns.TypeAAAA || !strings.Contains(q.under, "\tdns64") || !strings.Contains(q.under, "\thosts ") ||
		!ours.aa || theirs.aa || theirs.ra || theirs.silent || len(ours.sections[answer]) > 0 {
		return false
	}
	theirs.aa = true
	return true
}

func stepQuestionBack(q *question, ours, theirs *reply) bool {
	if !strings.Contains(q.under, "rewrite continue ") || theirs.question == ours.question || theirs.silent ||
		ours.question != read(q.packet).question {
		return false
	}
	theirs.question = ours.question
	return true
}

func stepOPT(q *question, ours, theirs *reply) bool {
	if !theirs.ofACL() {
		return false
	}
	if asked := q.msg.IsEdns0(); asked == nil {
		theirs.opt = nil
	} else {
		theirs.opt.size, theirs.opt.do = uint16(cmp.Or(q.bufsize(), 1232)), asked.Do()
	}
	return true
}

func stepHosts(q *question, ours, theirs *reply) bool {
	t := q.qtype()
	if t != dns.TypePTR && t != dns.TypeANY || !strings.Contains(q.under, "\thosts ") || !ours.aa ||
		ours.rcode != dns.RcodeSuccess || theirs.aa && len(theirs.sections[answer]) > 0 {
		return false
	}
	entries := strings.Fields(localHosts)
	if t == dns.TypePTR && len(ours.sections[answer]) > 0 || slices.ContainsFunc(ours.sections[answer], func(r record) bool {
		return !slices.Contains(entries, r.data)
	}) {
		return false
	}
	if theirs.silent && strings.Contains(q.under, unwritable) {
		*theirs = *ours.clone() // it passed the question on, to an answer that it cannot write
	}
	theirs.like(ours)
	return true
}

// unwritable is in a rule of rewrite that makes names which cannot be written.
const unwritable = "answer value (.*)b"

// stepReason is the rule of the page, but that what acl says is for acl alone to say.
func stepReason(q *question, ours, theirs *reply) bool {
	return (ours.opt == nil || !slices.ContainsFunc(codes(ours.opt.errors), func(code string) bool {
		return code == "15" || code == "17"
	})) && extendedError(q, ours, theirs)
}

func stepFlagsOfOPT(q *question, ours, theirs *reply) bool {
	if ours.opt == nil || theirs.opt == nil || theirs.rcode == dns.RcodeBadVers || !strings.Contains(q.under, " ttl ") ||
		theirs.opt.version == ours.opt.version && theirs.opt.do == ours.opt.do && theirs.opt.z == ours.opt.z {
		return false
	}
	theirs.opt.version, theirs.opt.do, theirs.opt.z = ours.opt.version, ours.opt.do, ours.opt.z
	return true
}

// stepNewTarget is for answers of the same records, an alias among them.
func stepNewTarget(q *question, ours, theirs *reply) bool {
	our, their := ours.sections[answer], theirs.sections[answer]
	isAlias := func(r record) bool { return r.rrtype == "CNAME" }
	if !strings.Contains(q.under, " cname ") || len(our) != len(their) || !slices.ContainsFunc(our, isAlias) ||
		ours.rcode == theirs.rcode && slices.EqualFunc(ours.sections[authority], theirs.sections[authority], record.same) {
		return false
	}
	for i := range our {
		if !our[i].same(their[i]) {
			return false
		}
	}
	if strings.Contains(q.under, "\tcache ") { // it gives all the smallest TTL, that of the authority too
		theirs.sections[answer] = slices.Clone(our)
	}
	theirs.rcode, theirs.sections[authority] = ours.rcode, slices.Clone(ours.sections[authority])
	return true
}

// stepAliasAlone is for ANY at an alias whose target was rewritten.
func stepAliasAlone(q *question, ours, theirs *reply) bool {
	our, their := ours.sections[answer], theirs.sections[answer]
	if q.qtype() != dns.TypeANY || !strings.Contains(q.under, " cname ") || len(our) != 1 || our[0].rrtype != "CNAME" ||
		len(their) < 2 || !their[0].same(our[0]) {
		return false
	}
	theirs.sections[answer] = their[:1]
	return true
}

// stepOptions is for the options that rewriteFields add.
func stepOptions(q *question, ours, theirs *reply) bool {
	if !strings.Contains(q.under, " edns0 ") || theirs.opt == nil {
		return false
	}
	if ours.opt == nil {
		theirs.opt = nil
		return true
	}
	before := len(theirs.opt.options)
	theirs.opt.options = slices.DeleteFunc(theirs.opt.options, func(option string) bool {
		return !slices.Contains(ours.opt.options, option)
	})
	return len(theirs.opt.options) < before
}

func stepDot(q *question, ours, theirs *reply) bool {
	if !strings.Contains(q.name(), `\.`) || !strings.Contains(q.under, " rcode suffix .") || ours.rcode == theirs.rcode {
		return false
	}
	theirs.rcode = ours.rcode
	return true
}

func stepImpossible(q *question, ours, theirs *reply) bool {
	if !theirs.silent || ours.rcode != dns.RcodeServerFailure || len(ours.sections[answer]) > 0 ||
		!strings.Contains(q.under, unwritable) {
		return false
	}
	*theirs = *ours.clone()
	return true
}
