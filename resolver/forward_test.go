package resolver

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/clusterdns/clusterdns/testdata/programs"
	"github.com/clusterdns/clusterdns/zones/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dnsServer is an upstream on a loopback address.
type dnsServer struct {
	addr     netip.AddrPort
	udp, tcp atomic.Int64 // queries by transport
	mu       sync.Mutex
	asked    []*dns.Msg
	from     map[string]bool // client addresses over UDP
}

// serve answers UDP and TCP on one port with the reply that handle makes of a query and an empty reply to it; nil is
// silence.
func serve(t testing.TB, handle func(q, reply *dns.Msg, tcp bool) *dns.Msg) *dnsServer {
	t.Helper()
	s := &dnsServer{from: map[string]bool{}}
	l, pc := programs.ListenBoth(t)
	s.addr = netip.MustParseAddrPort(pc.LocalAddr().String())
	s.start(t, handle, &dns.Server{PacketConn: pc}, &dns.Server{Listener: l})
	return s
}

func (s *dnsServer) start(t testing.TB, handle func(q, reply *dns.Msg, tcp bool) *dns.Msg, servers ...*dns.Server) {
	for _, server := range servers {
		tcp := server.Listener != nil
		server.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			s.mu.Lock()
			s.asked = append(s.asked, q.Copy())
			if !tcp {
				s.from[w.RemoteAddr().String()] = true
			}
			s.mu.Unlock()
			if tcp {
				s.tcp.Add(1)
			} else {
				s.udp.Add(1)
			}
			reply := new(dns.Msg)
			reply.SetReply(q)
			reply.Compress = true
			if reply = handle(q, reply, tcp); reply != nil {
				w.WriteMsg(reply)
			}
		})
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		done := make(chan struct{})
		go func() {
			defer close(done)
			server.ActivateAndServe()
		}()
		<-started
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			server.ShutdownContext(ctx)
			<-done
		})
	}
}

// last is the most recent query.
func (s *dnsServer) last() *dns.Msg {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[len(s.asked)-1]
}

// ports is how many client ports have been seen.
func (s *dnsServer) ports() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.from)
}

// answering adds an A record with the given address.
func answering(ip string) func(q, reply *dns.Msg, tcp bool) *dns.Msg {
	return func(q, reply *dns.Msg, tcp bool) *dns.Msg {
		rr, err := dns.NewRR(q.Question[0].Name + " 60 IN A " + ip)
		if err != nil {
			panic(err)
		}
		reply.Answer = append(reply.Answer, rr)
		if o := q.IsEdns0(); o != nil {
			reply.SetEdns0(4096, o.Do())
		}
		return reply
	}
}

// questions are the names that s was asked for, in order.
func (s *dnsServer) questions() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.asked {
		names = append(names, q.Question[0].Name)
	}
	return names
}

func mute(q, reply *dns.Msg, tcp bool) *dns.Msg { return nil }

