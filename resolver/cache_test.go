package resolver

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/wire"
)

const (
	address  = "www.example.org. 300 IN A 192.0.2.1"
	negative = "--\nexample.org. 900 IN SOA ns.example.org. host.example.org. 1 2 3 4 60"
)

var noon = time.Unix(1_800_000_000, 0)

func newTestCache(t testing.TB, options Cache) *cache {
	t.Helper()
	if options.ServFail == 0 {
		options.ServFail = 5 * time.Second
	}
	if len(options.Zones) == 0 {
		options.Zones = []string{"."}
	}
	c, err := newCache(options, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// keep adds an upstream's reply to c.
func (c *cache) keep(t testing.TB, text, rcode, records string, now time.Time) {
	t.Helper()
	r := asking(t, text, now)
	c.add(newQuery(r, c.whole(r)), r.question.scope.caching, upstreamReply(t, text, rcode, records), now)
}

// everything is what a cache keeps without options.
var everything = cachePolicy{enabled: true, success: true, denial: true}

// whole is the question of r's client, in c's scope.
func (c *cache) whole(r *Request) *question {
	q := r.whole()
	f := &forwarder{}
	q.scope = &scope{block: &block{options: &Block{}}, caching: c.scope(q.name), forwards: []*forwarder{f}, forwardsZone: []*forwarder{f}}
	return q
}

// found is what c answers at now: the rcode and all records, or "miss" or "ask first".
func (c *cache) found(t testing.TB, text string, now time.Time) string {
	t.Helper()
	r := asking(t, text, now)
	q := c.whole(r)
	res := c.answer(r, q)
	switch {
	case r.fallback != nil:
		return "ask first"
	case res.outcome == pass:
		return "miss"
	}
	r.finish(q, &res)
	m := finished(t, r)
	var said []string
	said = append(said, dns.RcodeToString[m.Rcode])
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for line := range strings.Lines(lines(section)) {
			fields := strings.Fields(line)
			said = append(said, fields[3]+" "+fields[1])
		}
	}
	if text := ede(m); text != "" {
		said = append(said, text[:strings.Index(text, ")")+1])
	}
	return strings.Join(said, ", ")
}

func TestWhatIsKept(t *testing.T) {
	soa := func(minimum int) string { return fmt.Sprintf("--\nexample.org. 900 IN SOA a. b. 1 2 3 4 %d", minimum) }
	tests := []struct {
		name           string
		options        Cache
		question       string
		rcode, records string
		after          time.Duration
		want           string
	}{
		{"a fresh answer", Cache{}, "www.example.org. A", "NOERROR", address, 0, "NOERROR, A 300"},
		{"TTLs count down", Cache{}, "www.example.org. A", "NOERROR", address, 100 * time.Second, "NOERROR, A 200"},
		{"each from its own", Cache{}, "www.example.org. A", "NOERROR", chain, 10 * time.Second,
			"NOERROR, CNAME 290, A 50, A 50, NS 890, A 790"},
		{"the last moment", Cache{}, "www.example.org. A", "NOERROR", address, 300*time.Second - 1, "NOERROR, A 1"},
		{"the end", Cache{}, "www.example.org. A", "NOERROR", address, 300 * time.Second, "miss"},
		{"keepttl", Cache{KeepTTL: true}, "www.example.org. A", "NOERROR", address, 100 * time.Second,
			"NOERROR, A 300"},
		{"a cap", Cache{MaxTTL: 30 * time.Second}, "www.example.org. A", "NOERROR", address, 10 * time.Second,
			"NOERROR, A 20"},
		{"a cap of the half", Cache{MaxTTL: 30 * time.Second, Success: CacheLimit{MaxTTL: time.Minute}},
			"www.example.org. A", "NOERROR", address, 10 * time.Second, "NOERROR, A 50"},
		{"a floor", Cache{Success: CacheLimit{MinTTL: 400 * time.Second}}, "www.example.org. A", "NOERROR", address,
			310 * time.Second, "NOERROR, A 90"},
		{"a TTL of 0", Cache{}, "www.example.org. A", "NOERROR", "www.example.org. 0 IN A 192.0.2.1", 0, "miss"},
		{"a TTL of 0 and a floor", Cache{Success: CacheLimit{MinTTL: 5 * time.Second}}, "www.example.org. A", "NOERROR",
			"www.example.org. 0 IN A 192.0.2.1", time.Second, "NOERROR, A 4"},
		{"an hour at most", Cache{}, "www.example.org. A", "NOERROR", "www.example.org. 86400 IN A 192.0.2.1",
			time.Minute, "NOERROR, A 3540"},
		{"NXDOMAIN by the SOA's MINIMUM", Cache{}, "www.example.org. A", "NXDOMAIN", negative, 20 * time.Second,
			"NXDOMAIN, SOA 40"},
		{"NXDOMAIN by the SOA's TTL", Cache{}, "www.example.org. A", "NXDOMAIN",
			"--\nexample.org. 30 IN SOA a. b. 1 2 3 4 60", 20 * time.Second, "NXDOMAIN, SOA 10"},
		{"an alias before a denial", Cache{}, "www.example.org. A", "NXDOMAIN", "www.example.org. 600 IN CNAME a.example.org.\n" +
			negative, 20 * time.Second, "NXDOMAIN, CNAME 580, SOA 40"},
		{"half an hour at most", Cache{}, "www.example.org. A", "NXDOMAIN",
			"--\nexample.org. 86400 IN SOA a. b. 1 2 3 4 86400", 0, "NXDOMAIN, SOA 1800"},
		{"a floor of denials", Cache{Denial: CacheLimit{MinTTL: 5 * time.Second}}, "www.example.org. A", "NXDOMAIN",
			soa(0), time.Second, "NXDOMAIN, SOA 4"},
		{"NXDOMAIN without SOA", Cache{}, "www.example.org. A", "NXDOMAIN", "", 0, "miss"},
		{"NODATA", Cache{}, "www.example.org. A", "NOERROR", negative, 59 * time.Second, "NOERROR, SOA 1"},
		{"NODATA without SOA", Cache{}, "www.example.org. A", "NOERROR", "", 0, "miss"},
		{"a referral", Cache{}, "www.example.org. A", "NOERROR", "--\nexample.org. 900 IN NS ns.example.org.", 0,
			"miss"},
		{"a chain without an end", Cache{}, "www.example.org. A", "NOERROR",
			"www.example.org. 300 IN CNAME web.example.net.", 0, "miss"},
		{"SERVFAIL", Cache{}, "www.example.org. A", "SERVFAIL", "", 4 * time.Second, "SERVFAIL"},
		{"SERVFAIL, for a short time", Cache{}, "www.example.org. A", "SERVFAIL", "", 5 * time.Second, "miss"},
		{"REFUSED", Cache{}, "www.example.org. A", "REFUSED", "", 0, "miss"},
		{"another zone", Cache{Zones: []string{"example.com."}}, "www.example.org. A", "NOERROR", address, 0, "miss"},
		{"success disabled", Cache{DisableSuccess: []string{"org."}}, "www.example.org. A", "NOERROR", address, 0,
			"miss"},
		{"success disabled elsewhere", Cache{DisableSuccess: []string{"com."}, DisableDenial: []string{"."}},
			"www.example.org. A", "NOERROR", address, 0, "NOERROR, A 300"},
		{"denial disabled", Cache{DisableDenial: []string{"org."}}, "www.example.org. A", "NXDOMAIN", negative, 0,
			"miss"},
		{"an answer without recursion", Cache{}, "www.example.org. A norec", "NOERROR", address, 0, "NOERROR, A 300"},
		{"a denial without recursion", Cache{}, "www.example.org. A norec", "NXDOMAIN", negative, 0, "NXDOMAIN, SOA 60"},
		{"a referral without recursion", Cache{}, "www.example.org. A norec", "NOERROR",
			"--\nexample.org. 900 IN NS ns.example.org.", 0, "miss"},
		{"a failure without recursion", Cache{}, "www.example.org. A norec", "SERVFAIL", "", 0, "miss"},
		{"type 0", Cache{}, "www.example.org. TYPE0", "NOERROR", negative, 0, "NOERROR, SOA 60"},
		{"stale, not wanted", Cache{}, "www.example.org. A", "NOERROR", address, 301 * time.Second, "miss"},
		{"stale", Cache{ServeStale: time.Hour}, "www.example.org. A", "NOERROR", address, 301 * time.Second,
			"NOERROR, A 30, 3 (Stale Answer)"},
		{"stale denial", Cache{ServeStale: time.Hour}, "www.example.org. A", "NXDOMAIN", negative, 301 * time.Second,
			"NXDOMAIN, SOA 30, 19 (Stale NXDOMAIN Answer)"},
		{"stale, with a TTL of its own", Cache{ServeStale: time.Hour, StaleTTL: 7 * time.Second}, "www.example.org. A", "NOERROR",
			address, 301 * time.Second, "NOERROR, A 7, 3 (Stale Answer)"},
		{"too stale", Cache{ServeStale: time.Hour}, "www.example.org. A", "NOERROR", address,
			301*time.Second + time.Hour, "miss"},
		{"stale, to be verified", Cache{ServeStale: time.Hour, StaleVerify: true}, "www.example.org. A", "NOERROR",
			address, 301 * time.Second, "ask first"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newTestCache(t, tt.options)
			c.keep(t, tt.question, tt.rcode, tt.records, noon)
			if got := c.found(t, tt.question, noon.Add(tt.after)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestCacheOutlivesReload: a cache outlives a reload, unless the upstreams that filled it have changed.
func TestCacheOutlivesReload(t *testing.T) {
	old, other := serve(t, answering("192.0.2.1")), serve(t, answering("192.0.2.2"))
	options := func() Block {
		return Block{Zones: []string{"."}, Cache: &Cache{},
			Forwards: []Forward{{From: ".", To: []Upstream{{Address: old.addr}}, ReadTimeout: time.Second}}}
	}
	var parts Parts
	resolve := func(options Block) string {
		r := must(New(Options{Blocks: []Block{options}}, &parts, slog.New(slog.DiscardHandler)))
		t.Cleanup(func() {
			ctx, stop := context.WithCancel(context.Background())
			stop()
			r.Run(ctx) // closes the idle connections
		})
		request := asking(t, "www.example.org. A", time.Now())
		reply, result := r.Respond(t.Context(), request, request.Query.Packet, make([]byte, 0, 1232))
		if result != Send {
			t.Fatalf("result %v", result)
		}
		m := new(dns.Msg)
		if err := m.Unpack(reply); err != nil {
			t.Fatal(err)
		}
		return said(m) + map[Source]string{FromCache: ", kept", FromForward: ", asked"}[request.Source]
	}
	expect(t, resolve(options()), "NOERROR 192.0.2.1, asked")
	for _, tt := range []struct {
		name   string
		change func(*Block)
		want   string
	}{
		{"nothing", func(*Block) {}, "NOERROR 192.0.2.1, kept"},
		{"what the cache does not see", func(b *Block) { b.Rotate, b.Bufsize = true, 4096 }, "NOERROR 192.0.2.1, kept"},
		{"the upstream", func(b *Block) { b.Forwards[0].To[0].Address = other.addr }, "NOERROR 192.0.2.2, asked"},
		{"another upstream", func(b *Block) {
			b.Forwards[0].Policy = Sequential
			b.Forwards[0].To = append(b.Forwards[0].To, Upstream{Address: other.addr})
		}, "NOERROR 192.0.2.1, asked"},
		{"the cache's options", func(b *Block) { b.Cache.MaxTTL = time.Minute }, "NOERROR 192.0.2.1, asked"},
		{"the zones", func(b *Block) { b.Zones = []string{"org."} }, "NOERROR 192.0.2.1, asked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changed := options()
			tt.change(&changed)
			expect(t, resolve(changed), tt.want)
		})
	}
}

func TestWhatTellsQuestionsApart(t *testing.T) {
	c := newTestCache(t, Cache{})
	c.keep(t, "www.example.org. A", "NOERROR", address, noon)
	c.keep(t, "none.example.org. A", "NXDOMAIN", negative, noon)
	c.keep(t, "v4.example.org. AAAA", "NOERROR", negative, noon)
	c.keep(t, "alias.example.org. A", "NXDOMAIN", "alias.example.org. 60 IN CNAME none.example.org.\n"+negative, noon)
	for text, want := range map[string]string{
		"WWW.example.ORG. A":          "NOERROR, A 300",
		"www.example.org. AAAA":       "miss",
		"www.example.org. A do":       "miss",
		"www.example.org. A cd":       "miss",
		"ww.example.org. A":           "miss",
		"none.example.org. A":         "NXDOMAIN, SOA 60",
		"none.example.org. AAAA":      "miss", // RFC 4074 section 4.2
		"none.example.org. AAAA do":   "miss",
		"v4.example.org. A":           "miss",
		"alias.example.org. A":        "NXDOMAIN, CNAME 60, SOA 60",
		"alias.example.org. AAAA":     "miss", // the alias exists
		"www.example.org. A noedns":   "NOERROR, A 300",
		"www.example.org. A tcp ad":   "NOERROR, A 300",
		"www.example.org. A norec":    "NOERROR, A 300",
		"x.none.example.org. A":       "miss",
		"none.example.org. TYPE0":     "miss",
		"v4.example.org. TYPE65":      "miss",
		"alias.example.org. TYPE0":    "miss",
		"www.example.org. TYPE0":      "miss",
		"www.example.org. A norec cd": "miss",
	} {
		if got := c.found(t, text, noon); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestTheNewerMessageCounts(t *testing.T) {
	c := newTestCache(t, Cache{ServeStale: time.Hour})
	steps := []struct {
		after                  time.Duration
		question               string
		rcode, records, expect string
	}{
		{0, "www.example.org. A", "NOERROR", address, "NOERROR, A 300"},
		{time.Second, "www.example.org. A", "NXDOMAIN", negative, "NXDOMAIN, SOA 60"},
		{2 * time.Second, "www.example.org. A", "NOERROR", address, "NOERROR, A 300"},
		{3 * time.Second, "www.example.org. A", "NOERROR", negative, "NOERROR, SOA 60"},
		{4 * time.Second, "www.example.org. A", "NXDOMAIN", negative, "NXDOMAIN, SOA 60"},
		{5 * time.Second, "www.example.org. A", "NOERROR", address, "NOERROR, A 300"},
		{6 * time.Second, "www.example.org. A", "SERVFAIL", "", "NOERROR, A 299"},
		{400 * time.Second, "www.example.org. A", "SERVFAIL", "", "NOERROR, A 30, 3 (Stale Answer)"},
	}
	for _, s := range steps {
		c.keep(t, s.question, s.rcode, s.records, noon.Add(s.after))
		if got := c.found(t, s.question, noon.Add(s.after)); got != s.expect {
			t.Errorf("after %s: %q, want %q", s.after, got, s.expect)
		}
	}
	if got := c.count(); got.Entries != [2]int{1, 1} {
		t.Errorf("entries %v", got.Entries)
	}
}

func TestDenialThatIsNotKeptStillCounts(t *testing.T) {
	c := newTestCache(t, Cache{ServeStale: time.Hour, DisableDenial: []string{"."}})
	c.keep(t, "www.example.org. A", "NOERROR", address, noon)
	later := noon.Add(301 * time.Second)
	c.keep(t, "www.example.org. A", "NXDOMAIN", negative, later)
	if got := c.found(t, "www.example.org. A", later); got != "miss" {
		t.Errorf("a name that is gone is %q", got)
	}
}

// TestWhatEndsAStaleAnswer: any reply does but SERVFAIL and REFUSED, whether it is kept itself or not (RFC 8767 section
// 4).
func TestWhatEndsAStaleAnswer(t *testing.T) {
	const stale = "NOERROR, A 30, 3 (Stale Answer)"
	for _, tt := range []struct{ name, rcode, records, want string }{
		{"a TTL of 0", "NOERROR", "www.example.org. 0 IN A 192.0.2.9", "miss"},
		{"NXDOMAIN without SOA", "NXDOMAIN", "", "miss"},
		{"NODATA without SOA", "NOERROR", "", "miss"},
		{"a TTL of 0 at the end of an alias", "NOERROR", "www.example.org. 9 IN CNAME a.test.\na.test. 0 IN A 192.0.2.9", "miss"},
		{"an alias to nowhere", "NOERROR", "www.example.org. 300 IN CNAME a.test.", "miss"},
		{"a referral", "NOERROR", "--\nexample.org. 900 IN NS ns.example.org.", "miss"},
		{"FORMERR", "FORMERR", "", "miss"},
		{"NOTIMP", "NOTIMP", "", "NOTIMP"},
		{"NOTAUTH", "NOTAUTH", "", "miss"},
		{"NXDOMAIN", "NXDOMAIN", negative, "NXDOMAIN, SOA 59"},
		{"NODATA", "NOERROR", negative, "NOERROR, SOA 59"},
		{"SERVFAIL", "SERVFAIL", "", stale},
		{"REFUSED", "REFUSED", "", stale},
	} {
		for _, verify := range []bool{false, true} {
			c := newTestCache(t, Cache{ServeStale: time.Hour, StaleVerify: verify})
			c.keep(t, "www.example.org. A", "NOERROR", address, noon)
			later := noon.Add(301 * time.Second)
			c.keep(t, "www.example.org. A", tt.rcode, tt.records, later)
			if got := c.found(t, "www.example.org. A", later.Add(time.Second)); got != tt.want {
				t.Errorf("%s, verify %v: %q, want %q", tt.name, verify, got, tt.want)
			}
		}
	}
	c := newTestCache(t, Cache{ServeStale: time.Hour})
	c.keep(t, "www.example.org. A", "NOERROR", address, noon)
	later := noon.Add(301 * time.Second)
	r := asking(t, "www.example.org. A", later)
	cut := upstreamReply(t, "www.example.org. A", "NOERROR", "")
	cut.flags |= wire.FlagTC
	for what, m := range map[string]*message{
		"silence": unanswered(wire.ServerFailure, wire.NoReachableAuthority, "down"), "interrupted": interrupted(),
		"rejected": rejection(), "cut": cut,
	} {
		c.add(newQuery(r, r.whole()), everything, m, later)
		if got := c.found(t, "www.example.org. A", later); got != stale {
			t.Errorf("%s: %q, want %q", what, got, stale)
		}
	}
	c.keep(t, "www.example.org. A norec", "NOERROR", "", later)
	if got := c.found(t, "www.example.org. A", later); got != stale {
		t.Errorf("what an upstream knows without asking others: %q, want %q", got, stale)
	}
}

// TestStaleAnswerDoesNotComeBack: once upstream has answered, its answer is what clients get, though it cannot be kept.
func TestStaleAnswerDoesNotComeBack(t *testing.T) {
	for _, verify := range []bool{false, true} {
		var answer atomic.Value // a record, or "none"
		answer.Store("www.example.org. 60 IN A 192.0.2.1")
		up := serve(t, func(_, reply *dns.Msg, _ bool) *dns.Msg {
			if text := answer.Load().(string); text == "none" {
				reply.Rcode = dns.RcodeNameError
			} else {
				reply.Answer = append(reply.Answer, must(dns.NewRR(text)))
			}
			return reply
		})
		r := running(t, nil, Block{Zones: []string{"."}, Cache: &Cache{ServeStale: time.Hour, StaleVerify: verify},
			Forwards: []Forward{{From: ".", To: []Upstream{{Address: up.addr}}, ReadTimeout: time.Second}}})
		now := time.Now()
		respond := func(after time.Duration) string {
			request := asking(t, "www.example.org. A", now.Add(after))
			reply, _ := r.Respond(t.Context(), request, request.Query.Packet, make([]byte, 0, 1232))
			m := new(dns.Msg)
			if err := m.Unpack(reply); err != nil {
				t.Fatal(err)
			}
			return said(m)
		}
		expect(t, respond(0), "NOERROR 192.0.2.1")
		answer.Store("www.example.org. 0 IN A 192.0.2.9")
		if !verify { // the first client gets the stale answer, and has it refreshed
			expect(t, respond(70*time.Second), "NOERROR 192.0.2.1 3 (Stale Answer): ("+edeStale+")")
			until(t, func() bool { return r.blocks[0].cache.count().Entries == [2]int{} })
		}
		for i := range 10 {
			expect(t, respond(71*time.Second+time.Duration(7*i)*time.Second), "NOERROR 192.0.2.9")
		}
		answer.Store("none")
		expect(t, respond(149*time.Second), "NXDOMAIN")
	}
}

func TestVerifyRestsAfterFailure(t *testing.T) {
	c := newTestCache(t, Cache{ServeStale: time.Hour, StaleVerify: true})
	c.keep(t, "www.example.org. A", "NOERROR", address, noon)
	later := noon.Add(301 * time.Second)
	r := asking(t, "www.example.org. A", later)
	c.add(newQuery(r, r.whole()), everything, unanswered(wire.ServerFailure, wire.NoReachableAuthority, "down"), later)
	for after, want := range map[time.Duration]string{
		time.Second:      "NOERROR, A 30, 3 (Stale Answer)",
		29 * time.Second: "NOERROR, A 30, 3 (Stale Answer)",
		31 * time.Second: "ask first",
	} {
		if got := c.found(t, "www.example.org. A", later.Add(after)); got != want {
			t.Errorf("%s after the failure: %q, want %q", after, got, want)
		}
	}
}

func TestCutAndTransientMessagesAreNotKept(t *testing.T) {
	c := newTestCache(t, Cache{})
	r := asking(t, "www.example.org. A", noon)
	cut := upstreamReply(t, "www.example.org. A", "NOERROR", address)
	cut.flags |= wire.FlagTC
	c.add(newQuery(r, r.whole()), everything, cut, noon)
	c.add(newQuery(r, r.whole()), everything, interrupted(), noon)
	if got := c.found(t, "www.example.org. A", noon); got != "miss" {
		t.Error(got)
	}
}

func TestAgeIsCountedFromArrival(t *testing.T) {
	c := newTestCache(t, Cache{})
	r := asking(t, "www.example.org. A", noon)
	m := upstreamReply(t, "www.example.org. A", "SERVFAIL", "")
	m.received = noon.Add(4 * time.Second)
	for range 3 {
		c.add(newQuery(r, r.whole()), everything, m, noon)
	}
	if got := c.found(t, "www.example.org. A", noon.Add(8*time.Second)); got != "SERVFAIL" {
		t.Error(got)
	}
	if got := c.found(t, "www.example.org. A", noon.Add(9*time.Second)); got != "miss" {
		t.Error(got)
	}
	if n := c.count().Entries[denial]; n != 1 {
		t.Errorf("%d entries", n)
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newTestCache(t, Cache{Success: CacheLimit{Capacity: 1000}, Denial: CacheLimit{Capacity: 200}})
	for i := range 5000 {
		name := fmt.Sprintf("n%d.example.org.", i)
		c.keep(t, name+" A", "NOERROR", name+" 300 IN A 192.0.2.1", noon)
		c.keep(t, name+" MX", "NOERROR", negative, noon)
	}
	got := c.count()
	if got.Entries[success] > 1024 || got.Entries[success] < 900 ||
		got.Entries[denial] > 208 || got.Entries[denial] < 150 {
		t.Errorf("entries %v", got.Entries)
	}
	if sum := got.Entries[success] + int(got.Evictions[success]); sum != 5000 {
		t.Errorf("%d entries were added, not %d", 5000, sum)
	}
	text := strings.Repeat(" \""+strings.Repeat("x", 250)+"\"", 200) // 50 kB
	for i := range 500 {
		name := fmt.Sprintf("big%d.example.org.", i)
		c.keep(t, name+" TXT", "NOERROR", name+" 300 IN TXT"+text, noon)
	}
	got = c.count()
	limit := max(1000*entryBudget, len(c.shards)*minShardBudget)
	if got.Size[success] > limit || got.Size[success] < limit/2 {
		t.Errorf("%d octets, the bound is %d", got.Size[success], limit)
	}
	for i := range c.shards {
		h, size := &c.shards[i].halves[success], 0
		for _, s := range h.entries.slots {
			if s.entry != nil {
				size += s.entry.size()
			}
		}
		if size != h.size() || h.entries.count != h.probation.len+h.kept.len {
			t.Fatalf("shard %d holds %d octets in %d entries and counts %+v", i, size, h.entries.count, h)
		}
	}
}

func TestCacheCounts(t *testing.T) {
	c := newTestCache(t, Cache{ServeStale: time.Hour})
	c.keep(t, "www.example.org. A", "NOERROR", address, noon)
	c.keep(t, "none.example.org. A", "NXDOMAIN", negative, noon)
	c.keep(t, "bad.example.org. A", "NXDOMAIN", "", noon)
	c.found(t, "www.example.org. A", noon)
	c.found(t, "www.example.org. A", noon)
	c.found(t, "none.example.org. A", noon)
	c.found(t, "bad.example.org. A", noon)
	c.found(t, "www.example.org. A", noon.Add(400*time.Second))
	got := c.count()
	got.Size = [2]int{}
	want := CacheCounts{Zones: ".", Entries: [2]int{1, 1}, Hits: [2]uint64{3, 1}, Requests: 5, Misses: 1, Drops: 1, ServedStale: 1,
		Prefetches: 1}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestPrefetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCache(t, Cache{Prefetch: 2, PrefetchFor: time.Minute, PrefetchAt: 10})
		ctx, cancel := context.WithCancel(t.Context())
		asked := 0
		c.fetch = func(_ context.Context, q query, _ *observer) *message {
			asked++
			return upstreamReply(t, "www.example.org. A", "NOERROR", address)
		}
		go c.run(ctx)
		c.keep(t, "www.example.org. A", "NOERROR", address, time.Now())
		hit := func(after time.Duration, want string, fetches int) {
			t.Helper()
			time.Sleep(after)
			if got := c.found(t, "www.example.org. A", time.Now()); got != want {
				t.Errorf("%q, want %q", got, want)
			}
			synctest.Wait()
			if asked != fetches {
				t.Errorf("asked %d times, want %d", asked, fetches)
			}
		}
		hit(200*time.Second, "NOERROR, A 100", 0) // not yet time
		hit(71*time.Second, "NOERROR, A 29", 0)   // too rarely asked for
		hit(time.Second, "NOERROR, A 28", 1)
		hit(time.Second, "NOERROR, A 299", 1)
		hit(275*time.Second, "NOERROR, A 24", 1) // a gap
		hit(time.Second, "NOERROR, A 23", 2)
		cancel()
		synctest.Wait()
	})
}

func TestPopularityOutlivesARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCache(t, Cache{Prefetch: 3, PrefetchFor: time.Minute, PrefetchAt: 50})
		ctx, cancel := context.WithCancel(t.Context())
		asked := 0
		c.fetch = func(_ context.Context, q query, _ *observer) *message {
			asked++
			return upstreamReply(t, "www.example.org. A", "NOERROR", "www.example.org. 40 IN A 192.0.2.1")
		}
		go c.run(ctx)
		c.keep(t, "www.example.org. A", "NOERROR", "www.example.org. 40 IN A 192.0.2.1", time.Now())
		for _, after := range []time.Duration{time.Second, time.Second, 23 * time.Second, 25 * time.Second} {
			time.Sleep(after)
			c.found(t, "www.example.org. A", time.Now())
			synctest.Wait()
		}
		if asked != 2 {
			t.Errorf("asked %d times", asked)
		}
		cancel()
		synctest.Wait()
	})
}

func TestStaleIsRefreshedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCache(t, Cache{ServeStale: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		asked := 0
		answer := unanswered(wire.ServerFailure, wire.NoReachableAuthority, "down")
		c.fetch = func(_ context.Context, q query, _ *observer) *message {
			asked++
			time.Sleep(time.Second)
			return answer
		}
		go c.run(ctx)
		c.keep(t, "www.example.org. A", "NOERROR", address, time.Now())
		time.Sleep(301 * time.Second)
		for range 10 {
			c.found(t, "www.example.org. A", time.Now())
		}
		time.Sleep(20 * time.Second)
		c.found(t, "www.example.org. A", time.Now())
		synctest.Wait()
		if asked != 1 {
			t.Errorf("asked %d times within %s of a failure", asked, staleRecheck)
		}
		time.Sleep(20 * time.Second)
		answer = upstreamReply(t, "www.example.org. A", "NOERROR", address)
		c.found(t, "www.example.org. A", time.Now())
		time.Sleep(2 * time.Second)
		if got := c.found(t, "www.example.org. A", time.Now()); got != "NOERROR, A 299" || asked != 2 {
			t.Errorf("%q after %d queries", got, asked)
		}
		cancel()
		synctest.Wait()
	})
}

func TestHitAllocatesNothing(t *testing.T) {
	c := newTestCache(t, Cache{ServeStale: time.Hour, Prefetch: 10, PrefetchFor: time.Minute, PrefetchAt: 10})
	c.keep(t, "www.example.org. A", "NOERROR", chain, noon)
	c.keep(t, "none.example.org. A", "NXDOMAIN", negative, noon)
	c.keep(t, "down.example.org. A", "SERVFAIL", "", noon)
	c.keep(t, "mail.example.org. MX", "NOERROR", "mail.example.org. 60 IN MX 10 a.\nmail.example.org. 60 IN MX 10 b.", noon)
	target, _ := wire.ParseName("www.example.org.")
	for _, tt := range []struct {
		question string
		outcome  outcome
		alias    bool
	}{
		{"www.example.org. A", answered, false},
		{"none.example.org. A", nxdomain, false},
		{"down.example.org. A", failed, false},
		{"xxx.example.org. A", pass, false},
		{"mail.example.org. MX", answered, false},
		{"www.example.org. A", answered, true},
	} {
		r := asking(t, tt.question, noon.Add(time.Second))
		r.rotate = true
		q := c.whole(r)
		buf := make([]byte, 0, 1232)
		name := string(target)
		if n := testing.AllocsPerRun(200, func() {
			r.Reply.Start(&r.Query, buf, 1232, 1232)
			if tt.alias {
				q.owner, _ = r.Reply.AddName(wire.AtQName, wire.TypeCNAME, 5, nil, name)
			}
			res := c.answer(r, q)
			if res.outcome != tt.outcome {
				t.Fatalf("%s: %d", tt.question, res.outcome)
			}
			r.finish(q, &res)
			r.Reply.Finish()
		}); n != 0 {
			t.Errorf("%s: %v allocations", tt.question, n)
		}
	}
}

func BenchmarkHit(b *testing.B) {
	c := newTestCache(b, Cache{})
	c.keep(b, "www.example.org. A", "NOERROR", address, noon)
	b.RunParallel(func(pb *testing.PB) {
		r := asking(b, "www.example.org. A", noon)
		q := c.whole(r)
		buf := make([]byte, 0, 1232)
		for pb.Next() {
			r.Reply.Start(&r.Query, buf, 1232, 1232)
			res := c.answer(r, q)
			r.finish(q, &res)
			r.Reply.Finish()
		}
	})
}

// TestRecheck: upstream that failed is asked again when FAILURE_RECHECK is over.
func TestRecheck(t *testing.T) {
	for recheck, wait := range map[time.Duration]time.Duration{
		0: staleRecheck, 2 * time.Second: 2 * time.Second, NoRecheck: 0,
	} {
		c := newTestCache(t, Cache{ServeStale: time.Hour, StaleVerify: true, StaleRecheck: recheck})
		c.keep(t, "www.example.org. A", "NOERROR", address, noon)
		later := noon.Add(301 * time.Second)
		c.keep(t, "www.example.org. A", "SERVFAIL", "", later)
		if got := c.found(t, "www.example.org. A", later.Add(wait+time.Second)); got != "ask first" {
			t.Errorf("%v: %q", recheck, got)
		}
		if wait == 0 {
			continue
		}
		if got := c.found(t, "www.example.org. A", later.Add(wait-time.Second)); got == "ask first" {
			t.Errorf("%v: asked again after %v", recheck, wait-time.Second)
		}
	}
}

// TestPreferPositive: records that are stale go before a denial for as long as they may be served, and not longer.
func TestPreferPositive(t *testing.T) {
	const question = "www.example.org. A"
	for _, verify := range []bool{false, true} {
		c := newTestCache(t, Cache{ServeStale: time.Hour, StaleVerify: verify, PreferPositive: true})
		c.keep(t, question, "NOERROR", address, noon)
		for _, denial := range []struct{ rcode, records string }{
			{"NXDOMAIN", negative}, {"NXDOMAIN", ""}, {"NOERROR", negative}, {"NOTIMP", ""},
		} {
			later := noon.Add(301 * time.Second)
			c.keep(t, question, denial.rcode, denial.records, later)
			want := "NOERROR, A 30, 3 (Stale Answer)"
			if got := c.found(t, question, later.Add(time.Second)); got != want {
				t.Errorf("after %s: %q, want %q", denial.rcode, got, want)
			}
		}
		over := noon.Add(301*time.Second + time.Hour)
		c.keep(t, question, "NXDOMAIN", negative, over)
		if got := c.found(t, question, over); got != "NXDOMAIN, SOA 60" {
			t.Errorf("when the records are too old: %q", got)
		}
		c.keep(t, question, "NOERROR", address, over)
		if got := c.found(t, question, over); got != "NOERROR, A 300" {
			t.Errorf("new records: %q", got)
		}
	}
}

// TestVerifyTimeout: a query gets the stale answer when upstream takes too long, and the next ones at once, until upstream
// has answered.
func TestVerifyTimeout(t *testing.T) {
	slow := make(chan struct{})
	var asked atomic.Int32
	up := serve(t, func(q, reply *dns.Msg, tcp bool) *dns.Msg {
		if asked.Add(1) == 1 {
			return answering("192.0.2.1")(q, reply, tcp)
		}
		<-slow
		return answering("192.0.2.2")(q, reply, tcp)
	})
	r := running(t, nil, Block{Zones: []string{"."},
		Cache:    &Cache{ServeStale: time.Hour, StaleVerify: true, StaleTimeout: 20 * time.Millisecond, StaleTTL: 9 * time.Second},
		Forwards: []Forward{{From: ".", To: []Upstream{{Address: up.addr}}, ReadTimeout: 4 * time.Second}}})
	r.blocks[0].forwarders[0].edns(t)
	now := time.Now()
	respond := func(after time.Duration) string {
		request := asking(t, "www.example.org. A", now.Add(after))
		reply, _ := r.Respond(t.Context(), request, request.Query.Packet, make([]byte, 0, 1232))
		m := new(dns.Msg)
		if err := m.Unpack(reply); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(said(m), " ", m.Answer[0].Header().Ttl)
	}
	expect(t, respond(0), "NOERROR 192.0.2.1 60")
	for range 3 {
		expect(t, respond(70*time.Second), "NOERROR 192.0.2.1 3 (Stale Answer): ("+edeStale+") 9")
	}
	until(t, func() bool { return asked.Load() >= 2 }) // nobody waits for upstream, which may have seen nothing yet
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	close(slow)
	cache := r.blocks[0].cache
	until(t, func() bool { return cache.count().Entries[success] == 1 && strings.Contains(respond(0), "192.0.2.2") })
}

// TestPrefetchInWholeSeconds: the part of the TTL that is left is rounded up, as TTLs are whole seconds.
func TestPrefetchInWholeSeconds(t *testing.T) {
	for _, tt := range []struct {
		ttl, percent, from int // refreshed at an age of so many seconds
	}{{8, 80, 1}, {8, 10, 7}, {20, 10, 18}, {300, 10, 270}, {5, 50, 2}} {
		c := newTestCache(t, Cache{Prefetch: 1, PrefetchFor: time.Hour, PrefetchAt: tt.percent})
		c.keep(t, "www.example.org. A", "NOERROR", fmt.Sprintf("www.example.org. %d IN A 192.0.2.1", tt.ttl), noon)
		for age := range tt.ttl {
			c.found(t, "www.example.org. A", noon.Add(time.Duration(age)*time.Second))
			if due := len(c.refreshes) > 0; due != (age >= tt.from) {
				t.Errorf("TTL %d, %d%%: at %d s %v", tt.ttl, tt.percent, age, due)
			}
		}
	}
}

// TestRefreshGoesByTransport: an entry is fetched again over the transport of the query that found it, TCP or not.
func TestRefreshGoesByTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCache(t, Cache{ServeStale: time.Hour, StaleRecheck: NoRecheck})
		ctx, cancel := context.WithCancel(t.Context())
		var over []bool
		c.fetch = func(_ context.Context, q query, _ *observer) *message {
			over = append(over, q.tcp)
			return unanswered(wire.ServerFailure, wire.Other, "down")
		}
		go c.run(ctx)
		c.keep(t, "www.example.org. A", "NOERROR", address, time.Now())
		time.Sleep(301 * time.Second)
		for _, text := range []string{"www.example.org. A", "www.example.org. A tcp", "www.example.org. A"} {
			c.found(t, text, time.Now())
			synctest.Wait()
			time.Sleep(time.Second)
		}
		expect(t, fmt.Sprint(over), "[false true false]")
		cancel()
		synctest.Wait()
	})
}
