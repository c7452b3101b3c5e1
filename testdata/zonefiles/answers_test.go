package zonefiles

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/testdata/programs"
)

// clusterdns is the server of this tree.
var clusterdns string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "zonefiles")
	if err == nil {
		clusterdns, err = programs.Build(folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(folder)
	os.Exit(status)
}

// seeds is how many zones are made.
const seeds = 12

// asked are the types that every name is asked with.
var asked = []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeNS, dns.TypeSOA, dns.TypeCNAME, dns.TypeDNAME, dns.TypeMX, dns.TypeSRV,
	dns.TypeTXT, dns.TypePTR, dns.TypeDS, dns.TypeCAA, dns.TypeHTTPS, dns.TypeANY, dns.TypeNSEC, 65280, 65281}

// TestAnswersAreKnots asks both servers about every name that matters in generated zones, with every type.
func TestAnswersAreKnots(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ours, knots := programs.Free(t), programs.Free(t)
	corefile := fmt.Sprintf(".:%s {\n\tbind 127.0.0.1\n", ours)
	conf := programs.Fill(programs.Knot, "DIR", dir, "PORT", knots)
	conf += "acl:\n  - id: all\n    action: transfer\ntemplate:\n  - id: default\n    acl: all\n    storage: " + dir + "\n    zonefile-sync: -1\n    journal-content: none\nzone:\n"
	var zones []zone
	for seed := range uint64(seeds) {
		z := generate(seed)
		zones = append(zones, z)
		file := filepath.Join(dir, z.origin+"zone")
		write(t, file, z.text)
		corefile += fmt.Sprintf("\tfile %s %s\n", file, z.origin)
		conf += fmt.Sprintf("  - domain: %s\n    file: %s\n", z.origin, file)
	}
	write(t, filepath.Join(dir, "Corefile"), corefile+"\ttransfer {\n\t\tto *\n\t}\n}\n")
	write(t, filepath.Join(dir, "knot.conf"), conf)
	programs.Run(t, "clusterdns", []string{clusterdns, "-quiet", "-conf", filepath.Join(dir, "Corefile")})
	programs.Run(t, "knot", []string{"knotd", "-c", filepath.Join(dir, "knot.conf")})
	c := comparison{t: t, ours: connect(t, ours), knots: connect(t, knots), met: map[string]int{}, rcodes: map[string]int{}}
	for _, z := range zones {
		programs.Await(t, z.origin, func() bool { return answers(ours, z.origin) && answers(knots, z.origin) })
		c.contents(z.origin, ours, knots)
		for _, name := range questions(z) {
			c.compare(name)
		}
	}
	t.Logf("%d questions, %d records in transfers", c.questions, c.records)
	for _, r := range rules {
		t.Logf("%6d  %s", c.met[r.name], r.name)
		if c.met[r.name] == 0 {
			t.Errorf("the rule %q explains nothing", r.name)
		}
	}
	for _, rcode := range []string{"NOERROR", "NXDOMAIN", "REFUSED", "SERVFAIL", "YXDOMAIN"} {
		if t.Logf("%6d  %s", c.rcodes[rcode], rcode); c.rcodes[rcode] == 0 {
			t.Errorf("no answer is %s", rcode)
		}
	}
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// questions are all names of a zone, those above them, and beside and below them some that do not exist.
func questions(z zone) []string {
	names := map[string]bool{"elsewhere.example.": true, "nothing." + z.origin: true}
	for _, owner := range z.owners {
		for at, end := 0, false; !end && dns.IsSubDomain(z.origin, owner[at:]); at, end = dns.NextLabel(owner, at) {
			name := owner[at:]
			names[name] = true
			names["x."+name] = true
			names["Y.x."+name] = true
			names["*."+name] = true
		}
		if after, ok := strings.CutPrefix(owner, "*."); ok {
			names["a."+after] = true
		}
		names[strings.ToUpper(owner)] = true
		names[longest(owner)] = true
	}
	var all []string
	for name := range names {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// longest is a name below owner of the most octets that names have: with another end it may be none.
func longest(owner string) string {
	const most = 254 // in presentation format
	for len(owner) < most-1 {
		owner = strings.Repeat("x", min(63, most-1-len(owner))) + "." + owner
	}
	return owner
}

// connect is a socket for questions over UDP.
func connect(t testing.TB, port string) *dns.Conn {
	conn, err := dns.Dial("udp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.UDPSize = 4096
	return conn
}

// answers reports whether a server has a zone.
func answers(port, zone string) bool {
	reply, err := dns.Exchange(new(dns.Msg).SetQuestion(zone, dns.TypeSOA), "127.0.0.1:"+port)
	return err == nil && len(reply.Answer) == 1
}

// comparison is of all answers of both servers.
type comparison struct {
	t                  *testing.T
	ours, knots        *dns.Conn
	questions, records int
	met                map[string]int // by rule
	rcodes             map[string]int // of clusterdns
}

// compare asks both servers about a name, with all types at once.
func (c *comparison) compare(name string) {
	var queries []*dns.Msg
	for i, qtype := range asked {
		query := new(dns.Msg).SetQuestion(name, qtype)
		query.Id, query.RecursionDesired = uint16(i), false
		query.SetEdns0(4096, (len(name)+i)%3 == 0)
		queries = append(queries, query)
	}
	c.questions += len(queries)
	ours, knots := c.ask(c.ours, queries), c.ask(c.knots, queries)
	for i := range queries {
		c.judge(queries[i], ours[i], knots[i])
	}
}

// judge holds two answers against each other.
func (c *comparison) judge(query *dns.Msg, ours, knots answer) {
	c.rcodes[ours.rcode]++
	if ours.equal(knots) {
		return
	}
	before := fmt.Sprintf("clusterdns:\n%v\nKnot DNS:\n%v", ours, knots)
	for _, r := range rules {
		if r.explains(query.Question[0], &ours, &knots) {
			c.met[r.name]++
		}
	}
	if !ours.equal(knots) {
		q := query.Question[0]
		c.t.Errorf("%s %s DO=%v\n%s", q.Name, dns.Type(q.Qtype), query.IsEdns0().Do(), before)
	}
}

// ask sends the queries and reads the replies, which may come in any order.
func (c *comparison) ask(conn *dns.Conn, queries []*dns.Msg) []answer {
	for _, query := range queries {
		if err := conn.WriteMsg(query); err != nil {
			c.t.Fatal(err)
		}
	}
	conn.SetReadDeadline(time.Now().Add(programs.Patience))
	answers := make([]answer, len(queries))
	for range queries {
		reply, err := conn.ReadMsg()
		if err != nil {
			c.t.Fatal(err)
		}
		if int(reply.Id) >= len(queries) || len(reply.Question) != 1 || reply.Question[0] != queries[reply.Id].Question[0] {
			c.t.Fatalf("%v is no reply", reply)
		}
		answers[reply.Id] = read(reply)
	}
	return answers
}

// contents compares the transfers of a zone.
func (c *comparison) contents(zone, ours, knots string) {
	a, b := contents(c.t, ours, zone), contents(c.t, knots, zone)
	c.records += len(a)
	if !slices.Equal(a, b) {
		c.t.Errorf("%s: the transfers differ:\n%s\nKnot DNS:\n%s", zone, strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
}

// contents is what a server transfers of a zone.
func contents(t testing.TB, port, zone string) (all []string) {
	t.Helper()
	transfer, err := new(dns.Transfer).In(new(dns.Msg).SetAxfr(zone), "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	for envelope := range transfer {
		if envelope.Error != nil {
			t.Fatal(envelope.Error)
		}
		for _, rr := range envelope.RR {
			all = append(all, text(rr, ""))
		}
	}
	slices.Sort(all)
	return all
}

// answer is what is compared of a reply.
type answer struct {
	rcode    string
	aa, tc   bool
	reasons  []string // Extended DNS Errors
	sections [3][]string
}

// read reads a reply. The order of records means nothing, but that of aliases does.
func read(reply *dns.Msg) answer {
	a := answer{rcode: dns.RcodeToString[reply.Rcode], aa: reply.Authoritative, tc: reply.Truncated}
	for i, section := range [][]dns.RR{reply.Answer, reply.Ns, reply.Extra} {
		for _, rr := range section {
			opt, ok := rr.(*dns.OPT)
			if !ok {
				asked := "" // the case of the question counts in the answer section
				if i == 0 {
					asked = reply.Question[0].Name
				}
				a.sections[i] = append(a.sections[i], text(rr, asked))
				continue
			}
			for _, option := range opt.Option {
				if ede, ok := option.(*dns.EDNS0_EDE); ok {
					a.reasons = append(a.reasons, ede.ExtraText)
				}
			}
		}
		slices.Sort(a.sections[i])
	}
	return a
}

// text is a record in presentation format. An owner that is the name of the question has its case; other names may have any.
func text(rr dns.RR, asked string) string {
	owner, rest, _ := strings.Cut(strings.ReplaceAll(rr.String(), "\t", " "), " ")
	if !strings.EqualFold(owner, asked) {
		owner = strings.ToLower(owner)
	}
	return owner + " " + strings.ToLower(rest)
}

func (a answer) equal(b answer) bool {
	return a.rcode == b.rcode && a.aa == b.aa && a.tc == b.tc && slices.Equal(a.reasons, b.reasons) &&
		slices.Equal(a.sections[0], b.sections[0]) && slices.Equal(a.sections[1], b.sections[1]) &&
		slices.Equal(a.sections[2], b.sections[2])
}

func (a answer) String() string {
	s := fmt.Sprintf("    %s aa=%v tc=%v %q", a.rcode, a.aa, a.tc, a.reasons)
	for i, name := range []string{"answer", "authority", "additional"} {
		for _, rr := range a.sections[i] {
			s += fmt.Sprintf("\n    %-10s %s", name, rr)
		}
	}
	return s
}

// rule explains a difference: where it does, it takes it out of both answers.
type rule struct {
	name     string
	explains func(q dns.Question, ours, knots *answer) bool
}

var rules = []rule{
	{"an absence says why (RFC 8914)", func(_ dns.Question, ours, knots *answer) bool {
		absent := ours.rcode != "NOERROR" || soa(ours.sections[1]) || len(ours.sections[0]) > 0 && outside(ours.sections[0])
		if len(ours.reasons) == 0 || !absent {
			return false
		}
		ours.reasons = nil
		if knots.rcode == "REFUSED" {
			knots.reasons = nil // it has a code without words
		}
		return true
	}},
	{"Knot DNS follows 5 aliases", func(_ dns.Question, ours, knots *answer) bool {
		if aliases(knots.sections[0]) != 5 || soa(knots.sections[1]) || !contains(ours.sections[0], knots.sections[0]) ||
			aliases(ours.sections[0]) < 5 {
			return false
		}
		*ours, *knots = answer{}, answer{}
		return true
	}},
	{"DS records go with a referral to those who set DO, also from a zone without signatures, as in CoreDNS", func(_ dns.Question, ours, knots *answer) bool {
		isDS := func(rr string) bool { return strings.Contains(rr, " in ds ") }
		referred := func(rr string) bool { return strings.Contains(rr, " in ns ") && !strings.HasPrefix(rr, "z") }
		if !slices.ContainsFunc(ours.sections[1], isDS) || slices.ContainsFunc(knots.sections[1], isDS) ||
			!slices.ContainsFunc(knots.sections[1], referred) {
			return false
		}
		ours.sections[1] = slices.DeleteFunc(ours.sections[1], isDS)
		return true
	}},
	{"Knot DNS goes on at the DNAME's target itself when the name is too long (RFC 6672 section 3.2 says exit)", func(_ dns.Question, ours, knots *answer) bool {
		if ours.rcode != "YXDOMAIN" || !contains(knots.sections[0], ours.sections[0]) ||
			len(ours.sections[1])+len(ours.sections[2]) > 0 {
			return false
		}
		*ours, *knots = answer{}, answer{}
		return true
	}},
	{"Knot DNS takes NSEC for a type that stands beside a CNAME record, though the zone is not signed", func(q dns.Question, ours, knots *answer) bool {
		if q.Qtype != dns.TypeNSEC || aliases(ours.sections[0]) == 0 || !soa(knots.sections[1]) || knots.rcode != "NOERROR" ||
			!contains(ours.sections[0], knots.sections[0]) {
			return false
		}
		*ours, *knots = answer{}, answer{}
		return true
	}},
	{"the name servers of the zone stand beside answers, as in CoreDNS", func(q dns.Question, ours, knots *answer) bool {
		servers := ours.sections[1]
		if ours.rcode != "NOERROR" || !ours.aa || len(knots.sections[1]) > 0 || len(servers) == 0 || len(ours.sections[0]) == 0 {
			return false
		}
		for _, rr := range servers {
			if words := strings.Fields(rr); words[3] != "ns" || strings.Count(words[0], ".") != 2 || !dns.IsSubDomain(words[0], q.Name) {
				return false
			}
		}
		ours.sections[1] = nil
		return true
	}},
	{"a circle of aliases is SERVFAIL (RFC 1034 section 3.6.2)", func(_ dns.Question, ours, knots *answer) bool {
		if ours.rcode != "SERVFAIL" || knots.rcode != "NOERROR" || !circle(knots.sections[0]) ||
			!contains(knots.sections[0], ours.sections[0]) {
			return false
		}
		*ours, *knots = answer{}, answer{}
		return true
	}},
}

// outside reports whether a chain of aliases ends at a name that is in none of the zones.
func outside(records []string) bool {
	return slices.ContainsFunc(records, func(rr string) bool { return strings.HasSuffix(rr, ".elsewhere.example.") })
}

// aliases is the number of CNAME records.
func aliases(records []string) (n int) {
	for _, rr := range records {
		if strings.Contains(rr, " in cname ") {
			n++
		}
	}
	return n
}

// contains reports whether all has the records.
func contains(all, records []string) bool {
	return !slices.ContainsFunc(records, func(rr string) bool { return !slices.Contains(all, rr) })
}

// circle reports whether aliases lead back to one of them.
func circle(records []string) bool {
	next := map[string]string{}
	for _, rr := range records {
		if words := strings.Fields(rr); words[3] == "cname" {
			next[strings.ToLower(words[0])] = words[4]
		}
	}
	for name := range next {
		at, steps := name, 0
		for ; next[at] != "" && steps <= len(next); steps++ {
			at = next[at]
		}
		if steps > len(next) {
			return true
		}
	}
	return false
}

// soa reports whether the records are an SOA.
func soa(records []string) bool {
	return len(records) == 1 && strings.Contains(records[0], " in soa ")
}
