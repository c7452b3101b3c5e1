// Package faults is a proxy before an API server that does wrong on command.
//
// It speaks TLS with the API server's own certificate, HTTP/2 or HTTP/1.1, and
// passes watches on event by event. What it does wrong is said by a Fault, which
// may be exchanged at any time, and which open watches obey from their next
// event on; and by Stall, Dark and Drop, which are about connections.
package faults

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// A Fault is what a proxy does wrong. The zero value does everything right.
type Fault struct {
	// Answer may answer a request in place of the API server. With nil, or
	// when it returns nil, the API server is asked.
	Answer func(*Request) *Response
	// Frame passes on one frame of a watch to w, or does something else with
	// it. An error breaks the connection off. Nil passes all.
	Frame func(r *Request, frame []byte, w io.Writer) error
}

// A Request is one that came, and when.
type Request struct {
	*http.Request
	At time.Time
}

// Kind is the plural of what is asked for.
func (r *Request) Kind() string { return path.Base(r.URL.Path) }

// IsWatch reports whether events are asked for.
func (r *Request) IsWatch() bool { return r.URL.Query().Get("watch") != "" }

// IsStream reports whether a watch is to begin with all objects.
func (r *Request) IsStream() bool { return r.URL.Query().Get("sendInitialEvents") == "true" }

// A Response is an answer of the proxy's own.
type Response struct {
	Code   int
	Header http.Header
	Body   []byte
}

// Status is a failure as an API server tells it. Header is names and values in
// turn.
func Status(code int, reason metav1.StatusReason, header ...string) *Response {
	body, _ := json.Marshal(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Code: int32(code), Reason: reason, Message: "a fault on command",
	})
	r := &Response{code, http.Header{"Content-Type": {"application/json"}}, body}
	for pair := range slices.Chunk(header, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	return r
}

// Events is a watch of the frames given, which then ends.
func Events(frames ...[]byte) *Response {
	return &Response{http.StatusOK, http.Header{"Content-Type": {runtime.ContentTypeProtobuf + ";stream=watch"}}, slices.Concat(frames...)}
}

// A Proxy is a running proxy.
type Proxy struct {
	URL string

	target   string // host and port of the API server
	upstream *http.Transport
	server   *http.Server
	fault    atomic.Pointer[Fault]
	serving  sync.WaitGroup

	mu       sync.Mutex
	dark     bool
	open     map[*conn]struct{}
	requests []*Request
}

// Start starts a proxy before the API server whose state is in dir. With old it
// speaks HTTP/1.1 only.
func Start(dir string, old bool) (*Proxy, error) {
	address, err := os.ReadFile(filepath.Join(dir, "address"))
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, errors.New("ca.crt: not a certificate")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		URL:      "https://" + listener.Addr().String(),
		target:   strings.TrimSpace(string(address)),
		upstream: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true},
		open:     map[*conn]struct{}{},
	}
	p.server = &http.Server{Handler: http.HandlerFunc(p.serve), ErrorLog: log.New(io.Discard, "", 0)}
	if old {
		p.server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	}
	p.Set(Fault{})
	p.serving.Go(func() {
		p.server.ServeTLS(listening{listener, p}, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	})
	return p, nil
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() {
	p.mu.Lock()
	open := slices.Collect(maps.Keys(p.open))
	p.mu.Unlock()
	for _, c := range open {
		c.Close() // first: nothing can be said on a dark one, not even goodbye
	}
	p.server.Close()
	p.serving.Wait()
	p.upstream.CloseIdleConnections()
}

// Kubeconfig writes a kubeconfig that is another one, but leads to the proxy.
func (p *Proxy) Kubeconfig(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, []byte(strings.Replace(string(text), "https://"+p.target, p.URL, 1)), 0o600)
}

// Set exchanges what the proxy does wrong.
func (p *Proxy) Set(f Fault) { p.fault.Store(&f) }

// Fault is what the proxy does wrong now.
func (p *Proxy) Fault() *Fault { return p.fault.Load() }

// Requests are the requests of all time, in order.
func (p *Proxy) Requests() []*Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// Stall makes the connections of this moment go dark for ever: they stay open,
// and nothing is read from them or written to them any more.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.stall()
	}
}

