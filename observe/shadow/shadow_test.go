package shadow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clusterdns/clusterdns/testdata/programs"
	"github.com/miekg/dns"
)

// comparing is a Shadow with a second server of the test.
type comparing struct {
	*Shadow
	log    bytes.Buffer
	answer func(*dns.Msg) *dns.Msg // nil for none
	asked  int
	mu     sync.Mutex
}

// run runs a Shadow in a bubble of synctest, for as long as the test lasts.
func run(t *testing.T, test func(*comparing)) {
	synctest.Test(t, func(t *testing.T) {
		c := newComparing()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); c.Run(ctx) }()
		test(c)
		cancel()
		<-ended
	})
}

func newComparing() *comparing {
	c := &comparing{}
	c.Shadow = New(Options{Servers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")}, Share: 1, Rate: 10_000,
		Timeout: time.Second}, slog.New(slog.NewTextHandler(&c.log, nil)))
	c.exchange = func(ctx context.Context, _ netip.AddrPort, m *dns.Msg, timeout time.Duration, _ bool) (*dns.Msg, time.Duration, error) {
		c.mu.Lock()
		c.asked++
		c.mu.Unlock()
		if reply := c.answer(m); reply != nil {
			time.Sleep(time.Millisecond)
			return reply, time.Millisecond, nil
		}
		select {
		case <-time.After(timeout):
		case <-ctx.Done():
		}
		return nil, timeout, errors.New("timeout")
	}
	return c
}

// settle lets time pass, and what is due by then be done.
func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// add adds a query for a name, with an address of ours.
func (c *comparing) add(name, address string) {
	m := new(dns.Msg).SetQuestion(name, dns.TypeA)
	m.SetEdns0(1232, true)
	query, err := m.Pack()
	if err != nil {
		panic(err)
	}
	reply, err := answered(m, address).Pack()
	if err != nil {
		panic(err)
	}
	c.Add(query, reply, 2*time.Millisecond)
}

// answered is a reply with that address, or with NXDOMAIN.
func answered(m *dns.Msg, address string) *dns.Msg {
	reply := new(dns.Msg).SetReply(m)
	reply.Authoritative = true
	if address == "" {
		reply.Rcode = dns.RcodeNameError
		return reply
	}
	rr, _ := dns.NewRR(m.Question[0].Name + " 5 IN A " + address)
	reply.Answer = []dns.RR{rr}
	return reply
}

// outcomes are the counts, without those that are zero.
func (c *comparing) outcomes() string {
	found := ""
	for _, o := range []Outcome{{Result: Same}, {Explained, "late"}, {Different, "records"}, {Different, "rcode"}, {Result: Unanswered}, {Result: Dropped}} {
		if n := c.Counts().Outcomes[o]; n > 0 {
			found += strings.TrimSpace(o.Result+" "+o.Kind) + fmt.Sprintf(": %d; ", n)
		}
	}
	return found
}

// TestShadow: what differs is counted, remembered and logged; what was only late is explained.
func TestShadow(t *testing.T) {
	run(t, func(c *comparing) {
		var caughtUp atomic.Bool
		c.answer = func(m *dns.Msg) *dns.Msg {
			if opt := m.IsEdns0(); opt == nil || !opt.Do() || !m.RecursionDesired {
				t.Errorf("not the client's question: %v", m)
			}
			switch m.Question[0].Name {
			case "late.t.":
				if !caughtUp.Load() {
					return answered(m, "")
				}
			case "other.t.":
				return answered(m, "10.0.0.2")
			}
			return answered(m, "10.0.0.1")
		}
		for _, name := range []string{"same.t.", "late.t.", "other.t."} {
			c.add(name, "10.0.0.1")
		}
		settle(time.Second)
		if got := c.outcomes(); got != "same: 1; " {
			t.Errorf("too early: %s", got)
		}
		caughtUp.Store(true)
		settle(time.Minute)
		if got := c.outcomes(); got != "same: 1; explained late: 1; different records: 1; " {
			t.Error(got)
		}
		want := Difference{Name: "other.t.", Type: "A", Kind: "records", Server: "192.0.2.1:53",
			Ours: "NOERROR A 10.0.0.1", Theirs: "NOERROR A 10.0.0.2"}
		recent := c.Recent()
		if len(recent) != 1 {
			t.Fatalf("%+v", recent)
		}
		want.At = recent[0].At
		if recent[0] != want {
			t.Errorf("%+v", recent[0])
		}
		for _, part := range []string{"other.t.", "10.0.0.1", "10.0.0.2", "192.0.2.1:53"} {
			if !strings.Contains(c.log.String(), part) {
				t.Errorf("%q is not in the log:\n%s", part, c.log.String())
			}
		}
		if n := c.Counts(); n.Ours.Total() != 3 || n.Theirs.Total() != 3 || n.Ours.Sum != int64(6*time.Millisecond) {
			t.Errorf("%+v", n)
		}
	})
}

