package listen

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/logs"
)

func dialTCP(t *testing.T, l *Listener) *dns.Conn {
	t.Helper()
	conn, err := dns.Dial("tcp", l.Address().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// framed packs queries with their lengths, ready for one write.
func framed(names ...string) []byte {
	var all []byte
	for i, name := range names {
		m := new(dns.Msg).SetQuestion(name, dns.TypeA)
		m.Id = uint16(i)
		packet, _ := m.Pack()
		all = append(binary.BigEndian.AppendUint16(all, uint16(len(packet))), packet...)
	}
	return all
}

// A query that is to wait again, and has an answer at once then, gives its place back: the connection ends with its client.
func TestSecondWaitEndsAtOnce(t *testing.T) {
	s := newScripted()
	l := serve(t, Options{Answerer: s})
	conn := dialTCP(t, l)
	conn.Conn.Write(framed("twice.example."))
	if _, err := conn.ReadMsg(); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	until(t, func() bool { return l.streams.open.Counts().Open == 0 })
	if waiting, _ := l.pending.count(resolver.TCP); waiting != 0 {
		t.Errorf("%d queries wait", waiting)
	}
}

// Several queries in one segment: each is answered, and one that waits for upstream does not hold up those behind it.
func TestPipelining(t *testing.T) {
	s := newScripted()
	l := serve(t, Options{Answerer: s})
	conn := dialTCP(t, l)
	conn.Conn.Write(framed("hold.example.", "a.example.", "miss.example.", "b.example."))
	var order []uint16
	for range 3 {
		reply, err := conn.ReadMsg()
		if err != nil {
			t.Fatal(err)
		}
		order = append(order, reply.Id)
	}
	slices.Sort(order)
	if !slices.Equal(order, []uint16{1, 2, 3}) {
		t.Errorf("replies %v came before the one that is held", order)
	}
	close(s.release)
	if reply, err := conn.ReadMsg(); err != nil || reply.Id != 0 {
		t.Errorf("released: %v %v", reply, err)
	}
}

// A query that a rule drops gets no reply and one line in the log; its connection goes on, unlike that of a client that
// sends what is no query.
func TestDroppedByRule(t *testing.T) {
	out := &lines{}
	l := serve(t, Options{Answerer: newScripted(), Log: logTo(t, out),
		Blocks: logBlocks(logs.Log{Zone: ".", Format: "{name} {rcode} {>rflags} {rsize}", Classes: logs.AllClasses})})
	conn := dialTCP(t, l)
	conn.Conn.Write(framed("drop.example.", "a.example."))
	if reply, err := conn.ReadMsg(); err != nil || reply.Id != 1 {
		t.Fatalf("behind a query that is dropped: %v %v", reply, err)
	}
	conn.Conn.Write(framed("b.example."))
	if _, err := conn.ReadMsg(); err != nil {
		t.Errorf("the connection ended: %v", err)
	}
	conn.Conn.Write([]byte{0, 1, 0})
	if _, err := conn.ReadMsg(); err == nil {
		t.Error("a connection goes on after what is no query")
	}
	until(t, func() bool { return len(out.all()) == 3 })
	if got := out.all()[0]; got != "[INFO] drop.example. - - 0\n" {
		t.Errorf("logged %q", got)
	}
}

// More queries that wait than a connection may have: they are all answered, in portions.
func TestPipelineIsBounded(t *testing.T) {
	s := newScripted()
	l := serve(t, Options{Answerer: s})
	conn := dialTCP(t, l)
	names := slices.Repeat([]string{"hold.example."}, 2*streamPipeline)
	conn.Conn.Write(framed(names...))
	until(t, func() bool { return s.holding.Load() >= streamPipeline })
	if n, _ := l.pending.count(resolver.TCP); n != streamPipeline {
		t.Errorf("%d queries of one connection wait, the bound is %d", n, streamPipeline)
	}
	close(s.release)
	for range names {
		if _, err := conn.ReadMsg(); err != nil {
			t.Fatal(err)
		}
	}
}

// A client that has said its last word, and shut down its side, still gets its answers.
func TestHalfClosed(t *testing.T) {
	s := newScripted()
	l := serve(t, Options{Answerer: s})
	conn := dialTCP(t, l)
	conn.Conn.Write(framed("hold.example."))
	conn.Conn.(*net.TCPConn).CloseWrite()
	until(t, func() bool { return s.holding.Load() == 1 })
	close(s.release)
	if reply, err := conn.ReadMsg(); err != nil || len(reply.Answer) != 1 {
		t.Errorf("%v %v", reply, err)
	}
}

// A client has ReadTimeout for its first query, and for the rest of one that has begun: octets that trickle in do not keep
// a connection open. Between queries it has IdleTimeout.
func TestTimeouts(t *testing.T) {
	for name, test := range map[string]struct {
		options Options
		asks    bool // before
		trickle bool
	}{
		"silent":                {Options{ReadTimeout: 100 * time.Millisecond, IdleTimeout: time.Hour}, false, false},
		"trickles":              {Options{ReadTimeout: 100 * time.Millisecond, IdleTimeout: time.Hour}, false, true},
		"trickles after others": {Options{ReadTimeout: time.Second, IdleTimeout: time.Hour}, true, true},
		"silent after others":   {Options{ReadTimeout: time.Hour, IdleTimeout: 100 * time.Millisecond}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			test.options.Answerer = newScripted()
			conn := dialTCP(t, serve(t, test.options))
			if test.asks {
				conn.Conn.Write(framed("hit.example."))
				if _, err := conn.ReadMsg(); err != nil {
					t.Fatal(err)
				}
			}
			if test.trickle {
				conn.Conn.Write([]byte{0x1f, 0xff}) // the length of a message that has room for all octets that come
			}
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				io.ReadAll(conn.Conn)
			}()
			for i := 0; ; i++ {
				select {
				case <-closed:
					return
				case <-time.After(30 * time.Millisecond):
				}
				if i == 300 {
					t.Fatal("the connection is still open")
				}
				if test.trickle {
					conn.Conn.Write([]byte{0})
				}
			}
		})
	}
}

