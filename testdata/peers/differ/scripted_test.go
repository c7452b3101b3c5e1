package differ

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// The scripted upstream of the steps rewrite, dns64 and acl. The zones a.test and b.test have much the same names, so
// that a rewritten question has an answer, and another one than the question had. TTLs are longer than the shortest
// that a cache of CoreDNS keeps, and an SOA's TTL is its MINIMUM, so that what a cache makes of them is not what is
// compared here.
const scriptedRecords = `
cluster.local. 300 IN SOA ns.test. host.test. 1 7200 1800 86400 300
test. 250 IN SOA ns.test. host.test. 1 7200 1800 86400 250

a.test. 100 IN SOA ns.a.test. host.a.test. 1 7200 1800 86400 100
a.test. 300 IN NS ns.a.test.
www.a.test. 300 IN A 192.0.2.1
own.a.test. 300 IN A 192.0.2.2
own.a.test. 300 IN AAAA 2001:db8:a::2
into.a.test. 200 IN CNAME www.b.test.
deep.a.test. 200 IN CNAME into.a.test.

b.test. 100 IN SOA ns.b.test. host.b.test. 1 7200 1800 86400 100
b.test. 300 IN NS ns.b.test.
b.test. 300 IN NS ns.else.test.
b.test. 300 IN MX 10 mail.b.test.
b.test. 300 IN MX 20 mail.else.test.
ns.b.test. 300 IN A 192.0.2.53
www.b.test. 300 IN A 192.0.2.10
www.b.test. 300 IN A 192.0.2.11
www.b.test. 300 IN AAAA 2001:db8:b::10
www.b.test. 300 IN TXT "www.b.test." "hello"
www.b.test. 300 IN MX 5 www.b.test.
www.b.test. 300 IN HTTPS 1 www.b.test. alpn="h2"
mail.b.test. 300 IN A 192.0.2.25
mail.b.test. 300 IN MX 10 x.mail.b.test.
v4.b.test. 900 IN A 192.0.2.4
v4.b.test. 900 IN A 198.51.100.4
brief.b.test. 20 IN A 192.0.2.5
v6.b.test. 300 IN AAAA 2001:db8:b::6
mapped.b.test. 300 IN AAAA ::ffff:192.0.2.7
mapped.b.test. 300 IN A 192.0.2.7
alias.b.test. 120 IN CNAME www.b.test.
chain.b.test. 120 IN CNAME alias.b.test.
four.b.test. 120 IN CNAME v4.b.test.
fours.b.test. 120 IN CNAME four.b.test.
away.b.test. 120 IN CNAME www.else.test.
lost.b.test. 120 IN CNAME nowhere.b.test.
home.b.test. 120 IN CNAME own.a.test.
_http._tcp.b.test. 300 IN SRV 1 2 80 www.b.test.
_http._tcp.b.test. 300 IN SRV 1 3 80 www.else.test.
_http._tcp.www.b.test. 300 IN SRV 1 2 80 pod.www.b.test.
pod.www.b.test. 300 IN A 192.0.2.30
sub.b.test. 300 IN NS ns.sub.b.test.
ptr.b.test. 300 IN PTR www.b.test.
naptr.b.test. 300 IN NAPTR 10 10 "S" "SIP+D2U" "" _sip._udp.b.test.
dname.b.test. 300 IN DNAME dname.else.test.
mid.b.test. 300 IN A 192.0.2.40
x.mid.b.test. 300 IN A 192.0.2.41
x-y.b.test. 300 IN A 192.0.2.42
web-prod.b.test. 300 IN A 192.0.2.43
web.prod.b.test. 300 IN A 192.0.2.44
web.prod.b.test. 300 IN CAA 0 issue "b.test"
ingress.b.test. 300 IN A 192.0.2.45
text.b.test. 300 IN TXT "www.b.test"
signed.b.test. 300 IN A 192.0.2.50
signed.b.test. 300 IN RRSIG A 13 3 300 20300101000000 20200101000000 1 b.test. c2lnbmF0dXJl
both.b.test. 300 IN AAAA 2001:db8:b::51
both.b.test. 300 IN A 192.0.2.51
both.b.test. 300 IN RRSIG A 13 3 300 20300101000000 20200101000000 1 b.test. c2lnbmF0dXJl
both.b.test. 300 IN RRSIG AAAA 13 3 300 20300101000000 20200101000000 1 b.test. c2lnbmF0dXJl
failsix.b.test. 300 IN A 192.0.2.60
refusesix.b.test. 300 IN A 192.0.2.61
nonesix.b.test. 300 IN A 192.0.2.62
emptysix.b.test. 900 IN A 192.0.2.64
nonefour.b.test. 300 IN TXT "no address"
bare.b.test. 900 IN A 192.0.2.63

www.else.test. 300 IN A 192.0.2.70
www.else.test. 300 IN TXT "www.else.test"
back.else.test. 120 IN CNAME www.b.test.
forth.else.test. 120 IN CNAME www.a.test.
mail.else.test. 300 IN A 192.0.2.71
1.2.0.192.in-addr.arpa. 300 IN PTR www.a.test.
10.2.0.192.in-addr.arpa. 300 IN PTR www.b.test.
. 600 IN SOA a.root.test. host.test. 1 7200 1800 86400 600
`

// localHosts are names of the servers' own, by the directive hosts.
const localHosts = `
		10.1.0.1 v4.local.test
		fd00::1 v6.local.test
		10.1.0.3 dual.local.test
		fd00::3 dual.local.test
		10.1.0.4 host.b.test
		fd00::4 host.b.test
		10.1.0.5 local.a.test x.local.a.test`

