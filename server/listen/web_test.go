package listen

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/clusterdns/clusterdns/resolver"
)

var insecure = &tls.Config{InsecureSkipVerify: true}

// webClients are clients of HTTP/1.1 and HTTP/2.
func webClients() map[string]*http.Client {
	one, two := new(http.Protocols), new(http.Protocols)
	one.SetHTTP1(true)
	two.SetHTTP2(true)
	return map[string]*http.Client{
		"HTTP/1.1": {Transport: &http.Transport{TLSClientConfig: insecure.Clone(), Protocols: one}},
		"HTTP/2.0": {Transport: &http.Transport{TLSClientConfig: insecure.Clone(), Protocols: two}},
	}
}

// Requests of RFC 8484 and what is wrong with them, over each version of HTTP.
func TestWebRequests(t *testing.T) {
	l, _ := serveSecure(t, resolver.DoH, Options{Answerer: newScripted()})
	three, _ := serveSecure(t, resolver.DoH3, Options{Answerer: newScripted()})
	clients := webClients()
	transport := &http3.Transport{TLSClientConfig: insecure.Clone()}
	defer transport.Close()
	clients["HTTP/3.0"] = &http.Client{Transport: transport}
	query := framed("a.example.")[lengthSize:]
	text := base64.RawURLEncoding.EncodeToString(query)
	for version, client := range clients {
		defer client.CloseIdleConnections()
		at := "https://" + l.Address().String()
		if version == "HTTP/3.0" {
			at = "https://" + three.Address().String()
		}
		for _, test := range []struct {
			name, method, path, media string
			body                      []byte
			status                    int
		}{
			{"GET", "GET", "/dns-query?dns=" + text, "", nil, 200},
			{"POST", "POST", "/dns-query", webType, query, 200},
			{"POST that waits for upstream", "POST", "/dns-query", webType, framed("miss.example.")[lengthSize:], 200},
			{"a parameter of the media type", "POST", "/dns-query", webType + "; a=b", query, 200},
			{"no parameter", "GET", "/dns-query", "", nil, 400},
			{"an empty parameter", "GET", "/dns-query?dns=", "", nil, 400},
			{"two parameters", "GET", "/dns-query?dns=" + text + "&dns=" + text, "", nil, 400},
			{"padding", "GET", "/dns-query?dns=" + text + "=", "", nil, 400},
			{"no base64url", "GET", "/dns-query?dns=a+b", "", nil, 400},
			{"no message", "GET", "/dns-query?dns=AAAA", "", nil, 400},
			{"no message in the body", "POST", "/dns-query", webType, []byte("nothing"), 400},
			{"no body", "POST", "/dns-query", webType, nil, 400},
			{"another media type", "POST", "/dns-query", "application/dns-json", query, 415},
			{"no media type", "POST", "/dns-query", "", query, 415},
			{"another method", "PUT", "/dns-query", webType, query, 405},
			{"another path", "GET", "/?dns=" + text, "", nil, 404},
			{"oversized", "POST", "/dns-query", webType, make([]byte, longestQuery+1), 413},
			{"oversized headers", "GET", "/dns-query?dns=" + strings.Repeat("A", 2*maxHeaders), "", nil, 431},
		} {
			request, err := http.NewRequestWithContext(t.Context(), test.method, at+test.path, bytes.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			if test.media != "" {
				request.Header.Set("Content-Type", test.media)
			}
			reply, err := client.Do(request)
			if err != nil {
				if test.status != 431 { // HTTP/2 and 3 may end the stream instead
					t.Errorf("%s, %s: %v", version, test.name, err)
				}
				continue
			}
			body, err := io.ReadAll(reply.Body)
			reply.Body.Close()
			if reply.StatusCode != test.status || err != nil || reply.Proto != version {
				t.Errorf("%s, %s: %s %s %v", version, test.name, reply.Proto, reply.Status, err)
			}
			if test.status == 200 && (new(dns.Msg).Unpack(body) != nil || reply.Header.Get("Content-Type") != webType) {
				t.Errorf("%s, %s: %x %v", version, test.name, body, reply.Header)
			}
		}
	}
}

// A message that comes in part holds its request for ReadTimeout at most, and no other client.
func TestWebHalfRequest(t *testing.T) {
	l, _ := serveSecure(t, resolver.DoH, Options{Answerer: newScripted()})
	conn := dialTLS(t, l, insecure.Clone())
	fmt.Fprintf(conn, "POST /dns-query HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: 100\r\n\r\nhalf", webType)
	until(t, func() bool { return l.acceptor.(*web).requests.all.Counts().Open == 1 })
	conn.CloseWrite()
	until(t, func() bool { return l.acceptor.(*web).requests.all.Counts().Open == 0 })
}

// The freshness of a reply is the smallest TTL of its answer section, else the negative TTL (RFC 8484 section 5.1).
func TestFreshness(t *testing.T) {
	for _, test := range []struct {
		answers, authority string
		want               uint32
	}{
		{"a. 300 A 192.0.2.1\na. 60 A 192.0.2.2", "b. 5 NS c.", 60},
		{"", "a. 300 SOA b. c. 1 2 3 4 30", 30},
		{"", "a. 20 SOA b. c. 1 2 3 4 30", 20},
		{"", "a. 20 NS b.", 0},
		{"", "", 0},
	} {
		m := new(dns.Msg).SetQuestion("a.", dns.TypeA)
		m.SetEdns0(1232, false)
		m.Answer, m.Ns = records(t, test.answers), records(t, test.authority)
		packed, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if got := freshness(packed); got != test.want {
			t.Errorf("%q, %q: %d, want %d", test.answers, test.authority, got, test.want)
		}
	}
}

func records(t *testing.T, text string) (all []dns.RR) {
	for line := range strings.Lines(text) {
		r, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// Calls of gRPC, and what is wrong with them, over plain HTTP/2 and TLS.
func TestCalls(t *testing.T) {
	secure, _ := serveSecure(t, resolver.DoGRPC, Options{Answerer: newScripted()})
	plain := serve(t, Options{Answerer: newScripted(), Scheme: resolver.DoGRPC})
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: insecure.Clone(), Protocols: protocols}}
	defer client.CloseIdleConnections()
	query := frame(framed("a.example.")[lengthSize:])
	compressed := bytes.Clone(query)
	compressed[0] = 1
	for _, at := range []string{"https://" + secure.Address().String(), "http://" + plain.Address().String()} {
		for _, test := range []struct {
			name, path string
			body       []byte
			status     string
		}{
			{"a query", grpcPath, query, "0"},
			{"one that waits for upstream", grpcPath, frame(framed("miss.example.")[lengthSize:]), "0"},
			{"another method", "/coredns.dns.DnsService/Other", query, "12"},
			{"compressed", grpcPath, compressed, "12"},
			{"half a message", grpcPath, query[:len(query)-1], "3"},
			{"two messages", grpcPath, append(bytes.Clone(query), query...), "3"},
			{"nothing", grpcPath, nil, "3"},
			{"no DNS message", grpcPath, frame([]byte("nothing")), "3"},
			{"oversized", grpcPath, frame(make([]byte, 2*longestQuery)), "8"},
		} {
			reply, err := client.Post(at+test.path, "application/grpc", bytes.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(reply.Body)
			reply.Body.Close()
			if got := reply.Trailer.Get("Grpc-Status"); got != test.status {
				t.Errorf("%s: status %s, want %s", test.name, got, test.status)
			}
			if message, code := unframe(body); test.status == "0" && (code != 0 || new(dns.Msg).Unpack(message) != nil) {
				t.Errorf("%s: %x", test.name, body)
			}
		}
	}
}

func dialQUIC(t *testing.T, l *Listener, protocol string) (*quic.Conn, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := quic.DialAddr(ctx, l.Address().String(),
		&tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}, nil)
	if err == nil {
		t.Cleanup(func() { conn.CloseWithError(0, "") })
	}
	return conn, err
}

// The client's end of a stream may come in a frame of its own, and the reply behind the time that the query had: that is
// no error.
func TestLateReplyOverQUIC(t *testing.T) {
	s := newScripted()
	l, _ := serveSecure(t, resolver.DoQ, Options{Answerer: s, ReadTimeout: time.Second})
	conn, err := dialQUIC(t, l, "doq")
	if err != nil {
		t.Fatal(err)
	}
	stream, err := conn.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	stream.Write(framed("hold.example."))
	time.AfterFunc(20*time.Millisecond, func() { stream.Close() })
	time.AfterFunc(1200*time.Millisecond, func() { close(s.release) })
	if reply, err := io.ReadAll(stream); err != nil || len(reply) <= lengthSize {
		t.Errorf("%d octets, %v", len(reply), err)
	}
	next, err := conn.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	next.Write(framed("a.example."))
	next.Close()
	if reply, err := io.ReadAll(next); err != nil || len(reply) <= lengthSize {
		t.Errorf("on the next stream: %d octets, %v", len(reply), err)
	}
}

// Streams of DNS over QUIC, and what ends the connection (RFC 9250 section 4.3.3).
func TestQUICStreams(t *testing.T) {
	l, _ := serveSecure(t, resolver.DoQ, Options{Answerer: newScripted()})
	if _, err := dialQUIC(t, l, "h3"); err == nil {
		t.Error("a client of h3 is taken")
	}
	keepalive := new(dns.Msg).SetQuestion("a.example.", dns.TypeA)
	keepalive.Id = 0
	keepalive.SetEdns0(1232, false)
	keepalive.IsEdns0().Option = append(keepalive.IsEdns0().Option, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE})
	packed, err := keepalive.Pack()
	if err != nil {
		t.Fatal(err)
	}
	query := framed("a.example.")
	numbered := bytes.Clone(query)
	numbered[lengthSize] = 1
	for _, test := range []struct {
		name  string
		sent  []byte
		open  bool // the client does not end the stream
		code  quic.ApplicationErrorCode
		reply bool
	}{
		{"a query", query, false, 0, true},
		{"one that waits for upstream", framed("miss.example."), false, 0, true},
		{"half a query", query[:8], false, doqProtocolError, false},
		{"nothing", nil, false, doqProtocolError, false},
		{"length 0", []byte{0, 0}, false, doqProtocolError, false},
		{"an identifier", numbered, false, doqProtocolError, false},
		{"edns-tcp-keepalive", append([]byte{0, byte(len(packed))}, packed...), false, doqProtocolError, false},
		{"no DNS message", append([]byte{0, 12}, make([]byte, 11)...), false, doqProtocolError, false},
		{"two queries", append(bytes.Clone(query), query...), true, doqProtocolError, true},
		{"oversized", []byte{0xff, 0xff}, true, doqExcessiveLoad, false},
	} {
		conn, err := dialQUIC(t, l, "doq")
		if err != nil {
			t.Fatal(err)
		}
		stream, err := conn.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		stream.Write(test.sent)
		if !test.open {
			stream.Close()
		}
		reply, _ := io.ReadAll(stream)
		if test.reply != (len(reply) > lengthSize && new(dns.Msg).Unpack(reply[lengthSize:]) == nil) && test.code == 0 {
			t.Errorf("%s: %x", test.name, reply)
		}
		if test.code == 0 {
			continue
		}
		<-conn.Context().Done()
		closed, _ := context.Cause(conn.Context()).(*quic.ApplicationError)
		if closed == nil || closed.ErrorCode != test.code {
			t.Errorf("%s: %v, want code %d", test.name, context.Cause(conn.Context()), test.code)
		}
	}
}

