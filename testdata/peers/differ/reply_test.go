package differ

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// A reply is what a server said, in a form in which equal things are equal:
// the records of a section are sorted, and the OPT stands apart.
type reply struct {
	silent    bool
	malformed string // why it could not be read
	size      int    // octets
	question  string
	rcode     int
	opcode    int
	aa        bool
	tc        bool
	rd        bool
	ra        bool
	z         bool
	ad        bool
	cd        bool
	sections  [3][]record
	opt       *opt
}

// The sections of a message after its question.
const (
	answer = iota
	authority
	additional
)

// A record is its parts as text. The owner keeps its case.
type record struct {
	owner, class, rrtype string
	ttl                  uint32
	data                 string
}

func (r record) String() string {
	return fmt.Sprintf("%s %d %s %s %s", r.owner, r.ttl, r.class, r.rrtype, r.data)
}

// opt is what an OPT says.
type opt struct {
	size    uint16
	version uint8
	do      bool
	z       uint16
	errors  []string // RFC 8914
	options []string // the other ones
}

// read makes a reply of a message; nil is silence.
func read(message []byte) *reply {
	if message == nil {
		return &reply{silent: true}
	}
	var m dns.Msg
	if err := m.Unpack(message); err != nil {
		return &reply{malformed: err.Error(), size: len(message)}
	}
	r := &reply{size: len(message), rcode: m.Rcode, opcode: m.Opcode, aa: m.Authoritative, tc: m.Truncated, rd: m.RecursionDesired,
		ra: m.RecursionAvailable, z: m.Zero, ad: m.AuthenticatedData, cd: m.CheckingDisabled}
	for _, q := range m.Question {
		r.question += fmt.Sprintf("%s %d %d;", q.Name, q.Qclass, q.Qtype)
	}
	for i, list := range [3][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range list {
			if o, ok := rr.(*dns.OPT); ok && r.opt == nil {
				r.opt = readOPT(o)
			} else {
				r.sections[i] = append(r.sections[i], readRecord(rr))
			}
		}
		sortRecords(r.sections[i])
	}
	return r
}

func readRecord(rr dns.RR) record {
	h := rr.Header()
	return record{owner: h.Name, ttl: h.Ttl, class: dns.Class(h.Class).String(), rrtype: dns.Type(h.Rrtype).String(),
		data: strings.TrimPrefix(rr.String(), h.String())}
}

func readOPT(o *dns.OPT) *opt {
	read := &opt{size: o.UDPSize(), version: o.Version(), do: o.Do(), z: o.Z()}
	for _, option := range o.Option {
		if e, ok := option.(*dns.EDNS0_EDE); ok {
			read.errors = append(read.errors, fmt.Sprintf("%d %s", e.InfoCode, e.ExtraText))
		} else {
			read.options = append(read.options, fmt.Sprintf("%d %s", option.Option(), option))
		}
	}
	slices.Sort(read.options)
	return read
}

func sortRecords(list []record) {
	slices.SortFunc(list, func(a, b record) int { return strings.Compare(a.String(), b.String()) })
}

// clone is a copy that rules may change.
func (r *reply) clone() *reply {
	c := *r
	for i := range c.sections {
		c.sections[i] = slices.Clone(c.sections[i])
	}
	if c.opt != nil {
		o := *c.opt
		c.opt = &o
	}
	return &c
}

// diff is the names of what differs between two replies, and for each what
// ours has and theirs.
func diff(ours, theirs *reply) (aspects []string) {
	add := func(name string, a, b any) {
		if fmt.Sprint(a) != fmt.Sprint(b) {
			aspects = append(aspects, fmt.Sprintf("%s %v|%v", name, a, b))
		}
	}
	add("silent", ours.silent, theirs.silent)
	add("malformed", ours.malformed, theirs.malformed)
	add("rcode", dns.RcodeToString[ours.rcode], dns.RcodeToString[theirs.rcode])
	add("opcode", ours.opcode, theirs.opcode)
	if ours.question != theirs.question {
		aspects = append(aspects, "question")
	}
	add("aa", ours.aa, theirs.aa)
	add("tc", ours.tc, theirs.tc)
	add("rd", ours.rd, theirs.rd)
	add("ra", ours.ra, theirs.ra)
	add("z", ours.z, theirs.z)
	add("ad", ours.ad, theirs.ad)
	add("cd", ours.cd, theirs.cd)
	for i, name := range [3]string{"answer", "authority", "additional"} {
		if !slices.Equal(ours.sections[i], theirs.sections[i]) {
			aspects = append(aspects, fmt.Sprintf("%s %s|%s", name, shape(ours.sections[i], theirs.sections[i]), shape(theirs.sections[i], ours.sections[i])))
		}
	}
	add("OPT", ours.opt != nil, theirs.opt != nil)
	if ours.opt != nil && theirs.opt != nil {
		add("OPT size", ours.opt.size, theirs.opt.size)
		add("OPT version", ours.opt.version, theirs.opt.version)
		add("DO", ours.opt.do, theirs.opt.do)
		add("OPT z", ours.opt.z, theirs.opt.z)
		add("error", codes(ours.opt.errors), codes(theirs.opt.errors))
		add("options", ours.opt.options, theirs.opt.options)
	}
	return aspects
}