// TestAway: a server that is away is asked once a second, and what is not asked is dropped and counted.
func TestAway(t *testing.T) {
	run(t, func(c *comparing) {
		var back atomic.Bool
		c.answer = func(m *dns.Msg) *dns.Msg {
			if back.Load() {
				return answered(m, "10.0.0.1")
			}
			return nil
		}
		for range 1000 {
			c.add("a.t.", "10.0.0.1")
			time.Sleep(10 * time.Millisecond)
		}
		settle(2 * time.Second)
		n := c.Counts()
		unanswered, dropped := n.Outcomes[Outcome{Result: Unanswered}], n.Outcomes[Outcome{Result: Dropped}]
		// 1 s until the first is given up, with 16 under way, and then one each second.
		if unanswered+dropped != 1000 || unanswered > 2*MostAsked+12 || len(n.Away) != 1 {
			t.Errorf("%d unanswered, %d dropped, %v", unanswered, dropped, n.Away)
		}
		if got := strings.Count(c.log.String(), "does not answer"); got != 1 {
			t.Errorf("said %d times:\n%s", got, c.log.String())
		}
		back.Store(true)
		for range 3 {
			c.add("a.t.", "10.0.0.1")
			settle(time.Second)
		}
		if n := c.Counts(); n.Outcomes[Outcome{Result: Same}] != 3 || len(n.Away) != 0 {
			t.Errorf("%+v", n)
		}
		if !strings.Contains(c.log.String(), "is back") {
			t.Error(c.log.String())
		}
	})
}

// TestBounds: what is too long, or too much, or comes in while nobody takes it, is dropped.
func TestBounds(t *testing.T) {
	c := newComparing()
	for range MostWaiting + 3 {
		c.add("a.t.", "10.0.0.1")
	}
	if got := c.outcomes(); got != "dropped: 3; " {
		t.Error(got)
	}
	c.Add(nil, make([]byte, MostOctets+1), 0)
	c.options.Rate = 0
	c.add("a.t.", "10.0.0.1")
	if got := c.outcomes(); got != "dropped: 5; " {
		t.Error(got)
	}
	for i := range MostRecent + 5 {
		c.different(&look{question: new(dns.Msg).SetQuestion(fmt.Sprintf("n%d.t.", i), dns.TypeA), server: c.servers[0]})
	}
	if recent := c.Recent(); len(recent) != MostRecent || recent[0].Name != fmt.Sprintf("n%d.t.", MostRecent+4) {
		t.Errorf("%d differences, the newest %+v", len(recent), recent[0])
	}
}

// TestRate: no more than Rate are asked in a second.
func TestRate(t *testing.T) {
	run(t, func(c *comparing) {
		c.options.Rate = 5
		c.answer = func(m *dns.Msg) *dns.Msg { return answered(m, "10.0.0.1") }
		for range 2 {
			for range 8 {
				c.add("a.t.", "10.0.0.1")
			}
			settle(time.Second)
		}
		if got := c.outcomes(); got != "same: 10; dropped: 6; " {
			t.Error(got)
		}
	})
}

