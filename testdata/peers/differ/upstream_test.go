package differ

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/clusterdns/clusterdns/testdata/peers/process"
	"github.com/miekg/dns"
)

// outside are names out of the zone that the upstream has something to say
// about, or nothing.
var outside = []string{"www.example.com", "alias.example.com", "far.example.com", "v4.example.com", "v6.example.com", "text.example.com",
	"big.example.com", "nowhere.example.com", "lost.example.com", "fail.example.com", "refused.example.com", "www.example.org",
	"back.example.com", "example.com"}

// records are the upstream's. The zone example.org is its own: AA is set.
const records = `
example.com. 300 IN SOA ns.example.com. host.example.com. 1 7200 1800 86400 60
example.com. 300 IN NS ns.example.com.
example.com. 300 IN MX 10 www.example.com.
www.example.com. 300 IN A 192.0.2.10
www.example.com. 300 IN A 192.0.2.11
www.example.com. 300 IN AAAA 2001:db8::10
www.example.com. 300 IN TXT "hello"
alias.example.com. 120 IN CNAME www.example.com.
far.example.com. 120 IN CNAME alias.example.com.
lost.example.com. 120 IN CNAME nowhere.example.com.
back.example.com. 120 IN CNAME kubernetes.default.svc.cluster.local.
v4.example.com. 300 IN A 192.0.2.12
v6.example.com. 300 IN AAAA 2001:db8::12
text.example.com. 300 IN TXT "one" "two"
_http._tcp.example.com. 300 IN SRV 1 2 80 www.example.com.
example.org. 300 IN SOA ns.example.org. host.example.org. 1 7200 1800 86400 60
www.example.org. 300 IN A 192.0.2.20
7.113.0.203.in-addr.arpa. 300 IN PTR www.example.com.
. 600 IN SOA a.root.example. host.example. 1 7200 1800 86400 60
`

// startUpstream starts a server with fixed answers for what the servers under
// test forward, and returns its address.
func startUpstream(t *testing.T, u dns.Handler) string {
	t.Helper()
	listener, packets := process.ListenBoth(t)
	if err := packets.(*net.UDPConn).SetReadBuffer(1 << 20); err != nil { // on a busy machine much waits at a time
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{Listener: listener, Handler: u, MaxTCPQueries: -1}, {PacketConn: packets, Handler: u, UDPSize: dns.MaxMsgSize}} {
		started := make(chan bool)
		s.NotifyStartedFunc = func() { close(started) }
		go s.ActivateAndServe()
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
	return listener.Addr().String()
}

// upstream has the records of each name.
type upstream map[string][]dns.RR

func (u upstream) add(rr dns.RR) { u[rr.Header().Name] = append(u[rr.Header().Name], rr) }

// parseRecords reads records in zone-file form.
func parseRecords(text string) upstream {
	u := upstream{}
	parser := dns.NewZoneParser(strings.NewReader(text), ".", "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		u.add(rr)
	}
	if err := parser.Err(); err != nil {
		panic(err)
	}
	return u
}

var upstreamRecords = sync.OnceValue(func() upstream {
	u := parseRecords(records)
	for i := range 90 {
		u.add(&dns.A{Hdr: dns.RR_Header{Name: "big.example.com.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300}, A: net.IPv4(192, 0, 2, byte(i+1))})
	}
	return u
})

// ServeDNS answers as a recursive resolver: it follows aliases, and says which
// zone's SOA denies a name.
func (u upstream) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg).SetReply(query)
	reply.RecursionAvailable, reply.Compress = true, true
	q := query.Question[0]
	name := strings.ToLower(q.Name)
	reply.Authoritative = dns.IsSubDomain("example.org.", name)
	switch name {
	case "fail.example.com.":
		reply.Rcode = dns.RcodeServerFailure
	case "refused.example.com.":
		reply.Rcode = dns.RcodeRefused
	default:
		u.answer(reply, q.Name, q.Qtype)
	}
	size := dns.MinMsgSize
	if opt := query.IsEdns0(); opt != nil {
		reply.SetEdns0(1232, opt.Do())
		size = max(size, int(opt.UDPSize()))
	}
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		reply.Truncate(size)
	}
	w.WriteMsg(reply)
}

// answer adds the records that a name has of a type, and the SOA if there are
// none.
func (u upstream) answer(reply *dns.Msg, name string, qtype uint16) {
	for range 8 {
		found := u[strings.ToLower(name)]
		next := ""
		for _, rr := range found {
			alias, ok := rr.(*dns.CNAME)
			if ok && qtype != dns.TypeCNAME && qtype != dns.TypeANY {
				next = alias.Target
			}
			if ok || rr.Header().Rrtype == qtype || qtype == dns.TypeANY {
				rr = dns.Copy(rr)
				rr.Header().Name = name
				reply.Answer = append(reply.Answer, rr)
			}
		}
		if next != "" {
			name = next
			continue
		}
		if len(reply.Answer) > 0 && (len(found) > 0 || qtype == dns.TypeANY) && reply.Answer[len(reply.Answer)-1].Header().Name == name {
			return
		}
		if len(found) == 0 {
			reply.Rcode = dns.RcodeNameError
		}
		break
	}
	for at := strings.ToLower(name); ; {
		for _, rr := range u[at] {
			if rr.Header().Rrtype == dns.TypeSOA {
				reply.Ns = []dns.RR{rr}
				return
			}
		}
		if at == "." {
			return
		}
		if next, end := dns.NextLabel(at, 0); end {
			at = "."
		} else {
			at = at[next:]
		}
	}
}
