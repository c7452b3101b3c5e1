package watch

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// raced reports whether the race detector is on.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// fewer is n, and less under the race detector, by which everything is slow.
func fewer(n, by int) int {
	if raced() {
		return n / by
	}
	return n
}

var concurrentEvents = flag.Int("concurrent.events", 2000, "events during which TestAnswersAreOfOneMoment reads")

// progress is how far a writer has come. An answer between two looks at it is of a state from published to begun.
type progress struct{ begun, applied, published atomic.Int64 }

// TestAnswersAreOfOneMoment reads while events happen. Every answer must be that of the cluster between two events,
// whole: the naive index says what it is after each event. And for each reader these moments come in their order,
// whatever it asks, forward or reverse.
func TestAnswersAreOfOneMoment(t *testing.T) {
	events := fewer(*concurrentEvents, 2)
	s, stores, client, options := newHistory(t)
	var at progress
	var reads, between atomic.Int64
	var readers sync.WaitGroup
	for i := range 3 {
		readers.Go(func() {
			r := &historyReader{client: client.another(), at: &at, options: options, random: rand.New(rand.NewPCG(uint64(i), 1))}
			for at.published.Load() < int64(events) && !t.Failed() {
				if err := r.read(); err != nil {
					t.Error(err)
				}
			}
			reads.Add(r.reads)
			between.Add(r.between)
		})
	}
	done := publishing(s, &at)
	for k := range events {
		at.begun.Store(int64(k + 1))
		happen(t, stores, k)
		at.applied.Store(int64(k + 1))
		for late := int64(k % 3); at.published.Load() < int64(k+1)-late && !t.Failed(); { // some are published together
			runtime.Gosched()
		}
		if t.Failed() {
			break
		}
	}
	for at.published.Load() < int64(events) && !t.Failed() {
		runtime.Gosched()
	}
	readers.Wait()
	done()
	t.Logf("%d events, %d answers, %d of them while an event was under way", events, reads.Load(), between.Load())
	if between.Load() == 0 {
		t.Error("nothing was read while an event was under way")
	}
}

// TestSnapshotsAreWhole looks at the index all the time while events happen, and keeps what it sees, however shortly it
// was there. All of it must say the same forward and in reverse.
func TestSnapshotsAreWhole(t *testing.T) {
	events := fewer(*concurrentEvents, 2) / 2
	s, stores, _, _ := newHistory(t)
	var over atomic.Bool
	var last atomic.Pointer[zones.Snapshot]
	var seen []*zones.Snapshot
	var looking sync.WaitGroup
	looking.Go(func() {
		for !over.Load() {
			if now := s.index.Snapshot(); now != last.Load() {
				seen = append(seen, now)
				last.Store(now)
			}
		}
	})
	for k := range events {
		happen(t, stores, k)
		s.publish(time.Unix(1, 0))
		for last.Load() != s.index.Snapshot() {
			runtime.Gosched()
		}
	}
	over.Store(true)
	looking.Wait()
	for _, snapshot := range seen {
		if err := whole(snapshot); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d events, %d snapshots seen", events, len(seen))
}

// whole reports what a snapshot says forward and not in reverse, or the other way round. No address of a history is a
// cluster IP and an endpoint at once, so that the PTR records of each are those of the SRV records' targets.
func whole(s *zones.Snapshot) error {
	svc := "\x03svc\x07cluster\x05local\x00"
	addresses, targets, pointers := map[string][]string{}, map[string]bool{}, map[string]bool{}
	s.Contents(svc, func(owner []byte, typ wire.Type, data []byte) bool {
		switch typ {
		case wire.TypeA, wire.TypeAAAA:
			addr, _ := netip.AddrFromSlice(data)
			addresses[string(owner)] = append(addresses[string(owner)], reverseOf(addr))
		case wire.TypeSRV:
			targets[string(data[6:])] = true
		}
		return true
	})
	for _, zone := range []string{"\x07in-addr\x04arpa\x00", "\x03ip6\x04arpa\x00"} {
		s.PTRs([]byte(zone), svc, func(owner []byte, _ wire.Type, data []byte) bool {
			pointers[wire.NameString(owner)+" "+wire.NameString(data)] = true
			return true
		})
	}
	for target := range targets {
		for _, reverse := range addresses[target] {
			pointer := reverse + " " + wire.NameString([]byte(target))
			if !pointers[pointer] {
				return fmt.Errorf("a snapshot lacks the PTR record %s", pointer)
			}
			delete(pointers, pointer)
		}
	}
	for pointer := range pointers {
		return fmt.Errorf("a snapshot has the PTR record %s and not the address", pointer)
	}
	return nil
}

// publishing publishes until the function that it returns is called.
func publishing(s *state, at *progress) func() {
	return looping(func() {
		applied := at.applied.Load()
		s.publish(time.Unix(1, 0))
		at.published.Store(applied)
		runtime.Gosched()
	})
}

// looping calls each of work again and again, until the function that it returns is called.
func looping(work ...func()) func() {
	var over atomic.Bool
	var running sync.WaitGroup
	for _, work := range work {
		running.Go(func() {
			for !over.Load() {
				work()
			}
		})
	}
	return func() {
		over.Store(true)
		running.Wait()
	}
}

// historyReader is one reader of a history.
type historyReader struct {
	*client
	at             *progress
	options        Options
	random         *rand.Rand
	moment         int // the earliest that agrees with all that it has read
	serial         uint32
	reads, between int64
	models         [16]struct {
		k int
		*naive
	}
}

// read asks one question.
func (r *historyReader) read() error {
	event := max(0, int(r.at.begun.Load())-1+r.random.IntN(2)-r.random.IntN(2)*subjects)
	if r.random.IntN(4) == 0 {
		event = max(0, event-r.random.IntN(subjects))
	}
	q := drawQuery(r.random, event)
	r.moment = max(r.moment, int(r.at.published.Load()))
	got, serial, err := r.ask(&q)
	last := int(r.at.begun.Load())
	if err != nil {
		return fmt.Errorf("%s %s: %w", q.name, dns.TypeToString[q.typ], err)
	}
	if serial > 0 && serial < r.serial {
		return fmt.Errorf("%s %s: serial %d after %d", q.name, dns.TypeToString[q.typ], serial, r.serial)
	}
	r.serial = max(r.serial, serial)
	r.reads++
	if last > r.moment {
		r.between++
	}
	for k := r.moment; k <= last; k++ {
		if r.model(k).ask(q.name, q.typ).matches(got) {
			r.moment = k
			return nil
		}
	}
	text := fmt.Sprintf("%s %s: %+v\nis of no moment from %d on:", q.name, dns.TypeToString[q.typ], got, r.moment)
	for k := r.moment; k <= min(last, r.moment+3); k++ {
		text += fmt.Sprintf("\nafter %d events: %+v", k, r.model(k).ask(q.name, q.typ))
	}
	return fmt.Errorf("%s\nlast: %d", text, last)
}

// model is the naive index after k events.
func (r *historyReader) model(k int) *naive {
	kept := &r.models[k%len(r.models)]
	if kept.naive == nil || kept.k != k {
		kept.k, kept.naive = k, &naive{world: historyAt(k), options: r.options, pods: zones.PodsInsecure, local: modelServer,
			read: [kindsOf]bool{servicesOf: true, slicesOf: true, namespacesOf: true, podsOf: true}}
	}
	return kept.naive
}
