package resolver

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// asking is a request for "name type", with words for its flags: do, cd, ad, norec, noedns, tcp.
func asking(t testing.TB, text string, now time.Time) *Request {
	t.Helper()
	fields := strings.Fields(text)
	m := new(dns.Msg)
	m.SetQuestion(fields[0], dns.StringToType[fields[1]])
	flags := fields[2:]
	m.RecursionDesired = !slices.Contains(flags, "norec")
	m.CheckingDisabled = slices.Contains(flags, "cd")
	m.AuthenticatedData = slices.Contains(flags, "ad")
	if !slices.Contains(flags, "noedns") {
		m.SetEdns0(1232, slices.Contains(flags, "do"))
	}
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	r := &Request{Now: now}
	if slices.Contains(flags, "tcp") {
		r.Proto = TCP
	}
	if verdict := r.Query.Parse(packet); verdict != wire.Valid {
		t.Fatalf("verdict %d on %s", verdict, text)
	}
	start(r)
	return r
}

func start(r *Request) {
	limit := wire.MaxMessage
	if r.Proto == UDP {
		limit = int(r.Query.UDPSize)
	}
	r.Reply.Start(&r.Query, make([]byte, 0, limit), limit, 1232)
}

// whole is the client's question, in no scope.
func (r *Request) whole() *question {
	r.question = question{name: &r.Query.QName, qtype: r.Query.Type, owner: wire.AtQName, asked: true,
		recurse: r.Query.Flags&wire.FlagRD != 0}
	return &r.question
}

// finished is the reply as a client reads it.
func finished(t testing.TB, r *Request) *dns.Msg {
	t.Helper()
	reply := new(dns.Msg)
	if err := reply.Unpack(r.Reply.Finish()); err != nil {
		t.Fatal(err)
	}
	return reply
}

// upstreamReply is the message made from a reply with these records. "--" separates the sections.
func upstreamReply(t testing.TB, q, rcode, records string) *message {
	t.Helper()
	_, m := parsed(t, q, rcode, records)
	return m
}

func parsed(t testing.TB, q, rcode, records string) (*dns.Msg, *message) {
	t.Helper()
	fields := strings.Fields(q)
	said := new(dns.Msg)
	said.SetQuestion(fields[0], dns.StringToType[fields[1]])
	said.Response, said.Compress, said.Rcode = true, true, dns.StringToRcode[rcode]
	sections := []*[]dns.RR{&said.Answer, &said.Ns, &said.Extra}
	for line := range strings.Lines(records) {
		if line = strings.TrimSpace(line); line == "--" {
			sections = sections[1:]
			continue
		} else if line == "" {
			continue
		}
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		*sections[0] = append(*sections[0], rr)
	}
	packet, err := said.Pack()
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := read(packet)
	if err != nil {
		t.Fatal(err)
	}
	return said, m
}

// lines are the records of a section, in zone-file form with single spaces.
func lines(section []dns.RR) string {
	var b strings.Builder
	for _, rr := range section {
		if rr.Header().Rrtype != dns.TypeOPT {
			b.WriteString(strings.Join(strings.Fields(rr.String()), " ") + "\n")
		}
	}
	return b.String()
}

// ede is the Extended DNS Error of a reply as "code text".
func ede(m *dns.Msg) string {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				return e.String()
			}
		}
	}
	return ""
}

const chain = `
	www.example.org. 300 IN CNAME web.example.net.
	web.example.net. 60 IN A 192.0.2.1
	web.example.net. 60 IN A 192.0.2.2
	--
	example.net. 900 IN NS ns.example.net.
	--
	ns.example.net. 800 IN A 192.0.2.53`

