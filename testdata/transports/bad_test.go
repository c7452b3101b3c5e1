package transports

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// patience is longer than any client may take: a connection is idle for 10 s at most.
const patience = 30 * time.Second

// The protocols of TLS that clients name.
var (
	none = []string(nil)
	dot  = []string{"dot"}
	h1   = []string{"http/1.1"}
	h2   = []string{"h2"}
	h3   = []string{"h3"}
	doq  = []string{"doq"}
)

// secure is what becomes of a connection over TLS that use has.
func secure(port string, protocols []string, use func(*tls.Conn) string) func() string {
	return func() string {
		dialer := &net.Dialer{Timeout: patience}
		conn, err := tls.DialWithDialer(dialer, "tcp", "127.0.0.1:"+port,
			&tls.Config{InsecureSkipVerify: true, NextProtos: protocols})
		if err != nil {
			return err.Error()
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		return use(conn)
	}
}

// sends sends what, and then has end do what the client does next. What comes back is a message of DNS over TLS.
func sends(what []byte, end func(*tls.Conn)) func(*tls.Conn) string {
	return func(conn *tls.Conn) string {
		conn.Write(what)
		end(conn)
		return answerOf((&dns.Conn{Conn: conn}).ReadMsg())
	}
}

func stays(*tls.Conn)       {}
func halves(conn *tls.Conn) { conn.CloseWrite() }

// answerOf says what has come.
func answerOf(reply *dns.Msg, err error) string {
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return "nothing"
	case err != nil:
		return "closed"
	}
	return fmt.Sprint("an answer of ", len(reply.Answer))
}

// request sends text over HTTP/1.1, then has end do what the client does next.
func request(text string, end func(*tls.Conn)) func(*tls.Conn) string {
	return func(conn *tls.Conn) string {
		io.WriteString(conn, strings.ReplaceAll(text, "\n", "\r\n"))
		end(conn)
		return statusOf(http.ReadResponse(bufio.NewReader(conn), nil))
	}
}

func statusOf(response *http.Response, err error) string {
	if err != nil {
		return "closed"
	}
	defer response.Body.Close()
	io.Copy(io.Discard, response.Body)
	if code := response.Trailer.Get("Grpc-Status"); code != "" {
		return "gRPC status " + code
	}
	return fmt.Sprint("status ", response.StatusCode)
}

// posts sends a request by POST with body over HTTP/2 or HTTP/3.
func posts(through http.RoundTripper, at, path, media string, body io.Reader) func() string {
	return func() string {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "POST", "https://127.0.0.1:"+at+path, body)
		if err != nil {
			return err.Error()
		}
		r.Header.Set("Content-Type", media)
		return statusOf(through.RoundTrip(r))
	}
}

// half is a body that does not go on behind its beginning.
func half() io.Reader {
	read, write := io.Pipe()
	go write.Write([]byte{0})
	return read
}

// overQUIC is what becomes of a connection over QUIC that use has.
func overQUIC(port string, protocols []string, use func(*quic.Conn) string) func() string {
	return func() string {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		conn, err := quic.DialAddr(ctx, "127.0.0.1:"+port,
			&tls.Config{InsecureSkipVerify: true, NextProtos: protocols}, nil)
		var refused *quic.TransportError
		switch {
		case errors.As(err, &refused):
			return fmt.Sprintf("transport error %#x", uint64(refused.ErrorCode))
		case err != nil:
			return err.Error()
		}
		defer conn.CloseWithError(0, "")
		return use(conn)
	}
}

// streams sends what on a stream of its own, and ends it if last.
func streams(what []byte, last bool) func(*quic.Conn) string {
	return func(conn *quic.Conn) string {
		stream, err := conn.OpenStream()
		if err != nil {
			return err.Error()
		}
		stream.SetDeadline(time.Now().Add(patience))
		stream.Write(what)
		if last {
			stream.Close()
		}
		reply, err := io.ReadAll(stream)
		var closed *quic.ApplicationError
		var reset *quic.StreamError
		switch {
		case errors.As(err, &closed):
			return fmt.Sprintf("connection error %#x", uint64(closed.ErrorCode))
		case errors.As(err, &reset):
			return fmt.Sprintf("stream error %#x", uint64(reset.ErrorCode))
		case err != nil:
			return err.Error()
		}
		m := new(dns.Msg)
		if len(reply) < 2 || m.Unpack(reply[2:]) != nil {
			return fmt.Sprintf("%x", reply)
		}
		return answerOf(m, nil)
	}
}

