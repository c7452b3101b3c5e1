package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/wire"
)

const (
	// quicWindow is the octets that a client may send ahead on one stream: one query.
	quicWindow = 16 << 10
	// quicConnWindow is the same of one connection.
	quicConnWindow = 64 << 10
	// quicHandshake is how long a client may be silent in its handshake.
	quicHandshake = 3 * time.Second
)

// The error codes of DNS over QUIC, RFC 9250 section 8.4.
const (
	doqNoError       = 0
	doqProtocolError = 2
	doqExcessiveLoad = 4
	doqUnspecified   = 5
)

// quicServer serves DNS over QUIC (RFC 9250), or over HTTP/3, from one UDP socket. Data that comes before the handshake
// is done (0-RTT) is not taken, which RFC 9250 section 4.5 allows: it could be replayed, and clients send it again.
type quicServer struct {
	l         *Listener
	packets   *net.UDPConn
	transport *quic.Transport
	listener  *quic.Listener
	open      *Places // connections
	held      atomic.Int64
	requests  *requests
	statuses  statuses
	http3     *http3.Server // nil for DNS over QUIC
	conns     sync.WaitGroup
}

// quicConn is a connection from its first packet on.
type quicConn struct {
	caller
	turn     turn        // of its handshake
	unsigned *time.Timer // ends turn, unless the handshake signs before
	mu       sync.Mutex
	conn     *quic.Conn // nil during the handshake
	evicted  bool
}

var errNoPlace = errors.New("no more connections are taken")

func newQUIC(l *Listener, packets *net.UDPConn) (*quicServer, error) {
	s := &quicServer{l: l, packets: packets, requests: newRequests(l)}
	s.open = NewPlaces(l.options.Streams, max(1, l.options.Streams/streamsShare))
	s.transport = &quic.Transport{Conn: packets, ConnContext: s.admit, VerifySourceAddress: s.doubts}
	uni := int64(-1)
	if l.options.Scheme == resolver.DoH3 {
		uni = 8 // HTTP/3 needs three
		s.http3 = s.newHTTP3()
	}
	var err error
	s.listener, err = s.transport.Listen(&tls.Config{
		NextProtos: offered[l.options.Scheme],
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			_, err := begin(hello)
			return l.credentials.Load().config.Load(), err
		},
	}, &quic.Config{
		HandshakeIdleTimeout: quicHandshake, MaxIdleTimeout: l.options.IdleTimeout,
		InitialStreamReceiveWindow: quicWindow, MaxStreamReceiveWindow: quicWindow,
		InitialConnectionReceiveWindow: quicConnWindow, MaxConnectionReceiveWindow: quicConnWindow,
		MaxIncomingStreams: int64(l.options.Each), MaxIncomingUniStreams: uni,
	})
	return s, err
}

// doubts reports whether a client must show that it has its address (RFC 9000 section 8.1.2): when many connections are
// there, since their addresses may be forged.
func (s *quicServer) doubts(net.Addr) bool { return s.held.Load() > int64(s.l.options.Streams/8) }

// admit takes the place of a new connection, or refuses it. One that has lost its place in its handshake is there until
// that ends, so that there may be some more than places.
func (s *quicServer) admit(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	c := &quicConn{turn: turn{handshakes: s.l.handshakes}}
	c.client, c.local, c.close = addrPortOf(info.RemoteAddr), addrPortOf(s.packets.LocalAddr()).Addr(), c.evict
	c.asks = s.open.asker(&c.place)
	if s.requests.all.Full(c.client.Addr()) ||
		s.held.Load() >= 2*int64(s.l.options.Streams) || !s.open.Take(&c.place, c.client.Addr(), c.evict) {
		return nil, errNoPlace
	}
	s.held.Add(1)
	context.AfterFunc(ctx, func() {
		s.open.Leave(&c.place)
		s.held.Add(-1)
		c.turn.giveBack()
	})
	return context.WithValue(ctx, connKey{}, c), nil
}

// evict closes the connection without waiting.
func (c *quicConn) evict() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.evicted = true
	if c.conn != nil {
		go c.conn.CloseWithError(doqExcessiveLoad, "")
	}
}

