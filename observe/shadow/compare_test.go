package shadow

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// parse reads "RCODE [aa] [tc]: RECORD; RECORD".
func parse(t testing.TB, text string) Reply {
	t.Helper()
	head, records, _ := strings.Cut(text, ": ")
	m := new(dns.Msg)
	for i, word := range strings.Fields(head) {
		switch {
		case i == 0:
			m.Rcode = dns.StringToRcode[word]
		case word == "aa":
			m.Authoritative = true
		case word == "tc":
			m.Truncated = true
		default:
			t.Fatalf("%q", word)
		}
	}
	for text := range strings.SplitSeq(records, "; ") {
		if text == "" {
			continue
		}
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	return Read(m)
}

// TestCompare has a case for each kind, and for what is nearly one.
func TestCompare(t *testing.T) {
	links := ""
	for i := range 10 {
		links += "a" + string(rune('0'+i)) + ".t. 5 CNAME a" + string(rune('1'+i)) + ".t.; "
	}
	for _, c := range []struct{ question, ours, theirs, want string }{
		{"web.prod.svc.t. A", "NOERROR aa: web.prod.svc.t. 5 A 10.0.0.1; web.prod.svc.t. 5 A 10.0.0.2",
			"NOERROR aa: web.prod.svc.t. 2 A 10.0.0.2; WEB.prod.svc.t. 2 A 10.0.0.1; web.prod.svc.t. 2 A 10.0.0.1", "same"},
		{"web.prod.svc.t. SRV", "NOERROR aa: web.prod.svc.t. 5 SRV 0 100 80 Web.prod.svc.t.",
			"NOERROR aa: web.prod.svc.t. 5 SRV 0 100 80 web.prod.svc.t.", "same"},
		{"signed.t. A", "NOERROR: signed.t. 5 A 10.0.0.1; signed.t. 5 RRSIG A 13 2 5 20300101000000 20260101000000 1 t. aaaa",
			"NOERROR: signed.t. 5 A 10.0.0.1", "same"},
		{"web.prod.svc.t. A", "NOERROR aa: web.prod.svc.t. 5 A 10.0.0.1", "NOERROR aa: web.prod.svc.t. 5 A 10.0.0.2",
			"different records"},
		{"web.prod.svc.t. A", "NXDOMAIN aa", "NOERROR aa: web.prod.svc.t. 5 A 10.0.0.2", "different rcode"},
		{"web.prod.svc.t. A", "NOERROR aa: web.prod.svc.t. 5 A 10.0.0.1", "NOERROR aa: web.prod.svc.t. 30 A 10.0.0.1",
			"different ttl"},
		{"web.prod.svc.t. A", "NOERROR aa: web.prod.svc.t. 4294967295 A 10.0.0.1", "NOERROR aa: web.prod.svc.t. 4294967295 A 10.0.0.1", "same"},
		{"www.example.com. A", "NOERROR: www.example.com. 5 A 10.0.0.1", "NOERROR: www.example.com. 30 A 10.0.0.1", "same"},
		{"www.example.com. A CH", "REFUSED", "NOERROR: www.example.com. 30 A 10.0.0.1", "explained class"},
		{"web.prod.svc.t. ANY", "NOERROR aa: web.prod.svc.t. 5 A 10.0.0.1", "NOERROR aa", "explained any"},
		{"big.t. A", "NOERROR aa tc: big.t. 5 A 10.0.0.1", "NOERROR aa: big.t. 5 A 10.0.0.1; big.t. 5 A 10.0.0.2", "explained size"},
		{"big.t. A", "NOERROR aa: big.t. 5 A 10.0.0.1; big.t. 5 A 10.0.0.2", "NOERROR aa tc", "explained size"},
		{"big.t. A", "NOERROR aa tc: big.t. 5 A 10.0.0.3", "NOERROR aa: big.t. 5 A 10.0.0.1; big.t. 5 A 10.0.0.2", "different records"},
		{"NS.dns.t. A", "NOERROR aa: ns.dns.t. 5 A 10.0.0.1", "NXDOMAIN aa", "explained case"},
		{"ns.dns.t. A", "NOERROR aa: ns.dns.t. 5 A 10.0.0.1", "NXDOMAIN aa", "different rcode"},
		{"dns-version.clusterset.local. TXT", `NOERROR aa: dns-version.clusterset.local. 5 TXT "1.0.0"`,
			`NOERROR aa: dns-version.clusterset.local. 5 TXT "1.1.0"`, "explained clusterset-version"},
		{"t. SOA", "NOERROR aa: t. 5 SOA ns.dns.t. hostmaster.t. 2 1 1 1 5", "NOERROR aa: t. 5 SOA ns.dns.t. hostmaster.t. 1 1 1 1 5",
			"explained name-server"},
		{"t. NS", "NOERROR aa", "NOERROR aa: t. 5 NS ns.dns.t.", "different records"},
		{"x.10-0-0-1.prod.pod.t. A", "NXDOMAIN aa", "NOERROR aa: x.10-0-0-1.prod.pod.t. 5 A 10.0.0.1", "explained pod-name"},
		{"10-0-0-1.prod.pod.t. A", "NXDOMAIN aa", "NOERROR aa: 10-0-0-1.prod.pod.t. 5 A 10.0.0.1", "different rcode"},
		{"10-0-0-1.prod.pod.t. SRV", "NOERROR aa", "NOERROR aa: 10-0-0-1.prod.pod.t. 5 SRV 0 100 0 10-0-0-1.prod.pod.t.", "explained pod-name"},
		{"fd00-0-0-1--1.prod.pod.t. AAAA", "NOERROR aa: fd00-0-0-1--1.prod.pod.t. 5 AAAA fd00:0:0:1::1", "NXDOMAIN aa", "explained pod-name"},
		{"_._tcp.web.prod.svc.t. SRV", "NXDOMAIN aa", "NOERROR aa: _._tcp.web.prod.svc.t. 5 SRV 0 100 80 web.prod.svc.t.", "explained wildcard"},
		{"out.prod.svc.t. TXT", "NOERROR aa: out.prod.svc.t. 5 CNAME www.example.com.", "NOERROR aa", "explained alias"},
		{"out.prod.svc.t. A", "NOERROR aa: out.prod.svc.t. 5 CNAME a.example.com.", "NOERROR aa: out.prod.svc.t. 5 CNAME b.example.com.", "different records"},
		{"out.prod.svc.t. TXT", `NOERROR aa: out.prod.svc.t. 5 CNAME www.example.com.; www.example.com. 5 TXT "a"`,
			"NOERROR aa: out.prod.svc.t. 5 CNAME www.example.com.", "explained alias"},
		{"out.prod.svc.t. A", "NXDOMAIN aa: out.prod.svc.t. 5 CNAME gone.example.com.", "NOERROR aa", "explained alias"},
		{"out.prod.svc.t. A", "SERVFAIL aa: out.prod.svc.t. 5 CNAME out.prod.svc.t.", "NOERROR aa: out.prod.svc.t. 5 CNAME out.prod.svc.t.",
			"different rcode"},
		{"out.prod.svc.t. A", "NOERROR aa: out.prod.svc.t. 5 CNAME www.example.com.; www.example.com. 5 A 192.0.2.1", "SERVFAIL",
			"different rcode"},
		{"out.prod.svc.t. TXT", "SERVFAIL aa: out.prod.svc.t. 5 CNAME www.example.com.", "SERVFAIL aa", "different records"},
		{"out.prod.svc.t. A", "NOERROR aa: out.prod.svc.t. 5 CNAME www.example.com.; www.example.com. 5 A 192.0.2.1",
			"NOERROR aa: out.prod.svc.t. 5 CNAME www.example.com.", "different records"},
		{"out.prod.svc.t. A", "NOERROR aa: out.prod.svc.t. 5 CNAME www.example.com.; www.example.com. 5 A 192.0.2.1", "NOERROR aa",
			"different records"},
		{"www.example.com. TXT", `NOERROR: www.example.com. 5 CNAME a.example.com.; a.example.com. 5 TXT "a"`, "NOERROR", "different records"},
		{"a0.t. A", "SERVFAIL aa: " + links + "az.t. 5 A 10.0.0.1", "SERVFAIL aa", "different records"},
		{"a0.t. A", "SERVFAIL aa: " + links, "NOERROR aa: " + links + "az.t. 5 A 10.0.0.1", "explained alias"},
		{"prod.svc.t. TXT", "NOERROR aa", "NXDOMAIN aa", "explained nodata"},
		{"www.example.com. TXT", "NOERROR", "NXDOMAIN", "different rcode"},
		{"nope.prod.svc.t. SOA", "NXDOMAIN aa", "NOERROR aa", "explained nxdomain"},
		{"nope.prod.svc.t. A", "NXDOMAIN aa", "NOERROR aa", "different rcode"},
		{"svc.in-addr.arpa. PTR", "NXDOMAIN aa", "NOERROR aa: svc.in-addr.arpa. 5 PTR a.t.", "explained reverse-name"},
		{"1.0.0.10.in-addr.arpa. PTR", "NXDOMAIN aa", "NOERROR aa: 1.0.0.10.in-addr.arpa. 5 PTR a.t.", "different rcode"},
		{"www.example.com. A", "NOERROR: www.example.com. 5 A 192.0.2.1", "NOERROR: www.example.com. 5 A 192.0.2.2", "explained upstream"},
		{"www.example.com. A", "NOERROR: www.example.com. 5 A 192.0.2.1", "SERVFAIL", "different rcode"},
		{". NS", "NOERROR: . 5 NS a.root.", "SERVFAIL", "different rcode"},
	} {
		words := strings.Fields(c.question)
		q := dns.Question{Name: words[0], Qtype: dns.StringToType[words[1]], Qclass: dns.ClassINET}
		if len(words) > 2 {
			q.Qclass = dns.StringToClass[words[2]]
		}
		v := Compare(q, parse(t, c.ours), parse(t, c.theirs))
		if got := strings.TrimSpace(v.Result() + " " + v.Kind); got != c.want {
			t.Errorf("%s: %s and %s: %s, want %s", c.question, c.ours, c.theirs, got, c.want)
		}
	}
}

// TestText: a reply is a line, whatever it has.
func TestText(t *testing.T) {
	many := "NOERROR: "
	for range 40 {
		many += "a.t. 5 TXT " + strings.Repeat("b", len(many)%100) + "; "
	}
	for text, want := range map[string]string{
		"NOERROR aa":    "NOERROR without records",
		"NXDOMAIN aa":   "NXDOMAIN",
		"NOERROR aa tc": "NOERROR without records (cut)",
		"NOERROR: a.t. 5 A 192.0.2.1; a.t. 5 A 192.0.2.2": "NOERROR A 192.0.2.1, A 192.0.2.2",
	} {
		if got := parse(t, text).String(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if got := parse(t, many).String(); len(got) > 400 || !strings.HasSuffix(got, " records)") {
		t.Errorf("%q", got)
	}
}

// FuzzCompare: whatever two servers say, a comparison ends, and a reply is the same as itself.
func FuzzCompare(f *testing.F) {
	m := new(dns.Msg).SetQuestion("x.10-0-0-1.prod.pod.t.", dns.TypeA)
	m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: "a.", Rrtype: dns.TypeA, Class: 1}})
	packet, _ := m.Pack()
	f.Add(packet, packet)
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: 22, ExtraText: "two\nlines\x1b[2J"}}
	packet, _ = m.Pack()
	f.Add(packet, packet)
	m.Answer = append(m.Answer, m.IsEdns0())
	packet, _ = m.Pack()
	f.Add(packet, packet)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		a, b := new(dns.Msg), new(dns.Msg)
		if a.Unpack(first) != nil || b.Unpack(second) != nil || len(a.Question) == 0 {
			return
		}
		Compare(a.Question[0], Read(a), Read(b))
		if v := Compare(a.Question[0], Read(a), Read(a)); v.Result() != Same {
			t.Errorf("%v: %v", a, v)
		}
		if strings.Contains(Read(a).String(), "\n") {
			t.Errorf("%q", Read(a).String())
		}
	})
}