// codes are what errors say without their texts.
func codes(errors []string) (list []string) {
	for _, e := range errors {
		code, _, _ := strings.Cut(e, " ")
		list = append(list, code)
	}
	return list
}

// shape is the types of the records that only one of two sections has.
func shape(mine, other []record) string {
	var only []string
	for _, r := range mine {
		if !slices.Contains(other, r) {
			only = append(only, r.rrtype)
		}
	}
	if len(only) < len(mine) || len(mine) == 0 {
		only = append(only, fmt.Sprintf("%s in common", some(len(mine)-len(only))))
	}
	slices.Sort(only)
	return "[" + strings.Join(slices.Compact(only), " ") + "]"
}

func some(n int) string {
	if n == 0 {
		return "none"
	}
	return "some"
}

// beside is a reply for people, much as dig prints it. Of long sections it
// shows what the other reply has not.
func (r *reply) beside(other *reply) string {
	if r.silent {
		return "  (no reply)\n"
	}
	if r.malformed != "" {
		return fmt.Sprintf("  (malformed, %d octets: %s)\n", r.size, r.malformed)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  %s", dns.RcodeToString[r.rcode])
	for _, flag := range []struct {
		name string
		set  bool
	}{{"aa", r.aa}, {"tc", r.tc}, {"rd", r.rd}, {"ra", r.ra}, {"z", r.z}, {"ad", r.ad}, {"cd", r.cd}} {
		if flag.set {
			b.WriteString(" " + flag.name)
		}
	}
	fmt.Fprintf(&b, ", %d octets\n", r.size)
	if r.opt != nil {
		fmt.Fprintf(&b, "  OPT size %d version %d do %v errors %q options %q\n", r.opt.size, r.opt.version, r.opt.do, r.opt.errors, r.opt.options)
	}
	for i, name := range [3]string{"answer", "authority", "additional"} {
		list := r.sections[i]
		if len(list) > 6 {
			list = slices.DeleteFunc(slices.Clone(list), func(r record) bool { return slices.Contains(other.sections[i], r) })
			fmt.Fprintf(&b, "  %-10s %d in all; of these the other has not\n", name, len(r.sections[i]))
		}
		for _, record := range list[:min(len(list), 8)] {
			fmt.Fprintf(&b, "  %-10s %s\n", name, record)
		}
	}
	return b.String()
}

// dig is the command line that asks a question.
func (q *question) dig() string {
	asked := q.msg.Question[0]
	words := []string{"dig", "+qr", "-c", dns.Class(asked.Qclass).String(), "-t", fmt.Sprintf("TYPE%d", asked.Qtype), fmt.Sprintf("'%s'", asked.Name)}
	if name, ok := dns.TypeToString[asked.Qtype]; ok {
		words[5] = name
	}
	flag := func(name string, set bool) {
		if set {
			words = append(words, "+"+name)
		} else {
			words = append(words, "+no"+name)
		}
	}
	flag("tcp", q.tcp)
	flag("rec", q.msg.RecursionDesired)
	flag("cd", q.msg.CheckingDisabled)
	flag("ad", q.msg.AuthenticatedData)
	if !q.tcp {
		words = append(words, "+ignore")
	}
	opt := q.msg.IsEdns0()
	if opt == nil {
		return strings.Join(append(words, "+noedns"), " ")
	}
	words = append(words, fmt.Sprintf("+edns=%d", opt.Version()), fmt.Sprintf("+bufsize=%d", opt.UDPSize()), "+nocookie")
	flag("dnssec", opt.Do())
	for _, o := range opt.Option {
		words = append(words, fmt.Sprintf("+ednsopt=%d", o.Option()))
	}
	return strings.Join(words, " ")
}