// Accept is the next connection whose handshake is done.
func (s *quicServer) Accept(ctx context.Context) (*quic.Conn, error) {
	for {
		conn, err := s.listener.Accept(ctx)
		if err != nil {
			return nil, err
		}
		c := conn.Context().Value(connKey{}).(*quicConn)
		c.mu.Lock()
		c.conn = conn
		evicted := c.evicted
		c.mu.Unlock()
		if !evicted {
			return conn, nil
		}
		conn.CloseWithError(doqExcessiveLoad, "")
	}
}

// Close takes no more connections.
func (s *quicServer) Close() error { return s.listener.Close() }

func (s *quicServer) close() {
	s.transport.Close()
	s.packets.Close()
}

// run serves until ctx ends, then ends connections as their queries are answered, or when late ends.
func (s *quicServer) run(ctx, late context.Context) {
	defer context.AfterFunc(late, func() { s.transport.Close() })()
	for {
		conn, err := s.Accept(ctx)
		if err != nil {
			break
		}
		s.conns.Go(func() { s.serve(ctx, late, conn) })
	}
	<-ctx.Done()
	s.Close()
	s.conns.Wait()
}

// newHTTP3 answers requests. Their places are those of their streams, which a handler does not know: a request that waits
// for upstream may have to give its place to another one.
func (s *quicServer) newHTTP3() *http3.Server {
	return &http3.Server{
		MaxHeaderBytes: maxHeaders,
		IdleTimeout:    s.l.options.IdleTimeout,
		Handler: http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) {
			c := r.Context().Value(connKey{}).(*quicConn)
			s.statuses.count(s.l.serveDNS(to, r, &c.caller, s.requests, new(Place)))
		}),
	}
}

// codes are those that end a connection without an error, and refuse a stream (RFC 9250 section 8.4, RFC 9114 section 8.1).
func (s *quicServer) codes() (done quic.ApplicationErrorCode, refused quic.StreamErrorCode) {
	if s.http3 != nil {
		return quic.ApplicationErrorCode(http3.ErrCodeNoError), quic.StreamErrorCode(http3.ErrCodeExcessiveLoad)
	}
	return doqNoError, doqExcessiveLoad
}

// serve answers the queries or requests of one connection, each on a stream of its own (RFC 9250 section 4.2).
func (s *quicServer) serve(ctx, late context.Context, conn *quic.Conn) {
	defer s.l.survive()
	c := conn.Context().Value(connKey{}).(*quicConn)
	answer := func(place *Place, stream *quic.Stream) { s.serveStream(late, c, conn, stream, place) }
	done, refused := s.codes()
	if s.http3 != nil {
		raw, err := s.http3.NewRawServerConn(conn)
		if err != nil {
			return
		}
		s.conns.Go(func() { serveControl(conn, raw) })
		answer = func(_ *Place, stream *quic.Stream) { raw.HandleRequestStream(stream) }
	}
	var streams sync.WaitGroup
	for {
		stream, err := conn.AcceptStream(ctx)
		if err != nil {
			break
		}
		var place Place
		if !s.requests.take(&place, &c.caller) {
			stream.CancelRead(refused)
			stream.CancelWrite(refused)
			s.statuses.count(int(refused))
			continue
		}
		streams.Go(func() {
			defer s.requests.all.Leave(&place)
			stream.SetReadDeadline(time.Now().Add(s.l.options.ReadTimeout))
			answer(&place, stream)
		})
	}
	streams.Wait()
	conn.CloseWithError(done, "")
}

// serveControl reads what a client of HTTP/3 says besides its requests, until the connection ends.
func serveControl(conn *quic.Conn, raw *http3.RawServerConn) {
	for {
		stream, err := conn.AcceptUniStream(context.Background())
		if err != nil {
			return
		}
		go raw.HandleUnidirectionalStream(stream)
	}
}

