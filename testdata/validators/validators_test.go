package validators

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/testdata/programs"
)

// answers reports whether the server at a port of loopback has records for a name.
func answers(port, name string) bool {
	m, err := dns.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), "127.0.0.1:"+port)
	return err == nil && len(m.Answer) > 0
}

// question is one for delv, and what it has to say.
type question struct {
	name, qtype string
	want        string // a word of the answer; "" for a denial
}

// longest is a name of that many octets in wire form, below example.org.
func longest(octets int, label string) string {
	left := octets - len("\x07example\x03org\x00")
	var labels []string
	for left > 0 {
		n := min(left-1, 63)
		if left-1-n == 1 {
			n-- // no room for one more label
		}
		labels = append(labels, strings.Repeat(label, n))
		left -= 1 + n
	}
	return strings.Join(labels, ".") + ".example.org"
}

var exampleQuestions = []question{
	{"example.org", "SOA", "admin"}, {"example.org", "NS", "ns1"}, {"example.org", "DNSKEY", "DNSKEY"},
	{"example.org", "MX", "mail"}, {"example.org", "TXT", ""}, {"example.org", "ANY", "RRSIG"},
	{"www.example.org", "A", "192.0.2.2"}, {"WWW.Example.ORG", "AAAA", "2001:db8::1"}, {"www.example.org", "MX", ""},
	{"www.example.org", "DS", ""}, {"www.example.org", "ANY", "RRSIG"}, {"www.example.org", "NSEC", "NSEC"},
	{"alias.example.org", "A", "192.0.2.1"}, {"far.example.org", "A", "192.0.2.1"}, {"far.example.org", "CNAME", "alias"},
	{"far.example.org", "MX", "CNAME"}, {"lost.example.org", "A", "CNAME"}, {"bare.example.org", "A", "CNAME"},
	{"nothere.example.org", "A", ""}, {"a.nothere.example.org", "AAAA", ""}, {"nothere.example.org", "NSEC", "TYPE128"},
	{"c.example.org", "A", ""}, {"c.example.org", "ANY", ""}, {"b.c.example.org", "TXT", ""},
	{"x.wild.example.org", "TXT", "wild"}, {"x.y.wild.example.org", "TXT", "wild"}, {"*.wild.example.org", "TXT", "wild"},
	{"x.wild.example.org", "A", ""}, {"wild.example.org", "A", ""}, {"x.only.example.org", "A", "192.0.2.1"},
	{"x.only.example.org", "TXT", "CNAME"},
	{"x.dn.example.org", "A", "192.0.2.9"}, {"dn.example.org", "DNAME", "new"}, {"nothere.dn.example.org", "A", "DNAME"},
	{"_s._tcp.example.org", "SRV", "www"}, {"naptr.example.org", "NAPTR", "E2U"}, {"*abc.example.org", "A", "192.0.2.77"},
	{"svc.example.org", "HTTPS", "h2"}, {"caa.example.org", "CAA", "ca.test"}, {"raw.example.org", "TYPE65280", "0A000001"},
	{"text.example.org", "TXT", "b"}, {"odd.example.org", "PTR", "www"},
	{"sub.example.org", "DS", ""}, {"fake.example.org", "DS", "12345"},
	{"old.example.org", "A", "192.0.2.1"}, {"old.example.org", "TXT", ""}, {"host.example.org", "A", "192.0.2.88"},
	{"x.made.example.org", "TXT", "x.made"}, {"x.made.example.org", "AAAA", ""}, {"x.made.example.org", "MX", ""},
	{longest(250, "a"), "A", ""}, {longest(251, "a"), "A", ""}, {longest(252, "a"), "A", ""}, {longest(253, "a"), "A", ""},
	{longest(254, "a"), "A", ""}, {longest(255, "a"), "A", ""},
}

// TestDelv asks delv about every kind of answer, with each kind of keys.
func TestDelv(t *testing.T) {
	dir := t.TempDir()
	sets := keySets()
	start(t, dir, sets)
	asked := 0
	for _, k := range sets {
		t.Run(k.name, func(t *testing.T) {
			for _, q := range k.questions() {
				asked++
				if err := q.check(k, k.anchor); err != nil {
					t.Error(err)
				}
			}
		})
	}
	t.Logf("%d answers are good", asked)
	if err := exampleQuestions[0].check(sets[0], sets[1].anchor); err == nil {
		t.Error("delv takes answers that another key has signed")
	}
}