// forwarding is a running forwarder to upstreams.
func forwarding(t testing.TB, options Forward, to ...*dnsServer) *forwarder {
	t.Helper()
	if options.From == "" {
		options.From = "."
	}
	if options.ReadTimeout == 0 {
		options.ReadTimeout = 2 * time.Second
	}
	for _, s := range to {
		options.To = append(options.To, Upstream{Address: s.addr})
	}
	secrets, err := readSecrets(&options)
	if err != nil {
		t.Fatal(err)
	}
	f, err := newForwarder(options, secrets, new(asked), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range f.upstreams() {
		u.streams.Stall = time.Hour // a busy machine would have other connections
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	until(t, f.engine.Running)
	return f
}

// ask is f's answer to "name type": rcode, addresses, error text.
func (f *forwarder) ask(t testing.TB, text string) string {
	t.Helper()
	r := asking(t, text, time.Now())
	f.answer(t.Context(), r)
	return said(finished(t, r))
}

// answer is what a server block that has nothing but f says to r.
func (f *forwarder) answer(ctx context.Context, r *Request) result {
	all := []*forwarder{f}
	b := &block{options: &Block{}, forwarders: all}
	q := r.whole()
	q.scope = &scope{block: b, forwards: all, forwardsZone: all}
	woken := make(signal)
	w := &Wait{waker: woken}
	res := b.ask(r, q, w)
	if res.outcome == pending {
		woken.await(ctx, w)
		res = b.resume(r, q, w)
	}
	r.finish(q, &res)
	return res
}

func said(m *dns.Msg) string {
	words := []string{dns.RcodeToString[m.Rcode]}
	for _, rr := range m.Answer {
		if a, ok := rr.(*dns.A); ok {
			words = append(words, a.A.String())
		}
	}
	if m.Truncated {
		words = append(words, "cut")
	}
	if text := ede(m); text != "" {
		words = append(words, text)
	}
	return strings.Join(words, " ")
}

func expect(t testing.TB, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestForwardOverUDP(t *testing.T) {
	up := serve(t, answering("192.0.2.1"))
	f := forwarding(t, Forward{}, up)
	for range 8 {
		expect(t, f.ask(t, "WWW.example.org. A do cd"), "NOERROR 192.0.2.1")
	}
	q := up.last()
	if o := q.IsEdns0(); o == nil || o.UDPSize() != 1232 || !o.Do() || !q.CheckingDisabled || !q.RecursionDesired ||
		!q.AuthenticatedData {
		t.Errorf("asked\n%v", q)
	}
	expect(t, q.Question[0].Name, "www.example.org.")
	if n := up.ports(); n < 3 { // of 16 that chance picks from
		t.Errorf("8 queries came from %d ports", n)
	}
	if up.tcp.Load() != 0 {
		t.Errorf("%d queries over TCP", up.tcp.Load())
	}
	f.ask(t, "www.example.org. A norec")
	if q := up.last(); q.RecursionDesired || q.IsEdns0().Do() || q.CheckingDisabled {
		t.Errorf("asked\n%v", q)
	}
}

func TestTransportOfForward(t *testing.T) {
	for name, tt := range map[string]struct {
		options  Forward
		question string
		udp, tcp int64
	}{
		"UDP":                   {Forward{}, "a.example. A", 1, 0},
		"TCP":                   {Forward{}, "a.example. A tcp", 0, 1},
		"prefer_udp":            {Forward{PreferUDP: true}, "a.example. A tcp", 1, 0},
		"force_tcp":             {Forward{ForceTCP: true}, "a.example. A", 0, 1},
		"force_tcp comes first": {Forward{ForceTCP: true, PreferUDP: true}, "a.example. A", 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			up := serve(t, answering("192.0.2.1"))
			expect(t, forwarding(t, tt.options, up).ask(t, tt.question), "NOERROR 192.0.2.1")
			if up.udp.Load() != tt.udp || up.tcp.Load() != tt.tcp {
				t.Errorf("%d over UDP, %d over TCP", up.udp.Load(), up.tcp.Load())
			}
		})
	}
}

// TestOversizedReplyIsNotBelieved: a UDP reply larger than was offered is asked for again over TCP, with and without
// EDNS, and nothing of it is kept if TCP fails.
func TestOversizedReplyIsNotBelieved(t *testing.T) {
	for name, tt := range map[string]struct {
		size         int // octets over UDP
		edns, stream bool
		answer       string
		tcp          int64
	}{
		"as large as offered":         {1232, true, true, "NOERROR 192.0.2.1", 0},
		"one octet more":              {1233, true, true, "NOERROR 192.0.2.2", 1},
		"more than any buffer":        {9000, true, true, "NOERROR 192.0.2.2", 1},
		"without EDNS":                {512, false, true, "NOERROR 192.0.2.1", 0},
		"one octet more without EDNS": {513, false, true, "NOERROR 192.0.2.2", 1},
		"and no TCP": {1233, true, false, "SERVFAIL 24 (Invalid Data): (upstream UPSTREAM sent no usable reply " +
			"(1 upstreams, 2 attempts))", 2},
	} {
		t.Run(name, func(t *testing.T) {
			up := serve(t, func(q, reply *dns.Msg, tcp bool) *dns.Msg {
				switch {
				case tcp && !tt.stream:
					return nil
				case tcp:
					return answering("192.0.2.2")(q, reply, tcp)
				case !tt.edns && q.IsEdns0() != nil:
					reply.Rcode = dns.RcodeFormatError
					return reply
				}
				answering("192.0.2.1")(q, reply, tcp)
				return padded(reply, tt.size)
			})
			f := forwarding(t, Forward{}, up)
			expect(t, strings.ReplaceAll(f.ask(t, "www.example.org. A"), up.addr.String(), "UPSTREAM"), tt.answer)
			if up.tcp.Load() != tt.tcp {
				t.Errorf("%d queries over TCP", up.tcp.Load())
			}
		})
	}
}

// padded is m with TXT records in its additional section, so that it has size octets.
func padded(m *dns.Msg, size int) *dns.Msg {
	const overhead = 12 // root name, type, class, TTL, length, and the length of the last string
	for m.Len() < size {
		var text []string
		for left := size - m.Len() - overhead + 1; left > 0; left -= 256 {
			text = append(text, strings.Repeat("x", min(left-1, 255)))
		}
		m.Extra = append([]dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeTXT, Class: dns.ClassINET},
			Txt: text}}, m.Extra...)
	}
	return m
}