// serveStream answers the query of one stream. What breaks the protocol ends the connection (RFC 9250 section 4.3.3). A
// stream that is slow or reset breaks nothing: it ends alone, since other queries of the client go on.
func (s *quicServer) serveStream(
	ctx context.Context, c *quicConn, conn *quic.Conn, stream *quic.Stream, place *Place,
) {
	defer s.l.survive()
	message, code := readDoQ(stream)
	switch code {
	case doqNoError:
	case doqUnspecified:
		s.statuses.count(code)
		stream.CancelRead(doqUnspecified)
		stream.CancelWrite(doqUnspecified)
		return
	default:
		s.statuses.count(code)
		conn.CloseWithError(quic.ApplicationErrorCode(code), "")
		return
	}
	s.requests.all.Keep(place)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(stream.Context(), cancel)() // the client wants no answer any more
	reply, foreign := s.l.ask(ctx, message, &c.caller)
	switch {
	case foreign:
		s.statuses.count(doqProtocolError)
		conn.CloseWithError(doqProtocolError, "")
		return
	case reply == nil:
		s.statuses.count(doqUnspecified)
		stream.CancelWrite(doqUnspecified)
		return
	}
	leave, ok := s.requests.send(&c.caller, reply)
	if !ok {
		s.statuses.count(doqExcessiveLoad)
		stream.CancelWrite(doqExcessiveLoad)
		return
	}
	defer leave()
	s.statuses.count(doqNoError)
	s.send(conn, stream, reply)
}

// send sends the reply, and expects the end of the client's side, which must follow its only query.
func (s *quicServer) send(conn *quic.Conn, stream *quic.Stream, reply []byte) {
	stream.SetWriteDeadline(time.Now().Add(s.l.options.WriteTimeout))
	stream.SetReadDeadline(time.Now().Add(s.l.options.ReadTimeout)) // that of the query may be over, if it has waited
	framed := append([]byte{byte(len(reply) >> 8), byte(len(reply))}, reply...)
	if _, err := stream.Write(framed); err != nil {
		stream.CancelWrite(doqUnspecified)
		return
	}
	stream.Close()
	var more [1]byte
	switch n, err := stream.Read(more[:]); {
	case n > 0:
		s.statuses.count(doqProtocolError)
		conn.CloseWithError(doqProtocolError, "")
	case err != io.EOF:
		stream.CancelRead(doqUnspecified) // the end comes too late, and the reply is sent
	}
}

// readDoQ reads the query of a stream: its length, the message, whose identifier is 0 and which has no edns-tcp-keepalive
// (RFC 9250 sections 4.2, 4.2.1 and 5.5.2). code is why it is refused.
func readDoQ(from io.Reader) (message []byte, code int) {
	var length [lengthSize]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, unfinished(err)
	}
	size := int(length[0])<<8 | int(length[1])
	if size > longestQuery {
		return nil, doqExcessiveLoad
	}
	message = make([]byte, size)
	if _, err := io.ReadFull(from, message); err != nil {
		return nil, unfinished(err)
	}
	if !allowedByDoQ(message) {
		return nil, doqProtocolError
	}
	return message, doqNoError
}

// unfinished is the code of a query that is not whole. One that the client has ended breaks the protocol; one that it has
// reset, or not sent in time, does not.
func unfinished(err error) (code int) {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return doqProtocolError
	}
	return doqUnspecified
}

func allowedByDoQ(message []byte) bool {
	if len(message) < wire.HeaderSize || message[0] != 0 || message[1] != 0 {
		return false
	}
	const keepalive = 11 // RFC 7828
	var q wire.Query
	q.Parse(message)
	allowed := true
	wire.EachOption(q.Options, func(code uint16, _ []byte) bool {
		allowed = allowed && code != keepalive
		return allowed
	})
	return allowed
}

// listenPackets opens the UDP socket of QUIC.
func listenPackets(options Options) (*net.UDPConn, error) {
	network, address := "udp", options.Address
	if address.Addr().Is4() {
		network = "udp4"
	}
	config := &net.ListenConfig{}
	if len(options.Siblings) > 0 {
		config = Reusing()
	}
	packets, err := config.ListenPacket(context.Background(), network, address.String())
	if err != nil {
		return nil, listenError("UDP", address, err)
	}
	return packets.(*net.UDPConn), nil
}

// openQUIC opens a listener of QUIC or HTTP/3.
func openQUIC(options Options) (*Listener, error) {
	packets, err := listenPackets(options)
	if err != nil {
		return nil, err
	}
	bound := packets.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	l := newListener(options, netip.AddrPortFrom(options.Address.Addr(), bound))
	s, err := newQUIC(l, packets)
	if err != nil {
		packets.Close()
		return nil, listenError("QUIC", options.Address, err)
	}
	l.acceptor, l.socket = s, packets
	return l, nil
}