func (k *keySet) questions() []question {
	switch k.name {
	case "cluster":
		return []question{
			{"cluster.local", "SOA", "hostmaster"}, {"cluster.local", "DNSKEY", "DNSKEY"}, {"svc.cluster.local", "A", ""},
			{"kubernetes.default.svc.cluster.local", "A", "IN"}, {"kubernetes.default.svc.cluster.local", "AAAA", ""},
			{"_https._tcp.kubernetes.default.svc.cluster.local", "SRV", "kubernetes"}, {"dns-version.cluster.local", "TXT", "1.1.0"},
			{"nothere.default.svc.cluster.local", "A", ""}, {"a.nothere.nothere.svc.cluster.local", "SRV", ""},
		}
	case "reverse":
		return []question{{"10.in-addr.arpa", "SOA", "SOA"}, {"9.9.9.10.in-addr.arpa", "TXT", ""}, {"10.in-addr.arpa", "NS", "NS"}}
	}
	if k.name == "P-256" {
		return exampleQuestions
	}
	var some []question // what is signed does not depend on the algorithm
	for i := 0; i < len(exampleQuestions); i += 4 {
		some = append(some, exampleQuestions[i])
	}
	return append(some, question{"example.org", "DNSKEY", "DNSKEY"})
}

// check asks with the key in anchor as the only one that is trusted.
func (q question) check(k *keySet, anchor string) error {
	out, err := exec.Command("delv", "@127.0.0.1", "-p", k.port, "-a", anchor, "+root="+k.zone, q.name, q.qtype).CombinedOutput()
	text := string(out)
	good, denied := strings.Contains(text, "fully validated"), strings.Contains(text, "negative response, fully validated")
	if err != nil || !good || denied != (q.want == "") || !strings.Contains(text, q.want) ||
		strings.Contains(text, "unsigned") || strings.Contains(text, "no valid") {
		return fmt.Errorf("delv %s %s: %v\n%s", q.name, q.qtype, err, text)
	}
	return nil
}

const unboundConf = `server:
	interface: 127.0.0.1@PORT
	do-daemonize: no
	use-syslog: no
	logfile: ""
	verbosity: 1
	log-time-ascii: yes
	val-log-level: 2
	username: ""
	chroot: ""
	pidfile: ""
	directory: "DIR"
	do-not-query-localhost: no
	aggressive-nsec: yes
	qname-minimisation: yes
	trust-anchor: "ANCHOR"
	module-config: "validator iterator"
remote-control:
	control-enable: no
stub-zone:
	name: example.org
	stub-addr: 127.0.0.1@SIGNED
stub-zone:
	name: sub.example.org
	stub-addr: 127.0.0.1@SUB
stub-zone:
	name: fake.example.org
	stub-addr: 127.0.0.1@SUB
`