// TestReadReplyMakesRoomForWhatHasCome: a length alone costs at most firstRead octets, and a reply that comes slowly
// twice what has come.
func TestReadReplyMakesRoomForWhatHasCome(t *testing.T) {
	reply := []byte(strings.Repeat("0123456789abcdef", 65535/16) + "0123456789abcde")
	from := &slowReader{data: reply}
	got, err := readReply(from, len(reply), unbounded.grow)
	if err != nil || !bytes.Equal(got, reply) {
		t.Fatalf("%d octets, %v", len(got), err)
	}
	if from.beyond > 0 {
		t.Errorf("%d reads had room for more than had come before, and %d octets", from.beyond, firstRead)
	}
	if _, err := readReply(&slowReader{data: reply[:500]}, len(reply), unbounded.grow); err == nil {
		t.Error("a reply that was cut off is whole")
	}
}

// slowReader gives 100 octets for each read.
type slowReader struct {
	data   []byte
	given  int
	beyond int // reads with more room than firstRead and what was given before
}

func (r *slowReader) Read(p []byte) (int, error) {
	if r.given == len(r.data) {
		return 0, io.EOF
	}
	if len(p) > max(firstRead, r.given) {
		r.beyond++
	}
	n := copy(p[:min(len(p), 100)], r.data[r.given:])
	r.given += n
	return n, nil
}

func TestServerWithoutEDNS(t *testing.T) {
	for _, rcode := range []int{dns.RcodeFormatError, dns.RcodeNotImplemented} {
		for _, bare := range []bool{false, true} {
			up := serve(t, func(q, reply *dns.Msg, tcp bool) *dns.Msg {
				if q.IsEdns0() == nil {
					return answering("192.0.2.1")(q, reply, tcp)
				}
				if reply.Rcode = rcode; bare {
					reply.Question = nil
				}
				return reply
			})
			expect(t, forwarding(t, Forward{}, up).ask(t, "www.example.org. A"), "NOERROR 192.0.2.1")
		}
	}
}

// TestUpstreamWithoutEDNS: an upstream that takes no queries with EDNS is asked without, at once after it has said so, and
// after two doubts where it may have been the network. One query tries again when the pause is over.
func TestUpstreamWithoutEDNS(t *testing.T) {
	for name, tt := range map[string]struct {
		handle func(q, reply *dns.Msg) *dns.Msg // of queries with EDNS
		doubts int                              // queries until it is known
	}{
		"drops":   {func(q, reply *dns.Msg) *dns.Msg { return nil }, 2},
		"FORMERR": {func(q, reply *dns.Msg) *dns.Msg { reply.Rcode = dns.RcodeFormatError; return reply }, 1},
		"NOTIMP":  {func(q, reply *dns.Msg) *dns.Msg { reply.Rcode = dns.RcodeNotImplemented; return reply }, 1},
		"BADVERS": {func(q, reply *dns.Msg) *dns.Msg {
			reply.SetEdns0(1232, false)
			reply.Rcode = dns.RcodeBadVers
			return reply
		}, 1},
		"SERVFAIL": {func(q, reply *dns.Msg) *dns.Msg { reply.Rcode = dns.RcodeServerFailure; return reply }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var takes atomic.Bool // the upstream has been mended
			up := serve(t, func(q, reply *dns.Msg, tcp bool) *dns.Msg {
				if q.IsEdns0() != nil && !takes.Load() {
					return tt.handle(q, reply)
				}
				return answering("192.0.2.1")(q, reply, tcp)
			})
			f := forwarding(t, Forward{ReadTimeout: 500 * time.Millisecond}, up)
			ask := func(want ...bool) { // whether the queries to upstream have EDNS
				t.Helper()
				before := len(up.offers())
				expect(t, f.ask(t, "www.example.org. A"), "NOERROR 192.0.2.1")
				got := up.offers()[before:]
				if name == "drops" && len(got) > len(want) && len(want) > 1 {
					// An attempt that a busy machine holds up for the rest of its time is made again: it begins and ends as the first.
					got = []bool{got[0], got[len(got)-1]}
				}
				if !slices.Equal(got, want) {
					t.Errorf("queries with EDNS: %v, want %v", got, want)
				}
			}
			for range tt.doubts {
				ask(true, false)
			}
			ask(false)
			ask(false)
			u := f.upstreams()[0]
			if !u.edns.paused(time.Now()) {
				t.Error("no pause")
			}
			u.edns.without.Store(1) // long past
			ask(true, false)
			ask(false)
			takes.Store(true)
			u.edns.without.Store(1)
			ask(true)
			ask(true)
			if u.edns.paused(time.Now()) {
				t.Error("a pause")
			}
		})
	}
}