// What a client sends before its handshake is done is not taken: it asks again when that is done (RFC 9250 section 4.5).
func TestQUICNoEarlyData(t *testing.T) {
	l, _ := serveSecure(t, resolver.DoQ, Options{Answerer: newScripted()})
	config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"doq"}, ServerName: "lab.test",
		ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for i := range 2 {
		conn, err := quic.DialAddrEarly(t.Context(), l.Address().String(), config, nil)
		if err != nil {
			t.Fatal(err)
		}
		stream, err := conn.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		stream.Write(framed("a.example."))
		stream.Close()
		if reply, err := io.ReadAll(stream); err != nil || len(reply) == 0 {
			t.Errorf("%x %v", reply, err)
		}
		if state := conn.ConnectionState(); state.Used0RTT || state.TLS.DidResume != (i == 1) {
			t.Errorf("connection %d: early data %t, resumed %t", i, state.Used0RTT, state.TLS.DidResume)
		}
		conn.CloseWithError(0, "")
	}
}

// A reload ends the listener after the queries that wait, and says so to clients of QUIC.
func TestQUICEnd(t *testing.T) {
	s := newScripted()
	l, _ := serveSecure(t, resolver.DoQ, Options{Answerer: s})
	conn, err := dialQUIC(t, l, "doq")
	if err != nil {
		t.Fatal(err)
	}
	stream, err := conn.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	stream.Write(framed("hold.example."))
	stream.Close()
	until(t, func() bool { waiting, _ := l.pending.count(resolver.UDP); return waiting == 1 })
	close(s.release)
	if reply, err := io.ReadAll(stream); err != nil || len(reply) == 0 {
		t.Errorf("%x %v", reply, err)
	}
}

