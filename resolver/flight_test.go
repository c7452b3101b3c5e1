package resolver

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// missing are requests for one question, each of which Answer has found pending.
func missing(t *testing.T, r *Resolver, count int, text string) []*Request {
	t.Helper()
	var all []*Request
	for range count {
		asked := asking(t, text, time.Now())
		request := &Request{Now: asked.Now, Proto: asked.Proto}
		if _, result := r.Answer(request, asked.Query.Packet, make([]byte, 0, 1232)); result != Pending {
			t.Fatalf("result %v", result)
		}
		all = append(all, request)
	}
	return all
}

// resume has request, which is pending, wait for upstream, and returns the request that has the answer.
func resume(t *testing.T, r *Resolver, request *Request) *Request {
	t.Helper()
	var w Wait
	woken := make(signal)
	_, result := r.Wait(request, &w, woken)
	if result == Pending {
		*request = Request{} // a reader goes on to other packets
		woken.await(t.Context(), &w)
		request = new(Request)
		_, result = r.Resume(request, &w, make([]byte, 0, 1232))
	}
	if result != Send {
		t.Errorf("result %v", result)
	}
	return request
}

func running(t testing.TB, parts *Parts, blocks ...Block) *Resolver {
	t.Helper()
	r := must(New(Options{Server: "dns://:53", Blocks: blocks}, parts, slog.New(slog.DiscardHandler)))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

// TestEqualColdQuestionsAreOneQuery: fifty queries miss, over UDP and TCP, and resume one after another or all at once.
// Only the first one reaches upstream.
func TestEqualColdQuestionsAreOneQuery(t *testing.T) {
	for name, each := range map[string]func(func(), *sync.WaitGroup){
		"one after the other": func(do func(), _ *sync.WaitGroup) { do() },
		"at once":             func(do func(), wg *sync.WaitGroup) { wg.Go(do) },
	} {
		t.Run(name, func(t *testing.T) {
			up := serve(t, answering("192.0.2.1"))
			r := running(t, nil, Block{Zones: []string{"."}, Bufsize: 1232, Cache: &Cache{},
				Forwards: []Forward{{From: ".", To: []Upstream{{Address: up.addr}}}}})
			requests := append(missing(t, r, 25, "www.example.org. A"), missing(t, r, 25, "WWW.example.org. A tcp")...)
			var wg sync.WaitGroup
			for _, request := range requests {
				each(func() { expect(t, said(finished(t, resume(t, r, request))), "NOERROR 192.0.2.1") }, &wg)
			}
			wg.Wait()
			if n := up.udp.Load() + up.tcp.Load(); n != 1 {
				t.Errorf("%d upstream queries", n)
			}
			counts := Counts([]*Resolver{r})[0][0].Cache
			if counts.Requests != 50 || counts.Misses != 50 {
				t.Errorf("%+v", counts)
			}
		})
	}
}

// TestVerifyCountsAMissOnce: a lookup of a stale entry that is verified first counts once, and the entry is served if
// upstream fails.
func TestVerifyCountsAMissOnce(t *testing.T) {
	answers := answering("192.0.2.1")
	up := serve(t, answers)
	r := running(t, nil, Block{Zones: []string{"."}, Bufsize: 1232,
		Cache:    &Cache{ServeStale: time.Hour, StaleVerify: true},
		Forwards: []Forward{{From: ".", To: []Upstream{{Address: up.addr}}, ReadTimeout: 2 * time.Second}}})
	ask := func(now time.Time) string {
		request := asking(t, "www.example.org. A", now)
		r.Respond(t.Context(), request, request.Query.Packet, make([]byte, 0, 1232))
		return said(finished(t, request))
	}
	expect(t, ask(time.Now()), "NOERROR 192.0.2.1")
	later := time.Now().Add(20 * time.Minute)
	expect(t, ask(later), "NOERROR 192.0.2.1")
	if n := up.udp.Load(); n != 2 {
		t.Errorf("%d upstream queries", n)
	}
	counts := Counts([]*Resolver{r})[0][0].Cache
	if counts.Requests != 2 || counts.Misses != 1 || counts.Hits[success] != 1 {
		t.Errorf("%+v", counts)
	}
}

// TestVerifyOneAfterTheOther: what one flight has verified, those that waited behind it take from the cache.
func TestVerifyOneAfterTheOther(t *testing.T) {
	up := serve(t, answering("192.0.2.1"))
	r := running(t, nil, Block{Zones: []string{"."}, Bufsize: 1232,
		Cache:    &Cache{ServeStale: time.Hour, StaleVerify: true},
		Forwards: []Forward{{From: ".", To: []Upstream{{Address: up.addr}}}}})
	old := asking(t, "www.example.org. A", time.Now().Add(-20*time.Minute))
	b, q := r.blocks[0], old.whole()
	b.cache.add(newQuery(old, q), everything, upstreamReply(t, "www.example.org. A", "NOERROR",
		"www.example.org. 60 IN A 192.0.2.2"), old.Now)
	for _, request := range missing(t, r, 50, "www.example.org. A") {
		expect(t, said(finished(t, resume(t, r, request))), "NOERROR 192.0.2.1")
	}
	if n := up.udp.Load(); n != 1 {
		t.Errorf("%d upstream queries for 50 equal questions", n)
	}
}

// TestObservedOverUDP: the goroutine that has sent a query and the one that receives its reply tell the same observer.
func TestObservedOverUDP(t *testing.T) {
	f := forwarding(t, Forward{}, serve(t, answering("192.0.2.1")))
	for i := range 200 {
		woken := make(signal)
		w := &Wait{waker: woken}
		q := query{name: string(must(wire.ParseName(fmt.Sprintf("%d.example.org", i)))), typ: wire.TypeA}
		f.join(q, []*forwarder{f}, nil, nil, &observer{taps: &taps{}}, w)
		<-woken
		if w.message.rcode != wire.NoError {
			t.Fatalf("%+v", w.message)
		}
	}
}