// TestFailureThatIsNotAboutEDNS: an upstream that fails without EDNS too is asked with it, and one that says SERVFAIL
// with an OPT is not asked twice.
func TestFailureThatIsNotAboutEDNS(t *testing.T) {
	for opt, want := range map[bool][]bool{false: {true, false}, true: {true}} {
		up := serve(t, func(q, reply *dns.Msg, tcp bool) *dns.Msg {
			if reply.Rcode = dns.RcodeServerFailure; opt && q.IsEdns0() != nil {
				reply.SetEdns0(1232, false)
			}
			return reply
		})
		f := forwarding(t, Forward{}, up)
		for range 3 {
			before := len(up.offers())
			expect(t, f.ask(t, "www.example.org. A"), "SERVFAIL")
			if got := up.offers()[before:]; !slices.Equal(got, want) {
				t.Errorf("OPT in the reply %v: queries with EDNS: %v, want %v", opt, got, want)
			}
		}
	}
}

// offers says of each query whether it had EDNS.
func (s *dnsServer) offers() (list []bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.asked {
		list = append(list, q.IsEdns0() != nil)
	}
	return list
}

// TestOneQueryTriesEDNS: of many at the end of a pause, one has an OPT.
func TestOneQueryTriesEDNS(t *testing.T) {
	var e ednsSupport
	now := time.Now()
	e.deny(now)
	if e.wanted(now.Add(ednsPause - 1)) {
		t.Error("the pause is too short")
	}
	var tries atomic.Int32
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if e.wanted(now.Add(ednsPause)) {
				tries.Add(1)
			}
		})
	}
	all.Wait()
	if tries.Load() != 1 {
		t.Errorf("%d queries try", tries.Load())
	}
}

// forger is an upstream that sends what it likes over UDP, and answers over TCP.
func forger(t testing.TB, handle func(q *dns.Msg, send func(*dns.Msg, ...byte))) *dnsServer {
	t.Helper()
	l, pc := programs.ListenBoth(t)
	s := &dnsServer{addr: netip.MustParseAddrPort(pc.LocalAddr().String()), from: map[string]bool{}}
	s.start(t, answering("192.0.2.2"), &dns.Server{Listener: l})
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 512)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			q := new(dns.Msg)
			if q.Unpack(buf[:n]) != nil {
				continue
			}
			handle(q, func(m *dns.Msg, raw ...byte) {
				if m != nil {
					raw, _ = m.Pack()
				}
				pc.WriteTo(raw, from)
			})
		}
	}()
	t.Cleanup(func() { pc.Close(); <-done })
	return s
}

// forged is a reply to q with a forged address, changed.
func forged(q *dns.Msg, change func(*dns.Msg)) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(q)
	reply = answering("6.6.6.6")(q, reply, false)
	change(reply)
	return reply
}

func TestForgedRepliesAreIgnored(t *testing.T) {
	up := forger(t, func(q *dns.Msg, send func(*dns.Msg, ...byte)) {
		send(nil, 1, 2, 3)
		send(forged(q, func(m *dns.Msg) { m.Id++ }))
		send(forged(q, func(m *dns.Msg) { m.Question[0].Name = "www.example.com." }))
		send(forged(q, func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA }))
		send(forged(q, func(m *dns.Msg) { m.Response = false }))
		send(forged(q, func(m *dns.Msg) { m.Answer[0].(*dns.A).A = net.IPv4(192, 0, 2, 1) }))
	})
	f := forwarding(t, Forward{}, up)
	expect(t, f.ask(t, "www.example.org. A"), "NOERROR 192.0.2.1")
	if got := f.count().Upstreams[0].Mismatches; got != 5 {
		t.Errorf("%d mismatches", got)
	}
}