func TestMessageBehindItsQuestion(t *testing.T) {
	m := upstreamReply(t, "www.example.org. A", "NOERROR", chain)
	r := asking(t, "WWW.Example.ORG. A", time.Time{})
	m.write(r, r.whole(), aging{floor: 100, limit: 600, age: 50})
	got := finished(t, r)
	want := "WWW.Example.ORG. 250 IN CNAME web.example.net.\n" +
		"web.example.net. 50 IN A 192.0.2.1\nweb.example.net. 50 IN A 192.0.2.2\n"
	if lines(got.Answer) != want {
		t.Errorf("answer\n%swant\n%s", lines(got.Answer), want)
	}
	if lines(got.Ns) != "example.net. 550 IN NS ns.example.net.\n" ||
		lines(got.Extra) != "ns.example.net. 550 IN A 192.0.2.53\n" {
		t.Errorf("the other sections\n%s%s", lines(got.Ns), lines(got.Extra))
	}
	if got.Question[0].Name != "WWW.Example.ORG." {
		t.Errorf("question %s", got.Question[0].Name)
	}
}

func TestMessageAtTheEndOfAnAlias(t *testing.T) {
	m := upstreamReply(t, "www.example.org. A", "NOERROR", chain)
	r := asking(t, "ext.prod.svc.cluster.local. A", time.Time{})
	target, err := wire.ParseName("www.example.org.")
	if err != nil {
		t.Fatal(err)
	}
	at, _ := r.Reply.AddName(wire.AtQName, wire.TypeCNAME, 5, nil, string(target))
	var name wire.QName
	name.Set(target)
	r.links = 1
	for _, owner := range []wire.Offset{at, 0} { // 0: no pointer reaches it
		start(r)
		r.Reply.AddName(wire.AtQName, wire.TypeCNAME, 5, nil, string(target))
		m.write(r, &question{name: &name, owner: owner}, unchangedTTLs)
		wantChain(t, finished(t, r))
	}
}

func wantChain(t *testing.T, got *dns.Msg) {
	t.Helper()
	want := "ext.prod.svc.cluster.local. 5 IN CNAME www.example.org.\n" +
		"www.example.org. 300 IN CNAME web.example.net.\n" +
		"web.example.net. 60 IN A 192.0.2.1\nweb.example.net. 60 IN A 192.0.2.2\n"
	if lines(got.Answer) != want || len(got.Ns) != 0 {
		t.Errorf("answer\n%s%swant\n%s", lines(got.Answer), lines(got.Ns), want)
	}
}

func TestDenialAtTheEndOfAnAlias(t *testing.T) {
	m := upstreamReply(t, "www.example.org. A", "NXDOMAIN",
		"--\nexample.org. 60 IN SOA ns.example.org. host.example.org. 1 2 3 4 5")
	r := asking(t, "ext.prod.svc.cluster.local. A", time.Time{})
	var name wire.QName
	target, _ := wire.ParseName("www.example.org.")
	name.Set(target)
	at, _ := r.Reply.AddName(wire.AtQName, wire.TypeCNAME, 5, nil, string(target))
	r.links = 1
	m.write(r, &question{name: &name, owner: at}, unchangedTTLs)
	got := finished(t, r)
	if got.Rcode != dns.RcodeNameError || len(got.Answer) != 1 ||
		lines(got.Ns) != "example.org. 60 IN SOA ns.example.org. host.example.org. 1 2 3 4 5\n" {
		t.Errorf("%v", got)
	}
}

