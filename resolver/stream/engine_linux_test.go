package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/clusterdns/clusterdns/resolver/datagram"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asker keeps what it is told.
type asker struct {
	query Query
	told  chan error
	at    time.Time
	panic bool
	hold  chan struct{} // it holds up who tells it; nil for not at all
}

func newAsker() *asker { return &asker{told: make(chan error, 1)} }

func (a *asker) Reply([]byte, *datagram.Cycle) { a.tell(nil) }
func (a *asker) Fail(err error)                { a.tell(err) }

func (a *asker) tell(err error) {
	a.at = time.Now()
	a.told <- err
	if a.hold != nil {
		<-a.hold
	}
	if a.panic {
		panic("on purpose")
	}
}

// packet is a query for the n-th name, behind its length.
func packet(n int) []byte {
	name := []byte{0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 1, 0, 1}
	for i := range 4 {
		name[15+i] = 'a' + byte(n>>(4*i)&15)
	}
	return name
}

// pool is one whose connections dial makes, and what runs it.
func pool(t *testing.T, dial func(context.Context) (net.Conn, error)) (*Engine, *Pool) {
	t.Helper()
	e, receiver := new(Engine), new(datagram.Engine)
	receiver.Start(slog.New(slog.DiscardHandler))
	p := &Pool{Options: Options{
		Receiver: receiver, Dial: dial, Timeout: 2500 * time.Millisecond, MaxIdle: 64, Expire: 10 * time.Second,
		Stall: 100 * time.Millisecond, Used: func(bool) {}, Log: slog.New(slog.DiscardHandler),
	}}
	t.Cleanup(func() { e.Stop(p); receiver.Stop() })
	return e, p
}

func (a *asker) ask(t *testing.T, e *Engine, p *Pool, n int, wait time.Duration) {
	t.Helper()
	asked := Asked{Packet: packet(n), Now: time.Now(), Wait: wait, Until: time.Now().Add(5 * time.Second)}
	if got := e.Ask(&a.query, a, p, asked); got != datagram.Waits {
		t.Fatalf("outcome %d", got)
	}
}