func TestFloodOfForgedRepliesLeadsToTCP(t *testing.T) {
	up := forger(t, func(q *dns.Msg, send func(*dns.Msg, ...byte)) {
		for range maxMismatches + 10 {
			send(forged(q, func(m *dns.Msg) { m.Id++ }))
		}
	})
	expect(t, forwarding(t, Forward{}, up).ask(t, "www.example.org. A"), "NOERROR 192.0.2.2")
}

func TestGarbageOverUDPLeadsToTCP(t *testing.T) {
	up := forger(t, func(q *dns.Msg, send func(*dns.Msg, ...byte)) {
		packet, _ := forged(q, func(*dns.Msg) {}).Pack()
		send(nil, packet[:len(packet)-3]...)
	})
	expect(t, forwarding(t, Forward{}, up).ask(t, "www.example.org. A"), "NOERROR 192.0.2.2")
}

func TestNextUpstreamWhenOneFails(t *testing.T) {
	for name, bad := range map[string]func(q, reply *dns.Msg, tcp bool) *dns.Msg{
		"silence": mute,
		"garbage": func(q, reply *dns.Msg, tcp bool) *dns.Msg {
			reply.Answer = append(reply.Answer,
				&dns.RFC3597{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeA, Class: 1}, Rdata: "01"})
			return reply
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := forwarding(t, Forward{Policy: Sequential, ReadTimeout: time.Second}, serve(t, bad), serve(t, answering("192.0.2.2")))
			expect(t, f.ask(t, "www.example.org. A"), "NOERROR 192.0.2.2")
		})
	}
}

func TestNoUpstreamAnswers(t *testing.T) {
	silent := serve(t, mute)
	f := forwarding(t, Forward{ReadTimeout: 50 * time.Millisecond}, silent)
	expect(t, f.ask(t, "www.example.org. A"),
		fmt.Sprintf("SERVFAIL 22 (No Reachable Authority): "+
			"(upstream %s does not answer in time (1 upstreams, 2 attempts))", silent.addr))
	closed := netip.MustParseAddrPort("127.0.0.1:1") // a free port could be somebody's by now
	f = forwarding(t, Forward{}, &dnsServer{addr: closed})
	expect(t, f.ask(t, "www.example.org. A"),
		fmt.Sprintf("SERVFAIL 23 (Network Error): "+
			"(upstream %s refuses to be asked: nothing listens there (1 upstreams, 2 attempts))", closed))
}

func TestPolicies(t *testing.T) {
	first := func(f *forwarder) string {
		order := f.order(f.upstreams(), nil)
		if len(order) != 3 {
			t.Fatalf("%d upstreams", len(order))
		}
		return order[0].address.String()[len("127.0.0."):]
	}
	to := []*dnsServer{
		{addr: netip.MustParseAddrPort("127.0.0.1:1")},
		{addr: netip.MustParseAddrPort("127.0.0.2:1")},
		{addr: netip.MustParseAddrPort("127.0.0.3:1")},
	}
	for policy, want := range map[Policy]string{Sequential: "1:1 1:1 1:1 1:1", RoundRobin: "1:1 2:1 3:1 1:1"} {
		f := forwarding(t, Forward{Policy: policy}, to...)
		var got []string
		for range 4 {
			got = append(got, first(f))
		}
		expect(t, strings.Join(got, " "), want)
	}
	counts := map[string]int{}
	f := forwarding(t, Forward{}, to...)
	for range 300 {
		counts[first(f)]++
	}
	for address, n := range counts {
		if n < 50 || len(counts) != 3 {
			t.Errorf("random: %s is first %d times of 300", address, n)
		}
	}
}

