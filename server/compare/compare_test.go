package compare

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/testdata/programs"
	"github.com/miekg/dns"
)

// serving serves an answer for each name until the test ends: an address, NXDOMAIN, NODATA, or
// FOREIGN, the answer to another question, which is none and needs no wait.
func serving(t *testing.T, answer func(name string) string) netip.AddrPort {
	t.Helper()
	tcp, udp := programs.ListenBoth(t)
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		reply := new(dns.Msg).SetReply(m)
		reply.Authoritative = true
		switch text := answer(m.Question[0].Name); text {
		case "FOREIGN":
			reply.Question[0].Name = "foreign."
		case "NXDOMAIN":
			reply.Rcode = dns.RcodeNameError
		case "NODATA":
		default:
			rr, err := dns.NewRR(m.Question[0].Name + " 0 IN A " + text)
			if err != nil {
				panic(err)
			}
			reply.Answer = []dns.RR{rr}
		}
		w.WriteMsg(reply)
	})
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	for _, s := range []*dns.Server{{Listener: tcp, Handler: handler}, {PacketConn: udp, Handler: handler}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		running.Go(func() { s.ActivateAndServe() })
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
	return netip.MustParseAddrPort(tcp.Addr().String())
}

// inPlace is the CoreDNS of the tests, and ours the clusterdns.
func inPlace(name string) string {
	return map[string]string{"ent.t.": "NXDOMAIN", "gone.t.": "10.0.0.9", "silent.t.": "FOREIGN"}[name]
}

func ours(name string) string {
	return map[string]string{"ent.t.": "NODATA", "gone.t.": "NXDOMAIN"}[name]
}

func or(answer func(string) string) func(string) string {
	return func(name string) string {
		if text := answer(name); text != "" {
			return text
		}
		return "10.0.0.1"
	}
}

func list(names ...string) (all []dns.Question) {
	for _, name := range names {
		all = append(all, dns.Question{Name: name, Qtype: dns.TypeA, Qclass: dns.ClassINET})
	}
	return all
}

var plain = Options{Parallel: 4, Rate: 10_000, Timeout: 5 * time.Second, Examples: 5}

// TestRun: what is the same, explained, different and not answered, over UDP and over TCP.
func TestRun(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		o := plain
		o.A, o.B, o.TCP, o.Once = serving(t, or(inPlace)), serving(t, or(ours)), tcp, true
		done := 0
		o.Progress = func(n, all int) { done = max(done, n) }
		r := Run(t.Context(), o, list("a.t.", "b.t.", "ent.t.", "gone.t.", "silent.t."))
		if r.Questions != 5 || r.Same != 2 || r.Explained != 1 || r.Different != 1 || r.Unanswered != [2]int{1, 0} || done != 5 ||
			r.Exchanged || r.Latency[0].Median == 0 {
			t.Errorf("%+v", r)
		}
		var out bytes.Buffer
		r.Print(&out, o)
		_, counts, _ := strings.Cut(out.String(), "\n\n")
		want := "      5  questions\n      2  same\n      1  explained\n      1  different\n      1  without an answer of a\n\n" +
			"1 different, rcode: the rcodes are not the same\n  gone.t. A\n    a  NOERROR A 10.0.0.9\n    b  NXDOMAIN\n\n" +
			"1 explained, nodata: the name exists, or has names below it: no NXDOMAIN (RFC 8020)\n" +
			"  ent.t. A\n    a  NXDOMAIN\n    b  NOERROR without records\n"
		if counts != want {
			t.Errorf("%s", out.String())
		}
		out.Reset()
		if err := r.PrintJSON(&out, o); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{`"kind": "nodata",`, `"result": "explained",`, `"unanswered": 1,`, `"b": "NXDOMAIN"`} {
			if !strings.Contains(out.String(), part) {
				t.Errorf("no %s in %s", part, out.String())
			}
		}
	}
}

// TestExchanged: who confuses the servers is told so.
func TestExchanged(t *testing.T) {
	o := plain
	o.A, o.B, o.Once = serving(t, or(ours)), serving(t, or(inPlace)), true
	r := Run(t.Context(), o, list("ent.t."))
	var out bytes.Buffer
	r.Print(&out, o)
	if !r.Exchanged || !strings.HasSuffix(out.String(), "-b is clusterdns.\n") {
		t.Error(out.String())
	}
}

// TestLate: a difference that is gone when caches have forgotten it is explained, and what was not answered is asked again.
func TestLate(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	count := func(name string) int {
		mu.Lock()
		defer mu.Unlock()
		asked[name]++
		return asked[name]
	}
	o := plain
	o.A = serving(t, func(name string) string {
		switch n := count(name); {
		case name == "late.t." && n == 1:
			return "10.0.0.2"
		case name == "lost.t." && n == 1:
			return "FOREIGN"
		}
		return "10.0.0.1"
	})
	o.B = serving(t, or(func(name string) string {
		if name == "other.t." {
			return "10.0.0.3"
		}
		return ""
	}))
	differences := 0
	o.Again = func(n int, _ time.Duration) { differences = n }
	r := Run(t.Context(), o, list("a.t.", "late.t.", "lost.t.", "other.t."))
	if differences != 3 || r.Same != 2 || r.Explained != 1 || r.Different != 1 || r.Unanswered != [2]int{} || r.Kinds[1].Kind != "late" {
		t.Errorf("%d %+v", differences, r)
	}
	if e := r.Kinds[1].Examples; len(e) != 1 || e[0].A != "NOERROR A 10.0.0.2" {
		t.Errorf("%+v", e)
	}
}