// TestUnbound resolves in the signed zone and below its delegations. What is asked first makes Unbound deny what follows
// from its NSEC record, so that an answer says too much if it denies more than there is not.
func TestUnbound(t *testing.T) {
	dir := t.TempDir()
	sets := keySets()[:1]
	sub := start(t, dir, sets)
	port := programs.Free(t)
	conf := strings.NewReplacer("PORT", port, "DIR", dir, "ANCHOR", sets[0].key, "SIGNED", sets[0].port, "SUB", sub).Replace(unboundConf)
	write(t, filepath.Join(dir, "unbound.conf"), conf)
	programs.Run(t, "unbound", []string{"unbound", "-d", "-c", filepath.Join(dir, "unbound.conf")})
	programs.Await(t, "unbound", func() bool { return answers(port, "www.example.org.") })
	for _, c := range []struct {
		name  string
		qtype uint16
		rcode int
		ad    bool
		count int // of records in the answer, without signatures
	}{
		{"www.example.org.", dns.TypeA, dns.RcodeSuccess, true, 2},
		{"mail.example.org.", dns.TypeA, dns.RcodeSuccess, true, 0},
		{"mail.example.org.", dns.TypeMX, dns.RcodeSuccess, true, 1},
		{"odd.example.org.", dns.TypeA, dns.RcodeSuccess, true, 0},
		{"odd.example.org.", dns.TypePTR, dns.RcodeSuccess, true, 1},
		{"svc.example.org.", dns.TypeA, dns.RcodeSuccess, true, 0},
		{"svc.example.org.", dns.TypeHTTPS, dns.RcodeSuccess, true, 1},
		{"caa.example.org.", dns.TypeA, dns.RcodeSuccess, true, 0},
		{"caa.example.org.", dns.TypeCAA, dns.RcodeSuccess, true, 1},
		{"c.example.org.", dns.TypeA, dns.RcodeSuccess, true, 0},
		{"a.b.c.example.org.", dns.TypeA, dns.RcodeSuccess, true, 1},
		{"nothere.example.org.", dns.TypeA, dns.RcodeSuccess, true, 0},
		{"x.nothere.example.org.", dns.TypeA, dns.RcodeSuccess, true, 0},
		{"far.example.org.", dns.TypeA, dns.RcodeSuccess, true, 4},
		{"lost.example.org.", dns.TypeA, dns.RcodeSuccess, true, 1},
		{"x.wild.example.org.", dns.TypeTXT, dns.RcodeSuccess, true, 1},
		{"x.dn.example.org.", dns.TypeA, dns.RcodeSuccess, true, 3},
		{"sub.example.org.", dns.TypeDS, dns.RcodeSuccess, true, 0},
		{"www.sub.example.org.", dns.TypeA, dns.RcodeSuccess, false, 1},
		{"nothere.sub.example.org.", dns.TypeA, dns.RcodeNameError, false, 0},
		{"fake.example.org.", dns.TypeDS, dns.RcodeSuccess, true, 1},
		{"www.fake.example.org.", dns.TypeA, dns.RcodeServerFailure, false, 0}, // its DS record wants signatures
	} {
		m := new(dns.Msg).SetQuestion(c.name, c.qtype)
		m.SetEdns0(4096, true)
		got, err := dns.Exchange(m, "127.0.0.1:"+port)
		if err != nil {
			t.Errorf("%s %s: %v", c.name, dns.TypeToString[c.qtype], err)
			continue
		}
		count := 0
		for _, rr := range got.Answer {
			if rr.Header().Rrtype != dns.TypeRRSIG {
				count++
			}
		}
		if got.Rcode != c.rcode || got.AuthenticatedData != c.ad || count != c.count {
			t.Errorf("%s %s: want %s, AD %v, %d records, got\n%s", c.name, dns.TypeToString[c.qtype], dns.RcodeToString[c.rcode],
				c.ad, c.count, got)
		}
	}
}

// TestReferral: what a referral says of the zone below is signed, and the rest is not.
func TestReferral(t *testing.T) {
	dir := t.TempDir()
	sets := keySets()[:1]
	start(t, dir, sets)
	key, err := dns.NewRR(sets[0].key)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]uint16{"www.sub.example.org.": dns.TypeNSEC, "www.fake.example.org.": dns.TypeDS} {
		m := new(dns.Msg).SetQuestion(name, dns.TypeA)
		m.SetEdns0(4096, true)
		got, err := dns.Exchange(m, "127.0.0.1:"+sets[0].port)
		if err != nil {
			t.Fatal(err)
		}
		sets := map[uint16][]dns.RR{}
		for _, rr := range got.Ns {
			sets[rr.Header().Rrtype] = append(sets[rr.Header().Rrtype], rr)
		}
		if len(sets) != 3 || len(sets[dns.TypeRRSIG]) != 1 || len(sets[want]) != 1 || len(got.Answer) > 0 {
			t.Fatalf("%s: got\n%s", name, got)
		}
		if err := sets[dns.TypeRRSIG][0].(*dns.RRSIG).Verify(key.(*dns.DNSKEY), sets[want]); err != nil {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
}