func TestMessageThatDoesNotFit(t *testing.T) {
	var records strings.Builder
	for range 24 {
		records.WriteString("www.example.org. 60 IN A 192.0.2.1\n")
	}
	answers := records.String()
	tests := []struct {
		name, records string
		answers, more int
		cut           bool
	}{
		{"all fits", "www.example.org. 60 IN A 192.0.2.1\n--\nexample.org. 60 IN NS ns.example.org.\n--\n" +
			"ns.example.org. 60 IN A 192.0.2.2", 1, 2, false},
		{"without what only helps", answers + "--\nexample.org. 60 IN NS ns.example.org.\n--\n" +
			strings.Repeat("ns.example.org. 60 IN TXT \"0123456789012345678901234567890123456789\"\n", 3),
			24, 1, false},
		{"without name servers", answers + "--\n" +
			strings.Repeat("example.org. 60 IN NS ns.averyveryveryveryveryverylongname.example.org.\n", 10),
			24, 0, false},
		{"whole rrsets of what only helps", answers + "--\nexample.org. 60 IN NS ns.example.org.\n--\n" +
			"ns.example.org. 60 IN A 192.0.2.2\n" + strings.Repeat("ns.example.org. 60 IN AAAA 2001:db8::1\n", 3), 24, 2, false},
		{"what fits of what only helps", answers + "--\nexample.org. 60 IN NS ns.example.org.\n" +
			"example.org. 60 IN NS ns2.example.org.\n--\nns.example.org. 60 IN A 192.0.2.2\n" +
			"ns2.example.org. 60 IN A 192.0.2.2\n" + strings.Repeat("ns.example.org. 60 IN AAAA 2001:db8::1\n", 3),
			24, 4, false},
		{"as many as fit", answers + answers, 29, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := upstreamReply(t, "www.example.org. A", "NOERROR", tt.records)
			r := asking(t, "www.example.org. A noedns", time.Time{})
			m.write(r, r.whole(), unchangedTTLs)
			packet := r.Reply.Bytes()
			got := finished(t, r)
			if len(got.Answer) != tt.answers || len(got.Ns)+len(got.Extra) != tt.more || got.Truncated != tt.cut ||
				len(packet) > 512 {
				t.Errorf("%d octets, cut %v, %d answers, %d more", len(packet), got.Truncated, len(got.Answer),
					len(got.Ns)+len(got.Extra))
			}
		})
	}
}

// TestTopBitOfTTL: a TTL with its top bit set is 0 (RFC 2181 section 8), before floors and limits apply.
func TestTopBitOfTTL(t *testing.T) {
	said, _ := parsed(t, "www.example.org. A", "NOERROR",
		"www.example.org. 60 IN A 192.0.2.1\nwww.example.org. 60 IN A 192.0.2.2")
	said.Answer[0].Header().Ttl = 1<<31 + 60
	said.Answer[1].Header().Ttl = 1<<31 - 1
	m, _, err := read(must(said.Pack()))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		aging aging
		want  [2]uint32
	}{
		{unchangedTTLs, [2]uint32{0, 1<<31 - 1}},
		{aging{floor: 30, limit: 600, age: 10}, [2]uint32{20, 590}},
	} {
		for _, owner := range []wire.Offset{wire.AtQName, 0} { // as one piece, and record by record
			r := asking(t, "www.example.org. A", time.Time{})
			m.write(r, &question{name: &r.Query.QName, owner: owner}, tt.aging)
			got := finished(t, r).Answer
			if len(got) != 2 || got[0].Header().Ttl != tt.want[0] || got[1].Header().Ttl != tt.want[1] {
				t.Errorf("%+v: %v, want TTLs %v", tt.aging, got, tt.want)
			}
		}
	}
}

func TestFlagsOfMessage(t *testing.T) {
	said, _ := parsed(t, "www.example.org. A", "NOERROR", "www.example.org. 60 IN A 192.0.2.1")
	said.AuthenticatedData, said.Authoritative = true, true
	packet, _ := said.Pack()
	m, _, err := read(packet)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"www.example.org. A": false, "www.example.org. A do": true, "www.example.org. A ad": true,
	} {
		r := asking(t, text, time.Time{})
		m.write(r, r.whole(), unchangedTTLs)
		if got := finished(t, r); got.AuthenticatedData != want || got.Authoritative {
			t.Errorf("%s: AD %v AA %v", text, got.AuthenticatedData, got.Authoritative)
		}
	}
}

