package traffic

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// wire is a name in wire form.
func wire(name string) (octets []byte) {
	for label := range strings.SplitSeq(name, ".") {
		octets = append(append(octets, byte(len(label))), label...)
	}
	return append(octets, 0)
}

// worker notes queries as a listener does.
type worker struct{ Batch }

func (w *worker) query(name, client string, rcode uint8, reason string, searched bool) {
	w.Begin()
	if w.On() {
		if s := w.Count(rcode, 2); s != nil {
			s.Client = netip.AddrPortFrom(netip.MustParseAddr(client), 5300)
			s.Type, s.Searched = 1, searched
			s.SetName(wire(name))
			s.SetReason([]byte(reason))
		}
	}
	w.End(time.Now(), 10*time.Microsecond)
}

// running starts a Traffic in the bubble of a test.
func running(t *testing.T) (*Traffic, *worker) {
	traffic := New()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { traffic.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return traffic, &worker{Batch{Recorder: traffic.Recorder()}}
}

// sumOf is the queries of the last minutes, which are those of the last hour in these tests.
func sumOf(r Report) (sum Counts, same Report) {
	for i := range r.Seconds.Counts {
		sum.Add(&r.Seconds.Counts[i])
	}
	hour := Counts{}
	for i := range r.Minutes.Counts {
		hour.Add(&r.Minutes.Counts[i])
	}
	if hour != sum {
		panic("the series differ")
	}
	return sum, r
}

func rows(list []Count, _ time.Time) (text string) {
	for _, c := range list {
		key := c.Key
		if len(key) == 16 {
			a, _ := netip.AddrFromSlice([]byte(key))
			key = a.Unmap().String()
		}
		text += fmt.Sprintf("%q %d %q\n", key, c.Least(), c.Note)
	}
	return text
}

func TestTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traffic, w := running(t)
		w.query("before.test", "10.0.0.9", 0, "", false)
		if r := traffic.Report(time.Now()); r.Seconds.Counts != nil || traffic.Follow(Filter{Rcode: -1}) != nil {
			t.Error("it counts while it is off")
		}
		traffic.Set(true)
		tail := traffic.Follow(Filter{Rcode: 3, Suffix: wire("local"), Client: netip.MustParsePrefix("10.0.0.0/8")})
		for range 3 {
			w.query("web.local", "10.0.0.1", 0, "", false)
		}
		w.query("web.prod.dev.local", "10.0.0.2", 3, "service dev/prod: not found", true)
		w.query("gone.local", "10.0.0.1", 3, "service dev/gone: not found", false)
		w.query("gone.local", "192.0.2.1", 3, "service dev/gone: not found", false)
		time.Sleep(time.Millisecond)
		w.query("dead.test", "10.0.0.3", 2, "upstream 192.0.2.1:53 does not answer", false)
		time.Sleep(2 * time.Second)

		now := time.Now()
		sum, r := sumOf(traffic.Report(now))
		if sum.Queries() != 7 || sum.NXDomains() != 3 || sum.Failed() != 1 || sum.Sources[2] != 7 || r.Every != 1 {
			t.Errorf("%+v", sum)
		}
		if q := sum.Quantile(0.5); q < 8*time.Microsecond || q > 16*time.Microsecond {
			t.Errorf("median %v", q)
		}
		for table, want := range map[Table]string{
			Names: "\"\\x03web\\x05local\\x00\" 3 \"\"\n\"\\x04gone\\x05local\\x00\" 2 \"\"\n" +
				"\"\\x03web\\x04prod\\x03dev\\x05local\\x00\" 1 \"\"\n\"\\x04dead\\x04test\\x00\" 1 \"\"\n",
			Nxdomains: "\"\\x04gone\\x05local\\x00\" 2 \"service dev/gone: not found\"\n" +
				"\"\\x03web\\x04prod\\x03dev\\x05local\\x00\" 1 \"service dev/prod: not found\"\n",
			Clients:  "\"10.0.0.1\" 4 \"\"\n\"10.0.0.2\" 1 \"\"\n\"10.0.0.3\" 1 \"\"\n\"192.0.2.1\" 1 \"\"\n",
			Searches: "\"10.0.0.2\" 1 \"\\x03web\\x04prod\\x03dev\\x05local\\x00\"\n",
		} {
			for _, hour := range []bool{false, true} {
				if got := rows(traffic.Most(table, 9, hour, now)); got != want {
					t.Errorf("table %d, hour %v:\n%swant\n%s", table, hour, got, want)
				}
			}
		}
		var failed []string
		for _, f := range traffic.Failures() {
			failed = append(failed, fmt.Sprint(f.N, " ", f.Rcode, " ", f.Client, " ", f.Reason))
		}
		if got, want := strings.Join(failed, "\n"), "1 2 10.0.0.3 upstream 192.0.2.1:53 does not answer\n"+
			"2 3 192.0.2.1 service dev/gone: not found"; got != want {
			t.Errorf("failures:\n%s\nwant\n%s", got, want)
		}
		for _, want := range []string{"web.prod.dev.local", "gone.local"} {
			if s := <-tail.C; string(s.Name()) != string(wire(want)) {
				t.Errorf("tail: %q, want %s", s.Name(), want)
			}
		}
		traffic.Set(false)
		if s, more := <-tail.C; more {
			t.Errorf("tail: %q after the end", s.Name())
		}
		traffic.Leave(tail)
	})
}