// listener is a server that reads what comes, and answers it if it is to.
func listener(t *testing.T, answers bool) func(context.Context) (net.Conn, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				for buf := make([]byte, 4096); ; {
					n, err := conn.Read(buf)
					if err != nil {
						return
					}
					for at := 0; answers && at < n; at += LengthSize + int(binary.BigEndian.Uint16(buf[at:])) {
						buf[at+LengthSize+2] |= 0x80 // QR
					}
					if answers {
						conn.Write(buf[:n])
					}
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
}

// TestPanicOfOne: an asker that panics costs nobody else an answer, nor the connection.
func TestPanicOfOne(t *testing.T) {
	for _, answers := range []bool{true, false} {
		e, p := pool(t, listener(t, answers))
		var all []*asker
		for i := range 20 {
			a := newAsker()
			a.panic = i%2 == 0
			all = append(all, a)
			a.ask(t, e, p, i, 100*time.Millisecond)
		}
		for _, a := range all {
			if err := <-a.told; answers != (err == nil) {
				t.Errorf("told %v", err)
			}
		}
		e.Stop(p) // when all of them have panicked
		if got := p.Receiver.Panics.Total(); !answers && got != 10 {
			t.Errorf("%d panics", got)
		}
	}
}

// TestCancelTakesBack: a query is taken back before it is asked, while the connection is made, and while it waits.
func TestCancelTakesBack(t *testing.T) {
	connect := make(chan struct{})
	dial := listener(t, false)
	e, p := pool(t, func(ctx context.Context) (net.Conn, error) {
		<-connect
		return dial(ctx)
	})
	early, late, never := newAsker(), newAsker(), newAsker()
	early.ask(t, e, p, 1, time.Second)
	late.ask(t, e, p, 2, time.Second)
	if e.Cancel(&never.query) || !e.Cancel(&early.query) || e.Cancel(&early.query) {
		t.Error("before the connection is there")
	}
	if got := e.Ask(&never.query, never, p, Asked{Packet: packet(3), Now: time.Now()}); got != datagram.Cancelled {
		t.Errorf("outcome %d", got)
	}
	close(connect)
	for written := false; !written; time.Sleep(time.Millisecond) {
		e.mu.Lock()
		written = late.query.written
		e.mu.Unlock()
	}
	if !e.Cancel(&late.query) || e.Count(p, time.Now()) != (Counts{Conns: 1}) {
		t.Errorf("%+v", e.Count(p, time.Now()))
	}
	e.Stop(p)
	if len(early.told)+len(late.told)+len(never.told) > 0 {
		t.Error("told all the same")
	}
}

// connected is a connection that has answered something, and sends nothing anywhere.
func connected(e *Engine, p *Pool) *conn {
	c := &conn{engine: e, pool: p, cancel: func() {}, tickets: map[uint16]ticket{}, connected: true, answered: 100,
		made: time.Now(), since: time.Now(), heard: time.Now()}
	c.timer = time.AfterFunc(time.Hour, c.expire)
	c.timer.Stop()
	p.conns = append(p.conns, c)
	return c
}

// sent has the connection send a query for the n-th name.
func (c *conn) sends(a *asker, n int) *asker {
	c.engine.mu.Lock()
	defer c.engine.mu.Unlock()
	now := time.Now()
	a.query = Query{asker: a, asked: Asked{Packet: packet(n), Now: now, Wait: 2 * time.Second, Until: now.Add(5 * time.Second)}}
	c.add(&a.query, now)
	c.pack(now)
	return a
}

// answers has the reply to a query come.
func (c *conn) answers(q *Query) {
	c.engine.mu.Lock()
	defer c.engine.mu.Unlock()
	reply := append([]byte{}, q.asked.Packet[LengthSize:]...)
	reply[2] |= 0x80
	if got := c.answer(reply, time.Now()); got != nil {
		got.asker.Reply(reply, nil)
	}
}

var errNobody = errors.New("nobody there")

// TestTimeOfQueries: what becomes of a query when half of its time is over, and when all is.
func TestTimeOfQueries(t *testing.T) {
	for name, tt := range map[string]struct {
		when func(c *conn, first, second *asker) // what happens after 10 ms
		err  error                               // of the second query
		at   time.Duration
	}{
		"nothing comes any more: over another connection": {
			func(*conn, *asker, *asker) {}, errNobody, time.Second},
		"one before it is answered: it may have been forgotten": {
			func(c *conn, first, _ *asker) { c.answers(&first.query) }, ErrAlone, time.Second},
		"replies have come out of order before: it is waited for": {
			func(c *conn, first, _ *asker) { c.pool.proven = time.Now(); c.answers(&first.query) },
			os.ErrDeadlineExceeded, 2 * time.Second},
		"answered": {
			func(c *conn, _, second *asker) { c.answers(&second.query) }, nil, 10 * time.Millisecond},
		"the connection ends: over another one": {
			func(c *conn, _, _ *asker) {
				c.engine.mu.Lock()
				c.abort(net.ErrClosed)
				c.engine.tellAll(c.pool)
				c.engine.unlock()
			}, errNobody, 10 * time.Millisecond},
		"it ends early: alone": {
			func(c *conn, first, _ *asker) {
				c.answers(&first.query)
				c.engine.mu.Lock()
				c.answered = 1
				c.abort(net.ErrClosed)
				c.engine.tellAll(c.pool)
				c.engine.unlock()
			}, ErrAlone, 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, p := pool(t, func(context.Context) (net.Conn, error) { return nil, errNobody })
				c := connected(e, p)
				time.Sleep(time.Millisecond)
				began := time.Now()
				first, second := c.sends(newAsker(), 1), c.sends(newAsker(), 2)
				time.Sleep(10 * time.Millisecond)
				tt.when(c, first, second)
				if err := <-second.told; !errors.Is(err, tt.err) || tt.err == nil && err != nil {
					t.Errorf("told %v", err)
				}
				if got := second.at.Sub(began); got != tt.at {
					t.Errorf("after %v", got)
				}
				<-first.told
			})
		})
	}
}

