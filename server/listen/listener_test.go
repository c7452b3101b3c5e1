package listen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/logs"
	"github.com/clusterdns/clusterdns/testdata/programs"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// TestMain gives readers their processors, as the program does, and looks for goroutines that outlive their Run.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(8)
	goleak.VerifyTestMain(m)
}

// scripted answers by the first label of the qname: miss waits for upstream, hold too, until release is closed, drop is
// not answered, panic panics, and upset does so while it waits for upstream; zone is transferred, in one message, after
// release is closed, and all others have the address 192.0.2.1.
type scripted struct {
	release chan struct{}
	holding atomic.Int64
	waits   sync.Map // from *resolver.Wait to asked
	further int      // messages of a zone besides the first
	address [4]byte
	outside int    // the Zone of names that are not in example.
	second  []byte // the reply that Wait gives at once to a query that waits twice
}

func newScripted() *scripted {
	return &scripted{release: make(chan struct{}), address: [4]byte{192, 0, 2, 1}}
}

func (s *scripted) Answer(r *resolver.Request, packet, buf []byte) ([]byte, resolver.Result) {
	if r.Query.Parse(packet) != wire.Valid {
		return new(resolver.Resolver).Answer(r, packet, buf)
	}
	switch string(r.Query.Label(0)) {
	case "miss", "hold", "upset", "twice":
		return nil, resolver.Pending
	case "zone":
		r.Block, r.Zone = 0, s.zone(r)
		return nil, resolver.Transfer
	case "drop":
		r.Block, r.Zone = 0, s.zone(r)
		return nil, resolver.Drop
	case "panic":
		panic("scripted")
	}
	r.Block, r.Zone, r.Source = 0, s.zone(r), resolver.FromKubernetes
	return s.reply(r, buf), resolver.Send
}

func (s *scripted) zone(r *resolver.Request) int {
	if string(r.Query.Label(r.Query.Labels()-1)) == "example" {
		return 0
	}
	return s.outside
}

func (s *scripted) SendZone(r *resolver.Request, buf []byte, send func([]byte) error) error {
	s.holding.Add(1)
	<-s.release
	for range s.further {
		if err := send(s.reply(r, buf)); err != nil {
			return err
		}
	}
	return send(s.reply(r, buf))
}

// asked is what Resume needs of a request.
type asked struct {
	packet []byte
	client netip.AddrPort
	local  netip.Addr
	proto  resolver.Proto
	now    time.Time
}

func (s *scripted) Wait(r *resolver.Request, wait *resolver.Wait, waker resolver.Waker) ([]byte, resolver.Result) {
	if s.second != nil && string(r.Query.Label(0)) == "twice" {
		return s.second, resolver.Send
	}
	s.waits.Store(wait, asked{bytes.Clone(r.Query.Packet), r.Client, r.Local, r.Proto, r.Now})
	wake := func() {
		if wait.Interrupt() {
			waker.Wake(nil)
		}
	}
	if string(r.Query.Label(0)) != "hold" {
		go wake()
		return nil, resolver.Pending
	}
	s.holding.Add(1)
	go func() {
		<-s.release
		wake()
	}()
	return nil, resolver.Pending
}

func (s *scripted) Resume(r *resolver.Request, wait *resolver.Wait, buf []byte) ([]byte, resolver.Result) {
	value, _ := s.waits.LoadAndDelete(wait)
	a := value.(asked)
	r.Query.Parse(a.packet)
	r.Client, r.Local, r.Proto, r.Now = a.client, a.local, a.proto, a.now
	if string(r.Query.Label(0)) == "upset" {
		panic("scripted")
	}
	r.Block, r.Zone, r.Source = 0, s.zone(r), resolver.FromForward
	reply := s.reply(r, buf)
	if string(r.Query.Label(0)) == "twice" {
		s.second = reply
		return nil, resolver.Pending
	}
	return reply, resolver.Send
}

func (s *scripted) reply(r *resolver.Request, buf []byte) []byte {
	limit := wire.MaxMessage
	if r.Proto == resolver.UDP {
		limit = int(min(r.Query.UDPSize, 1232))
	}
	r.Reply.Start(&r.Query, buf, limit, 1232)
	r.Reply.SetFlags(wire.FlagAA)
	count := 1
	if string(r.Query.Label(0)) == "many" {
		count = 1000
	}
	for range count {
		if r.Query.Type == wire.TypeA {
			r.Reply.AddRecord(wire.AtQName, wire.TypeA, 5, string(s.address[:]))
		}
	}
	return r.Reply.Finish()
}

