package listen

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"mime"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/wire"
)

const (
	// webPath is where queries are asked for, as in CoreDNS and as most clients have it.
	webPath = "/dns-query"
	// webType is the media type of messages, RFC 8484 section 6.
	webType = "application/dns-message"
	// maxHeaders is the octets of a request's headers. A query of GET is in them.
	maxHeaders = 16 << 10
)

// web serves DNS over HTTPS (RFC 8484) and over gRPC, both over net/http. Its connections and requests are bounded.
type web struct {
	*HTTP
	l        *Listener
	open     *Places // connections
	requests *requests
	statuses statuses
	ending   context.Context
}

// webConn is a connection below HTTP, and below TLS where there is any.
type webConn struct {
	earlyConn
	caller
	web  *web
	gone sync.Once
}

// Close gives the place of the connection back.
func (c *webConn) Close() error {
	c.gone.Do(func() { c.web.open.Leave(&c.place) })
	return c.earlyConn.Close()
}

// connKey is the key of a request's connection in its context: net/http has no other way to it.
type connKey struct{}

// asker is the method asks of a connection with that place.
func (s *Places) asker(p *Place) func() (end func()) {
	return func() func() {
		if end, ok := s.begin(p); ok {
			return end
		}
		return func() {}
	}
}

func newWeb(l *Listener, listener *net.TCPListener) *web {
	w := &web{HTTP: NewHTTP(listener), l: l, requests: newRequests(l)}
	w.open = NewPlaces(l.options.Streams, max(1, l.options.Streams/streamsShare))
	server := &w.Server
	server.Handler = http.HandlerFunc(w.serveDNS)
	server.ReadHeaderTimeout = l.options.ReadTimeout // and of a handshake
	server.IdleTimeout = l.options.IdleTimeout
	server.MaxHeaderBytes = maxHeaders
	server.ErrorLog = log.New(io.Discard, "", 0) // what clients do is counted, not logged
	server.ConnContext = w.callerOf
	server.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: l.options.Each, WriteByteTimeout: l.options.WriteTimeout,
		MaxReceiveBufferPerConnection: 64 << 10, MaxReceiveBufferPerStream: 16 << 10}
	if l.options.Scheme == resolver.DoGRPC {
		server.Handler = http.HandlerFunc(w.serveGRPC)
		server.Protocols = new(http.Protocols)
		server.Protocols.SetHTTP2(true)
		server.Protocols.SetUnencryptedHTTP2(true)
	}
	return w
}

func (w *web) callerOf(ctx context.Context, conn net.Conn) context.Context {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	return context.WithValue(ctx, connKey{}, &conn.(*webConn).caller)
}

// run serves until ctx ends, then ends connections as their requests are answered, or when late ends.
func (w *web) run(ctx, late context.Context) {
	w.ending = ctx
	go w.Serve(w)
	<-ctx.Done()
	w.End(late)
}

func (w *web) close() { w.Close() }

// Accept is the next connection that there is a place for. Its handshake comes later.
func (w *web) Accept() (net.Conn, error) {
	for {
		conn, err := w.HTTP.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil, err
			}
			observe.Pause(w.ending, 10*time.Millisecond) // out of descriptors, most likely: do not spin
			continue
		}
		conn.SetWriteBuffer(sendBuffer)
		conn.SetReadBuffer(sendBuffer / 4)
		c := &webConn{earlyConn: earlyConn{TCPConn: conn, turn: turn{handshakes: w.l.handshakes}}, web: w}
		c.client, c.local, c.close = addrPortOf(conn.RemoteAddr()), addrPortOf(conn.LocalAddr()).Addr(), func() { conn.Close() }
		c.asks = w.open.asker(&c.place)
		if w.requests.all.Full(c.client.Addr()) || !w.open.Take(&c.place, c.client.Addr(), c.close) {
			conn.Close()
			continue
		}
		if credentials := w.l.credentials.Load(); credentials != nil {
			return tls.Server(c, credentials.config.Load()), nil
		}
		return c, nil
	}
}

// serveDNS answers one request by RFC 8484.
func (w *web) serveDNS(to http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(connKey{}).(*caller)
	var place Place
	if !w.requests.take(&place, c) {
		w.statuses.count(refuse(to, http.StatusServiceUnavailable))
		return
	}
	defer w.requests.all.Leave(&place)
	w.statuses.count(w.l.serveDNS(to, r, c, w.requests, &place))
}

