package datagram

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// question is that of the n-th name.
func question(n int) []byte {
	name := []byte{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 1, 0, 1}
	for i := range 4 {
		name[13+i] = 'a' + byte(n>>(4*i)&15)
	}
	return name
}

// asker keeps what it is told.
type asker struct {
	query Query
	told  chan error
	reply []byte
}

func newAsker() *asker { return &asker{told: make(chan error, 1)} }

func (a *asker) Again(id uint16) []byte {
	packet := question(0)
	binary.BigEndian.PutUint16(packet, id)
	return packet
}

func (a *asker) Reply(reply []byte, _ bool, _ *Cycle) {
	a.reply = append(a.reply, reply...)
	a.told <- nil
}

func (a *asker) Fail(err error) { a.told <- err }

func (a *asker) ask(t *testing.T, e *Engine, p *Peer, n int, timeout time.Duration) {
	t.Helper()
	packet := question(n)
	if got, _ := e.Ask(&a.query, a, p, Asked{Packet: packet, Now: time.Now(), End: timeout}); got != Waits {
		t.Fatalf("outcome %d", got)
	}
}

// server is an upstream that does what handle says with each query; from are the ports that they come from.
type server struct {
	*net.UDPConn
	mu   sync.Mutex
	from map[uint16]int
}

