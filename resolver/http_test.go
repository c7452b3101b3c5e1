package resolver

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// web is a server of DNS over HTTPS, or of gRPC without TLS, that answers as handle says.
func web(t *testing.T, grpc bool, handle http.HandlerFunc) (Upstream, Forward, *atomic.Int32) {
	t.Helper()
	var conns atomic.Int32
	s := httptest.NewUnstartedServer(handle)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	t.Cleanup(s.Close)
	options := Forward{ReadTimeout: 2 * time.Second}
	u := Upstream{Transport: OverHTTPS}
	if grpc {
		u.Transport = OverGRPC
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
	} else {
		s.EnableHTTP2 = true
		s.StartTLS()
		options.CAFile = filepath.Join(t.TempDir(), "ca.pem")
		ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
		if err := os.WriteFile(options.CAFile, ca, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	u.Address = netip.MustParseAddrPort(s.Listener.Addr().String())
	options.To = []Upstream{u}
	return u, options, &conns
}

// replyTo is the reply of answering("192.0.2.1") to a packed query.
func replyTo(packet []byte) []byte {
	q, reply := new(dns.Msg), new(dns.Msg)
	if err := q.Unpack(packet); err != nil {
		panic(err)
	}
	reply.SetReply(q)
	packed, err := answering("192.0.2.1")(q, reply, true).Pack()
	if err != nil {
		panic(err)
	}
	return packed
}

// TestForwardOverHTTPS: by POST and GET, to /dns-query, with ID 0, all in one connection of HTTP/2.
func TestForwardOverHTTPS(t *testing.T) {
	for _, get := range []bool{false, true} {
		var wrong atomic.Pointer[string]
		_, options, conns := web(t, false, func(w http.ResponseWriter, r *http.Request) {
			packet, _ := io.ReadAll(r.Body)
			if get {
				packet, _ = base64.RawURLEncoding.DecodeString(r.URL.Query().Get("dns"))
			}
			if r.URL.Path != "/dns-query" || r.Header.Get("Accept") != dohType || r.ProtoMajor != 2 ||
				!get && r.Header.Get("Content-Type") != dohType || packet[0] != 0 || packet[1] != 0 {
				text := r.Method + " " + r.URL.String() + " " + r.Proto
				wrong.Store(&text)
			}
			w.Header().Set("Content-Type", dohType)
			w.Write(replyTo(packet))
		})
		options.DoHGet = get
		f := forwarding(t, options)
		for range 3 {
			expect(t, f.ask(t, "www.example.org. A"), "NOERROR 192.0.2.1")
		}
		if text := wrong.Load(); text != nil {
			t.Error(*text)
		}
		if n := conns.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
		if got := f.count().Upstreams[0].Conns; len(got) != 1 || got[0] != (ConnCounts{"https", 2, 1}) {
			t.Errorf("connections %+v", got)
		}
	}
}

// TestForwardOverGRPC: a query is one request of the service that CoreDNS has.
func TestForwardOverGRPC(t *testing.T) {
	_, options, conns := web(t, true, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		packet, err := unframeGRPC(body)
		if err != nil || r.URL.Path != grpcPath || r.Header.Get("Te") != "trailers" {
			t.Errorf("%v %s", err, r.URL)
			return
		}
		w.Header().Set("Content-Type", grpcType)
		w.Header().Set("Trailer", "Grpc-Status")
		w.Write(frameGRPC(replyTo(packet)))
		w.Header().Set("Grpc-Status", "0")
	})
	f := forwarding(t, options)
	for range 3 {
		expect(t, f.ask(t, "www.example.org. A"), "NOERROR 192.0.2.1")
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestBadWebUpstreams: whatever comes over HTTP is bounded in time and size, and no answer unless it says so.
func TestBadWebUpstreams(t *testing.T) {
	ended := make(chan struct{})
	for name, tt := range map[string]struct {
		handle http.HandlerFunc
		want   string
	}{
		"status 500": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }, "24 (Invalid Data)"},
		"a redirection": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.1:1/", http.StatusFound)
		}, "24 (Invalid Data)"},
		"another type": {func(w http.ResponseWriter, r *http.Request) {
			packet, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Type", "text/html")
			w.Write(replyTo(packet))
		}, "24 (Invalid Data)"},
		"too long": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", dohType)
			w.Write(bytes.Repeat([]byte{0}, 1<<20))
		}, "24 (Invalid Data)"},
		"without end": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", dohType)
			for err := error(nil); err == nil && r.Context().Err() == nil; {
				_, err = w.Write(make([]byte, 16<<10))
			}
		}, "24 (Invalid Data)"},
		"a header without end": {func(w http.ResponseWriter, r *http.Request) {
			for i := range 100 {
				w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 1000))
			}
		}, "23 (Network Error)"},
		"another identifier": {func(w http.ResponseWriter, r *http.Request) {
			packet, _ := io.ReadAll(r.Body)
			packet[0]++
			w.Header().Set("Content-Type", dohType)
			w.Write(replyTo(packet))
		}, "24 (Invalid Data)"},
		"half a message": {func(w http.ResponseWriter, r *http.Request) {
			packet, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Type", dohType)
			w.Write(replyTo(packet)[:20])
		}, "24 (Invalid Data)"},
		"another question": {func(w http.ResponseWriter, r *http.Request) {
			packet, _ := io.ReadAll(r.Body)
			packet[13]++
			w.Header().Set("Content-Type", dohType)
			w.Write(replyTo(packet))
		}, "24 (Invalid Data)"},
		"silence": {func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-ended:
			}
		}, "22 (No Reachable Authority)"},
		"octet by octet": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", dohType)
			for r.Context().Err() == nil {
				w.Write([]byte{0})
				w.(http.Flusher).Flush()
				select {
				case <-ended:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		}, "22 (No Reachable Authority)"},
	} {
		t.Run(name, func(t *testing.T) {
			_, options, _ := web(t, false, tt.handle)
			options.ReadTimeout = 10 * time.Second
			if strings.HasPrefix(tt.want, "22") { // the time ends it
				options.ReadTimeout = 100 * time.Millisecond
			}
			if got := forwarding(t, options).ask(t, "www.example.org. A"); !strings.HasPrefix(got, "SERVFAIL "+tt.want) {
				t.Error(got)
			}
		})
	}
	close(ended)
}

// TestMaxAgeOfWeb: connections over HTTP are replaced when they are too old.
func TestMaxAgeOfWeb(t *testing.T) {
	u := &upstream{transport: OverHTTPS}
	u.idle.maxAge = time.Minute
	begin := time.Unix(1000, 0)
	first := u.connections(begin)
	if u.connections(begin.Add(59*time.Second)) != first || u.connections(begin.Add(time.Minute)) == first {
		t.Error("not replaced after max_age, or before")
	}
}

func FuzzFrameGRPC(f *testing.F) {
	f.Add(frameGRPC([]byte("a message")))
	f.Add([]byte{0, 0, 0, 0, 0})
	f.Add([]byte{1, 0, 0, 0, 2, grpcField, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		packet, err := unframeGRPC(body)
		if again, failed := unframeGRPC(frameGRPC(packet)); err == nil && (failed != nil || !bytes.Equal(again, packet)) {
			t.Errorf("%x is %x", packet, again)
		}
	})
}
