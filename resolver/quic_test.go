package resolver

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/pem"
	"io"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// doq is a server of DNS over QUIC that has handle answer each stream, whose query is read.
func doq(t *testing.T, handle func(conn *quic.Conn, stream *quic.Stream, packet []byte)) (Forward, *atomic.Int32) {
	t.Helper()
	web := httptest.NewUnstartedServer(nil) // for its certificate
	web.StartTLS()
	web.Close()
	options := Forward{ReadTimeout: 2 * time.Second, CAFile: filepath.Join(t.TempDir(), "ca.pem")}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	if err := os.WriteFile(options.CAFile, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := quic.ListenAddr("127.0.0.1:0",
		&tls.Config{Certificates: web.TLS.Certificates, NextProtos: []string{doqProtocol}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var conns atomic.Int32
	go func() {
		for {
			conn, err := l.Accept(t.Context())
			if err != nil {
				return
			}
			conns.Add(1)
			go serveDoQ(t.Context(), conn, handle)
		}
	}()
	options.To = []Upstream{{Transport: OverQUIC, Address: netip.MustParseAddrPort(l.Addr().String())}}
	return options, &conns
}

func serveDoQ(ctx context.Context, conn *quic.Conn, handle func(*quic.Conn, *quic.Stream, []byte)) {
	for {
		stream, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			if query, err := io.ReadAll(stream); err == nil && len(query) > lengthSize {
				handle(conn, stream, query[lengthSize:])
			}
		}()
	}
}

// lengthened is packet behind its length.
func lengthened(packet []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
}

// TestForwardOverQUIC: each query is on a stream of its own with the identifier 0, all in one connection, until that is
// closed or too old.
func TestForwardOverQUIC(t *testing.T) {
	options, conns := doq(t, func(conn *quic.Conn, stream *quic.Stream, packet []byte) {
		if packet[0] != 0 || packet[1] != 0 {
			t.Errorf("%x", packet)
		}
		stream.Write(lengthened(replyTo(packet)))
		stream.Close()
		if bytes.Contains(packet, []byte("\x04last")) {
			conn.CloseWithError(0, "")
		}
	})
	f := forwarding(t, options)
	for range 3 {
		expect(t, f.ask(t, "www.example.org. A"), "NOERROR 192.0.2.1")
	}
	if got := f.count().Upstreams[0].Conns; conns.Load() != 1 || len(got) != 1 || got[0] != (ConnCounts{"quic", 2, 1}) {
		t.Errorf("%d connections, %+v", conns.Load(), got)
	}
	f.ask(t, "last.example.org. A") // its answer and the end of the connection cross
	expect(t, f.ask(t, "www.example.org. A"), "NOERROR 192.0.2.1")
}

// TestBadQUICUpstreams: whatever comes over QUIC is bounded in time and size, and what breaks the protocol is no answer
// and ends the connection.
func TestBadQUICUpstreams(t *testing.T) {
	for name, tt := range map[string]struct {
		handle func(conn *quic.Conn, stream *quic.Stream, packet []byte)
		want   string
	}{
		"another identifier": {func(_ *quic.Conn, stream *quic.Stream, packet []byte) {
			reply := replyTo(packet)
			reply[0]++
			stream.Write(lengthened(reply))
			stream.Close()
		}, "24 (Invalid Data)"},
		"another question": {func(_ *quic.Conn, stream *quic.Stream, packet []byte) {
			packet[13]++
			stream.Write(lengthened(replyTo(packet)))
			stream.Close()
		}, "24 (Invalid Data)"},
		"half a reply": {func(_ *quic.Conn, stream *quic.Stream, packet []byte) {
			stream.Write(lengthened(replyTo(packet))[:20])
			stream.Close()
		}, "24 (Invalid Data)"},
		"two replies": {func(_ *quic.Conn, stream *quic.Stream, packet []byte) {
			stream.Write(append(lengthened(replyTo(packet)), lengthened(replyTo(packet))...))
			stream.Close()
		}, "24 (Invalid Data)"},
		"no reply": {func(_ *quic.Conn, stream *quic.Stream, _ []byte) { stream.Close() }, "24 (Invalid Data)"},
		"a reset":  {func(_ *quic.Conn, stream *quic.Stream, _ []byte) { stream.CancelWrite(2) }, "23 (Network Error)"},
		"silence":  {func(*quic.Conn, *quic.Stream, []byte) {}, "22 (No Reachable Authority)"},
		"no end":   {func(_ *quic.Conn, stream *quic.Stream, packet []byte) { stream.Write(lengthened(replyTo(packet))) }, "22 (No Reachable Authority)"},
		"octet by octet": {func(conn *quic.Conn, stream *quic.Stream, packet []byte) {
			for _, b := range lengthened(replyTo(packet)) {
				if _, err := stream.Write([]byte{b}); err != nil {
					return
				}
				select {
				case <-conn.Context().Done():
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		}, "22 (No Reachable Authority)"},
		"closed": {func(conn *quic.Conn, _ *quic.Stream, _ []byte) { conn.CloseWithError(3, "") }, "23 (Network Error)"},
	} {
		t.Run(name, func(t *testing.T) {
			options, _ := doq(t, tt.handle)
			options.ReadTimeout = 200 * time.Millisecond
			if got := forwarding(t, options).ask(t, "www.example.org. A"); !strings.HasPrefix(got, "SERVFAIL "+tt.want) {
				t.Error(got)
			}
		})
	}
}

func FuzzReadDoQReply(f *testing.F) {
	f.Add([]byte{0, 3, 1, 2, 3})
	f.Add([]byte{0, 3, 1, 2, 3, 4})
	f.Add([]byte{0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, stream []byte) {
		reply, err := readDoQ(bytes.NewReader(stream), func(int) bool { return true })
		if err == nil && !bytes.Equal(lengthened(reply), stream) {
			t.Errorf("%x of %x", reply, stream)
		}
	})
}