// localNames are the names in localHosts.
var localNames = []string{"v4.local.test.", "v6.local.test.", "dual.local.test.", "host.b.test.", "host.a.test.",
	"local.a.test.", "local.b.test.",
	"x.local.a.test.", "local.test.", "1.0.1.10.in-addr.arpa."}

// scripted answers as upstream does, but for names whose first label says otherwise.
type scripted struct{ upstream }

var scriptedUpstream = sync.OnceValue(func() scripted {
	u := parseRecords(scriptedRecords)
	for i := range 90 {
		u.add(&dns.A{Hdr: dns.RR_Header{Name: "big.b.test.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300},
			A: net.IPv4(192, 0, 2, byte(i+1))})
	}
	for i := range 20 {
		u.add(&dns.A{Hdr: dns.RR_Header{Name: "some.b.test.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300},
			A: net.IPv4(192, 0, 2, byte(i+1))})
		u.add(&dns.SRV{Hdr: dns.RR_Header{Name: "some.b.test.", Rrtype: dns.TypeSRV, Class: dns.ClassINET, Ttl: 300},
			Port: uint16(i + 1), Target: "some.b.test."})
	}
	return scripted{u}
})

// failing are the rcodes that first labels below b.test stand for, to questions of a type; 0 is all types.
var failing = map[string]struct {
	rcode int
	qtype uint16
}{
	"fail":      {dns.RcodeServerFailure, 0},
	"refused":   {dns.RcodeRefused, 0},
	"failsix":   {dns.RcodeServerFailure, dns.TypeAAAA},
	"refusesix": {dns.RcodeRefused, dns.TypeAAAA},
	"nonesix":   {dns.RcodeNameError, dns.TypeAAAA},
	"nonefour":  {dns.RcodeNameError, dns.TypeA},
	"emptysix":  {dns.RcodeSuccess, dns.TypeAAAA},
}

func (s scripted) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg).SetReply(query)
	reply.RecursionAvailable, reply.Compress = true, true
	q := query.Question[0]
	name := strings.ToLower(q.Name)
	reply.Authoritative = dns.IsSubDomain("else.test.", name)
	label := strings.TrimSuffix(name, ".b.test.")
	order, found := failing[label]
	switch {
	case !found || order.qtype != 0 && order.qtype != q.Qtype:
		s.answer(reply, q.Name, q.Qtype)
	case order.rcode == dns.RcodeNameError:
		s.answer(reply, q.Name, dns.TypeNULL)
		reply.Rcode = order.rcode
	default:
		reply.Rcode = order.rcode
	}
	if label == "bare" {
		reply.Ns = nil
	}
	opt := query.IsEdns0()
	s.sign(reply, opt != nil && opt.Do())
	size := dns.MinMsgSize
	if opt != nil {
		reply.SetEdns0(1232, opt.Do())
		size = max(size, int(opt.UDPSize()))
	}
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		reply.Truncate(size)
	}
	w.WriteMsg(reply)
}

// sign adds the signatures of the records in a reply, and AD, to a query with DO.
func (s scripted) sign(reply *dns.Msg, do bool) {
	if !do {
		return
	}
	for _, rr := range slices.Clone(reply.Answer) {
		h := rr.Header()
		for _, sig := range s.upstream[strings.ToLower(h.Name)] {
			if sig, ok := sig.(*dns.RRSIG); ok && sig.TypeCovered == h.Rrtype && !slices.Contains(reply.Answer,
				dns.RR(sig)) {
				sig := dns.Copy(sig).(*dns.RRSIG)
				sig.Hdr.Name = h.Name
				reply.Answer = append(reply.Answer, sig)
				reply.AuthenticatedData = true
			}
		}
	}
}

// scriptedNames are the names that the upstream has something to say about, in both zones, and local ones.
func scriptedNames() (list []string) {
	for name := range scriptedUpstream().upstream {
		list = append(list, name)
	}
	for label := range failing {
		list = append(list, label+".b.test.")
	}
	list = append(list, "nowhere.b.test.")
	list = append(list, localNames...)
	for _, name := range slices.Clone(list) {
		for _, change := range [][2]string{{"b.test.", "a.test."}, {"a.test.", "b.test."}, {"b.test.", "c.test."}} {
			if before, ok := strings.CutSuffix(name, change[0]); ok {
				list = append(list, before+change[1])
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// TestScripted checks that the names that the tests are about have what they should.
func TestScripted(t *testing.T) {
	for _, test := range []struct {
		name  string
		qtype uint16
		rcode int
		count int
	}{
		{"chain.b.test.", dns.TypeA, dns.RcodeSuccess, 4},
		{"fours.b.test.", dns.TypeAAAA, dns.RcodeSuccess, 2},
		{"nonefour.b.test.", dns.TypeAAAA, dns.RcodeSuccess, 0},
		{"big.b.test.", dns.TypeA, dns.RcodeSuccess, 90},
	} {
		m := new(dns.Msg)
		scriptedUpstream().answer(m, test.name, test.qtype)
		if m.Rcode != test.rcode || len(m.Answer) != test.count {
			t.Errorf("%s %s: got %s and %d records, want %s and %d", test.name, dns.Type(test.qtype),
				dns.RcodeToString[m.Rcode], len(m.Answer),
				dns.RcodeToString[test.rcode], test.count)
		}
	}
}