// early is a second connection that would send before its handshake is done (0-RTT), if the server allowed it. ask asks
// something over each connection, so that what the server says behind the handshake is there.
func early(port string, protocols []string, ask func(*quic.Conn)) func() string {
	return func() string {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		config := &tls.Config{InsecureSkipVerify: true, NextProtos: protocols, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		var state quic.ConnectionState
		for range 2 {
			conn, err := quic.DialAddrEarly(ctx, "127.0.0.1:"+port, config, nil)
			if err != nil {
				return err.Error()
			}
			ask(conn)
			state = conn.ConnectionState()
			conn.CloseWithError(0, "")
		}
		return fmt.Sprintf("resumed %t, early data %t", state.TLS.DidResume, state.Used0RTT)
	}
}

// get asks for something over HTTP/3.
func get(conn *quic.Conn) {
	if r, err := http.NewRequest("GET", "https://127.0.0.1/", nil); err == nil {
		statusOf(new(http3.Transport).NewClientConn(conn).RoundTrip(r))
	}
}

// plain is what becomes of a connection without TLS.
func plain(port string, what []byte) func() string {
	return func() string {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			return err.Error()
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		conn.Write(what)
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			return "nothing"
		}
		return "closed"
	}
}

// tooManyStreams opens more streams than the server allows, and says how many it could.
func tooManyStreams(conn *quic.Conn) string {
	for n := 0; ; n++ {
		if _, err := conn.OpenStream(); err != nil {
			return fmt.Sprint(n, " streams")
		}
	}
}

// refusedStreams is the same over HTTP/2, whose client sends requests without their end.
func refusedStreams(conn *tls.Conn) string {
	conn.Write(append([]byte(Preface), Frame(Settings, 0, 0, "")...))
	const most = 300
	for i := range most {
		conn.Write(Frame(Headers, EndHeaders, 2*i+1, DoHHeaders))
	}
	for {
		kind, stream, payload, err := ReadFrame(conn)
		if err != nil {
			return "closed"
		}
		if kind == Reset {
			return fmt.Sprintf("%d streams, error %#x", stream/2, binary.BigEndian.Uint32(payload))
		}
	}
}

// tooMany opens more connections than one client may have, and asks over the last one. It is a client of its own.
func tooMany(port string, protocols []string, count, most int) func() string {
	return func() string {
		dialer := &net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
		config := &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}
		closed := make(chan struct{}, count)
		for range count {
			conn, err := tls.DialWithDialer(dialer, "tcp", "127.0.0.1:"+port, config)
			if err != nil {
				return err.Error()
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(patience))
			go func() {
				io.Copy(io.Discard, conn)
				closed <- struct{}{}
			}()
		}
		for range count - most {
			<-closed
		}
		return fmt.Sprint(most, " are left")
	}
}