// serveDNS answers one request by RFC 8484, of HTTP/1.1, HTTP/2 or HTTP/3, which has a place, and returns its status.
func (l *Listener) serveDNS(to http.ResponseWriter, r *http.Request, c *caller, all *requests, place *Place) int {
	defer l.survive()
	rc := http.NewResponseController(to)
	rc.SetReadDeadline(time.Now().Add(l.options.ReadTimeout))
	message, status := messageOf(to, r)
	if status != http.StatusOK {
		return refuse(to, status)
	}
	all.all.Keep(place)
	reply, foreign := l.ask(r.Context(), message, c)
	switch {
	case foreign:
		return refuse(to, http.StatusBadRequest)
	case reply == nil:
		return refuse(to, http.StatusInternalServerError) // as CoreDNS says that there is no answer
	}
	leave, ok := all.send(c, reply)
	if !ok {
		return refuse(to, http.StatusServiceUnavailable)
	}
	defer leave()
	rc.SetWriteDeadline(time.Now().Add(l.options.WriteTimeout))
	header := to.Header()
	header.Set("Content-Type", webType)
	header.Set("Content-Length", strconv.Itoa(len(reply)))
	header.Set("Cache-Control", fmt.Sprintf("max-age=%d", freshness(reply)))
	to.Write(reply)
	return http.StatusOK
}

func refuse(to http.ResponseWriter, status int) int {
	if status == http.StatusMethodNotAllowed {
		to.Header().Set("Allow", "GET, POST")
	}
	http.Error(to, http.StatusText(status), status)
	return status
}

// messageOf is the DNS message of a request (RFC 8484 section 4.1), or the status that refuses it.
func messageOf(to http.ResponseWriter, r *http.Request) ([]byte, int) {
	if r.URL.Path != webPath {
		return nil, http.StatusNotFound
	}
	switch r.Method {
	case http.MethodGet:
		return decodeParameter(r.URL.Query()["dns"])
	case http.MethodPost:
		if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != webType {
			return nil, http.StatusUnsupportedMediaType
		}
		return readBody(to, r, longestQuery)
	}
	return nil, http.StatusMethodNotAllowed
}

// decodeParameter decodes the parameter of GET: base64url without padding (RFC 8484 section 6).
func decodeParameter(values []string) ([]byte, int) {
	if len(values) != 1 || values[0] == "" {
		return nil, http.StatusBadRequest
	}
	message, err := base64.RawURLEncoding.DecodeString(values[0])
	if err != nil {
		return nil, http.StatusBadRequest
	}
	if len(message) > longestQuery {
		return nil, http.StatusRequestEntityTooLarge
	}
	return message, http.StatusOK
}

// readBody reads a whole body of limit octets at most.
func readBody(to http.ResponseWriter, r *http.Request, limit int64) ([]byte, int) {
	if r.ContentLength > limit {
		return nil, http.StatusRequestEntityTooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(to, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, http.StatusRequestEntityTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, http.StatusRequestTimeout
	case err != nil:
		return nil, http.StatusBadRequest
	}
	return body, http.StatusOK
}

// freshness is for how many seconds an HTTP cache may keep a reply: the smallest TTL of its answer section, or without
// one the negative TTL (RFC 8484 section 5.1, RFC 2308 section 5). What has neither is not kept.
func freshness(reply []byte) uint32 {
	if len(reply) < wire.HeaderSize {
		return 0
	}
	answers := int(reply[6])<<8 | int(reply[7])
	authority := int(reply[8])<<8 | int(reply[9])
	at := wire.HeaderSize
	for range int(reply[4])<<8 | int(reply[5]) {
		next, ok := wire.SkipName(reply, at)
		if !ok {
			return 0
		}
		at = next + 4
	}
	least, found := ^uint32(0), false
	for i := range answers + authority {
		var r wire.Record
		next, ok := r.Read(reply, at)
		if !ok {
			return 0
		}
		at = next
		switch {
		case i < answers:
			least, found = min(least, r.TTL), true
		case r.Type == wire.TypeSOA && answers == 0 && len(r.Data) >= 4:
			d := r.Data[len(r.Data)-4:]
			minimum := uint32(d[0])<<24 | uint32(d[1])<<16 | uint32(d[2])<<8 | uint32(d[3])
			least, found = min(least, r.TTL, minimum), true
		}
	}
	if !found {
		return 0
	}
	return least
}

// statuses counts responses by their status, of HTTP or of QUIC.
type statuses struct {
	mu  sync.Mutex
	all map[int]uint64
}

func (s *statuses) count(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[int]uint64{}
	}
	s.all[status]++
}

// counts is a copy of what has been counted.
func (s *statuses) counts() map[int]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.all)
}