// A connection that has asked as often as it may has all its answers, and then its end, also where it has asked more.
func TestQueriesOfAConnection(t *testing.T) {
	for _, scheme := range []resolver.Scheme{resolver.Do53, resolver.DoT} {
		options := Options{Answerer: newScripted(), Queries: 3}
		var l *Listener
		var conn net.Conn
		if scheme == resolver.DoT {
			l, _ = serveSecure(t, scheme, options)
			conn = dialTLS(t, l, &tls.Config{})
		} else {
			l = serve(t, options)
			conn = dialTCP(t, l).Conn
		}
		asked := framed("hit.example.", "miss.example.", "hit.example.", "hit.example.")
		conn.Write(append(asked, make([]byte, 32<<10)...)) // more than is read at a time
		replies := 0
		for read := (&dns.Conn{Conn: conn}); ; replies++ {
			if _, err := read.ReadMsg(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: after %d replies: %v", scheme, replies, err)
			}
		}
		if replies != 3 {
			t.Errorf("%s: %d replies", scheme, replies)
		}
		conn.Close()
		until(t, func() bool { return l.streams.open.Counts().Open == 0 })
	}
}

// When a client has all the places that it may have, its connection that has done nothing for longest makes room; when
// queries of all of them are under way, the new one is refused.
func TestStreamsBounded(t *testing.T) {
	s := newScripted()
	l := serve(t, Options{Answerer: s, Streams: 2 * streamsShare})
	ask := func(conn *dns.Conn) error {
		conn.Conn.Write(framed("hit.example."))
		_, err := conn.ReadMsg()
		return err
	}
	first, second := dialTCP(t, l), dialTCP(t, l)
	for _, conn := range []*dns.Conn{first, second, first} { // second is the one idle for longest
		if err := ask(conn); err != nil {
			t.Fatal(err)
		}
	}
	third := dialTCP(t, l)
	if err := ask(third); err != nil {
		t.Fatal(err)
	}
	if err := ask(second); err == nil {
		t.Error("the oldest idle connection was not closed")
	}
	if err := ask(first); err != nil {
		t.Errorf("the other was closed: %v", err)
	}
	for _, conn := range []*dns.Conn{first, third} {
		conn.Conn.Write(framed("hold.example."))
	}
	until(t, func() bool { return s.holding.Load() >= 2 })
	if err := ask(dialTCP(t, l)); err == nil {
		t.Error("a third connection was served while both places were busy")
	}
	close(s.release)
	if counts := l.streams.open.Counts(); counts.Evicted != 1 || counts.Refused != 1 || counts.Came != 4 {
		t.Errorf("counted %+v", counts)
	}
}

// A query larger than the buffer, a message that is none, and a connection that ends within one.
func TestFraming(t *testing.T) {
	l := serve(t, Options{Answerer: newScripted()})
	conn := dialTCP(t, l)
	long := new(dns.Msg).SetQuestion("long.example.", dns.TypeA).SetEdns0(4096, false)
	long.IsEdns0().Option = append(long.IsEdns0().Option, &dns.EDNS0_PADDING{Padding: make([]byte, 5000)})
	packet, _ := long.Pack()
	stream := append(framed("a.example."), binary.BigEndian.AppendUint16(nil, uint16(len(packet)))...)
	conn.Conn.Write(append(append(stream, packet...), framed("b.example.")...))
	for range 3 {
		if reply, err := conn.ReadMsg(); err != nil || len(reply.Answer) != 1 {
			t.Fatalf("%v %v", reply, err)
		}
	}
	for _, bad := range [][]byte{{0, 0}, {0, 5, 1, 2, 3, 4, 5}} {
		conn := dialTCP(t, l)
		conn.Conn.Write(bad)
		if rest, err := io.ReadAll(conn.Conn); err != nil || len(rest) > 0 {
			t.Errorf("% x was answered with % x, %v", bad, rest, err)
		}
	}
	tooLong := dialTCP(t, serve(t, Options{Answerer: newScripted(), IdleTimeout: time.Hour}))
	tooLong.Conn.Write(binary.BigEndian.AppendUint16(nil, longestQuery+1))
	if rest, err := io.ReadAll(tooLong.Conn); err != nil || len(rest) > 0 {
		t.Errorf("a query that is too long was answered with % x, %v", rest, err)
	}
	half := dialTCP(t, l)
	half.Conn.Write([]byte{0x1f, 0xff, 1})
	half.Conn.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(half.Conn); err != nil || len(rest) > 0 {
		t.Errorf("half a message was answered with % x, %v", rest, err)
	}
}