func TestFailover(t *testing.T) {
	refusing := func(q, reply *dns.Msg, tcp bool) *dns.Msg { reply.Rcode = dns.RcodeRefused; return reply }
	options := Forward{Policy: Sequential, Failover: []uint16{dns.RcodeRefused}}
	expect(t, forwarding(t, options, serve(t, refusing), serve(t, answering("192.0.2.2"))).ask(t, "www.example.org. A"),
		"NOERROR 192.0.2.2")
	expect(t, forwarding(t, options, serve(t, refusing), serve(t, refusing)).ask(t, "www.example.org. A"), "REFUSED")
	options.ReadTimeout = 500 * time.Millisecond
	expect(t, forwarding(t, options, serve(t, refusing), serve(t, mute)).ask(t, "www.example.org. A"), "REFUSED")
	f := forwarding(t, Forward{Policy: Sequential}, serve(t, refusing), serve(t, answering("192.0.2.2")))
	expect(t, f.ask(t, "www.example.org. A"), "REFUSED")
}

func TestWhatIsForwarded(t *testing.T) {
	f := forwarding(t, Forward{From: "example.org.", Except: []string{"inner.example.org.", "example.org."}},
		&dnsServer{addr: netip.MustParseAddrPort("127.0.0.1:1")})
	for name, want := range map[string]bool{"example.org.": true, "www.example.org.": false, "example.com.": false} {
		r := asking(t, name+" A", time.Time{})
		if f.takes(&r.Query.QName) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
	f = forwarding(t, Forward{Except: []string{"inner.example.org."}},
		&dnsServer{addr: netip.MustParseAddrPort("127.0.0.1:1")})
	for name, want := range map[string]bool{
		"example.org.": true, "a.inner.example.org.": false, "inner.example.org.": false, ".": true,
	} {
		r := asking(t, name+" A", time.Time{})
		if f.takes(&r.Query.QName) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

func TestEqualQuestionsAreAskedOnce(t *testing.T) {
	held := make(chan struct{})
	up := serve(t, func(q, reply *dns.Msg, tcp bool) *dns.Msg {
		<-held
		return answering("192.0.2.1")(q, reply, tcp)
	})
	f := forwarding(t, Forward{ReadTimeout: 5 * time.Second}, up)
	var wg sync.WaitGroup
	for i := range 40 {
		question := "www.example.org. A"
		if i%2 == 0 {
			question = "WWW.EXAMPLE.ORG. A"
		}
		wg.Go(func() { expect(t, f.ask(t, question), "NOERROR 192.0.2.1") })
	}
	until(t, func() bool { return f.count().Coalesced == 39 && up.udp.Load() == 1 })
	close(held)
	wg.Wait()
	if up.udp.Load() != 1 || f.count().Coalesced != 39 {
		t.Errorf("%d queries, %d coalesced", up.udp.Load(), f.count().Coalesced)
	}
	if len(f.flights) != 0 || f.places.all.used != 0 {
		t.Errorf("%d flights, %d active", len(f.flights), f.places.all.used)
	}
}

func TestMaxConcurrent(t *testing.T) {
	held := make(chan struct{})
	up := serve(t, func(q, reply *dns.Msg, tcp bool) *dns.Msg {
		<-held
		return answering("192.0.2.1")(q, reply, tcp)
	})
	f := forwarding(t, Forward{ReadTimeout: 5 * time.Second, MaxConcurrent: 2}, up)
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() { expect(t, f.ask(t, fmt.Sprintf("a%d.example. A", i)), "NOERROR 192.0.2.1") })
	}
	until(t, func() bool { return f.count().Waiting == 2 })
	expect(t, f.ask(t, "b.example. A"),
		"REFUSED 0 (Other): (too many queries are being forwarded (forward option max_concurrent))")
	close(held)
	wg.Wait()
	if got := f.count().Rejected; got != 1 {
		t.Errorf("%d rejected", got)
	}
	expect(t, f.ask(t, "c.example. A"), "NOERROR 192.0.2.1")
}

func TestHealthChecks(t *testing.T) {
	var dead atomic.Bool
	dead.Store(true)
	sick := serve(t, func(q, reply *dns.Msg, tcp bool) *dns.Msg {
		if dead.Load() {
			return nil
		}
		return answering("192.0.2.1")(q, reply, tcp)
	})
	f := forwarding(t, Forward{
		Policy: Sequential, ReadTimeout: time.Second, MaxFails: 1,
		HealthCheck: 5 * time.Millisecond, HealthDomain: "check.example.", HealthNoRec: true,
	}, sick, serve(t, answering("192.0.2.2")))
	if sick.udp.Load() != 0 {
		t.Error("checked before any failure")
	}
	expect(t, f.ask(t, "www.example.org. A"), "NOERROR 192.0.2.2")
	until(t, func() bool { return f.count().Upstreams[0].Down })
	before := f.count().Upstreams[0].Failed
	expect(t, f.ask(t, "www.example.org. A"), "NOERROR 192.0.2.2")
	if got := f.count().Upstreams[0]; got.Failed != before || got.ChecksFailed < 2 {
		t.Errorf("an upstream that is down was asked: %+v", got)
	}
	last := sick.last()
	if last.Question[0].Name != "check.example." || last.Question[0].Qtype != dns.TypeNS || last.RecursionDesired {
		t.Errorf("check\n%v", last)
	}
	dead.Store(false)
	until(t, func() bool { return !f.count().Upstreams[0].Down })
	expect(t, f.ask(t, "www.example.org. A"), "NOERROR 192.0.2.1")
	until(t, func() bool { return !f.upstreams()[0].checking.Load() })
}

func until(t testing.TB, is func() bool) {
	t.Helper()
	for range 2000 {
		if is() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("it never was")
}

func TestAllUpstreamsDown(t *testing.T) {
	up := serve(t, answering("192.0.2.1"))
	f := forwarding(t, Forward{MaxFails: 1}, up)
	f.upstreams()[0].fails.Store(5)
	expect(t, f.ask(t, "www.example.org. A"), "NOERROR 192.0.2.1")
	if f.count().Broken != 1 {
		t.Error("not counted")
	}
	f = forwarding(t, Forward{MaxFails: 1, FailFast: true}, up)
	f.upstreams()[0].fails.Store(5)
	expect(t, f.ask(t, "www.example.org. A"),
		"SERVFAIL 22 (No Reachable Authority): (all upstreams are down by their health checks)")
	f = forwarding(t, Forward{FailFast: true}, up) // max_fails 0: never down
	f.upstreams()[0].fails.Store(5)
	expect(t, f.ask(t, "www.example.org. A"), "NOERROR 192.0.2.1")
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	up := serve(t, answering("192.0.2.1"))
	f := forwarding(t, Forward{ForceTCP: true}, up)
	for range 3 {
		expect(t, f.ask(t, "www.example.org. A"), "NOERROR 192.0.2.1")
	}
	if conns := f.count().Upstreams[0].Conns; len(conns) != 1 || conns[0] != (ConnCounts{"tcp", 2, 1}) {
		t.Errorf("connections %+v", conns)
	}
	f.streams.Sweep(&f.upstreams()[0].streams, time.Now().Add(time.Minute))
	expect(t, f.ask(t, "www.example.org. A"), "NOERROR 192.0.2.1")
	if conns := f.count().Upstreams[0].Conns; conns[0] != (ConnCounts{"tcp", 2, 2}) {
		t.Errorf("an expired connection was used: %+v", conns)
	}
}

func TestConnectionThatUpstreamClosed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var accepted atomic.Int64
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			co := &dns.Conn{Conn: conn}
			if q, err := co.ReadMsg(); err == nil { // one answer for each connection
				reply := new(dns.Msg)
				reply.SetReply(q)
				co.WriteMsg(answering("192.0.2.1")(q, reply, true))
			}
			conn.Close()
		}
	}()
	f := forwarding(t, Forward{ForceTCP: true}, &dnsServer{addr: netip.MustParseAddrPort(l.Addr().String())})
	for range 3 {
		expect(t, f.ask(t, "www.example.org. A"), "NOERROR 192.0.2.1")
		time.Sleep(10 * time.Millisecond)
	}
	if got := f.count().Upstreams[0]; got.Failed != 0 || accepted.Load() != 3 {
		t.Errorf("%d failed, %d connections", got.Failed, accepted.Load())
	}
}

