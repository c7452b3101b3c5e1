package resolver

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver/stream"
)

// streamServer is an upstream over TCP that does what handle says with its n-th connection, from 0 on; tcp counts them.
func streamServer(t *testing.T, secure *tls.Config, handle func(n int, conn *dns.Conn)) *dnsServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dnsServer{addr: netip.MustParseAddrPort(l.Addr().String())}
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n := int(s.tcp.Add(1)) - 1
			all.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				if secure != nil {
					conn = tls.Server(conn, secure)
				}
				handle(n, &dns.Conn{Conn: conn})
			})
		}
	})
	t.Cleanup(func() { cancel(); l.Close(); all.Wait() })
	return s
}

// answerTo is the reply to q with an address.
func answerTo(q *dns.Msg) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(q)
	return answering("192.0.2.1")(q, reply, true)
}

// hangUp ends a connection as a server does that wants its replies to arrive: with queries that it has not read, close(2)
// resets the connection, and what the kernel has not sent yet is lost.
func hangUp(conn *dns.Conn) {
	conn.Conn.(*net.TCPConn).CloseWrite()
	io.Copy(io.Discard, conn.Conn)
}

// inOrder answers one query after the other.
func inOrder(conn *dns.Conn) {
	for {
		q, err := conn.ReadMsg()
		if err != nil || conn.WriteMsg(answerTo(q)) != nil {
			return
		}
	}
}

// nthQuestion is the n-th question.
func nthQuestion(n int) string { return fmt.Sprintf("n%d.d%d.example. A", n, n) }

// askAll asks n questions at a time, of which each has to be answered.
func (f *forwarder) askAll(t *testing.T, n int) {
	t.Helper()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { expect(t, f.ask(t, nthQuestion(i)), "NOERROR 192.0.2.1") })
	}
	all.Wait()
}

// overTCP is a forwarder that asks to over TCP, with the patience that a busy machine needs unless the options say so.
func overTCP(t *testing.T, options Forward, to ...*dnsServer) *forwarder {
	t.Helper()
	options.ForceTCP = true
	options.ReadTimeout = cmp.Or(options.ReadTimeout, forwardTimeout)
	return forwarding(t, options, to...)
}

// TestManyQueriesOnOneConnection: they are under way at a time, with IDs of their own, and their replies may come in any
// order.
func TestManyQueriesOnOneConnection(t *testing.T) {
	const many = 100
	up := streamServer(t, nil, func(_ int, conn *dns.Conn) {
		var all []*dns.Msg
		ids := map[uint16]bool{}
		for range many {
			q, err := conn.ReadMsg()
			if err != nil {
				return
			}
			all, ids[q.Id] = append(all, q), true
		}
		if len(ids) != many {
			t.Errorf("%d IDs", len(ids))
		}
		for i := range all {
			conn.WriteMsg(answerTo(all[many-1-i]))
		}
		io.Copy(io.Discard, conn)
	})
	f := overTCP(t, Forward{}, up)
	f.askAll(t, many)
	counts := f.count().Upstreams[0]
	if up.tcp.Load() != 1 || counts.Failed != 0 || counts.Streams != (stream.Counts{Conns: 1}) {
		t.Errorf("%d connections, %+v", up.tcp.Load(), counts)
	}
	if conns := counts.Conns; len(conns) != 1 || conns[0] != (ConnCounts{"tcp", many - 1, 1}) {
		t.Errorf("%+v", conns)
	}
}