// TestAnswersOfOneRound: an answer of the first round is not compared with one of the second.
func TestAnswersOfOneRound(t *testing.T) {
	var a, b atomic.Int32
	answerIn := func(round int32, asked *atomic.Int32) func(string) string {
		return func(string) string {
			if asked.Add(1) == round {
				return "10.0.0.1"
			}
			return "FOREIGN"
		}
	}
	o := plain
	o.A, o.B = serving(t, answerIn(1, &a)), serving(t, answerIn(2, &b))
	if r := Run(t.Context(), o, list("a.t.")); r.Same != 0 || r.Unanswered != [2]int{1, 0} {
		t.Errorf("%+v", r)
	}
}

// TestInterrupted: an interrupt ends with what there is by then.
func TestInterrupted(t *testing.T) {
	o := plain
	o.A, o.B, o.Rate = serving(t, or(ours)), serving(t, or(ours)), 50
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(n, _ int) {
		if n == 3 {
			cancel()
		}
	}
	if r := Run(ctx, o, list(slices.Repeat([]string{"a.t."}, 1000)...)); r.Questions < 3 || r.Questions > 100 {
		t.Errorf("%+v", r)
	}
}

// TestReadLog reads lines of both servers' logs, as kubectl prints them, and JSON lines.
func TestReadLog(t *testing.T) {
	text := `[INFO] plugin/reload: Running configuration SHA512 = 1234
[INFO] 10.244.0.7:49450 - 24343 "A IN web.prod.svc.cluster.local. udp 77 false 1232" NOERROR qr,aa,rd 81 0.000124764s
[pod/coredns-1/coredns] [INFO] 10.244.0.7:49450 - 1 "AAAA IN WEB.prod.svc.cluster.local. tcp 77 true 4096" NOERROR qr,aa,rd 81 0.1s
[INFO] 10.244.0.7:49450 - 24343 "A IN web.prod.svc.cluster.local. udp 77 false 1232" NOERROR qr,aa,rd 81 0.000124764s
[INFO] 10.244.0.7:1 - 2 "TXT CH version.bind. udp 30 false 512" REFUSED qr 30 0.1s
[INFO] 10.244.0.7:1 - 3 "TYPE65534 IN a.t. udp 30 false 512" NOERROR qr 30 0.1s
[INFO] 10.244.0.7:1 - 4 "AXFR IN a.t. tcp 30 false 512" REFUSED qr 30 0.1s
{"level":"info","type":"SRV","class":"IN","name":"_http._tcp.web.prod.svc.cluster.local.","rcode":"NOERROR"}
{"level":"info"}
`
	var q Questions
	if err := q.ReadLog(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, one := range q.List {
		got += questionText(one) + "\n"
	}
	want := "web.prod.svc.cluster.local. A\nWEB.prod.svc.cluster.local. AAAA\nversion.bind. TXT CH\na.t. TYPE65534\n" +
		"_http._tcp.web.prod.svc.cluster.local. SRV\n"
	if got != want || q.Read != 6 || q.Passed != 3 {
		t.Errorf("%d read, %d passed over:\n%s", q.Read, q.Passed, got)
	}
}

// TestReadNames reads names with and without types, and a zone file.
func TestReadNames(t *testing.T) {
	text := "# a comment\n\nweb.prod.svc.t\nweb.prod.svc.t aaaa\n; b.t. exists, without records\n" +
		"c.t. 5 IN SRV 0 100 80 web.prod.svc.t.\n1.0.0.10.in-addr.arpa. 5 IN PTR c.t.\na..b\n"
	var q Questions
	if err := q.ReadNames(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, one := range q.List {
		got += questionText(one) + "\n"
	}
	if want := "web.prod.svc.t. A\nweb.prod.svc.t. AAAA\nc.t. SRV\n1.0.0.10.in-addr.arpa. PTR\n"; got != want || q.Passed != 1 {
		t.Errorf("%d passed over:\n%s", q.Passed, got)
	}
}

// FuzzReadLog: whatever a log has, each question can be asked.
func FuzzReadLog(f *testing.F) {
	f.Add(`[INFO] 10.244.0.7:1 - 3 "TYPE65534 IN a\046.t. udp 30 false 512" NOERROR`)
	f.Add(`{"type":"A","name":"a b"}`)
	f.Add(`\E\`)
	f.Fuzz(func(t *testing.T, line string) {
		var q Questions
		q.ReadLog(strings.NewReader(line))
		q.ReadNames(strings.NewReader(line))
		for _, one := range q.List {
			m := dns.Msg{Question: []dns.Question{one}}
			if _, err := m.Pack(); err != nil {
				t.Errorf("%q of %q: %v", fmt.Sprint(one), line, err)
			}
		}
	})
}
