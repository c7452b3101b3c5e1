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

// An HTTP that ends answers the request of a connection that it has accepted, and of one that nobody has accepted yet.
// No connection is accepted after it, and one that asks nothing does not hold up an end that is due.
func TestHTTPEnds(t *testing.T) {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	h := NewHTTP(listener)
	h.Server.Handler = http.HandlerFunc(func(to http.ResponseWriter, _ *http.Request) { io.WriteString(to, "answer") })
	connect := func() net.Conn {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
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