func TestMessageWithItsOPTInTheMiddle(t *testing.T) {
	said, _ := parsed(t, "www.example.org. A", "NOERROR", chain)
	said.SetEdns0(1232, true)
	said.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: 4, ExtraText: "forged"}}
	said.Extra[0], said.Extra[1] = said.Extra[1], said.Extra[0]
	more, _ := dns.NewRR("ns.example.net. 800 IN AAAA 2001:db8::53")
	said.Extra = append(said.Extra, more)
	packet, err := said.Pack()
	if err != nil {
		t.Fatal(err)
	}
	m, edns, err := read(packet)
	if err != nil || !edns {
		t.Fatal(edns, err)
	}
	r := asking(t, "www.example.org. A", time.Time{})
	m.write(r, r.whole(), unchangedTTLs)
	got := finished(t, r)
	if lines(got.Extra) != "ns.example.net. 800 IN A 192.0.2.53\nns.example.net. 800 IN AAAA 2001:db8::53\n" ||
		ede(got) != "4 (Forged Answer): (forged)" {
		t.Errorf("%s%s", lines(got.Extra), ede(got))
	}
}

func TestExtendedRcodeNeedsEDNS(t *testing.T) {
	m := unanswered(wire.Rcode(dns.RcodeBadCookie), wire.Other, "")
	r := asking(t, "www.example.org. A noedns", time.Time{})
	m.write(r, r.whole(), unchangedTTLs)
	if got := finished(t, r); got.Rcode != dns.RcodeServerFailure {
		t.Errorf("rcode %d", got.Rcode)
	}
}

// Whatever an upstream sends, what reaches a client can be read.
func FuzzUpstreamReply(f *testing.F) {
	for _, records := range []string{chain, "--\nexample.org. 60 IN SOA ns.example.org. host.example.org. 1 2 3 4 5"} {
		said, _ := parsed(f, "www.example.org. A", "NOERROR", records)
		said.SetEdns0(1232, true)
		packet, _ := said.Pack()
		f.Add(packet)
		said.Extra = append(said.Extra, said.Extra[0])
		said.Extra = append(said.Extra[1:], said.Extra[0])
		packet, _ = said.Pack()
		f.Add(packet)
	}
	// A name that ends inside the OPT, which is removed.
	f.Add([]byte("\x00\x00\x81 \x00\x01\x00\x00\x00\x01\x00\x01\x03www\aexample\x03org\x00\x00\x01\x00\x01" +
		"\xc0\x10\x00\x06\x00\x01\x00\x00\x00<\x00 \x02ns\xc0,\x040000\xc000000000" +
		"0000000000000\x00\x00)000000\x00\x00"))
	c, err := newCache(Cache{Zones: []string{"."}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		r := asking(t, "www.example.org. A", time.Unix(1000, 0))
		q := newQuery(r, r.whole())
		if !wire.IsReply(packet, 0, q.question(q.pack(nil, 0, false))) {
			if len(packet) < 12 {
				return
			}
			packet = append(q.pack(nil, 0, false), packet[12:]...)
			packet[2] |= 0x80
		}
		m, _, err := read(packet)
		if err != nil {
			return
		}
		c.add(q, everything, m, r.Now)
		a := c.agingOf(q.rd, everything, m)
		r.rotate = true
		m.write(r, r.whole(), a)
		reply := r.Reply.Finish()
		var again wire.Message
		if len(reply) > 1232 || !again.Read(reply) {
			t.Fatalf("%x", reply)
		}
		start(r)
		target, _ := wire.ParseName("www.example.org.")
		at, _ := r.Reply.AddName(wire.AtQName, wire.TypeCNAME, 5, nil, string(target))
		m.write(r, &question{name: &r.Query.QName, owner: at}, a)
		if reply = r.Reply.Finish(); len(reply) > 1232 || !again.Read(reply) {
			t.Fatalf("behind an alias: %x", reply)
		}
	})
}