func FuzzUnframe(f *testing.F) {
	f.Add(frame([]byte("query")))
	f.Add([]byte{0, 0, 0, 0, 3, 8, 1, 10})
	f.Fuzz(func(t *testing.T, data []byte) {
		if message, code := unframe(data); code == grpcOK && message != nil {
			if again, code := unframe(frame(message)); code != grpcOK || !bytes.Equal(again, message) {
				t.Errorf("%x becomes %x", message, again)
			}
		}
	})
}

// A stream that is slow, or that the client resets, ends alone: the other streams of its connection are answered
// (RFC 9250 sections 4.3.1 and 4.3.3).
func TestSlowStreamEndsAlone(t *testing.T) {
	l, _ := serveSecure(t, resolver.DoQ, Options{Answerer: newScripted(), ReadTimeout: time.Second})
	conn, err := dialQUIC(t, l, "doq")
	if err != nil {
		t.Fatal(err)
	}
	open := func(sent []byte) *quic.Stream {
		stream, err := conn.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		stream.Write(sent)
		return stream
	}
	query := framed("a.example.")
	open(query[:8]).CancelWrite(doqNoError)
	slow := open(query[:8])
	_, err = io.ReadAll(slow)
	reset, _ := err.(*quic.StreamError)
	if reset == nil || !reset.Remote || reset.ErrorCode != doqUnspecified {
		t.Errorf("slow: %v", err)
	}
	endless := open(query)
	if reply, err := io.ReadAll(endless); err != nil || len(reply) <= lengthSize {
		t.Errorf("a query without end: %d octets, %v", len(reply), err)
	}
	<-endless.Context().Done()
	stopped, _ := context.Cause(endless.Context()).(*quic.StreamError)
	if stopped == nil || stopped.ErrorCode != doqUnspecified {
		t.Errorf("a query without end: %v", context.Cause(endless.Context()))
	}
	last := open(query)
	last.Close()
	if reply, err := io.ReadAll(last); err != nil || len(reply) <= lengthSize {
		t.Errorf("after them: %d octets, %v", len(reply), err)
	}
}

