package resolver

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// ring is an upstream that forwards its queries back to us while it is closed.
type ring struct {
	mu     sync.Mutex
	loop   *loop
	closed atomic.Bool
	caught atomic.Int64
}

func (g *ring) serve(t testing.TB) *dnsServer {
	return serve(t, func(q, reply *dns.Msg, tcp bool) *dns.Msg {
		if !g.closed.Load() {
			reply.Rcode = dns.RcodeNameError
			return reply
		}
		packet, err := q.Pack()
		if err != nil {
			return nil
		}
		r := &Request{}
		if r.Query.Parse(packet) != wire.Valid {
			return nil
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.loop != nil && g.loop.caught(r.whole()) {
			g.caught.Add(1)
			start(r)
			res := loopAnswer
			r.finish(r.whole(), &res)
			if reply.Unpack(r.Reply.Finish()) != nil {
				return nil
			}
			return reply
		}
		return answering("192.0.2.66")(q, reply, tcp)
	})
}

func TestLoopIsFoundAndItsEnd(t *testing.T) {
	g := &ring{}
	g.closed.Store(true)
	f := forwarding(t, Forward{Policy: Sequential}, g.serve(t), serve(t, answering("192.0.2.1")))
	var log bytes.Buffer
	l, err := newLoop("example.org.", []*forwarder{f}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	g.loop = l
	g.mu.Unlock()

	expect(t, f.ask(t, "www.example.org. A"), "NOERROR 192.0.2.66")
	for range 2 {
		l.round(t.Context())
		expect(t, f.ask(t, "www.example.org. A"), "NOERROR 192.0.2.1") // the other upstream
	}
	if n := strings.Count(log.String(), "comes back to this server"); n != 1 ||
		!strings.Contains(log.String(), "upstream="+f.upstreams()[0].address.String()) {
		t.Errorf("%d lines\n%s", n, log.String())
	}
	if !f.count().Upstreams[0].Looping || f.count().Upstreams[1].Looping || g.caught.Load() != 2 {
		t.Errorf("%+v", f.count().Upstreams)
	}
	g.closed.Store(false)
	l.round(t.Context())
	expect(t, f.ask(t, "www.example.org. A"), "NXDOMAIN")
	if l.looping() || !strings.Contains(log.String(), "the forwarding loop is gone") {
		t.Errorf("looping %v\n%s", l.looping(), log.String())
	}
}

// closedRing is a forwarder whose only upstream leads back to it, and its loop detection.
func closedRing(t *testing.T) (*forwarder, *loop) {
	t.Helper()
	g := &ring{}
	g.closed.Store(true)
	f := forwarding(t, Forward{}, g.serve(t))
	l, err := newLoop(".", []*forwarder{f}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	g.loop = l
	g.mu.Unlock()
	return f, l
}

func TestAllUpstreamsLoop(t *testing.T) {
	f, l := closedRing(t)
	l.round(t.Context())
	expect(t, f.ask(t, "www.example.org. A"),
		"SERVFAIL 0 (Other): (forwarding loop: what is forwarded comes back to this server (see its log))")
}

func TestProbeNames(t *testing.T) {
	var mu sync.Mutex
	var names []string
	up := serve(t, func(q, reply *dns.Msg, tcp bool) *dns.Msg {
		mu.Lock()
		defer mu.Unlock()
		names = append(names, q.Question[0].Name)
		if q.Question[0].Qtype != dns.TypeHINFO {
			t.Errorf("type %d", q.Question[0].Qtype)
		}
		return reply
	})
	long := strings.Repeat(strings.Repeat("x", 60)+".", 4)
	for zone, from := range map[string]string{
		"example.org.": ".", "example.com.": "sub.example.com.", ".": ".", long: ".",
	} {
		l, err := newLoop(zone, []*forwarder{forwarding(t, Forward{From: from}, up)}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		l.round(t.Context())
		l.round(t.Context())
		mu.Lock()
		want := zone
		if from != "." {
			want = from
		}
		if zone == long {
			want = "."
		}
		if len(names) != 2 || names[0] == names[1] || !strings.HasSuffix(names[0], want) ||
			len(names[0]) < 10+len(want) {
			t.Errorf("%s, from %s: %q", zone, from, names)
		}
		names = nil
		mu.Unlock()
	}
}

func TestOtherQueriesAreNoProbes(t *testing.T) {
	l, err := newLoop(".", []*forwarder{forwarding(t, Forward{}, serve(t, mute))}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	name := "\x03www\x07example\x03org\x00"
	(*l.probes.Load())[0].name.Store(&name)
	for text, want := range map[string]bool{
		"www.example.org. HINFO": true, "WWW.example.org. HINFO": true,
		"www.example.org. A": false, "ww.example.org. HINFO": false,
	} {
		r := asking(t, text, time.Time{})
		if l.caught(r.whole()) != want {
			t.Errorf("%s: %v", text, !want)
		}
		if n := testing.AllocsPerRun(10, func() { l.caught(r.whole()) }); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

func TestLoopRuns(t *testing.T) {
	_, l := closedRing(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.run(ctx) }()
	until(t, l.looping)
	short, cut := context.WithCancel(ctx)
	cut()
	l.round(short)
	if !l.looping() {
		t.Error("a probe that was cut short says that there is no loop")
	}
	cancel()
	<-done
	if l.looping() {
		t.Error("an upstream is shunned though nobody looks whether it still leads here")
	}
}

// TestLoopsShareUpstreams: the loop of a block that goes forgets what it has found, not what another has found of the
// same upstream.
func TestLoopsShareUpstreams(t *testing.T) {
	f := forwarding(t, Forward{}, serve(t, answering("192.0.2.1")))
	var both [2]*loop
	for i, zone := range []string{"a.", "b."} {
		both[i] = must(newLoop(zone, []*forwarder{f}, slog.New(slog.DiscardHandler)))
		(*both[i].probes.Load())[0].mark(true)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	both[0].run(ended)
	if !f.count().Upstreams[0].Looping || both[0].looping() || !both[1].looping() {
		t.Error("the loop that one block has found is forgotten when another block goes")
	}
	both[1].run(ended)
	if f.count().Upstreams[0].Looping {
		t.Error("the upstream is not asked again")
	}
}

// TestProbeOfAnotherView: a probe that comes back where the view of its block does not match is caught by the block
// that takes it.
func TestProbeOfAnotherView(t *testing.T) {
	up := serve(t, answering("192.0.2.1"))
	forwards := []Forward{{From: ".", To: []Upstream{{Address: up.addr}}, ReadTimeout: time.Second}}
	r := running(t, nil,
		Block{Zones: []string{"."}, Bufsize: 1232, View: &View{Expressions: []string{"false"}}, Loop: true, Forwards: forwards},
		Block{Zones: []string{"."}, Bufsize: 1232, Forwards: forwards})
	p := (*r.blocks[0].loop.probes.Load())[0]
	name := "\x03www\x07example\x03org\x00"
	p.name.Store(&name)
	request := &Request{Now: time.Now()}
	packet, result := r.Answer(request, pack(t, "www.example.org.", dns.TypeHINFO), make([]byte, 4096))
	if result != Send || rcodeOf(packet) != dns.RcodeServerFailure || !p.back.Load() {
		t.Errorf("result %v, back %v", result, p.back.Load())
	}
}

func rcodeOf(packet []byte) int { return int(packet[3] & 15) }