func TestIdleConnectionsAreBounded(t *testing.T) {
	idle := idleConns{max: 2, expire: time.Second}
	now := time.Unix(1000, 0)
	var ends []net.Conn
	for i := range 4 {
		ours, theirs := net.Pipe()
		ends = append(ends, theirs)
		idle.put(idleConn{Conn: ours, since: now.Add(time.Duration(i) * time.Millisecond)})
	}
	if len(idle.conns) != 2 {
		t.Fatalf("%d idle", len(idle.conns))
	}
	if _, err := ends[0].Write([]byte{1}); err == nil {
		t.Error("the one that was put aside is open")
	}
	if idle.take(now.Add(2*time.Second)).Conn != nil {
		t.Error("an expired connection")
	}
	conn := idle.take(now)
	if conn.Conn == nil {
		t.Fatal("none")
	}
	idle.stop()
	idle.put(conn)
	for i, end := range ends {
		if _, err := end.Write([]byte{1}); err == nil {
			t.Errorf("connection %d is open", i)
		}
		end.Close()
	}
}

func TestForwardOverTLS(t *testing.T) {
	dir := t.TempDir()
	certificate, ca := selfSigned(t, dir, "dns.example.org")
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
	})
	if err != nil {
		t.Fatal(err)
	}
	up := &dnsServer{addr: netip.MustParseAddrPort(l.Addr().String())}
	up.start(t, answering("192.0.2.1"), &dns.Server{Listener: l})
	options := Forward{
		To: []Upstream{{Transport: OverTLS, Address: up.addr}}, ServerName: "dns.example.org", CAFile: filepath.Join(dir, "cert.pem"),
		CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), ReadTimeout: 2 * time.Second,
	}
	f := forwarding(t, options)
	for range 3 {
		expect(t, f.ask(t, "www.example.org. A"), "NOERROR 192.0.2.1")
	}
	if conns := f.count().Upstreams[0].Conns; len(conns) != 1 || conns[0] != (ConnCounts{"tcp-tls", 2, 1}) {
		t.Errorf("connections %+v", conns)
	}
	options.ServerName = "dns.example.com"
	if got := forwarding(t, options).ask(t, "www.example.org. A"); !strings.HasPrefix(got, "SERVFAIL 23") {
		t.Errorf("under another name: %s", got)
	}
	options.CAFile = filepath.Join(dir, "none.pem")
	if _, err := readSecrets(&options); err == nil {
		t.Error("a CA file that is not there is taken")
	}
}