// Zone transfers to one client are bounded: those over it wait for their turn, with what the same client asked
// before answered.
func TestTransfersBounded(t *testing.T) {
	s := newScripted()
	l := serve(t, Options{Answerer: s})
	var conns []*dns.Conn
	for range transfersEach + 1 {
		conn := dialTCP(t, l)
		conn.Conn.Write(framed("hit.example.", "zone.example."))
		if _, err := conn.ReadMsg(); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	until(t, func() bool { return s.holding.Load() == transfersEach })
	exchange(t, "tcp", l.Address(), "hit.example.", dns.TypeA)
	if n := s.holding.Load(); n != transfersEach {
		t.Errorf("%d transfers are under way, the bound is %d", n, transfersEach)
	}
	close(s.release)
	for _, conn := range conns {
		if reply, err := conn.ReadMsg(); err != nil || reply.Question[0].Name != "zone.example." {
			t.Errorf("%v %v", reply, err)
		}
	}
}

// A client that asks and does not read loses its connection.
func TestWriteTimeout(t *testing.T) {
	l := serve(t, Options{Answerer: newScripted(), WriteTimeout: 50 * time.Millisecond})
	conn := dialTCP(t, l)
	conn.Conn.(*net.TCPConn).SetReadBuffer(4096)
	conn.Conn.Write(framed(slices.Repeat([]string{"many.example."}, 64)...))
	until(t, func() bool { c := l.streams.open.Counts(); return c.Came == 1 && c.Open == 0 })
}

// A connection need not be TCP: what it asks is answered, what waits for upstream too, and at the end it is closed
// although it cannot be shut down for reading alone.
func TestStreamOverAnyConnection(t *testing.T) {
	s := newScripted()
	l, err := Open(Options{Address: netip.MustParseAddrPort("127.0.0.1:0"), Answerer: s, Blocks: testBlocks,
		IdleTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.streams.late = t.Context()
	client, server := net.Pipe()
	client.SetDeadline(time.Now().Add(10 * time.Second))
	c := newStream(l.streams, server)
	l.streams.open.Take(&c.place, c.client.Addr(), c.end)
	l.streams.note(c)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.serve(ctx) }()
	conn := &dns.Conn{Conn: client}
	for _, name := range []string{"hit.example.", "miss.example."} {
		client.Write(framed(name))
		if reply, err := conn.ReadMsg(); err != nil || len(reply.Answer) != 1 {
			t.Errorf("%s: %v %v", name, reply, err)
		}
	}
	cancel()
	l.streams.each((*stream).closeRead)
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection did not end: %v", err)
	}
	<-done
}

// broken is a connection that panics when it is read.
type broken struct{ net.Conn }

func (broken) Read([]byte) (int, error) { panic("scripted") }

// A panic outside of a query costs its connection, and is counted.
func TestStreamSurvives(t *testing.T) {
	l, err := Open(Options{Address: netip.MustParseAddrPort("127.0.0.1:0"), Answerer: newScripted()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.streams.late = t.Context()
	client, server := net.Pipe()
	c := newStream(l.streams, broken{server})
	l.streams.open.Take(&c.place, c.client.Addr(), c.end)
	l.streams.note(c)
	c.serve(t.Context())
	if n := l.panics.Total(); n != 1 {
		t.Errorf("%d panics", n)
	}
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection is still open: %v", err)
	}
}

// Replies that become ready give no more time to a client that does not take the one before: the connection ends
// although there is always a fresh one.
func TestLateRepliesGiveNoTime(t *testing.T) {
	options := Options{WriteTimeout: 100 * time.Millisecond}
	s := &streams{l: &Listener{options: options.withDefaults()}, late: t.Context()}
	client, server := net.Pipe()
	defer client.Close()
	c := newStream(s, server)
	var writing sync.WaitGroup
	for i := 0; c.gone.Err() == nil; i++ {
		if i == 1000 {
			t.Error("the connection goes on")
			c.end()
		}
		writing.Go(func() {
			if err := c.write(framed("late.example.")); err == nil {
				t.Error("a reply was taken by nobody")
			}
		})
		time.Sleep(10 * time.Millisecond)
	}
	writing.Wait()
}