// TestServersThatTakeOneQuery: RFC 7766 section 6.2.1 lets a server answer one query and close, and there are servers that
// forget what comes while they work. No query is lost, and such a server is asked one query at a time from then on.
func TestServersThatTakeOneQuery(t *testing.T) {
	for name, handle := range map[string]func(n int, conn *dns.Conn){
		"close after one answer": func(_ int, conn *dns.Conn) {
			if q, err := conn.ReadMsg(); err == nil {
				conn.WriteMsg(answerTo(q))
			}
		},
		"forget the rest": func(_ int, conn *dns.Conn) {
			buf := make([]byte, 64<<10)
			for {
				n, err := conn.Conn.Read(buf)
				q := new(dns.Msg)
				if err != nil || n < 2 || q.Unpack(buf[2:min(n, 2+int(binary.BigEndian.Uint16(buf)))]) != nil {
					return
				}
				time.Sleep(5 * time.Millisecond) // its work, while others come
				conn.WriteMsg(answerTo(q))
			}
		},
		"close at the second query": func(_ int, conn *dns.Conn) {
			q, err := conn.ReadMsg()
			if err != nil {
				return
			}
			conn.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
			if _, err := conn.ReadMsg(); err == nil {
				return
			}
			conn.SetReadDeadline(time.Time{})
			conn.WriteMsg(answerTo(q))
			inOrder(conn)
		},
	} {
		t.Run(name, func(t *testing.T) {
			up := streamServer(t, nil, handle)
			f := overTCP(t, Forward{ReadTimeout: 2 * time.Second}, up)
			for range 3 {
				f.askAll(t, 20)
			}
			counts := f.count().Upstreams[0]
			if name != "close at the second query" && !counts.Streams.Alone {
				t.Error("it is asked several queries at a time")
			}
			if counts.Streams.Queries != 0 {
				t.Errorf("%+v", counts.Streams)
			}
		})
	}
}

// TestServerInOrder: a server that answers in order takes several queries.
func TestServerInOrder(t *testing.T) {
	up := streamServer(t, nil, func(_ int, conn *dns.Conn) { inOrder(conn) })
	f := overTCP(t, Forward{}, up)
	for range 5 {
		f.askAll(t, 20)
	}
	if counts := f.count().Upstreams[0]; counts.Streams.Alone || up.tcp.Load() != 1 || counts.Failed != 0 {
		t.Errorf("%d connections, %+v", up.tcp.Load(), counts)
	}
}

// TestConnectionThatEnds: what is under way when a server ends a connection that it has used for long is asked again over
// another one, once.
func TestConnectionThatEnds(t *testing.T) {
	var asked atomic.Int64
	up := streamServer(t, nil, func(n int, conn *dns.Conn) {
		for i := 0; ; i++ {
			q, err := conn.ReadMsg()
			if err != nil || n == 0 && i == 100 {
				hangUp(conn)
				return
			}
			asked.Add(1)
			conn.WriteMsg(answerTo(q))
		}
	})
	f := overTCP(t, Forward{}, up)
	for range 20 {
		f.askAll(t, 20)
	}
	if counts := f.count().Upstreams[0]; counts.Streams.Alone || counts.Failed != 0 {
		t.Errorf("%d connections, %+v", up.tcp.Load(), counts)
	}
	if asked.Load() > 20*20 {
		t.Errorf("%d queries answered", asked.Load())
	}
}

// TestQueriesOfOneConnection: a server that ends each connection after a number of queries loses some once, and then is
// given no more than that.
func TestQueriesOfOneConnection(t *testing.T) {
	var cut atomic.Int64
	up := streamServer(t, nil, func(n int, conn *dns.Conn) {
		for range 50 {
			q, err := conn.ReadMsg()
			if err != nil {
				return
			}
			conn.WriteMsg(answerTo(q))
		}
		if _, err := conn.ReadMsg(); err == nil {
			cut.Add(1)
			hangUp(conn)
		}
	})
	f := overTCP(t, Forward{}, up)
	for range 10 {
		f.askAll(t, 40)
	}
	if counts := f.count().Upstreams[0]; counts.Streams.Alone || counts.Failed != 0 || cut.Load() != 1 {
		t.Errorf("%d connections were cut, %+v", cut.Load(), counts)
	}
}

