package resolver

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clusterdns/clusterdns/testdata/programs"
	"github.com/miekg/dns"
)

// directory is a server that knows the addresses of one name, which may change, with a TTL of a minute.
func directory(t *testing.T, records *atomic.Pointer[[]string]) *dnsServer {
	return serve(t, func(q, reply *dns.Msg, tcp bool) *dns.Msg {
		list := records.Load()
		if list == nil {
			reply.Rcode = dns.RcodeNameError
			return reply
		}
		for _, text := range *list {
			rr, err := dns.NewRR(q.Question[0].Name + " 60 IN " + text)
			if err != nil {
				panic(err)
			}
			if rr.Header().Rrtype == q.Question[0].Qtype {
				reply.Answer = append(reply.Answer, rr)
			}
		}
		return reply
	})
}

// members are the addresses of f's upstreams.
func members(f *forwarder) string {
	var all []string
	for _, u := range f.upstreams() {
		all = append(all, u.address.String())
	}
	return strings.Join(all, " ")
}

// TestUpstreamsByName: the addresses of a name are asked for when its TTL ends. Those that stay keep their health, and a
// name that is lost keeps its last addresses.
func TestUpstreamsByName(t *testing.T) {
	var records atomic.Pointer[[]string]
	names := directory(t, &records)
	synctest.Test(t, func(t *testing.T) {
		f := forwarding(t, Forward{Resolvers: []netip.AddrPort{names.addr}, To: []Upstream{
			{Host: "up.example.", Port: 5300}, {Address: netip.MustParseAddrPort("192.0.2.53:53")}}})
		after := func(d time.Duration, want string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			expect(t, members(f), want)
		}
		after(0, "192.0.2.53:53")
		records.Store(&[]string{"A 192.0.2.2", "A 192.0.2.1", "AAAA 2001:db8::1"})
		after(time.Minute, "192.0.2.1:5300 192.0.2.2:5300 [2001:db8::1]:5300 192.0.2.53:53")
		stays := f.upstreams()[1]
		stays.fails.Store(7)
		records.Store(&[]string{"A 192.0.2.3", "A 192.0.2.2"})
		after(time.Minute, "192.0.2.2:5300 192.0.2.3:5300 192.0.2.53:53")
		if f.upstreams()[0] != stays || stays.fails.Load() != 7 {
			t.Error("an upstream that stays has lost its health")
		}
		records.Store(nil)
		failed := f.count().Unfound
		after(5*time.Minute, "192.0.2.2:5300 192.0.2.3:5300 192.0.2.53:53")
		if n := f.count().Unfound - failed; n < 5 || n > 20 {
			t.Errorf("%d lookups failed in 5 minutes", n)
		}
	})
}

// TestUpstreamsAreBounded: a name may have any number of addresses, of which 15 are asked.
func TestUpstreamsAreBounded(t *testing.T) {
	var list []string
	for i := range 40 {
		list = append(list, "A 192.0.2."+string(rune('0'+i/10))+string(rune('0'+i%10)))
	}
	list = list[10:] // without leading zeros
	var records atomic.Pointer[[]string]
	records.Store(&list)
	f := forwarding(t, Forward{Resolvers: []netip.AddrPort{directory(t, &records).addr},
		To: []Upstream{{Host: "up.example.", Port: 53}}})
	until(t, func() bool { return len(f.upstreams()) == MostUpstreams })
}

// TestQuestionsAwaitTheFirstUpstream: what is asked before the addresses are known waits for them, unless it is the
// question for these addresses.
func TestQuestionsAwaitTheFirstUpstream(t *testing.T) {
	up := serve(t, answering("192.0.2.1"))
	let := make(chan struct{})
	var asked atomic.Int32
	names := serve(t, func(q, reply *dns.Msg, tcp bool) *dns.Msg {
		asked.Add(1)
		<-let
		if q.Question[0].Qtype == dns.TypeA {
			return answering("127.0.0.1")(q, reply, tcp)
		}
		return reply
	})
	f := forwarding(t, Forward{Resolvers: []netip.AddrPort{names.addr}, ReadTimeout: 10 * time.Second,
		To: []Upstream{{Host: "up.example.", Port: up.addr.Port()}}})
	until(t, func() bool { return asked.Load() > 0 })
	expect(t, f.ask(t, "up.example. A"), "SERVFAIL 22 (No Reachable Authority): ("+edeNoAddress+")")
	said := make(chan string)
	go func() { said <- f.ask(t, "www.example.org. A") }()
	select {
	case text := <-said:
		t.Errorf("%s before there is an upstream", text)
	case <-time.After(50 * time.Millisecond):
	}
	close(let)
	expect(t, <-said, "NOERROR 192.0.2.1")
}