// TestTimeOfConnecting: a connection that cannot be made costs its queries the time to connect, or what they have.
func TestTimeOfConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, p := pool(t, func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() })
		began := time.Now()
		patient, hasty := newAsker(), newAsker()
		patient.ask(t, e, p, 1, time.Second)
		e.Ask(&hasty.query, hasty, p, Asked{Packet: packet(2), Now: began, Wait: time.Second, Until: began.Add(time.Second)})
		if err := <-hasty.told; err != os.ErrDeadlineExceeded || time.Since(began) != time.Second {
			t.Errorf("told %v after %v", err, time.Since(began))
		}
		if err := <-patient.told; err != context.DeadlineExceeded || time.Since(began) != p.Timeout {
			t.Errorf("told %v after %v", err, time.Since(began))
		}
	})
}

// TestBoundsOfConnections: there are no more queries on one, and no more connections, than it says; one that is idle for
// long, or old, takes no more.
func TestBoundsOfConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, p := pool(t, func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() })
		for i := range Depth * MostConns {
			newAsker().ask(t, e, p, i, time.Second)
		}
		if got := e.Count(p, time.Now()); got != (Counts{Conns: MostConns, Queries: Depth * MostConns}) {
			t.Errorf("%+v", got)
		}
		if a := newAsker(); e.Ask(&a.query, a, p, Asked{Packet: packet(0), Now: time.Now()}) != datagram.Unable {
			t.Error("one more")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		e, p := pool(t, func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() })
		p.MaxAge, p.MaxIdle = 25*time.Second, 2
		one := connected(e, p)
		time.Sleep(p.Expire - 1)
		if e.Sweep(p, time.Now()); one.dead || e.choose(p, time.Now()) != one {
			t.Error("it is over too early")
		}
		time.Sleep(time.Nanosecond)
		if e.choose(p, time.Now()) == one {
			t.Error("an expired connection is used")
		}
		if e.Sweep(p, time.Now()); !one.dead {
			t.Error("an expired connection is there")
		}
		busy := connected(e, p)
		asked := busy.sends(newAsker(), 1)
		busy.made = time.Now().Add(-p.MaxAge)
		if e.choose(p, time.Now()) == busy {
			t.Error("an old connection is used")
		}
		if e.Sweep(p, time.Now()); busy.dead {
			t.Error("an old connection does not wait for its query")
		}
		busy.answers(&asked.query)
		if busy.settle(time.Now()); !busy.dead {
			t.Error("an old connection is there")
		}
		slow := connected(e, p)
		first := slow.sends(newAsker(), 1)
		if time.Sleep(p.Stall); slow.stalls(time.Now()) {
			t.Error("a connection stalls too early")
		}
		if time.Sleep(time.Nanosecond); !slow.stalls(time.Now()) || e.choose(p, time.Now()) == slow {
			t.Error("a connection that stalls gets more")
		}
		slow.answers(&first.query)
		slow.end()
		full := connected(e, p)
		full.given = 50
		if p.over(full, time.Now()) {
			t.Error("a connection of an upstream that takes any number of queries is over")
		}
		p.learn(50, time.Now())
		if e.Sweep(p, time.Now()); !full.dead {
			t.Error("a connection that has had all that the server takes is there")
		}
		oldest := connected(e, p)
		for range 2 {
			time.Sleep(time.Nanosecond)
			connected(e, p)
		}
		if p.trim(); !oldest.dead || len(p.conns) > 3 { // with the one that choose has begun to make
			t.Errorf("%d connections", len(p.conns))
		}
	})
}