// TestResendingIsCapped: a server that ends each connection when the queries have come is not asked for ever.
func TestResendingIsCapped(t *testing.T) {
	var asked atomic.Int64
	up := streamServer(t, nil, func(n int, conn *dns.Conn) {
		if n == 0 {
			q, _ := conn.ReadMsg()
			conn.WriteMsg(answerTo(q))
		}
		if _, err := conn.ReadMsg(); err == nil {
			asked.Add(1)
		}
	})
	f := overTCP(t, Forward{}, up)
	expect(t, f.ask(t, nthQuestion(0)), "NOERROR 192.0.2.1")
	for i := range 10 {
		got := f.ask(t, nthQuestion(1+i))
		expect(t, strings.ReplaceAll(got, up.addr.String(), "UPSTREAM"), "SERVFAIL 23 (Network Error): "+
			"(upstream the connection to UPSTREAM failed (1 upstreams, 2 attempts))")
	}
	if n := asked.Load(); n > 10*2+1 {
		t.Errorf("10 questions were asked %d times", n)
	}
}

// TestDeadConnection: one that nothing comes from any more, as after a firewall has forgotten it, costs no query.
func TestDeadConnection(t *testing.T) {
	dead := make(chan struct{})
	up := streamServer(t, nil, func(n int, conn *dns.Conn) {
		for {
			q, err := conn.ReadMsg()
			if err != nil {
				return
			}
			select {
			case <-dead:
				if n == 0 {
					continue
				}
			default:
			}
			conn.WriteMsg(answerTo(q))
		}
	})
	f := overTCP(t, Forward{ReadTimeout: 3 * time.Second}, up)
	f.askAll(t, 20)
	close(dead)
	f.askAll(t, 20)
	if counts := f.count().Upstreams[0]; counts.Failed != 0 || up.tcp.Load() != 2 {
		t.Errorf("%d connections, %+v", up.tcp.Load(), counts)
	}
	until(t, func() bool { return f.count().Upstreams[0].Streams.Conns == 1 })
}

// TestSilentName: one query that is not answered costs the others on its connection nothing.
func TestSilentName(t *testing.T) {
	up := streamServer(t, nil, func(_ int, conn *dns.Conn) {
		for {
			q, err := conn.ReadMsg()
			if err != nil {
				return
			}
			if q.Question[0].Name != "silent.example." {
				conn.WriteMsg(answerTo(q))
			}
		}
	})
	f := overTCP(t, Forward{ReadTimeout: time.Second}, up)
	f.askAll(t, 1)
	told := make(chan string)
	go func() { told <- f.ask(t, "silent.example. A") }()
	for open := true; open; {
		select {
		case got := <-told:
			open = false
			expect(t, strings.ReplaceAll(got, up.addr.String(), "UPSTREAM"), "SERVFAIL 22 (No Reachable Authority): "+
				"(upstream UPSTREAM does not answer in time (1 upstreams, 2 attempts))")
		default:
			f.askAll(t, 10)
		}
	}
	if f.count().Upstreams[0].Streams.Alone {
		t.Error("it is asked one query at a time")
	}
}

// narrow has a forwarder's connections take little to send before the server reads.
func narrow(t *testing.T, f *forwarder) {
	t.Helper()
	u := f.upstreams()[0]
	u.streams.Dial = func(ctx context.Context) (net.Conn, error) {
		conn, err := u.dial(ctx)
		if err == nil {
			err = conn.(*net.TCPConn).SetWriteBuffer(1)
		}
		return conn, err
	}
}

// longQuestion is the n-th with a name of 200 octets.
func longQuestion(n int) string {
	return strings.Repeat(strings.Repeat("x", 48)+".", 4) + nthQuestion(n)
}