// TestNamesThatAreLost: without any address a question fails at once and is not remembered, once the names have been
// asked for.
func TestNamesThatAreLost(t *testing.T) {
	var records atomic.Pointer[[]string]
	names := directory(t, &records)
	f := forwarding(t, Forward{Resolvers: []netip.AddrPort{names.addr}, To: []Upstream{{Host: "up.example.", Port: 53}}})
	expect(t, f.ask(t, "www.example.org. A"), "SERVFAIL 22 (No Reachable Authority): ("+edeNoAddress+")")
	until(t, func() bool { return f.count().Unfound > 0 })
}

// TestFollowsNameservers: the nameservers of a file are those that it has now. A file that names none, or is away,
// leaves the last ones.
func TestFollowsNameservers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("nameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver 2001:db8::1%eth0\n")
	synctest.Test(t, func(t *testing.T) {
		f := forwarding(t, Forward{To: []Upstream{{File: file, Port: 53}}})
		now := func(want string) {
			t.Helper()
			time.Sleep(filePause + time.Millisecond)
			synctest.Wait()
			expect(t, members(f), want)
		}
		expect(t, members(f), "192.0.2.1:53 [fe80::1%eth0]:53 [2001:db8::1]:53")
		first := f.upstreams()[0]
		write("nameserver 192.0.2.2\nnameserver 192.0.2.1\n")
		now("192.0.2.2:53 192.0.2.1:53")
		if f.upstreams()[1] != first {
			t.Error("a nameserver that stays is a new upstream")
		}
		write("# nothing yet\n")
		now("192.0.2.2:53 192.0.2.1:53")
		os.Remove(file)
		now("192.0.2.2:53 192.0.2.1:53")
		write("nameserver 192.0.2.3\n")
		now("192.0.2.3:53")
	})
}

// TestLoopFollowsUpstreams: an upstream that is found later is probed too.
func TestLoopFollowsUpstreams(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	os.WriteFile(file, []byte("nameserver 192.0.2.1\n"), 0o600)
	synctest.Test(t, func(t *testing.T) {
		f := forwarding(t, Forward{To: []Upstream{{File: file, Port: 53}}})
		l := must(newLoop(".", []*forwarder{f}, slog.New(slog.DiscardHandler)))
		os.WriteFile(file, []byte("nameserver 192.0.2.2\n"), 0o600)
		time.Sleep(filePause + time.Millisecond)
		synctest.Wait()
		if !l.gather() || len(*l.probes.Load()) != 1 || (*l.probes.Load())[0].upstream != f.upstreams()[0] {
			t.Error("the probes are of the old upstream")
		}
		if l.gather() {
			t.Error("the same upstream is new twice")
		}
	})
}

// TestSourceAddress: queries over UDP and TCP come from it, and one that this machine does not have fails.
func TestSourceAddress(t *testing.T) {
	var from atomic.Pointer[string]
	l, pc := programs.ListenBoth(t)
	up := &dnsServer{addr: netip.MustParseAddrPort(pc.LocalAddr().String())}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		host := netip.MustParseAddrPort(w.RemoteAddr().String()).Addr().String()
		from.Store(&host)
		reply := new(dns.Msg)
		reply.SetReply(q)
		w.WriteMsg(answering("192.0.2.1")(q, reply, false))
	})
	for _, server := range []*dns.Server{{PacketConn: pc, Handler: handler}, {Listener: l, Handler: handler}} {
		go server.ActivateAndServe()
		t.Cleanup(func() { server.ShutdownContext(context.Background()) })
	}
	f := forwarding(t, Forward{Source: netip.MustParseAddr("127.0.0.5")}, up)
	for _, text := range []string{"www.example.org. A", "www.example.org. A tcp"} {
		expect(t, f.ask(t, text), "NOERROR 192.0.2.1")
		expect(t, *from.Load(), "127.0.0.5")
	}
	for _, foreign := range []string{"192.0.2.1", "2001:db8::1"} {
		f := forwarding(t, Forward{Source: netip.MustParseAddr(foreign)}, up)
		if got := f.ask(t, "www.example.org. A"); !strings.HasPrefix(got, "SERVFAIL 23 (Network Error)") {
			t.Errorf("from %s: %s", foreign, got)
		}
	}
}

// TestMaxAge: a connection is replaced when it is too old, although it is in use.
func TestMaxAge(t *testing.T) {
	idle := idleConns{max: 2, expire: time.Second, maxAge: 2 * time.Second}
	begin := time.Unix(1000, 0)
	conn := idleConn{Conn: new(closed), made: begin}
	for _, at := range []time.Duration{0, 900 * time.Millisecond, 1800 * time.Millisecond} {
		conn.since = begin.Add(at)
		idle.put(conn)
		if conn = idle.take(begin.Add(at)); conn.Conn == nil {
			t.Fatalf("replaced after %v", at)
		}
	}
	conn.since = begin.Add(1900 * time.Millisecond)
	idle.put(conn)
	if idle.take(begin.Add(2*time.Second)).Conn != nil {
		t.Error("used for more than its age")
	}
	idle.close(begin.Add(2 * time.Second))
	if !conn.Conn.(*closed).done {
		t.Error("not closed")
	}
}