// selfSigned writes cert.pem and key.pem to dir.
func selfSigned(t testing.TB, dir, name string) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	os.WriteFile(filepath.Join(dir, "cert.pem"), cert, 0o600)
	os.WriteFile(filepath.Join(dir, "key.pem"), keyPEM, 0o600)
	pair, err := tls.X509KeyPair(cert, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return pair, cert
}

func TestForwardStops(t *testing.T) {
	up := serve(t, mute)
	f, err := newForwarder(Forward{From: ".", To: []Upstream{{Address: up.addr}}, ReadTimeout: time.Minute}, secrets{},
		new(asked), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { f.run(ctx); close(done) }()
	answer := make(chan string)
	go func() { answer <- f.ask(t, "www.example.org. A") }()
	until(t, func() bool { return up.udp.Load() == 1 })
	cancel()
	expect(t, <-answer, "SERVFAIL 0 (Other): (shutting down)")
	<-done
	expect(t, f.ask(t, "www.example.org. A"), "SERVFAIL 0 (Other): (shutting down)")
}

func TestExchangeDoesNotWaitLongerThanItsCaller(t *testing.T) {
	f := forwarding(t, Forward{ReadTimeout: time.Minute}, serve(t, mute))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	r := asking(t, "www.example.org. A", time.Now())
	m := f.answer(ctx, r).message
	if m.rcode != wire.ServerFailure || !m.transient {
		t.Errorf("%+v", m)
	}
}

func TestForwardCounts(t *testing.T) {
	f := forwarding(t, Forward{}, serve(t, func(q, reply *dns.Msg, tcp bool) *dns.Msg {
		if q.Question[0].Name == "none.example." {
			reply.Rcode = dns.RcodeNameError
		}
		return reply
	}))
	first, last := LatencyBounds[0], LatencyBounds[15]
	if len(LatencyBounds) != 16 || first != 250_000 || last != 8_192_000_000 {
		t.Errorf("bounds %v", LatencyBounds)
	}
	f.ask(t, "a.example. A")
	f.ask(t, "none.example. A")
	f.ask(t, "none.example. A")
	got := map[string]uint64{}
	for _, l := range f.count().Upstreams[0].Latencies {
		got[l.Rcode] += l.Total()
	}
	if len(got) != 2 || got["NOERROR"] != 1 || got["NXDOMAIN"] != 2 {
		t.Errorf("%v", got)
	}
}