// TestServerThatReadsLate: what a connection does not take at once leaves when it does, in order.
func TestServerThatReadsLate(t *testing.T) {
	secure, pool := secureUpstream(t)
	for _, config := range []*tls.Config{nil, secure} {
		read := make(chan struct{})
		up := streamServer(t, config, func(n int, conn *dns.Conn) {
			if secure, ok := conn.Conn.(*tls.Conn); ok {
				secure.NetConn().(*net.TCPConn).SetReadBuffer(1)
				secure.Handshake()
			} else {
				conn.Conn.(*net.TCPConn).SetReadBuffer(1)
			}
			<-read
			inOrder(conn)
		})
		f, _ := overTLS(t, pool, up, Forward{})
		if config == nil {
			f = overTCP(t, Forward{}, up)
		}
		narrow(t, f)
		const many = 80 // 20 KB
		var all sync.WaitGroup
		for i := range many {
			all.Go(func() { expect(t, f.ask(t, longQuestion(i)), "NOERROR 192.0.2.1") })
		}
		until(t, func() bool { return f.count().Upstreams[0].Streams.Queries == many })
		close(read)
		all.Wait()
	}
}

// TestServerThatReadsNothing: a full connection delays nobody but its queries, and another upstream has the answers.
func TestServerThatReadsNothing(t *testing.T) {
	release := make(chan struct{})
	deaf := streamServer(t, nil, func(_ int, conn *dns.Conn) {
		conn.Conn.(*net.TCPConn).SetReadBuffer(1)
		<-release
	})
	t.Cleanup(func() { close(release) })
	f := overTCP(t, Forward{Policy: Sequential, ReadTimeout: 1500 * time.Millisecond}, deaf, serve(t, answering("192.0.2.1")))
	narrow(t, f)
	var all sync.WaitGroup
	for i := range 80 {
		all.Go(func() { expect(t, f.ask(t, longQuestion(i)), "NOERROR 192.0.2.1") })
	}
	all.Wait()
	until(t, func() bool { return f.count().Upstreams[0].Streams.Queries == 0 })
}

// TestForeignRepliesOnConnection: replies with another ID or question are ignored and counted, and too many end the
// connection.
func TestForeignRepliesOnConnection(t *testing.T) {
	for wrong, want := range map[int]string{
		10:            "NOERROR 192.0.2.1",
		maxMismatches: "SERVFAIL 24 (Invalid Data): (upstream UPSTREAM sent no usable reply (1 upstreams, 2 attempts))",
	} {
		up := streamServer(t, nil, func(_ int, conn *dns.Conn) {
			for {
				q, err := conn.ReadMsg()
				if err != nil {
					return
				}
				for i := range wrong {
					reply := answerTo(q)
					if i%2 == 0 {
						reply.Id++
					} else {
						reply.Question[0].Name = "other.example."
					}
					conn.WriteMsg(reply)
				}
				conn.WriteMsg(answerTo(q))
			}
		})
		f := overTCP(t, Forward{}, up)
		expect(t, strings.ReplaceAll(f.ask(t, nthQuestion(0)), up.addr.String(), "UPSTREAM"), want)
		if got := f.count().Upstreams[0].Mismatches; got < uint64(wrong) {
			t.Errorf("%d mismatches of %d", got, wrong)
		}
	}
}

// TestLongReplies: they come in pieces, among others, and take room only while they come.
func TestLongReplies(t *testing.T) {
	var most atomic.Int64
	var running atomic.Pointer[forwarder]
	up := streamServer(t, nil, func(_ int, conn *dns.Conn) {
		for {
			q, err := conn.ReadMsg()
			if err != nil {
				return
			}
			packet, _ := padded(answerTo(q), 60000).Pack()
			packet = append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
			for len(packet) > 0 {
				n, _ := conn.Conn.Write(packet[:min(9000, len(packet))])
				packet = packet[n:]
				time.Sleep(time.Millisecond)
				most.Store(max(most.Load(), int64(running.Load().count().Octets)))
			}
		}
	})
	f := overTCP(t, Forward{}, up)
	running.Store(f)
	f.askAll(t, 8)
	if got := most.Load(); got < 10000 || got > 60000 {
		t.Errorf("%d octets at most", got)
	}
	if got := f.count().Octets; got != 0 {
		t.Errorf("%d octets are left", got)
	}
	f.mu.Lock()
	f.places.process.octets.Add(MaxReplyOctets)
	f.mu.Unlock()
	expect(t, f.ask(t, nthQuestion(20)), "SERVFAIL 0 (Other): ("+edeManyOctets+")")
	f.places.process.octets.Add(-MaxReplyOctets)
	expect(t, f.ask(t, nthQuestion(21)), "NOERROR 192.0.2.1")
	if up.tcp.Load() != 1 {
		t.Errorf("%d connections", up.tcp.Load())
	}
}