func serve(t *testing.T, handle func(s *server, query []byte, from netip.AddrPort)) (*server, *Peer) {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadBuffer(4 << 20)
	s := &server{UDPConn: conn, from: map[uint16]int{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buf := make([]byte, 512); ; {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.from[from.Port()]++
			s.mu.Unlock()
			handle(s, buf[:n], from)
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return s, &Peer{Address: netip.MustParseAddrPort(conn.LocalAddr().String())}
}

func started(t *testing.T) *Engine {
	e := new(Engine)
	e.Start(slog.New(slog.DiscardHandler))
	t.Cleanup(e.Stop)
	return e
}

func echo(s *server, query []byte, from netip.AddrPort) {
	query[2] |= 0x80
	s.WriteToUDPAddrPort(query, from)
}

// TestManyAtOnce: a thousand queries that wait have no goroutine each, and few sockets, none of which has taken more
// than it may; each gets its own reply. When nothing is asked any more, the sockets are closed.
func TestManyAtOnce(t *testing.T) {
	const many = 1000
	type held struct {
		query []byte
		from  netip.AddrPort
	}
	var mu sync.Mutex
	var all []held
	s, p := serve(t, func(s *server, query []byte, from netip.AddrPort) {
		mu.Lock()
		defer mu.Unlock()
		if all = append(all, held{append([]byte(nil), query...), from}); len(all) == many {
			for _, h := range all {
				echo(s, h.query, h.from)
			}
		}
	})
	e := started(t)
	newAsker().ask(t, e, p, many, time.Minute)
	before := runtime.NumGoroutine()
	var out Outbox
	askers := make([]*asker, many-1)
	for i := range askers {
		askers[i] = newAsker()
		packet := question(i)
		e.Ask(&askers[i].query, askers[i], p, Asked{Packet: packet, Now: time.Now(), End: time.Minute, Out: &out})
		if i%32 == 31 {
			out.Flush()
		}
	}
	if n := runtime.NumGoroutine(); n > before+2 {
		t.Errorf("%d goroutines more", n-before)
	}
	if n := e.Open(p); n < poolSize/2 || n > poolSize+many/socketUses {
		t.Errorf("%d sockets", n)
	}
	out.Flush()
	for i, a := range askers {
		if err := <-a.told; err != nil || string(a.reply[12:]) != string(question(i)[12:]) {
			t.Fatalf("query %d: %v, %q", i, err, a.reply)
		}
	}
	s.mu.Lock()
	for port, n := range s.from {
		if n > socketUses {
			t.Errorf("port %d was used %d times", port, n)
		}
	}
	s.mu.Unlock()
	for e.Open(p) > 0 {
		time.Sleep(tick)
	}
}

// TestWhoIsBelieved: replies with another ID or question, or from another port, answer nothing; too many of them give
// the socket up, with its queries.
func TestWhoIsBelieved(t *testing.T) {
	other, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var flood atomic.Bool
	_, p := serve(t, func(s *server, query []byte, from netip.AddrPort) {
		query[2] |= 0x80
		other.WriteToUDPAddrPort(query, from)
		for range MostMismatches - 2 {
			query[0]++
			s.WriteToUDPAddrPort(query, from)
			query[0]--
			if !flood.Load() {
				break
			}
		}
		query[13]++
		s.WriteToUDPAddrPort(query, from)
		query[13]--
		s.WriteToUDPAddrPort(query[:3], from)
		s.WriteToUDPAddrPort(query, from)
	})
	e := started(t)
	a := newAsker()
	a.ask(t, e, p, 5, time.Minute)
	if err := <-a.told; err != nil || string(a.reply[12:]) != string(question(5)[12:]) {
		t.Errorf("%v, %q", err, a.reply)
	}
	if n := p.Mismatches.Load(); n != 3 {
		t.Errorf("%d mismatches", n)
	}
	flood.Store(true)
	e.Close(p)
	a = newAsker()
	a.ask(t, e, p, 6, time.Minute)
	if err := <-a.told; !errors.Is(err, ErrSpoofed) {
		t.Errorf("a flood ends with %v", err)
	}
}

// TestLateRepliesAreNoForgeries: what comes when the query is over is passed over.
func TestLateRepliesAreNoForgeries(t *testing.T) {
	release := make(chan struct{})
	_, p := serve(t, func(s *server, query []byte, from netip.AddrPort) {
		<-release
		echo(s, query, from)
	})
	e := started(t)
	a := newAsker()
	a.ask(t, e, p, 1, tick)
	if err := <-a.told; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
	close(release)
	b := newAsker()
	b.ask(t, e, p, 2, time.Minute)
	if err := <-b.told; err != nil || p.Mismatches.Load() != 0 {
		t.Errorf("%v, %d mismatches", err, p.Mismatches.Load())
	}
}

// TestRefused: queries to a closed port fail at once, and those to others go on.
func TestRefused(t *testing.T) {
	_, good := serve(t, echo)
	gone, closed := serve(t, echo)
	gone.Close()
	e := started(t)
	for range 50 {
		a, b := newAsker(), newAsker()
		a.ask(t, e, closed, 1, time.Minute)
		b.ask(t, e, good, 2, time.Minute)
		if err := <-a.told; !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal(err)
		}
		if err := <-b.told; err != nil {
			t.Fatal(err)
		}
	}
}

// TestCancel: a query that is taken back is told nothing, now and later.
func TestCancel(t *testing.T) {
	_, p := serve(t, func(*server, []byte, netip.AddrPort) {})
	e := started(t)
	a := newAsker()
	a.ask(t, e, p, 1, time.Minute)
	if !e.Cancel(&a.query) || e.Cancel(&a.query) {
		t.Error("it waits once")
	}
	if got, _ := e.Ask(&a.query, a, p, Asked{Packet: question(1), Now: time.Now(), End: time.Minute}); got != Cancelled {
		t.Errorf("outcome %d", got)
	}
	if len(a.told) > 0 {
		t.Error("it is told")
	}
}

// TestStop: what waits when the last user goes is told, and nothing is asked after that.
func TestStop(t *testing.T) {
	_, p := serve(t, func(*server, []byte, netip.AddrPort) {})
	e := new(Engine)
	e.Start(slog.New(slog.DiscardHandler))
	a := newAsker()
	a.ask(t, e, p, 1, time.Minute)
	e.Stop()
	if err := <-a.told; !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if got, _ := e.Ask(&a.query, a, p, Asked{Packet: question(1), Now: time.Now(), End: time.Minute}); got != Unable {
		t.Errorf("outcome %d", got)
	}
	if n := e.Open(p); n != 0 {
		t.Errorf("%d sockets", n)
	}
}

// TestRefusalThatSendTook: the kernel hands the pending error of a socket out once, perhaps to a send that says nothing of
// it. The queries that wait are told all the same, and the receiver does not go on being woken.
func TestRefusalThatSendTook(t *testing.T) {
	gone, p := serve(t, echo)
	gone.Close()
	e := started(t)
	e.mu.Lock()
	s, _ := e.choose(p, time.Now())
	for i := range p.pool {
		p.pool[i] = s
	}
	e.mu.Unlock()
	a, out := newAsker(), new(Outbox)
	e.Ask(&a.query, a, p, Asked{Packet: question(1), Now: time.Now(), End: time.Minute, Out: out})
	e.mu.Lock() // so that the receiver sees what comes from here on only afterwards
	unix.Write(s.fd, question(1))
	unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	e.mu.Unlock()
	if err := <-a.told; !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("told %v", err)
	}
}

// panicking panics when it is given a reply.
type panicking struct{ *asker }

func (panicking) Reply([]byte, bool, *Cycle) { panic("scripted") }

// TestPanicWhileSending: who panics when he is told where his query leaves from does not stop the engine.
func TestPanicWhileSending(t *testing.T) {
	_, p := serve(t, echo)
	e, a := started(t), newAsker()
	sent := func(netip.AddrPort) { panic("scripted") }
	e.Ask(&a.query, a, p, Asked{Packet: question(1), Now: time.Now(), End: time.Minute, Sent: sent})
	if err := <-a.told; err != nil || e.Panics.Total() != 1 {
		t.Errorf("%v, %d panics", err, e.Panics.Total())
	}
}

// TestPanicCostsOne: the other replies of a cycle are told.
func TestPanicCostsOne(t *testing.T) {
	_, p := serve(t, echo)
	e, out := started(t), new(Outbox)
	var well []*asker
	for i := range 32 {
		a := newAsker()
		asker := Asker(a)
		if i%2 == 0 {
			asker = panicking{a}
		} else {
			well = append(well, a)
		}
		e.Ask(&a.query, asker, p, Asked{Packet: question(i), Now: time.Now(), End: time.Minute, Out: out})
	}
	out.Flush()
	for _, a := range well {
		if err := <-a.told; err != nil {
			t.Error(err)
		}
	}
}

// slow takes its time with a failure.
type slow struct{ query Query }

func (s *slow) Again(uint16) []byte        { return nil }
func (s *slow) Reply([]byte, bool, *Cycle) {}
func (s *slow) Fail(error)                 { time.Sleep(100 * time.Microsecond) }

// TestStartWhileStopping: the next user may come, and its queries may fail, while Stop waits for those of the last one.
func TestStartWhileStopping(t *testing.T) {
	gone, closed := serve(t, echo)
	gone.Close()
	e := new(Engine)
	var users sync.WaitGroup
	for range 8 {
		users.Go(func() {
			for range 1000 {
				e.Start(slog.New(slog.DiscardHandler))
				for range 3 {
					s := new(slow)
					e.Ask(&s.query, s, closed, Asked{Packet: question(1), Now: time.Now(), End: time.Millisecond})
				}
				e.Stop()
			}
		})
	}
	users.Wait()
	if n := e.Open(closed); n != 0 {
		t.Errorf("%d sockets", n)
	}
}
