package attack

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"

	"github.com/clusterdns/clusterdns/testdata/transports"
)

// encrypted is a Corefile with every transport.
func encrypted() string {
	return ".:$DNS tls://.:$TLS https://.:$HTTPS https3://.:$H3 quic://.:$QUIC grpc://.:$GRPC {\n bind 127.0.0.1\n" +
		" tls $DIR/crt.pem $DIR/key.pem\n hosts {\n  10.0.0.1 good.test\n" + large() + " }\n}\n"
}

// attackers are the clients of an attack on a transport: as many as need all of its places.
const attackers = 8

// attacker is one connection of a client that attacks; what it does ends with ctx, or when the server ends it.
type attacker func(ctx context.Context, s *server, from net.IP)

// over connects to a port over TCP for use.
func over(port string, use func(ctx context.Context, conn net.Conn)) attacker {
	return func(ctx context.Context, s *server, from net.IP) {
		dialer := &net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: from}}
		conn, err := dialer.DialContext(ctx, "tcp", s.at[port])
		if err != nil {
			return
		}
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		conn.(*net.TCPConn).SetReadBuffer(4096)
		use(ctx, conn)
	}
}

// overTLS connects to a port over TLS for use.
func overTLS(port, protocol string, use func(ctx context.Context, conn net.Conn)) attacker {
	return over(port, func(ctx context.Context, conn net.Conn) {
		secure := tls.Client(conn, clientTLS(protocol))
		if secure.HandshakeContext(ctx) == nil {
			use(ctx, secure)
		}
	})
}

func clientTLS(protocol string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}
}

// overQUIC connects to a port over QUIC for use.
func overQUIC(port, protocol string, use func(ctx context.Context, conn *quic.Conn)) attacker {
	return func(ctx context.Context, s *server, from net.IP) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		packets, err := net.ListenUDP("udp4", &net.UDPAddr{IP: from})
		if err != nil {
			return
		}
		defer packets.Close()
		transport := &quic.Transport{Conn: packets}
		defer transport.Close()
		to, err := net.ResolveUDPAddr("udp4", s.at[port])
		if err != nil {
			return
		}
		conn, err := transport.Dial(ctx, to, clientTLS(protocol), &quic.Config{InitialStreamReceiveWindow: 1024})
		if err != nil {
			return
		}
		use(ctx, conn)
		conn.CloseWithError(0, "")
	}
}

// held is what a client does that waits until the server ends the connection.
func held(_ context.Context, conn net.Conn) { io.Copy(io.Discard, conn) }

// left does nothing.
func left(context.Context, net.Conn) {}

// sent sends text, and waits then.
func sent(text string) func(context.Context, net.Conn) {
	return func(ctx context.Context, conn net.Conn) {
		io.WriteString(conn, text)
		held(ctx, conn)
	}
}

// repeated sends text a hundred times a second.
func repeated(begin string, next func(i int) string) func(context.Context, net.Conn) {
	return func(ctx context.Context, conn net.Conn) {
		go held(ctx, conn)
		_, err := io.WriteString(conn, begin)
		for i := 0; err == nil && ctx.Err() == nil; i++ {
			_, err = io.WriteString(conn, next(i))
			pause(ctx, 10*time.Millisecond)
		}
	}
}

// unread sends text, and never reads.
func unread(text string) func(context.Context, net.Conn) {
	return func(ctx context.Context, conn net.Conn) {
		io.WriteString(conn, text)
		below := conn.(*tls.Conn).NetConn()
		for held := make([]byte, 1); ctx.Err() == nil; pause(ctx, time.Second) { // it sees when the server closes it
			if _, err := below.Read(held); err != nil {
				return
			}
		}
	}
}

// frames are count frames of HTTP/2 of a kind, each of a stream of its own from the first on.
func frames(first, count int, kind, flags byte, payload string) string {
	var b strings.Builder
	for i := range count {
		b.Write(transports.Frame(kind, flags, 2*(first+i)+1, payload))
	}
	return b.String()
}

// http2 is the beginning of a connection of HTTP/2, with settings.
func http2(settings string) string {
	return transports.Preface + string(transports.Frame(transports.Settings, 0, 0, settings))
}

