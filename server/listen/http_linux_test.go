package listen

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// tcpListener takes the connections of an HTTP as they are.
type tcpListener struct{ *HTTP }

func (l tcpListener) Accept() (net.Conn, error) { return l.HTTP.Accept() }

// newTestHTTP is an HTTP that answers all requests, and what connects to it.
func newTestHTTP(t *testing.T) (h *HTTP, connect func() net.Conn) {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	h = NewHTTP(listener)
	h.Server.Handler = http.HandlerFunc(func(to http.ResponseWriter, _ *http.Request) { io.WriteString(to, "answer") })
	return h, func() net.Conn {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
}

// An HTTP that ends answers the request of a connection that it has accepted, and of one that nobody has accepted yet.
// No connection is accepted after it, and one that asks nothing does not hold up an end that is due.
func TestHTTPEnds(t *testing.T) {
	h, connect := newTestHTTP(t)
	h.patience = time.Hour
	listener := h.Listener
	listener.SetDeadline(time.Now()) // as End does, before anything is accepted
	queued, silent := connect(), connect()
	served := make(chan error)
	go func() { served <- h.Serve(tcpListener{h}) }()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { h.End(ctx); close(ended) }()
	if err := <-served; err != net.ErrClosed {
		t.Errorf("Serve: %v", err)
	}
	io.WriteString(queued, "GET / HTTP/1.1\r\nHost: here\r\n\r\n")
	reply, err := http.ReadResponse(bufio.NewReader(queued), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(reply.Body); err != nil || string(body) != "answer" {
		t.Errorf("%q, %v", body, err)
	}
	if conn, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		conn.Close()
		t.Error("a connection is accepted after the end")
	}
	select {
	case <-ended:
		t.Error("it does not wait for a connection that has just come")
	default:
	}
	cancel()
	<-ended
	if n, err := silent.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d octets of no reply", n)
	}
}

// One that has connected and asks for nothing does not keep idle connections from learning that the server ends, nor has
// requests under way cut.
func TestHTTPEndsBesideSilence(t *testing.T) {
	h, connect := newTestHTTP(t)
	h.patience = time.Millisecond
	answer := h.Server.Handler
	begun, finish := make(chan struct{}), make(chan struct{})
	h.Server.Handler = http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(begun)
			<-finish
		}
		answer.ServeHTTP(to, r)
	})
	go h.Serve(tcpListener{h})
	ask := func(conn net.Conn, path string) { io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: here\r\n\r\n") }
	read := func(from *bufio.Reader) {
		t.Helper()
		reply, err := http.ReadResponse(from, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(reply.Body); err != nil || string(body) != "answer" {
			t.Errorf("%q, %v", body, err)
		}
	}
	idle, working := connect(), connect()
	ask(idle, "/")
	idleReader, workingReader := bufio.NewReader(idle), bufio.NewReader(working)
	read(idleReader)
	ask(working, "/slow")
	<-begun
	silent := connect()
	io.WriteString(silent, "GET / HT")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { h.End(ctx); close(ended) }()
	idle.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := idleReader.ReadByte(); err != io.EOF {
		t.Errorf("the idle connection: %v", err)
	}
	close(finish)
	read(workingReader)
	cancel()
	<-ended
}
