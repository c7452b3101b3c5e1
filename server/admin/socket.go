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
	*listen.HTTP
	places *listen.Places
	mux    atomic.Pointer[http.ServeMux]
}

func newSocket(l net.Listener) *socket {
	return &socket{HTTP: listen.NewHTTP(l.(*net.TCPListener)), places: listen.NewPlaces(MaxConns, maxConnsEach)}
}

// open opens the socket of address. One of ours that is not in next may have the port: with the same address, written
// otherwise (":9153", "0.0.0.0:9153"), it serves on, and one that overlaps it (localhost:9153) shares the port until it is
// closed. The sockets of next stay, and must not overlap; a foreign one is refused like any other.
func (s *Server) open(address string, next map[string]*socket) (*socket, error) {
	listener, err := net.Listen("tcp", address)
	if err == nil {
		return newSocket(listener), nil
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return nil, err
	}
	opened, overlap := s.leaving(address, next)
	if opened == nil {
		if !overlap {
			return nil, err
		}
		if listener, err = listen.Reusing().Listen(context.Background(), "tcp", address); err != nil {
			return nil, err
		}
		opened = newSocket(listener)
	}
	for _, other := range next {
		if listen.Overlaps(other.bound(), opened.bound()) {
			if !has(s.sockets, opened) {
				opened.Close()
			}
			return nil, syscall.EADDRINUSE
		}
	}
	return opened, nil
}

// leaving looks at the sockets that are not in next: for the one that is bound to address, and for others that overlap
// it, which from now on share their port.
func (s *Server) leaving(address string, next map[string]*socket) (same *socket, overlap bool) {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, false
	}
	to := binding(resolved)
	for _, open := range s.sockets {
		switch {
		case has(next, open):
		case open.bound() == to:
			return open, false
		case listen.Overlaps(to, open.bound()):
			listen.AllowReuse(open.Listener)
			overlap = true
		}
	}
	return nil, overlap
}

func (s *socket) bound() netip.AddrPort { return binding(s.Addr()) }

// binding is where a socket with an address is bound. To net.Listen, 0.0.0.0 is both families, and "::" is 0.0.0.0 where a
// machine has IPv4 alone.
func binding(address net.Addr) netip.AddrPort {
	at := address.(*net.TCPAddr).AddrPort()
	ip := at.Addr().Unmap()
	if !ip.IsValid() || ip.IsUnspecified() {
		ip = netip.IPv6Unspecified()
	}
	return netip.AddrPortFrom(ip, at.Port())
}

func (s *socket) serve(logger *slog.Logger, panics *observe.Panics) {
	s.Server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if cause := recover(); cause != nil {
				panics.Count(logger, "admin", cause)
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		s.mux.Load().ServeHTTP(w, r)
	})
	s.Server.ReadHeaderTimeout, s.Server.MaxHeaderBytes = time.Second, 8<<10
	s.Server.ReadTimeout, s.Server.WriteTimeout = timeout, timeout
	s.Server.SetKeepAlivesEnabled(false) // who asks again comes again: nobody holds a place between two requests
	s.Server.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
	if err := s.Serve(s); !errors.Is(err, net.ErrClosed) {
		logger.Error("admin: an address is served no longer", "address", s.Addr(), "error", err)
	}
}

// shutdown lets requests under way end, for a while.
func (s *socket) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	s.End(ctx)
}

// Accept implements net.Listener: it accepts connections that there are places for. A connection is good for one request;
// the place of one that has not sent a whole request is the first to be taken for another one.
func (s *socket) Accept() (net.Conn, error) {
	for {
		conn, err := s.HTTP.Accept()
		if err != nil {
			return nil, err
		}
		c := &placedConn{Conn: conn, places: s.places}
		c.place.Asked = func() bool { return hasRequest(conn) }
		if s.places.Take(&c.place, conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(), func() { conn.Close() }) {
			return c, nil
		}
		conn.Close()
	}
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
func hasRequest(conn *net.TCPConn) (has bool) {
	raw, err := conn.SyscallConn()
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