// streams opens count streams with what on each, and reads nothing.
func streams(count int, what string, last bool) func(context.Context, *quic.Conn) {
	return func(ctx context.Context, conn *quic.Conn) {
		for range count {
			stream, err := conn.OpenStream()
			if err != nil {
				break
			}
			io.WriteString(stream, what)
			if last {
				stream.Close()
			}
		}
		select {
		case <-ctx.Done():
		case <-conn.Context().Done():
		}
	}
}

// initials is a flood of first packets of QUIC, each of a connection of its own from one of 64 addresses, as from forged
// ones. Nobody reads what comes back.
func initials(ctx context.Context, s *server, from net.IP) {
	first := collectInitials(ctx, 200)
	var conns []net.Conn
	for i := range 64 {
		dialer := &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, from[len(from)-1], 1, byte(1+i))}}
		conn, err := dialer.Dial("udp4", s.at["$QUIC"])
		if err != nil {
			return
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	for i := 0; ctx.Err() == nil && i < len(first); i++ {
		conns[i%len(conns)].Write(first[i])
		pause(ctx, 2*time.Millisecond)
	}
}

// collectInitials has a client connect to nobody, and collects its packets.
func collectInitials(ctx context.Context, count int) (all [][]byte) {
	sink, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil
	}
	defer context.AfterFunc(ctx, func() { sink.Close() })() // the last client may send nothing
	defer sink.Close()
	for len(all) < count && ctx.Err() == nil {
		ctx, cancel := context.WithCancel(ctx)
		go quic.DialAddr(ctx, sink.LocalAddr().String(), clientTLS("doq"), nil)
		packet := make([]byte, 2048)
		n, err := sink.Read(packet)
		cancel()
		if err != nil {
			return nil
		}
		all = append(all, packet[:n])
	}
	return all
}

// most is the MB that the server may have in these attacks. 9,600 requests that have begun, of 160 connections, are 12 KiB
// each, with as much again until the garbage collector runs, and the program with the connections 50 MB; with replies
// that nobody reads, of which each connection holds some, up to 329 MB were seen, and with 640 connections 811 MB.
const most, mostFull = 480, 900