// TestRepliesBeforeTheEnd: where we find out by sending that the server has ended a connection, the replies that have
// come before are taken nevertheless.
func TestRepliesBeforeTheEnd(t *testing.T) {
	const answered = 20
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reset := make(chan struct{})
	var server sync.WaitGroup
	server.Go(func() {
		answer := func(conn net.Conn, n int) error {
			all := make([]byte, n*len(packet(0)))
			if _, err := io.ReadFull(conn, all); err != nil {
				return err
			}
			for at := 0; at < len(all); at += len(packet(0)) {
				all[at+LengthSize+2] |= 0x80 // QR
			}
			_, err := conn.Write(all) // at once, since a reset loses what the kernel has not sent
			return err
		}
		first, err := l.Accept()
		if err != nil {
			return
		}
		answer(first, 1)
		answer(first, answered-1)
		first.(*net.TCPConn).SetLinger(0)
		first.Close()
		close(reset)
		second, err := l.Accept()
		if err != nil {
			return
		}
		for err == nil {
			err = answer(second, 1)
		}
		second.Close()
	})
	t.Cleanup(func() { l.Close(); server.Wait() })
	e, p := pool(t, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	})
	p.Stall = time.Hour
	all := []*asker{newAsker()}
	all[0].hold = make(chan struct{})
	all[0].ask(t, e, p, 0, 5*time.Second)
	if err := <-all[0].told; err != nil { // and the receiving goroutine is held up
		t.Fatal(err)
	}
	for i := 1; i <= answered; i++ {
		if i == answered {
			<-reset
		}
		all = append(all, newAsker())
		all[i].ask(t, e, p, i, 5*time.Second)
	}
	close(all[0].hold)
	for i, a := range all[1:] {
		if err := <-a.told; err != nil {
			t.Errorf("query %d: %v", i+1, err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.quota != answered || !p.alone.IsZero() {
		t.Errorf("it has learned that a connection takes %d queries; alone until %v", p.quota, p.alone)
	}
}

// TestPieces: replies are found however they are cut, and what nobody waits for, or there is no room for, is passed over.
func TestPieces(t *testing.T) {
	for _, piece := range []int{1, 3, 13, 997, 20000} {
		e, p := pool(t, func(context.Context) (net.Conn, error) { return nil, errNobody })
		c := connected(e, p)
		c.due = time.Unix(1, 0) // no time is over, however long this takes
		const many = 20
		var all []*asker
		var stream []byte
		for i := range many {
			a := c.sends(newAsker(), i)
			a.query.asked.Grow = func(int) bool { return i%2 == 0 }
			all = append(all, a)
			reply := append([]byte{}, a.query.asked.Packet...)
			reply[LengthSize+2] |= 0x80
			reply = append(reply, make([]byte, i*1000)...)
			binary.BigEndian.PutUint16(reply, uint16(len(reply)-LengthSize))
			stream = append(append(stream, reply...), 0, 3, 1, 2, 3) // and a foreign one
		}
		for ; len(stream) > 0; stream = stream[min(piece, len(stream)):] {
			c.room = append(c.room, stream[:min(piece, len(stream))]...)
			c.take()
			c.match()
			for _, f := range c.found {
				if f.query != nil {
					f.query.asker.Reply(f.reply, nil)
				}
			}
			c.keep()
		}
		for i, a := range all {
			long := i*1000+len(packet(0))-LengthSize > Base
			if err := <-a.told; err != nil && (err != ErrNoRoom || !long || i%2 == 0) || err == nil && long && i%2 == 1 && piece < Base {
				t.Errorf("in pieces of %d, reply %d: %v", piece, i, err)
			}
		}
		if got := p.Mismatches.Load(); got != many || c.load != 0 || len(c.room) > 0 {
			t.Errorf("in pieces of %d: %d mismatches, %d wait, %d octets are left", piece, got, c.load, len(c.room))
		}
	}
}