// TestBadInput: each thing that a client may do wrong has its answer.
func TestBadInput(t *testing.T) {
	s := start(t)
	q := query(t, "good.test.")
	framed := append([]byte{0, byte(len(q))}, q...)
	numbered := bytes.Clone(framed)
	numbered[2] = 1
	large := append([]byte{0x30, 0}, make([]byte, 0x3000)...)
	const (
		answer = "an answer of 1"
		doh    = "/dns-query"
		dohAs  = "application/dns-message"
		post   = "POST /dns-query HTTP/1.1\nHost: a\nContent-Type: application/dns-message\nContent-Length: 100\n\n"
		grpc   = "/coredns.dns.DnsService/Query"
		grpcAs = "application/grpc"
	)
	insecure := &tls.Config{InsecureSkipVerify: true}
	two := &http.Transport{TLSClientConfig: insecure.Clone(), ForceAttemptHTTP2: true}
	t.Cleanup(two.CloseIdleConnections)
	three := &http3.Transport{TLSClientConfig: insecure.Clone()}
	t.Cleanup(func() { three.Close() })
	for _, test := range []struct {
		name string
		try  func() string
		want string
	}{
		{"no protocol, TLS", secure(s.tls, none, sends(framed, stays)), answer},
		{"another protocol, TLS", secure(s.tls, h2, sends(framed, stays)), "remote error: tls: no application protocol"},
		{"half-closed, TLS", secure(s.tls, dot, sends(framed, halves)), answer},
		{"half-closed amid a query, TLS", secure(s.tls, dot, sends(framed[:9], halves)), "closed"},
		{"slow, TLS", secure(s.tls, dot, sends(framed[:9], stays)), "closed"},
		{"silent, TLS", secure(s.tls, dot, sends(nil, stays)), "closed"},
		{"no message, TLS", secure(s.tls, dot, sends([]byte{0, 1, 0}, stays)), "closed"},
		{"oversized, TLS", secure(s.tls, dot, sends(large, stays)), "closed"},
		{"plain DNS to TLS", plain(s.tls, framed), "closed"},
		{"half a handshake, TLS", plain(s.tls, []byte{22, 3, 1, 2, 0, 1, 0}), "closed"},
		{"half a handshake, HTTPS", plain(s.https, []byte{22, 3, 1, 2, 0, 1, 0}), "closed"},
		{"half a handshake, gRPC", plain(s.grpc, []byte{22, 3, 1, 2, 0, 1, 0}), "closed"},

		{"no protocol, HTTPS", secure(s.https, none, request("GET / HTTP/1.1\nHost: a\n\n", stays)), "status 404"},
		{"another protocol, HTTPS", secure(s.https, dot, sends(nil, stays)), "remote error: tls: no application protocol"},
		{"another protocol, gRPC", secure(s.grpc, h1, sends(nil, stays)), "closed"},
		{"no protocol, gRPC", secure(s.grpc, none, request("GET / HTTP/1.1\nHost: a\n\n", stays)), "closed"},
		{"half-closed, HTTP/1.1", secure(s.https, h1, request(post+"half", halves)), "status 400"},
		{"slow, HTTP/1.1", secure(s.https, h1, request(post+"half", stays)), "status 408"},
		{"slow headers, HTTP/1.1", secure(s.https, h1, request("POST /dns-query HT", stays)), "status 400"},
		{"slow, HTTP/2", posts(two, s.https, doh, dohAs, half()), "status 408"},
		{"slow, HTTP/3", posts(three, s.https3, doh, dohAs, half()), "status 408"},
		{"slow, gRPC", posts(two, s.grpc, grpc, grpcAs, half()), "gRPC status 4"},
		{"oversized, HTTP/2", posts(two, s.https, doh, dohAs, bytes.NewReader(large)), "status 413"},
		{"oversized, HTTP/3", posts(three, s.https3, doh, dohAs, bytes.NewReader(large)), "status 413"},
		{"oversized, gRPC", posts(two, s.grpc, grpc, grpcAs, bytes.NewReader(large)), "gRPC status 8"},
		{"another type, HTTP/3", posts(three, s.https3, doh, "text/plain", bytes.NewReader(q)), "status 415"},
		{"another type, gRPC", posts(two, s.grpc, grpc, "text/plain", bytes.NewReader(call(q))), "status 415"},
		{"another path, gRPC", posts(two, s.grpc, "/a", grpcAs, bytes.NewReader(call(q))), "gRPC status 12"},
		{"no message, gRPC", posts(two, s.grpc, grpc, grpcAs, bytes.NewReader(call(q[:9]))), "gRPC status 3"},

		{"no protocol, QUIC", overQUIC(s.quic, none, streams(framed, true)), "transport error 0x178"},
		{"another protocol, QUIC", overQUIC(s.quic, h3, streams(framed, true)), "transport error 0x178"},
		{"another protocol, HTTP/3", overQUIC(s.https3, doq, streams(framed, true)), "transport error 0x178"},
		{"a query, QUIC", overQUIC(s.quic, doq, streams(framed, true)), answer},
		{"half a query, QUIC", overQUIC(s.quic, doq, streams(framed[:9], true)), "connection error 0x2"},
		{"slow, QUIC", overQUIC(s.quic, doq, streams(framed[:9], false)), "stream error 0x5"},
		{"an identifier, QUIC", overQUIC(s.quic, doq, streams(numbered, true)), "connection error 0x2"},
		{"oversized, QUIC", overQUIC(s.quic, doq, streams(large, true)), "connection error 0x4"},
		{"too many streams, QUIC", overQUIC(s.quic, doq, tooManyStreams), "100 streams"},
		{"early data, QUIC", early(s.quic, doq, func(c *quic.Conn) { streams(framed, true)(c) }), "resumed true, early data false"},
		{"early data, HTTP/3", early(s.https3, h3, get), "resumed true, early data false"},

		{"too many streams, HTTP/2", secure(s.https, h2, refusedStreams), "100 streams, error 0x7"},
		{"too many connections, TLS", tooMany(s.tls, dot, 160, 128), "128 are left"},
		{"too many connections, HTTPS", tooMany(s.https, h2, 160, 128), "128 are left"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := test.try(); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}