// TestNoLock: what is beyond the rate is dropped without waiting for anyone.
func TestNoLock(t *testing.T) {
	c := newComparing()
	c.options.Rate = 1
	if now := time.Now(); !c.room(now) || c.room(now) || !c.room(now.Add(time.Second)) {
		t.Error("one each second is not what is taken")
	}
	c.options.Rate = 0
	c.Shadow.mu.Lock()
	defer c.Shadow.mu.Unlock()
	done := make(chan struct{})
	go func() { defer close(done); c.add("a.t.", "10.0.0.1") }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for a lock")
	}
	if n := c.dropped.Load(); n != 1 {
		t.Errorf("%d dropped", n)
	}
}

// TestOwnQuestion: a second server that is this one does not make it ask itself for ever.
func TestOwnQuestion(t *testing.T) {
	run(t, func(c *comparing) {
		c.answer = func(m *dns.Msg) *dns.Msg {
			query, _ := m.Pack()
			reply := answered(m, "10.0.0.1")
			packet, _ := reply.Pack()
			c.Add(query, packet, 0)
			return reply
		}
		c.add("a.t.", "10.0.0.1")
		settle(time.Minute)
		if got := c.outcomes(); got != "same: 1; dropped: 1; " || c.asked != 1 {
			t.Error(got, c.asked)
		}
	})
}

// TestPanics: comparisons that panic give back their places, and forget their questions.
func TestPanics(t *testing.T) {
	run(t, func(c *comparing) {
		c.answer = func(m *dns.Msg) *dns.Msg {
			if m.Question[0].Name == "a.t." {
				panic("broken")
			}
			return answered(m, "10.0.0.1")
		}
		for range MostAsked {
			c.add("a.t.", "10.0.0.1")
		}
		settle(time.Second)
		c.add("b.t.", "10.0.0.1")
		settle(time.Second)
		if n := c.Counts(); n.Panics != MostAsked || n.Outcomes[Outcome{Result: Same}] != 1 || len(c.asking) != 0 {
			t.Errorf("%+v, %d under way", n, len(c.asking))
		}
	})
}

// TestSampled: a share of the queries is taken.
func TestSampled(t *testing.T) {
	for share, want := range map[float64][2]int{1: {100_000, 100_000}, 0.1: {9_000, 11_000}, 1e-9: {0, 2}} {
		s, n := New(Options{Share: share}, nil), 0
		for range 100_000 {
			if s.Sampled() {
				n++
			}
		}
		if n < want[0] || n > want[1] {
			t.Errorf("%v: %d of 100000", share, n)
		}
	}
}

// TestAsk: over UDP, and over TCP what is cut; a reply to another question is none.
func TestAsk(t *testing.T) {
	tcp, udp := programs.ListenBoth(t)
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		reply := answered(m, "10.0.0.1")
		_, stream := w.RemoteAddr().(*net.TCPAddr)
		switch {
		case m.Question[0].Name == "cut.t." && !stream:
			reply.Truncated, reply.Answer = true, nil
		case m.Question[0].Name == "foreign.t.":
			reply.Question[0].Name = "other.t."
		}
		w.WriteMsg(reply)
	})
	var serving sync.WaitGroup
	defer serving.Wait()
	for _, s := range []*dns.Server{{Listener: tcp, Handler: handler}, {PacketConn: udp, Handler: handler}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		serving.Go(func() { s.ActivateAndServe() })
		<-started
		defer s.Shutdown()
	}
	server := netip.MustParseAddrPort(tcp.Addr().String())
	for name, want := range map[string]string{"a.t.": "NOERROR A 10.0.0.1", "cut.t.": "NOERROR A 10.0.0.1", "foreign.t.": errForeign.Error()} {
		reply, _, err := Ask(t.Context(), server, new(dns.Msg).SetQuestion(name, dns.TypeA), 10*time.Second, false)
		got := ""
		if err == nil {
			got = Read(reply).String()
		} else {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestReadmeBounds holds the table of bounds in docs/operations.md to those here.
func TestReadmeBounds(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	row := fmt.Sprintf("| answers for a `shadow` | %d wait, of %d KiB each with the query; %d questions under way; `rate`; %d that are "+
		"looked at again, %d remembered |", MostWaiting, MostOctets>>10, MostAsked, MostLate, MostRecent)
	if !strings.Contains(string(text), row) {
		t.Errorf("docs/operations.md has no %q", row)
	}
}