func FuzzReadDoQ(f *testing.F) {
	f.Add(framed("a.example."))
	f.Add([]byte{0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		message, code := readDoQ(bytes.NewReader(data))
		if code == doqNoError && !bytes.HasPrefix(data[lengthSize:], message) {
			t.Errorf("%x is read of %x", message, data)
		}
	})
}

func FuzzMessageOf(f *testing.F) {
	f.Add("GET", "/dns-query?dns=AAABAAABAAAAAAAAAWEAAAEAAQ", "", []byte(nil))
	f.Add("POST", "/dns-query", webType+"; a=b", framed("a.example.")[lengthSize:])
	f.Fuzz(func(t *testing.T, method, path, media string, body []byte) {
		at, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		r := &http.Request{Method: method, URL: at, Header: http.Header{"Content-Type": {media}},
			Body: io.NopCloser(bytes.NewReader(body)), ContentLength: -1}
		message, status := messageOf(httptest.NewRecorder(), r)
		if status != http.StatusOK && message != nil || len(message) > longestQuery {
			t.Errorf("status %d, %d octets", status, len(message))
		}
		if method == http.MethodPost && status == http.StatusOK && !bytes.Equal(message, body) {
			t.Errorf("%x of %x", message, body)
		}
	})
}

func FuzzWebQuery(f *testing.F) {
	f.Add("AAABAAABAAAAAAAAAWEAAAEAAQ", []byte{1})
	f.Fuzz(func(t *testing.T, text string, reply []byte) {
		if message, status := decodeParameter([]string{text}); status == 200 && len(message) > longestQuery {
			t.Errorf("%d octets", len(message))
		}
		freshness(reply)
	})
}