var testBlocks = []Block{{Zones: []string{"."}, Metrics: true}}

// serve runs a listener for the length of the test.
func serve(t testing.TB, o Options) *Listener {
	t.Helper()
	if !o.Address.IsValid() {
		o.Address = netip.MustParseAddrPort("127.0.0.1:0")
	}
	if o.Blocks == nil {
		o.Blocks = testBlocks
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	run(t, l)
	return l
}

// run runs l for the length of the test.
func run(t testing.TB, l *Listener) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// freeAt is an address with a port that nobody else takes, neither before it is listened at nor afterwards.
func freeAt(t testing.TB, address string) netip.AddrPort {
	t.Helper()
	return netip.MustParseAddrPort(net.JoinHostPort(address, programs.Free(t)))
}

func exchange(t testing.TB, network string, to netip.AddrPort, name string, qtype uint16) *dns.Msg {
	t.Helper()
	client := dns.Client{Net: network, Timeout: 10 * time.Second}
	reply, _, err := client.Exchange(new(dns.Msg).SetQuestion(name, qtype), to.String())
	if err != nil {
		t.Fatalf("%s over %s: %v", name, network, err)
	}
	return reply
}

// until waits for what another goroutine is about to do.
func until(t testing.TB, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("still waiting after a minute")
		}
	}
}

// engines runs a test with each engine that this machine has.
func engines(t *testing.T, test func(t *testing.T, engine preference)) {
	if runtime.GOOS == "linux" {
		t.Run("batch", func(t *testing.T) { test(t, onlyBatch) })
	}
	t.Run("portable", func(t *testing.T) { test(t, onlyPortable) })
}

func TestAnswers(t *testing.T) {
	engines(t, func(t *testing.T, engine preference) {
		l := serve(t, Options{Answerer: newScripted(), engine: engine})
		for _, network := range []string{"udp", "tcp"} {
			for _, name := range []string{"hit.example.", "miss.example.", "HiT.eXample."} {
				reply := exchange(t, network, l.Address(), name, dns.TypeA)
				if len(reply.Answer) != 1 || reply.Answer[0].(*dns.A).A.String() != "192.0.2.1" || reply.Question[0].Name != name {
					t.Errorf("%s over %s: %v", name, network, reply)
				}
			}
			for _, name := range []string{"panic.example.", "upset.example."} {
				if reply := exchange(t, network, l.Address(), name, dns.TypeA); reply.Rcode != dns.RcodeServerFailure {
					t.Errorf("%s over %s: %v", name, network, reply)
				}
			}
			reply := exchange(t, network, l.Address(), "many.example.", dns.TypeA)
			if want := network == "udp"; reply.Truncated != want {
				t.Errorf("1000 records over %s: TC is %v", network, reply.Truncated)
			}
		}
		if n := l.panics.Total(); n != 4 {
			t.Errorf("%d panics counted, want 4", n)
		}
	})
}

// TestCrash: where a block wants it, a panic ends the process, with its stack, although a flight recovers from what those
// panic with that it wakes.
func TestCrash(t *testing.T) {
	const inside = "CLUSTERDNS_TEST_INSIDE"
	if os.Getenv(inside) != "" {
		defer os.Exit(0)
		defer func() { recover() }()
		(&worker{serving: &serving{crash: true}}).recovered("scripted", nil)
	}
	command := exec.Command(os.Args[0], "-test.run=^TestCrash$")
	command.Env = append(os.Environ(), inside+"=1")
	out, err := command.CombinedOutput()
	if failed := (*exec.ExitError)(nil); !errors.As(err, &failed) {
		t.Fatalf("it ends with %v:\n%s", err, out)
	}
	for _, text := range []string{"panic: scripted\n", "listen.TestCrash("} {
		if !bytes.Contains(out, []byte(text)) {
			t.Errorf("without %q:\n%s", text, out)
		}
	}
}

