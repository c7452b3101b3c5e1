package admin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/clusterdns/clusterdns/server/listen"
)

// MaxConns is how many connections an address has at a time, 16 KiB each; more wait in the kernel. Any pod can reach
// the endpoints.
const MaxConns = 128

// timeout bounds each request, and how long the end of an address waits for those under way.
const timeout = 5 * time.Second

// socket is one address. A reload exchanges what it serves and keeps it open.
type socket struct {
	listener *boundedListener
	http     http.Server
	mux      atomic.Pointer[http.ServeMux]
}

// open opens the socket of address. A socket of ours that is about to close may overlap it, such as localhost:9153 when
// :9153 is asked for: both may have the port until then. The sockets of next stay, and must not overlap; a foreign one
// that would share its port is refused like any other.
func (s *Server) open(address string, next map[string]*socket) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if !errors.Is(err, syscall.EADDRINUSE) || !s.allowReuse(address, next) {
		return listener, err
	}
	if listener, err = listen.Reusing().Listen(context.Background(), "tcp", address); err != nil {
		return nil, err
	}
	for _, other := range next {
		if listen.Overlaps(bound(other.listener), bound(listener)) {
			listener.Close()
			return nil, syscall.EADDRINUSE
		}
	}
	return listener, nil
}

// allowReuse lets address share the port of sockets that overlap it and are not in next, and reports whether there are
// any.
func (s *Server) allowReuse(address string, next map[string]*socket) (any bool) {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return false
	}
	to := resolved.AddrPort()
	if ip := to.Addr().Unmap(); !ip.IsValid() || ip.IsUnspecified() {
		to = netip.AddrPortFrom(netip.IPv6Unspecified(), to.Port()) // to net.Listen, 0.0.0.0 is both families
	} else {
		to = netip.AddrPortFrom(ip, to.Port())
	}
	for other, open := range s.sockets {
		if next[other] == nil && listen.Overlaps(to, bound(open.listener)) {
			listen.AllowReuse(open.listener.Listener.(*net.TCPListener))
			any = true
		}
	}
	return any
}

func bound(l net.Listener) netip.AddrPort { return l.Addr().(*net.TCPAddr).AddrPort() }

func (s *socket) serve(logger *slog.Logger) {
	s.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.mux.Load().ServeHTTP(w, r) })
	s.http.ReadHeaderTimeout, s.http.MaxHeaderBytes = time.Second, 8<<10
	s.http.ReadTimeout, s.http.WriteTimeout, s.http.IdleTimeout = timeout, timeout, timeout
	s.http.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		logger.Error("admin: an address is served no longer", "address", s.listener.Addr(), "error", err)
	}
}

// shutdown lets requests under way end, for a while.
func (s *socket) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	s.listener.Close() // if it was never served
}

// boundedListener accepts no more connections than slots has room for.
type boundedListener struct {
	net.Listener
	slots chan struct{}
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &boundedConn{Conn: conn, slots: l.slots}, nil
}

// boundedConn gives its slot back when it is closed.
type boundedConn struct {
	net.Conn
	slots chan struct{}
	once  sync.Once
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.once.Do(func() { <-c.slots })
	return c.Conn.Close()
}