// TestIdleConnectionThatServerCloses: between two queries, that is no failure of either, whether we know already or not.
func TestIdleConnectionThatServerCloses(t *testing.T) {
	up := streamServer(t, nil, func(n int, conn *dns.Conn) {
		for range 20 {
			q, err := conn.ReadMsg()
			if err != nil {
				return
			}
			conn.WriteMsg(answerTo(q))
		}
	})
	f := overTCP(t, Forward{}, up)
	for i := range 100 {
		expect(t, f.ask(t, nthQuestion(i)), "NOERROR 192.0.2.1")
	}
	counts := f.count().Upstreams[0]
	if counts.Failed != 0 || counts.Streams.Alone || up.tcp.Load() != 5 {
		t.Errorf("%d connections, %+v", up.tcp.Load(), counts)
	}
}

// secureUpstream is the TLS of a server, and a forwarder's that believes it.
func secureUpstream(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	certificate, ca := selfSigned(t, t.TempDir(), "dns.example.org")
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &tls.Config{Certificates: []tls.Certificate{certificate}}, pool
}

// overTLS is a running forwarder that asks up over TLS, and what stops it.
func overTLS(t *testing.T, pool *x509.CertPool, up *dnsServer, options Forward) (f *forwarder, stop func()) {
	t.Helper()
	options.From, options.ServerName, options.ReadTimeout = ".", "dns.example.org", cmp.Or(options.ReadTimeout, forwardTimeout)
	options.To = []Upstream{{Transport: OverTLS, Address: up.addr}}
	f, err := newForwarder(options, secrets{}, new(asked), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range f.upstreams() {
		u.tls.RootCAs, u.streams.Stall = pool, time.Hour
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f.run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	until(t, f.engine.Running)
	return f, stop
}

// TestManyQueriesOverTLS: on one connection, and a new one resumes its session.
func TestManyQueriesOverTLS(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		secure, pool := secureUpstream(t)
		secure.MaxVersion = version
		var resumed atomic.Int64
		up := streamServer(t, secure, func(n int, conn *dns.Conn) {
			if inOrder(conn); conn.Conn.(*tls.Conn).ConnectionState().DidResume {
				resumed.Add(1)
			}
		})
		f, stop := overTLS(t, pool, up, Forward{})
		f.askAll(t, 200)
		if n := up.tcp.Load(); n > 2 {
			t.Errorf("%d connections", n)
		}
		before := up.tcp.Load()
		f.streams.Sweep(&f.upstreams()[0].streams, time.Now().Add(time.Minute))
		f.askAll(t, 50)
		if up.tcp.Load() != before+1 {
			t.Errorf("%d connections, then %d", before, up.tcp.Load())
		}
		stop()
		until(t, func() bool { return resumed.Load() > 0 })
	}
}

// TestForwardStopsAtOnce: a server that does not take the end of TLS, nor anything else, does not delay the end.
func TestForwardStopsAtOnce(t *testing.T) {
	secure, pool := secureUpstream(t)
	release, reached := make(chan struct{}), make(chan struct{})
	up := streamServer(t, secure, func(n int, conn *dns.Conn) {
		conn.ReadMsg()
		close(reached)
		<-release
	})
	t.Cleanup(func() { close(release) })
	f, stop := overTLS(t, pool, up, Forward{ReadTimeout: time.Minute})
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() { expect(t, f.ask(t, nthQuestion(i)), "SERVFAIL 0 (Other): (shutting down)") })
	}
	<-reached
	began := time.Now()
	stop()
	all.Wait()
	if took := time.Since(began); took > 4*time.Second { // TLS would wait for five
		t.Errorf("it took %v", took)
	}
}