// closed is a connection that is only closed.
type closed struct {
	idleConn
	done bool
}

func (c *closed) Close() error { c.done = true; return nil }

// TestMaxConnectAttempts: a query is attempted as often as it says, and 0 is for as long as a query may take.
func TestMaxConnectAttempts(t *testing.T) {
	for _, tt := range []struct {
		most, upstreams int
		want            int64
	}{{0, 1, 2}, {0, 2, 4}, {1, 2, 1}, {3, 2, 3}} {
		var asked atomic.Int64
		broken := func(q, reply *dns.Msg, tcp bool) *dns.Msg {
			asked.Add(1)
			return nil
		}
		var all []*dnsServer
		for range tt.upstreams {
			all = append(all, serve(t, broken))
		}
		f := forwarding(t, Forward{MaxAttempts: tt.most, ReadTimeout: 20 * time.Millisecond}, all...)
		f.edns(t)
		f.ask(t, "www.example.org. A")
		until(t, func() bool { return asked.Load() >= tt.want })
		if got := asked.Load(); got != tt.want {
			t.Errorf("max_connect_attempts %d, %d upstreams: asked %d times, want %d", tt.most, tt.upstreams, got, tt.want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		nobody := Upstream{Address: netip.MustParseAddrPort("127.0.0.1:1")}
		f := forwarding(t, Forward{ForceTCP: true, MaxAttempts: NoAttemptLimit, To: []Upstream{nobody}})
		begin := time.Now()
		got := f.ask(t, "www.example.org. A")
		if took := time.Since(begin); !strings.HasPrefix(got, "SERVFAIL") || took < 4*time.Second || took > 6*time.Second {
			t.Errorf("%s after %v", got, took)
		}
	})
}

// edns has f know that its upstreams take EDNS, so that silence does not make it ask again without.
func (f *forwarder) edns(t *testing.T) {
	t.Helper()
	for _, u := range f.upstreams() {
		u.edns.confirm(time.Now())
	}
}

// TestNextOnNoData: NOERROR without an answer goes to the next forward; without the option it does not.
func TestNextOnNoData(t *testing.T) {
	empty := serve(t, func(q, reply *dns.Msg, tcp bool) *dns.Msg { return reply })
	full := serve(t, answering("192.0.2.1"))
	for _, tt := range []struct {
		options Forward
		want    string
	}{
		{Forward{NextOnNoData: true}, "NOERROR 192.0.2.1"},
		{Forward{}, "NOERROR"},
		{Forward{Next: []uint16{dns.RcodeNameError}}, "NOERROR"},
	} {
		tt.options.From, tt.options.To = ".", []Upstream{{Address: empty.addr}}
		r := running(t, nil, Block{Zones: []string{"."}, Forwards: []Forward{tt.options,
			{From: ".", To: []Upstream{{Address: full.addr}}}}})
		got, _ := respond(t, r, "www.example.org. A")
		expect(t, got, tt.want)
	}
}

// TestTLSNames: each upstream has to show a certificate of its own name, whatever the others are called.
func TestTLSNames(t *testing.T) {
	var roots []byte
	var ups [2]*dnsServer
	for i, name := range []string{"one.example", "two.example"} {
		certificate, ca := selfSigned(t, t.TempDir(), name)
		roots = append(roots, ca...)
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
		if err != nil {
			t.Fatal(err)
		}
		ups[i] = &dnsServer{addr: netip.MustParseAddrPort(l.Addr().String())}
		ups[i].start(t, answering("192.0.2.1"), &dns.Server{Listener: l})
	}
	file := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(file, roots, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, names := range [][2]string{{"one.example", "two.example"}, {"two.example", "one.example"}} {
		f := forwarding(t, Forward{Policy: Sequential, CAFile: file, ReadTimeout: 2 * time.Second, To: []Upstream{
			{Transport: OverTLS, Address: ups[0].addr, ServerName: names[0]},
			{Transport: OverTLS, Address: ups[1].addr, ServerName: names[1]}}})
		for _, u := range f.upstreams() {
			_, err := u.ask(t.Context(), query{name: "\x03www\x00", typ: 1, rd: true}, false, unbounded)
			if right := names[0] == "one.example"; right != (err == nil) {
				t.Errorf("%s: %v", u.serverName, err)
			}
		}
	}
}