// How many requests one connection may have under way is what the server says at its beginning: SETTINGS of HTTP/2 (RFC
// 9113 section 6.5.2), transport parameters of QUIC.
func TestStreamsOfAConnection(t *testing.T) {
	for _, scheme := range []resolver.Scheme{resolver.DoH, resolver.DoGRPC} {
		l, _ := serveSecure(t, scheme, Options{Answerer: newScripted(), Each: 7})
		conn := dialTLS(t, l, &tls.Config{NextProtos: []string{"h2"}})
		io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		var header [9]byte
		io.ReadFull(conn, header[:])
		settings := make([]byte, header[2])
		io.ReadFull(conn, settings)
		const maxConcurrentStreams = 3
		if header[3] != 4 || !bytes.Contains(settings, []byte{0, maxConcurrentStreams, 0, 0, 0, 7}) {
			t.Errorf("%s: %x %x", scheme, header, settings)
		}
	}
	l, _ := serveSecure(t, resolver.DoQ, Options{Answerer: newScripted(), Each: 1})
	conn, err := dialQUIC(t, l, "doq")
	if err != nil {
		t.Fatal(err)
	}
	_, first := conn.OpenStream()
	_, second := conn.OpenStream()
	if first != nil || !errors.As(second, new(*quic.StreamLimitReachedError)) {
		t.Errorf("the first: %v, the second: %v", first, second)
	}
}

// When a client has all the connections that it may have, that one makes room which has asked nothing for longest, and
// none whose request waits for upstream.
func TestRequestsKeepConnections(t *testing.T) {
	for _, scheme := range []resolver.Scheme{resolver.DoH, resolver.DoH3, resolver.DoQ, resolver.DoGRPC} {
		s := newScripted()
		l, _ := serveSecure(t, scheme, Options{Answerer: s, Streams: 2 * streamsShare})
		asks := func() func(name string) error { return connection(t, l, scheme) }
		first, second := asks(), asks()
		for i, ask := range []func(string) error{first, second, first} {
			if err := ask("hit.example."); err != nil {
				t.Fatalf("%s: %d: %v", scheme, i, err)
			}
		}
		waiting := make(chan error)
		go func() { waiting <- first("hold.example.") }()
		until(t, func() bool { return s.holding.Load() == 1 })
		for range 3 { // each takes the place of the one before
			if err := asks()("hit.example."); err != nil {
				t.Errorf("%s: another connection: %v", scheme, err)
			}
		}
		close(s.release)
		if err := <-waiting; err != nil {
			t.Errorf("%s: the one that waits: %v", scheme, err)
		}
		if err := second("hit.example."); err == nil {
			t.Errorf("%s: the one that has asked nothing for longest is still there", scheme)
		}
	}
}

// connection opens a connection of its own with the first query that it asks. It is not opened again.
func connection(t *testing.T, l *Listener, scheme resolver.Scheme) (ask func(name string) error) {
	if scheme == resolver.DoQ {
		conn, err := dialQUIC(t, l, "doq")
		if err != nil {
			t.Fatal(err)
		}
		return func(name string) error {
			stream, err := conn.OpenStream()
			if err != nil {
				return err
			}
			stream.Write(framed(name))
			stream.Close()
			_, err = io.ReadAll(stream)
			return err
		}
	}
	opened := false
	var transport http.RoundTripper
	if scheme == resolver.DoH3 {
		three := &http3.Transport{TLSClientConfig: insecure.Clone(),
			Dial: func(ctx context.Context, address string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
				if opened {
					return nil, io.EOF
				}
				opened = true
				return quic.DialAddr(ctx, address, tc, qc)
			}}
		t.Cleanup(func() { three.Close() })
		transport = three
	} else {
		two := new(http.Protocols)
		two.SetHTTP2(true)
		h2 := &http.Transport{TLSClientConfig: insecure.Clone(), Protocols: two,
			DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				if opened {
					return nil, io.EOF
				}
				opened = true
				return tls.Dial(network, address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
			}}
		t.Cleanup(h2.CloseIdleConnections)
		transport = h2
	}
	return func(name string) error {
		path, media, body := webPath, webType, framed(name)[lengthSize:]
		if scheme == resolver.DoGRPC {
			path, media, body = grpcPath, "application/grpc", frame(body)
		}
		r, _ := http.NewRequest("POST", "https://"+l.Address().String()+path, bytes.NewReader(body))
		r.Header.Set("Content-Type", media)
		reply, err := transport.RoundTrip(r)
		if err != nil {
			return err
		}
		defer reply.Body.Close()
		_, err = io.ReadAll(reply.Body)
		return err
	}
}