// Dark says whether new connections go dark as soon as they are accepted.
func (p *Proxy) Dark(dark bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dark = dark
}

// Drop closes the connections of this moment.
func (p *Proxy) Drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.Conn.Close()
	}
}

func (p *Proxy) serve(w http.ResponseWriter, incoming *http.Request) {
	r := &Request{incoming, time.Now()}
	p.mu.Lock()
	p.requests = append(p.requests, r)
	p.mu.Unlock()
	if answer := p.fault.Load().Answer; answer != nil {
		if own := answer(r); own != nil {
			for name, values := range own.Header {
				w.Header()[name] = values
			}
			w.WriteHeader(own.Code)
			w.Write(own.Body)
			return
		}
	}
	if err := p.pass(w, r); err != nil && r.Context().Err() == nil {
		panic(http.ErrAbortHandler) // breaks off, so that the client sees an error and not an end
	}
}

// pass asks the API server and hands its answer on.
func (p *Proxy) pass(w http.ResponseWriter, r *Request) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	outgoing := r.Clone(ctx)
	outgoing.URL.Scheme, outgoing.URL.Host, outgoing.RequestURI = "https", p.target, ""
	response, err := p.upstream.RoundTrip(outgoing)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	for name, values := range response.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(response.StatusCode)
	out := flushing{w, w.(http.Flusher)}
	out.Flush()
	if !strings.Contains(response.Header.Get("Content-Type"), "protobuf;stream=watch") {
		_, err := io.Copy(out, response.Body)
		return err
	}
	for {
		frame, err := readFrame(response.Body)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if pass := p.fault.Load().Frame; pass != nil {
			err = pass(r, frame, out)
		} else {
			_, err = out.Write(frame)
		}
		if err != nil {
			return err
		}
	}
}

// flushing writes at once.
type flushing struct {
	io.Writer
	http.Flusher
}

func (f flushing) Write(data []byte) (int, error) {
	n, err := f.Writer.Write(data)
	f.Flush()
	return n, err
}

// readFrame reads an event: four bytes of length, and as many of a WatchEvent.
func readFrame(from io.Reader) ([]byte, error) {
	frame := make([]byte, 4)
	if _, err := io.ReadFull(from, frame); err != nil {
		return nil, err
	}
	frame = append(frame, make([]byte, binary.BigEndian.Uint32(frame))...)
	_, err := io.ReadFull(from, frame[4:])
	return frame, err
}

// Frame makes a frame of what it is to hold.
func Frame(payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), payload...)
}

// Event makes a frame of an event.
func Event(kind string, object []byte) []byte {
	payload, err := (&metav1.WatchEvent{Type: kind, Object: runtime.RawExtension{Raw: object}}).Marshal()
	if err != nil {
		panic(err)
	}
	return Frame(payload)
}

// Decode is the event in a frame. Its object is encoded still.
func Decode(frame []byte) (*metav1.WatchEvent, error) {
	e := new(metav1.WatchEvent)
	return e, e.Unmarshal(frame[4:])
}

// listening is the listener of a proxy.
type listening struct {
	net.Listener
	proxy *Proxy
}

func (l listening) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: accepted, proxy: l.proxy, closed: make(chan struct{})}
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	if l.proxy.dark {
		c.stall()
	}
	l.proxy.open[c] = struct{}{}
	return c, nil
}

// conn is a connection that may go dark.
type conn struct {
	net.Conn
	proxy  *Proxy
	dark   atomic.Bool
	once   sync.Once
	closed chan struct{}
}

func (c *conn) stall() { c.dark.Store(true) }

// wait returns at once, or when a dark connection is closed.
func (c *conn) wait() error {
	if !c.dark.Load() {
		return nil
	}
	<-c.closed
	return net.ErrClosed
}

func (c *conn) Read(data []byte) (int, error) {
	n, err := c.Conn.Read(data)
	if dark := c.wait(); dark != nil {
		return 0, dark
	}
	return n, err
}

func (c *conn) Write(data []byte) (int, error) {
	if err := c.wait(); err != nil {
		return 0, err
	}
	return c.Conn.Write(data)
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.proxy.mu.Lock()
	delete(c.proxy.open, c)
	c.proxy.mu.Unlock()
	return c.Conn.Close()
}