// TestEncrypted: while 8 clients attack a transport with all the connections that it has room for, others are answered
// over UDP and TCP, and memory is bounded.
func TestEncrypted(t *testing.T) {
	post := "POST /dns-query HTTP/1.1\r\nHost: a\r\nContent-Type: application/dns-message\r\nContent-Length: 100\r\n"
	q, err := new(dns.Msg).SetQuestion("large.test.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	q[0], q[1] = 0, 0
	framed := string([]byte{0, byte(len(q))}) + string(q)
	request := func(stream int) string {
		return string(transports.Frame(transports.Headers, transports.EndHeaders, stream, transports.DoHHeaders)) +
			string(transports.Frame(0, 1, stream, string(q)))
	}
	unreadReplies := http2("\x00\x04\x00\x00\x00\x00") // a window of 0
	for i := range 100 {
		unreadReplies += request(2*i + 1)
	}
	for _, test := range []struct {
		name  string
		count int // connections at a time
		each  attacker
	}{
		{"handshakes without end, TLS", 64, overTLS("$TLS", "dot", left)},
		{"handshakes without end, HTTPS", 64, overTLS("$HTTPS", "h2", left)},
		{"handshakes without end, QUIC", 64, overQUIC("$QUIC", "doq", func(context.Context, *quic.Conn) {})},
		{"no handshake, TLS", 640, over("$TLS", held)},
		{"no handshake, HTTPS", 640, over("$HTTPS", held)},
		{"half a handshake, TLS", 640, over("$TLS", sent("\x16\x03\x01\x02\x00\x01\x00"))},
		{"half a handshake, gRPC", 640, over("$GRPC", sent("\x16\x03\x01\x02\x00\x01\x00"))},
		{"connections that ask nothing, TLS", 640, overTLS("$TLS", "dot", held)},
		{"slow headers, HTTP 1.1", 640, overTLS("$HTTPS", "http/1.1", sent(post))},
		{"slow bodies, HTTP 1.1", 640, overTLS("$HTTPS", "http/1.1", sent(post+"\r\nhalf"))},
		{"slow headers, HTTP 2", 640, overTLS("$HTTPS", "h2", sent(http2("")+frames(0, 1, transports.Headers, 0, transports.DoHHeaders)))},
		{"300 streams without end, HTTP 2", 640, overTLS("$HTTPS", "h2", sent(http2("")+
			frames(0, 300, transports.Headers, transports.EndHeaders, transports.DoHHeaders)))},
		{"300 calls without end, gRPC", 640, overTLS("$GRPC", "h2", sent(http2("")+
			frames(0, 300, transports.Headers, transports.EndHeaders, transports.GRPCHeaders)))},
		{"streams that are reset at once, HTTP 2", 64, overTLS("$HTTPS", "h2", repeated(http2(""), func(i int) string {
			return frames(50*i, 50, transports.Headers, transports.EndHeaders, transports.DoHHeaders) +
				frames(50*i, 50, transports.Reset, 0, "\x00\x00\x00\x08")
		}))},
		{"headers without end, HTTP 2", 64, overTLS("$HTTPS", "h2", repeated(http2("")+
			frames(0, 1, transports.Headers, 0, transports.DoHHeaders), func(int) string {
			return frames(0, 1, transports.Continuation, 0, strings.Repeat("\x00\x01a\x01b", 1000))
		}))},
		{"pings without end, HTTP 2", 64, overTLS("$HTTPS", "h2", repeated(http2(""), func(int) string {
			return strings.Repeat(string(transports.Frame(transports.Ping, 0, 0, "12345678")), 100)
		}))},
		{"100 replies of 48 KB that nobody reads, HTTP 2", 640, overTLS("$HTTPS", "h2", unread(unreadReplies))},
		{"40 replies of 48 KB that nobody reads, TLS", 640, overTLS("$TLS", "dot", unread(strings.Repeat(framed, 40)))},
		{"oversized messages without end, gRPC", 64, overTLS("$GRPC", "h2", repeated(http2("")+
			frames(0, 1, transports.Headers, transports.EndHeaders, transports.GRPCHeaders)+
			frames(0, 1, 0, 0, "\x00\xff\xff\xff\xff"), func(int) string { return frames(0, 1, 0, 0, strings.Repeat("x", 16000)) }))},
		{"connections that ask nothing, QUIC", 640, overQUIC("$QUIC", "doq", streams(0, "", false))},
		{"100 queries without end, QUIC", 320, overQUIC("$QUIC", "doq", streams(100, framed[:9], false))},
		{"100 replies of 48 KB that nobody reads, QUIC", 320, overQUIC("$QUIC", "doq", streams(100, framed, true))},
		{"100 requests without end, HTTP 3", 320, overQUIC("$H3", "h3", streams(100, "\x01\x40\x64", false))},
		{"first packets from forged addresses, QUIC", 4, initials},
	} {
		t.Run(test.name, func(t *testing.T) {
			count := size(min(test.count, 160), test.count)
			attack{
				name: fmt.Sprintf("%d: %s", count, test.name), corefile: encrypted(), memory: size(most, mostFull),
				tolerated: size(100, 10), // at the small size attackers, clients and other tests share the processors
				run: func(t *testing.T, s *server) *honest {
					ctx, end := context.WithCancel(t.Context())
					wait := swarm(ctx, s, count, test.each)
					defer wait()
					defer end()
					pause(ctx, time.Second)
					return s.honest(ctx, size(40, 400), 25*time.Millisecond, func(ctx context.Context, i int) error {
						if i%2 == 0 {
							return ask(ctx, "udp", s.dns, "good.test.", dns.TypeA)
						}
						return askFrom(ctx, 2, s.dns, "good.test.", dns.TypeA)
					})
				},
			}.try(t)
		})
	}
}

// swarm has count connections at a time of attackers, each opened anew when it ends.
func swarm(ctx context.Context, s *server, count int, each attacker) (wait func()) {
	ended := make(chan struct{}, count)
	for i := range count {
		go func() {
			defer func() { ended <- struct{}{} }()
			for ctx.Err() == nil {
				each(ctx, s, net.IPv4(127, 0, 1, byte(1+i%attackers)))
				pause(ctx, 10*time.Millisecond)
			}
		}()
	}
	return func() {
		for range count {
			<-ended
		}
	}
}