// TestSampling: of a flood a bounded number of queries is looked at, and what they are multiplied by makes up for it.
// Failures among them have a share of their own. When the flood is over, each query counts again.
func TestSampling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traffic, w := running(t)
		traffic.Set(true)
		const rate = 20_000
		for i := range 10 * rate {
			switch {
			case i%2 == 0:
				w.query("a.test", "10.0.0.1", 0, "", false)
			case i%1000 == 1:
				w.query("bad.test", "10.0.0.3", 2, "refused", false)
			default:
				w.query("b.test", "10.0.0.2", 0, "", false)
			}
			if i%(rate/1000) == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		if every := traffic.every.Load(); every < rate/wanted-1 || every > rate/wanted+1 {
			t.Errorf("one sample for %d queries", every)
		}
		time.Sleep(time.Second)
		list, _ := traffic.Most(Names, 2, true, time.Now())
		for _, c := range list {
			if n := int(c.Least()); n < 85_000 || n > 115_000 {
				t.Errorf("%q: about %d", c.Key, n)
			}
		}
		if f := traffic.Failures(); len(f) != 1 || f[0].N < 190 || f[0].N > 200 {
			t.Errorf("failures: %+v", f)
		}
		time.Sleep(2 * time.Second)
		w.query("after.test", "10.0.0.1", 0, "", false)
		time.Sleep(time.Second)
		if got := rows(traffic.Most(Names, 9, true, time.Now())); !strings.Contains(got, "after") {
			t.Errorf("the query after the flood is not in\n%s", got)
		}
	})
}

// TestBounds: nothing grows with what comes, and who follows and does not read holds up nobody.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traffic, w := running(t)
		traffic.Set(true)
		tail := traffic.Follow(Filter{Rcode: -1})
		for range MaxTails - 1 {
			if traffic.Follow(Filter{}) == nil {
				t.Fatal("too few may follow")
			}
		}
		if traffic.Follow(Filter{}) != nil {
			t.Error("too many follow")
		}
		for i := range 10 * topSize {
			name := fmt.Sprint(i, strings.Repeat("."+strings.Repeat("x", 60), 4))
			w.query(name[:min(len(name), 250)], fmt.Sprint("10.0.", i/256, ".", i%256), 3, strings.Repeat("why ", 100), true)
			w.query(fmt.Sprint(i), "10.0.0.1", 2, fmt.Sprint(i), false)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		for table := range Table(tableCount) {
			if list, _ := traffic.Most(table, 1e6, true, time.Now()); len(list) > topSize {
				t.Errorf("table %d has %d keys", table, len(list))
			}
		}
		if n := len(traffic.Failures()); n > 2*maxFailures {
			t.Errorf("%d failures", n)
		}
		f := traffic.Fill()
		for table, keys := range f.Keys {
			if keys == 0 || keys > topSize*(parts+2) || f.Evicted[table] == 0 {
				t.Errorf("%v: %d keys, %d evicted", table, keys, f.Evicted[table])
			}
		}
		if f.Failures != len(traffic.Failures()) || f.Pushed == 0 || f.Tails != MaxTails || f.Omitted == 0 || f.Lost > 0 {
			t.Errorf("%+v", f)
		}
		if traffic.Omitted(tail) == 0 || len(tail.C) != tailLength {
			t.Error("who does not read was waited for")
		}
		for range maxSamples + 1 {
			w.query("a.test", "10.0.0.1", 0, "", false)
		}
		time.Sleep(time.Second)
		if f := traffic.Fill(); f.Lost == 0 {
			t.Error("samples without room are not counted")
		}
	})
}

// TestTailOrder: lines come in the order of time, whichever worker passes its queries on first, also where one is late.
func TestTailOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traffic, first := running(t)
		second := &worker{Batch{Recorder: traffic.Recorder()}}
		traffic.Set(true)
		tail := traffic.Follow(Filter{Rcode: -1})
		at := func(w *worker, name string, when time.Time) {
			w.Begin()
			s := w.Count(0, 2)
			s.SetName(wire(name))
			w.End(when, time.Microsecond)
		}
		time.Sleep(time.Millisecond)
		began := time.Now()
		at(first, "2", began.Add(2))
		at(second, "1", began.Add(1))
		at(first, "4", began.Add(4))
		time.Sleep(takeEvery)
		at(second, "3", began.Add(3)) // it was interrupted between the answer and this
		time.Sleep(3 * takeEvery)
		for _, want := range []string{"1", "2", "3", "4"} {
			if s := <-tail.C; string(s.Name()) != string(wire(want)) {
				t.Errorf("%q, want %s", s.Name(), want)
			}
		}
	})
}

