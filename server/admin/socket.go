package admin

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/server/listen"
)

// MaxConns is how many connections an address has at a time, 16 KiB each. Any pod can reach the endpoints, and a kubelet
// that is not answered restarts this server.
const MaxConns = 128

// maxConnsEach is how many of them one client may have.
const maxConnsEach = 96

// timeout bounds each request, and how long the end of an address waits for those under way.
const timeout = 5 * time.Second

// socket is one address. A reload exchanges what it serves and keeps it open.
type socket struct {
	listener *placedListener
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

func (s *socket) serve(logger *slog.Logger, panics *observe.Panics) {
	s.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if cause := recover(); cause != nil {
				panics.Count(logger, "admin", cause)
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		s.mux.Load().ServeHTTP(w, r)
	})
	s.http.ReadHeaderTimeout, s.http.MaxHeaderBytes = time.Second, 8<<10
	s.http.ReadTimeout, s.http.WriteTimeout = timeout, timeout
	s.http.SetKeepAlivesEnabled(false) // who asks again comes again: nobody holds a place between two requests
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

// placedListener accepts connections that there are places for. A connection is good for one request; the place of one
// that has not sent a whole request is the first to be taken for another one.
type placedListener struct {
	net.Listener
	places *listen.Places
}

func newPlacedListener(l net.Listener) *placedListener {
	return &placedListener{l, listen.NewPlaces(MaxConns, maxConnsEach)}
}

// Accept implements net.Listener.
func (l *placedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &placedConn{Conn: conn, places: l.places}
		c.place.Asked = func() bool { return hasRequest(conn) }
		if l.places.Take(&c.place, addrOf(conn), func() { conn.Close() }) {
			return c, nil
		}
		conn.Close()
	}
}

// addrOf is the address of the client.
func addrOf(conn net.Conn) netip.Addr {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr()
	}
	return netip.Addr{}
}

// placedConn gives its place back when it is closed.
type placedConn struct {
	net.Conn
	places *listen.Places
	place  listen.Place
	ends   int // octets of headerEnd that have come, in a row
}

// headerEnd is the end of a request, which has no body.
const headerEnd = "\r\n\r\n"

// Read implements net.Conn.
func (c *placedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	for _, octet := range b[:n] {
		switch {
		case c.ends == len(headerEnd): // what follows is no concern of ours
		case octet != headerEnd[c.ends]:
			c.ends = 0
			if octet == headerEnd[0] {
				c.ends = 1
			}
		default:
			if c.ends++; c.ends == len(headerEnd) {
				c.places.Keep(&c.place)
			}
		}
	}
	if n > 0 && c.ends < len(headerEnd) {
		c.places.Half(&c.place)
	}
	return n, err
}

// hasRequest reports whether a whole request has come that was not read yet.
func hasRequest(conn net.Conn) (has bool) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	raw.Control(func(fd uintptr) {
		var header [4 << 10]byte
		n, _, err := syscall.Recvfrom(int(fd), header[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		has = err == nil && bytes.Contains(header[:max(n, 0)], []byte(headerEnd))
	})
	return has
}

// Close implements net.Conn.
func (c *placedConn) Close() error {
	c.places.Leave(&c.place)
	return c.Conn.Close()
}
