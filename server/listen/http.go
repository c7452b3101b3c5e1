package listen

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// HTTP is an http.Server on one socket that ends without losing a request. http.Server.Shutdown alone does: connections
// that the kernel has made and nobody has accepted are reset, and one whose first request is being read is closed without
// a reply. Clients repeat a request that is lost on a connection which served others, but not the first one of a
// connection, and while a reload goes from one socket to another it is by chance to which of them a client comes. One that
// the kernel makes just when the socket closes is reset all the same.
type HTTP struct {
	Server   http.Server
	Listener *net.TCPListener

	patience time.Duration // for first requests at the end
	served   chan struct{} // closed when no more connections are accepted

	mu    sync.Mutex
	fresh map[net.Conn]struct{} // nothing was answered on them yet
	none  chan struct{}         // closed when fresh is empty, if somebody waits for it
}

// firstPatience is how long an end takes connections and waits for the first request of each, since clients that are far
// away need some round trips for it. Others wait meanwhile: http.Server.Shutdown comes behind it, which closes idle
// connections, sends GOAWAY (RFC 9113 section 6.8), and needs time for the requests under way. A client that connects and
// says nothing would else take it from all.
const firstPatience = 2 * time.Second

// NewHTTP makes a server on listener, whose settings are the caller's.
func NewHTTP(listener *net.TCPListener) *HTTP {
	h := &HTTP{Listener: listener, patience: firstPatience, served: make(chan struct{}), fresh: map[net.Conn]struct{}{}}
	h.Server.ConnState = h.follow
	return h
}

// Accept is the next connection to the socket. Once End has begun it fails as soon as there is none, and the socket is
// closed.
func (h *HTTP) Accept() (*net.TCPConn, error) {
	conn, err := h.Listener.AcceptTCP()
	for errors.Is(err, os.ErrDeadlineExceeded) && queued(h.Listener) {
		h.Listener.SetDeadline(time.Time{})
		conn, err = h.Listener.AcceptTCP() // fails again if the deadline is set meanwhile
		h.Listener.SetDeadline(time.Now())
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		h.Listener.Close()
		return nil, net.ErrClosed
	}
	return conn, err
}

// Close gives the address back. End does so; only a server that never serves needs another call.
func (h *HTTP) Close() error { return h.Listener.Close() }

// Addr is where the socket is bound.
func (h *HTTP) Addr() net.Addr { return h.Listener.Addr() }

// Serve serves the connections that l makes of those of Accept, until End, which waits for it.
func (h *HTTP) Serve(l net.Listener) error {
	defer close(h.served)
	return h.Server.Serve(l)
}

// End answers what clients have asked, or opened a connection for, closes everything, and returns; when ctx ends, at
// once.
func (h *HTTP) End(ctx context.Context) {
	first, cancel := context.WithTimeout(ctx, h.patience)
	defer cancel()
	defer context.AfterFunc(first, func() { h.Listener.Close() })()
	h.Listener.SetDeadline(time.Now()) // Accept no longer waits
	<-h.served
	h.mu.Lock()
	none := make(chan struct{})
	if h.none = none; len(h.fresh) == 0 {
		close(none)
	}
	h.mu.Unlock()
	select {
	case <-none:
	case <-first.Done():
	}
	if h.Server.Shutdown(ctx) != nil {
		h.Server.Close()
	}
}

// follow implements http.Server.ConnState: a connection is idle, or closed, after its first reply. One of HTTP/2 is idle
// before: clients learn from GOAWAY which requests to repeat.
func (h *HTTP) follow(conn net.Conn, state http.ConnState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch state {
	case http.StateNew:
		h.fresh[conn] = struct{}{}
		return
	case http.StateActive:
		return
	}
	if _, ok := h.fresh[conn]; ok {
		delete(h.fresh, conn)
		if len(h.fresh) == 0 && h.none != nil {
			close(h.none)
		}
	}
}