// TestRecorderEnds: the queries of a listener that is gone still count.
func TestRecorderEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traffic, w := running(t)
		traffic.Set(true)
		w.query("a.test", "10.0.0.1", 0, "", false)
		w.Recorder.End()
		w.Recorder.End() // which changes nothing
		time.Sleep(3 * time.Second)
		if names := rows(traffic.Most(Names, 9, true, time.Now())); !strings.Contains(names, `\x01a\x04test`) {
			t.Errorf("the samples of a recorder that has ended: %q", names)
		}
		other := &worker{Batch{Recorder: traffic.Recorder()}}
		other.query("b.test", "10.0.0.1", 0, "", false)
		time.Sleep(2 * time.Second)
		sum, _ := sumOf(traffic.Report(time.Now()))
		traffic.recording.Lock()
		recorders := len(traffic.recorders)
		traffic.recording.Unlock()
		if n := sum.Queries(); n != 2 || recorders != 1 {
			t.Errorf("%d queries, %d recorders", n, recorders)
		}
	})
}

// TestRecorderEndsWhileOff: nothing is kept of listeners that come and go while nobody collects.
func TestRecorderEndsWhileOff(t *testing.T) {
	traffic := New()
	for range 10 {
		traffic.Recorder().End()
	}
	if n := len(traffic.recorders); n != 0 {
		t.Errorf("%d recorders are kept", n)
	}
}

// TestQuantile: a quantile lies between the bounds of its bucket.
func TestQuantile(t *testing.T) {
	var c Counts
	for range 98 {
		c.Took.Observe(LatencyBounds, int64(20*time.Microsecond))
	}
	c.Took.ObserveMany(LatencyBounds, int64(time.Second), 2)
	for q, want := range map[float64][2]time.Duration{
		0.5:  {16 * time.Microsecond, 32 * time.Microsecond},
		0.99: {500 * time.Millisecond, 1100 * time.Millisecond},
		1:    {500 * time.Millisecond, 1100 * time.Millisecond},
	} {
		if got := c.Quantile(q); got < want[0] || got > want[1] {
			t.Errorf("%v: %v", q, got)
		}
	}
	if got := new(Counts).Quantile(0.5); got != 0 {
		t.Errorf("without queries: %v", got)
	}
}

// BenchmarkQuery is what counting costs for a query: while it is off; where 2,000 come in a second, each alone; and where
// 400,000 come, in batches of 32.
func BenchmarkQuery(b *testing.B) {
	b.Run("off", func(b *testing.B) { benchmark(b, false, 2000, 1) })
	b.Run("2000", func(b *testing.B) { benchmark(b, true, 2000, 1) })
	b.Run("400000", func(b *testing.B) { benchmark(b, true, 400_000, 32) })
}

func benchmark(b *testing.B, on bool, inSecond, batch int) {
	traffic := New()
	w := &worker{Batch{Recorder: traffic.Recorder()}}
	if traffic.on.Store(on); on {
		traffic.open(time.Now())
		traffic.every.Store(uint32(inSecond / wanted))
	}
	name, client, now := wire("web.prod.svc.cluster.local"), netip.MustParseAddrPort("10.0.0.1:5300"), time.Now()
	taking := inSecond * int(takeEvery) / int(time.Second)
	for i := 1; b.Loop(); i++ {
		if i%batch == 0 || batch == 1 {
			w.End(now, 1000)
			w.Begin()
		}
		if w.On() {
			if s := w.Count(0, 2); s != nil {
				s.Client = client
				s.SetName(name)
			}
		}
		if on && i%taking == 0 {
			traffic.take(now)
		}
	}
}

// TestAllocate: a query that is counted, and its sample, allocate nothing.
func TestAllocate(t *testing.T) {
	traffic := New()
	traffic.on.Store(true)
	traffic.open(time.Now())
	w := &worker{Batch{Recorder: traffic.Recorder()}}
	name, client, now := wire("web.prod.svc.cluster.local"), netip.MustParseAddrPort("10.0.0.1:5300"), time.Now()
	query := func() {
		w.Begin()
		if s := w.Count(3, 2); s != nil {
			s.Client = client
			s.SetName(name)
			s.SetReason(name)
		}
		w.End(now, 1000)
	}
	for range maxSamples {
		query() // the recorder has room for as many
	}
	traffic.take(now)
	for range maxSamples / 2 {
		query()
	}
	traffic.take(now)
	if n := testing.AllocsPerRun(1000, func() { query(); traffic.take(now) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
