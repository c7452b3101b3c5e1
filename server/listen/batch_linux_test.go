package listen

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/clusterdns/clusterdns/resolver/datagram"
)

// awake opens a listener whose readers wait in the kernel for an hour, with their Ps, and are never parked.
func awake(t testing.TB, readers int) *Listener {
	t.Helper()
	l, err := Open(Options{Address: netip.MustParseAddrPort("127.0.0.1:0"), Answerer: newScripted(), Blocks: testBlocks,
		engine: onlyBatch, Readers: readers})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range l.engine.(*batch).readers {
		r.pace.Awake = true
		if err := unix.SetsockoptTimeval(r.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 3600}); err != nil {
			t.Fatal(err)
		}
	}
	run(t, l)
	return l
}

// A stop-the-world needs every P. Readers that wait in the kernel hold theirs; the collection below ends only if the
// runtime gets them out of there. Nothing is measured: a reader that does not let go hangs the test.
func TestStopTheWorldWithBlockedReaders(t *testing.T) {
	l := awake(t, 2)
	for range 8 { // different ports, so that both readers have been in the kernel
		exchange(t, "udp", l.Address(), "hit.example.", dns.TypeA)
	}
	for range 20 {
		runtime.GC()
	}
	exchange(t, "udp", l.Address(), "hit.example.", dns.TypeA)
}

// The same under load: packets are answered and collections end, while both go on.
func TestCollectionsUnderLoad(t *testing.T) {
	l := serve(t, Options{Answerer: newScripted(), engine: onlyBatch, Readers: 2})
	var asked sync.WaitGroup
	var collected atomic.Bool
	for range 2 {
		asked.Go(func() {
			for !collected.Load() {
				exchange(t, "udp", l.Address(), "hit.example.", dns.TypeA)
			}
		})
	}
	for range 20 {
		runtime.GC()
	}
	collected.Store(true)
	asked.Wait()
}

// BenchmarkPause tells how long forced collections stop the world, with readers that wait in the kernel.
func BenchmarkPause(b *testing.B) {
	awake(b, 2)
	for b.Loop() {
		runtime.GC()
	}
	var stats debug.GCStats
	debug.ReadGCStats(&stats)
	pauses := stats.Pause[:min(b.N, len(stats.Pause))]
	slices.Sort(pauses)
	b.ReportMetric(float64(pauses[len(pauses)/2].Microseconds()), "us-p50")
	b.ReportMetric(float64(pauses[len(pauses)-1].Microseconds()), "us-max")
}

func TestFallback(t *testing.T) {
	t.Setenv("GODEBUG", os.Getenv("GODEBUG")+",asyncpreemptoff=1")
	l := serve(t, Options{Answerer: newScripted()})
	if got := l.engine.String(); got != "portable" {
		t.Errorf("without asynchronous preemption the engine is %s", got)
	}
	exchange(t, "udp", l.Address(), "hit.example.", dns.TypeA)
	if l, err := Open(Options{Address: netip.MustParseAddrPort("127.0.0.1:0"), Answerer: newScripted(),
		engine: onlyBatch}); err == nil {
		l.Close()
		t.Error("the batch engine was opened without asynchronous preemption")
	}
}

// Readers go to sleep and wake up again whatever the rate.
func TestReaderParksAndWakes(t *testing.T) {
	l := serve(t, Options{Answerer: newScripted(), engine: onlyBatch, Readers: 1})
	for _, burst := range []int{1, 50, 1, 50} {
		for range burst {
			exchange(t, "udp", l.Address(), "hit.example.", dns.TypeA)
		}
		time.Sleep(3 * datagram.IdleTime)
	}
}

// What the kernel drops is counted.
func TestKernelDrops(t *testing.T) {
	l, err := Open(Options{Address: netip.MustParseAddrPort("127.0.0.1:0"), Answerer: newScripted(), Blocks: testBlocks,
		Readers: 1, Buffer: 4096})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // never run, so that the buffer fills
	conn, err := net.Dial("udp", l.Address().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	packet, _ := new(dns.Msg).SetQuestion("hit.example.", dns.TypeA).Pack()
	for range 100 {
		conn.Write(packet)
	}
	state := l.engine.sockets()
	if len(state) != 1 || state[0].drops == 0 || state[0].drops >= 100 {
		t.Errorf("sockets %+v after 100 packets for a small buffer", state)
	}
	l.Close()
	if state := l.engine.sockets(); state != nil {
		t.Errorf("a closed engine tells of sockets: %v", state)
	}
}

// Many clients at once over both engines: every query is answered, each by its own reply.
func TestManyClients(t *testing.T) {
	engines(t, func(t *testing.T, engine preference) {
		l := serve(t, Options{Answerer: newScripted(), engine: engine, Readers: 2})
		var clients sync.WaitGroup
		for i := range 8 {
			clients.Go(func() {
				conn, err := dns.Dial("udp", l.Address().String())
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(10 * time.Second))
				waiting := map[string]bool{}
				for j := range 64 {
					name := fmt.Sprintf("%s.n%d.c%d.", []string{"hit", "miss"}[j%2], j, i)
					waiting[name] = true
					conn.WriteMsg(new(dns.Msg).SetQuestion(name, dns.TypeA))
				}
				for len(waiting) > 0 {
					reply, err := conn.ReadMsg()
					if err != nil || !waiting[reply.Question[0].Name] {
						t.Errorf("%v %v, waiting for %d", reply, err, len(waiting))
						return
					}
					delete(waiting, reply.Question[0].Name)
				}
			})
		}
		clients.Wait()
	})
}

// A panic in a reader, outside of a query, is counted; the reader goes on.
func TestReaderSurvives(t *testing.T) {
	l := serve(t, Options{Answerer: newScripted(), engine: onlyPortable})
	r := newReader(new(atomic.Bool), -1, nil, l.Address().Addr())
	r.worker = newWorker(l, &r.tally, nil, nil)
	r.serve(batchSize + 1) // there is no slot for the last one
	if n := l.panics.Total(); n != 1 {
		t.Errorf("%d panics", n)
	}
}