// Packets that are no valid queries: a reply where the header can be trusted, else silence.
func TestMalformed(t *testing.T) {
	engines(t, func(t *testing.T, engine preference) {
		l := serve(t, Options{Answerer: newScripted(), engine: engine})
		conn, err := net.Dial("udp", l.Address().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		valid, _ := new(dns.Msg).SetQuestion("last.example.", dns.TypeA).Pack()
		cut := new(dns.Msg).SetQuestion("last.example.", dns.TypeA).SetEdns0(4096, false) // by the buffer, in its OPT
		cut.IsEdns0().Option = append(cut.IsEdns0().Option, &dns.EDNS0_PADDING{Padding: make([]byte, 5000)})
		long, _ := cut.Pack()
		response := append([]byte{}, valid...)
		response[2] |= 0x80
		notify := append([]byte{}, valid...)
		notify[2] = 4 << 3
		for _, packet := range [][]byte{{}, {1, 2, 3}, response, long, notify, valid} {
			conn.Write(packet)
		}
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		counts := map[int]int{}
		for range 3 { // the two refusals and the last; they may overtake each other
			var buf [512]byte
			n, err := conn.Read(buf[:])
			if err != nil {
				t.Fatal(err)
			}
			var reply dns.Msg
			if err := reply.Unpack(buf[:n]); err != nil {
				t.Fatal(err)
			}
			counts[reply.Rcode]++
		}
		if counts[dns.RcodeFormatError] != 1 || counts[dns.RcodeNotImplemented] != 1 || counts[dns.RcodeSuccess] != 1 {
			t.Errorf("rcodes %v", counts)
		}
	})
}

// The bound of queries that wait for upstream: what is over it is answered SERVFAIL at once, and hits go on.
func TestPendingBounded(t *testing.T) {
	engines(t, func(t *testing.T, engine preference) {
		s := newScripted()
		l := serve(t, Options{Answerer: s, engine: engine, Pending: 2, Readers: 1})
		conn, err := dns.Dial("udp", l.Address().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		for range 3 {
			conn.WriteMsg(new(dns.Msg).SetQuestion("hold.example.", dns.TypeA))
		}
		reply, err := conn.ReadMsg()
		if err != nil || reply.Rcode != dns.RcodeServerFailure {
			t.Fatalf("third: %v %v", reply, err)
		}
		if _, n := l.pending.count(resolver.UDP); n != 1 {
			t.Errorf("%d refused, want 1", n)
		}
		exchange(t, "udp", l.Address(), "hit.example.", dns.TypeA)
		close(s.release)
		for range 2 {
			if reply, err := conn.ReadMsg(); err != nil || len(reply.Answer) != 1 {
				t.Fatalf("released: %v %v", reply, err)
			}
		}
	})
}

// hold runs a listener until end is called, with a query over each transport that waits for upstream, from a client of
// IPv4. done is closed when Run has returned.
func hold(t *testing.T, s *scripted, o Options) (l *Listener, conns []*dns.Conn, end func(), done chan struct{}) {
	o.Answerer, o.Blocks = s, testBlocks
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	done = make(chan struct{})
	go func() { l.Run(ctx); close(done) }()
	for _, network := range []string{"udp", "tcp"} {
		conn, err := dns.Dial(network, fmt.Sprintf("127.0.0.1:%d", l.Address().Port()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		conn.WriteMsg(new(dns.Msg).SetQuestion("hold.example.", dns.TypeA))
		conns = append(conns, conn)
	}
	until(t, func() bool { return s.holding.Load() == 2 })
	return l, conns, end, done
}

// What waits for upstream at the end of Run is answered, while nothing new is taken.
func TestDrain(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "0.0.0.0", "::"} {
		t.Run(address, func(t *testing.T) { testDrain(t, address) })
	}
}

func testDrain(t *testing.T, address string) {
	engines(t, func(t *testing.T, engine preference) {
		s := newScripted()
		l, conns, end, done := hold(t, s, Options{Address: freeAt(t, address), engine: engine})
		idle := dialTCP(t, l)
		until(t, func() bool { return l.streams.open.Counts().Open == 2 })
		end()
		if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("an idle connection is not closed: %v", err)
		}
		until(t, func() bool {
			conn, err := net.Dial("tcp", l.Address().String())
			if err == nil {
				conn.Close()
			}
			return err != nil
		})
		close(s.release)
		for _, conn := range conns {
			if reply, err := conn.ReadMsg(); err != nil || reply.Question[0].Name != "hold.example." || len(reply.Answer) != 1 {
				t.Errorf("%s: %v %v", conn.LocalAddr().Network(), reply, err)
			}
		}
		<-done
	})
}

// Run ends while queries wait for upstream for too long, and leaves nothing behind (goleak).
func TestRunEndsWithPendingQueries(t *testing.T) {
	engines(t, func(t *testing.T, engine preference) {
		s := newScripted()
		l, _, end, done := hold(t, s, Options{Address: freeAt(t, "127.0.0.1"), engine: engine, Drain: time.Millisecond})
		end()
		<-done
		again, err := Open(Options{Address: l.Address(), Answerer: s, Blocks: testBlocks, engine: engine})
		if err != nil {
			t.Fatalf("the address was not given back: %v", err)
		}
		again.Close()
		close(s.release)
	})
}

func TestSecondInstanceIsRefused(t *testing.T) {
	engines(t, func(t *testing.T, engine preference) {
		l := serve(t, Options{Answerer: newScripted(), engine: engine})
		other, err := Open(Options{Address: l.Address(), Answerer: newScripted()})
		if err == nil {
			other.Close()
			t.Fatal("two listeners share an address")
		}
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "another") {
			t.Errorf("error %q does not say what is wrong", err)
		}
	})
}

// Only UDP is taken, by a socket that would share: still refused.
func TestSharedUDPPortIsRefused(t *testing.T) {
	l := serve(t, Options{Answerer: newScripted()})
	l.streams.listener.Close()
	if other, err := Open(Options{Address: l.Address(), Answerer: newScripted()}); err == nil {
		other.Close()
		t.Fatal("two listeners share a UDP port")
	}
}

// On a wildcard address, replies leave from the address that was asked, for clients of both families.
func TestReplySource(t *testing.T) {
	engines(t, func(t *testing.T, engine preference) {
		for _, test := range []struct{ listen, ask string }{
			{"[::]:0", "127.0.0.2"}, {"[::]:0", "127.0.0.1"}, {"[::]:0", "::1"}, {"0.0.0.0:0", "127.0.0.2"},
			{"127.0.0.2:0", "127.0.0.2"}, {"[::1]:0", "::1"},
		} {
			if !isLocal(test.ask) {
				continue // 127.0.0.2 is an address of Linux only, and a machine may be without IPv6
			}
			l := serve(t, Options{Answerer: newScripted(), engine: engine, Address: netip.MustParseAddrPort(test.listen)})
			to := netip.AddrPortFrom(netip.MustParseAddr(test.ask), l.Address().Port())
			for _, name := range []string{"hit.example.", "miss.example."} {
				askFrom(t, to, name)
			}
		}
	})
}

// isLocal reports whether a socket can be bound to the address.
func isLocal(address string) bool {
	conn, err := net.ListenPacket("udp", net.JoinHostPort(address, "0"))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// askFrom asks from an unconnected socket, which takes replies from anywhere, and checks where the reply came from.
func askFrom(t *testing.T, to netip.AddrPort, name string) {
	t.Helper()
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	packet, _ := new(dns.Msg).SetQuestion(name, dns.TypeA).Pack()
	if _, err := conn.WriteToUDPAddrPort(packet, to); err != nil {
		t.Fatal(err)
	}
	var buf [512]byte
	_, from, err := conn.ReadFromUDPAddrPort(buf[:])
	if err != nil {
		t.Fatalf("%s at %s: %v", name, to, err)
	}
	if unmap(from) != to {
		t.Errorf("%s: asked %s, answered by %s", name, to, from)
	}
}

func TestSetResolver(t *testing.T) {
	engines(t, func(t *testing.T, engine preference) {
		l := serve(t, Options{Answerer: newScripted(), engine: engine})
		exchange(t, "udp", l.Address(), "hit.example.", dns.TypeA)
		second := newScripted()
		second.address = [4]byte{192, 0, 2, 2}
		l.SetResolver(second, []Block{{Zones: []string{"example.", "."}, Metrics: true, Log: []logs.Log{}}})
		for _, network := range []string{"udp", "tcp"} {
			reply := exchange(t, network, l.Address(), "hit.example.", dns.TypeA)
			if got := reply.Answer[0].(*dns.A).A.String(); got != "192.0.2.2" {
				t.Errorf("answered by the old resolver: %s", got)
			}
		}
		want := []zoneLabels{{zone: dropped}, {zone: "."}, {zone: "example."}}
		if got := l.zones.bySlot(); !slices.Equal(got, want) {
			t.Errorf("zones with counters: %v", got)
		}
	})
}

// The old resolver is done with when the queries that wait in it are answered, over UDP and TCP, and not before.
func TestSettle(t *testing.T) {
	engines(t, func(t *testing.T, engine preference) {
		for _, network := range []string{"udp", "tcp"} {
			s := newScripted()
			l := serve(t, Options{Answerer: s, engine: engine})
			held := make(chan error, 1)
			go func() {
				m := new(dns.Msg).SetQuestion("hold.example.", dns.TypeA)
				_, _, err := (&dns.Client{Net: network, Timeout: 10 * time.Second}).Exchange(m, l.Address().String())
				held <- err
			}()
			until(t, func() bool { return s.holding.Load() == 1 })
			settled := make(chan struct{})
			settle, unused := l.SetResolver(newScripted(), testBlocks), l.SetResolver(newScripted(), testBlocks)
			go func() { settle(); close(settled) }()
			unused()
			select {
			case <-settled:
				t.Error("a query still waits")
			default:
			}
			close(s.release)
			<-settled
			if err := <-held; err != nil {
				t.Error(err)
			}
		}
	})
}

// The function that each packet goes through costs no allocation, with counters and the query log on.
func TestServeAllocatesNothing(t *testing.T) {
	l, err := Open(Options{Address: netip.MustParseAddrPort("127.0.0.1:0"), Answerer: newScripted(),
		Log: logs.NewQueryLog(nil),
		Blocks: []Block{{Zones: []string{"cluster.local.", "."}, Metrics: true, Log: []logs.Log{{Zone: ".",
			Format: logs.CommonLog, Classes: logs.AllClasses}}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := newWorker(l, &tally{}, l.options.Log.Buffer(), nil)
	packet, _ := new(dns.Msg).SetQuestion("a.cluster.local.", dns.TypeA).SetEdns0(1232, false).Pack()
	buf := make([]byte, 0, replySize)
	client := netip.MustParseAddrPort("127.0.0.1:4242")
	n := testing.AllocsPerRun(2000, func() {
		w.begin(time.Now(), resolver.UDP)
		if reply, result := w.serve(packet, buf, client, client.Addr()); result != resolver.Send || len(reply) < 50 {
			t.Fatal("no reply")
		}
		w.end(time.Now())
	})
	if n != 0 {
		t.Errorf("%v allocations for each query", n)
	}
}

// BenchmarkServe is the share of a query's cost that is neither the kernel's nor the resolver's.
func BenchmarkServe(b *testing.B) {
	l, err := Open(Options{Address: netip.MustParseAddrPort("127.0.0.1:0"), Answerer: newScripted(), Blocks: testBlocks})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	w := newWorker(l, &tally{}, nil, nil)
	packet, _ := new(dns.Msg).SetQuestion("a.cluster.local.", dns.TypeA).SetEdns0(1232, false).Pack()
	buf := make([]byte, 0, replySize)
	client := netip.MustParseAddrPort("127.0.0.1:4242")
	b.ReportAllocs()
	for b.Loop() {
		w.begin(time.Now(), resolver.UDP)
		w.serve(packet, buf, client, client.Addr())
		w.end(time.Now())
	}
}

// TestStacktrace: a panic is logged in CoreDNS's words, and with its stack where a block wants that.
func TestStacktrace(t *testing.T) {
	for _, traced := range []bool{false, true} {
		out := &lines{}
		logger := slog.New(logs.NewHandler(out, slog.LevelError))
		l := serve(t, Options{Answerer: newScripted(), Logger: logger, Blocks: []Block{{Zones: []string{"."}}, {Traced: traced}}})
		exchange(t, "udp", l.Address(), "panic.example.", dns.TypeA)
		text := strings.Join(out.all(), "")
		if want := fmt.Sprintf("[ERROR] Recovered from panic in server: %q scripted\n", l.Label()); !strings.HasPrefix(text, want) ||
			strings.Contains(text, "listener_test.go") != traced {
			t.Errorf("traced %v: got %q, want %q first", traced, text, want)
		}
	}
}
