package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/clusterdns/clusterdns/zones/wire"
)

const (
	doqProtocol      = "doq" // RFC 9250 section 4.1.1
	doqProtocolError = 2     // RFC 9250 section 8.4
	doqCancelled     = 3

	// quicWindow is the octets that an upstream may send ahead on one stream: one reply.
	quicWindow = lengthSize + wire.MaxMessage
	// quicConnWindow is the same of the connection.
	quicConnWindow = 1 << 20
)

// quicTransport has the connection to an upstream that is asked over QUIC (RFC 9250). All queries share it, each on a
// stream of its own. Data is not sent before the handshake is done, since it could be replayed.
type quicTransport struct {
	dialing chan struct{} // held by who connects
	mu      sync.Mutex
	conn    *quicConn // nil without one
	stopped bool
}

// quicConn is a connection with what it has below it.
type quicConn struct {
	*quic.Conn
	made    time.Time
	users   int  // queries under way
	retired bool // it ends with the last of them
}

// overQUIC asks once. If a connection that was there turns out to be closed, it connects again.
func (u *upstream) overQUIC(ctx context.Context, q query, edns bool, terms terms) (*message, bool, error) {
	for {
		conn, reused, err := u.takeQUIC(ctx)
		if err != nil {
			return nil, false, err
		}
		reply, err := u.exchange(ctx, conn, q, edns, terms)
		u.leaveQUIC(conn, err != nil)
		if err != nil && reused && conn.Context().Err() != nil && ctx.Err() == nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		return read(reply)
	}
}

// takeQUIC is the connection to use, which is made if there is none, or if it is older than max_age.
func (u *upstream) takeQUIC(ctx context.Context) (conn *quicConn, reused bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	t := &u.quic
	if conn = t.current(u.idle.maxAge); conn == nil {
		select {
		case t.dialing <- struct{}{}: // one connects for all
		case <-ctx.Done():
			return nil, false, os.ErrDeadlineExceeded
		}
		defer func() { <-t.dialing }()
		conn = t.current(u.idle.maxAge)
	}
	reused = conn != nil
	u.counts.dialled(viaQUIC, reused)
	if !reused {
		conn, err = u.dialQUIC(ctx)
	}
	return conn, reused, err
}

// current is the connection that there is, for one more query; nil for none.
func (t *quicTransport) current(maxAge time.Duration) *quicConn {
	t.mu.Lock()
	defer t.mu.Unlock()
	conn := t.conn
	if conn == nil || conn.Context().Err() != nil || maxAge > 0 && time.Since(conn.made) >= maxAge {
		t.retire()
		return nil
	}
	conn.users++
	return conn
}

// retire has the connection end with its last query.
func (t *quicTransport) retire() {
	if conn := t.conn; conn != nil {
		t.conn, conn.retired = nil, true
		conn.end()
	}
}

// end closes a connection that nobody uses any more.
func (c *quicConn) end() {
	if c.retired && c.users == 0 {
		go c.CloseWithError(0, "")
	}
}

// leaveQUIC ends the use of conn by one query. After a failure the next query connects anew: it may be dead.
func (u *upstream) leaveQUIC(conn *quicConn, failed bool) {
	t := &u.quic
	t.mu.Lock()
	defer t.mu.Unlock()
	conn.users--
	if failed && t.conn == conn {
		t.retire()
	}
	conn.end()
}

// dialQUIC connects, and keeps the connection for the next query.
func (u *upstream) dialQUIC(ctx context.Context) (*quicConn, error) {
	var local *net.UDPAddr
	if u.source.IsValid() {
		local = net.UDPAddrFromAddrPort(netip.AddrPortFrom(u.source, 0))
	}
	network := "udp6"
	if u.address.Addr().Is4() {
		network = "udp4"
	}
	packets, err := net.ListenUDP(network, local)
	if err != nil {
		return nil, err
	}
	transport := &quic.Transport{Conn: packets}
	conn, err := transport.Dial(ctx, net.UDPAddrFromAddrPort(u.address), u.tls, &quic.Config{
		HandshakeIdleTimeout: connectTimeout, MaxIdleTimeout: max(u.idle.expire, u.readTimeout),
		InitialStreamReceiveWindow: quicWindow, MaxStreamReceiveWindow: quicWindow,
		InitialConnectionReceiveWindow: quicConnWindow, MaxConnectionReceiveWindow: quicConnWindow,
		MaxIncomingStreams: -1, MaxIncomingUniStreams: -1,
	})
	if err != nil {
		transport.Close()
		packets.Close()
		if ctx.Err() != nil {
			err = os.ErrDeadlineExceeded
		}
		return nil, err
	}
	context.AfterFunc(conn.Context(), func() {
		transport.Close()
		packets.Close()
	})
	return u.quic.keep(&quicConn{Conn: conn, made: time.Now(), users: 1}), nil
}

// keep has the next query use conn.
func (t *quicTransport) keep(conn *quicConn) *quicConn {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conn = conn
	if t.stopped {
		t.retire()
	}
	return conn
}

// closeQUIC ends the connection with its last query, and each that is made later.
func (u *upstream) closeQUIC() {
	u.quic.mu.Lock()
	defer u.quic.mu.Unlock()
	u.quic.stopped = true
	u.quic.retire()
}

// exchange sends the query on a stream of its own and reads the reply (RFC 9250 section 4.2). What breaks the protocol
// ends the connection (section 4.3.3).
func (u *upstream) exchange(ctx context.Context, conn *quicConn, q query, edns bool, terms terms) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, u.readTimeout)
	defer cancel()
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, inTime(ctx, err)
	}
	abandon := func() {
		stream.CancelRead(doqCancelled)
		stream.CancelWrite(doqCancelled)
	}
	defer context.AfterFunc(ctx, abandon)()
	packet := q.pack(make([]byte, lengthSize, 512), 0, edns) // RFC 9250 section 4.2.1
	binary.BigEndian.PutUint16(packet, uint16(len(packet)-lengthSize))
	told := terms.observer.exchange(u, conn.LocalAddr(), UDP)
	told.sent(packet[lengthSize:])
	if _, err = stream.Write(packet); err == nil {
		err = stream.Close()
	}
	var reply []byte
	if err == nil {
		reply, err = readDoQ(stream, terms.grow)
	}
	if err != nil {
		abandon()
		err = inTime(ctx, err)
	} else if !wire.IsReply(reply, 0, q.question(packet[lengthSize:])) {
		u.counts.mismatches.Add(1)
		err = errSpoofed
	} else {
		told.received(reply)
	}
	if errors.Is(err, errMalformed) || errors.Is(err, errSpoofed) {
		conn.CloseWithError(doqProtocolError, "")
	}
	return reply, err
}

// inTime is err, or that the time is over, which is why the stream has ended then.
func inTime(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	return err
}

// readDoQ reads the one reply of a stream, and its end.
func readDoQ(stream io.Reader, grow grow) ([]byte, error) {
	var length [lengthSize]byte
	if _, err := io.ReadFull(stream, length[:]); err != nil {
		return nil, cutOff(err)
	}
	reply, err := readReply(stream, int(binary.BigEndian.Uint16(length[:])), grow)
	if err != nil {
		return nil, cutOff(err)
	}
	if n, err := io.ReadFull(stream, length[:1]); n > 0 {
		return nil, errMalformed
	} else if err != io.EOF {
		return nil, err
	}
	return reply, nil
}

// cutOff is err, which is the upstream's fault if the stream ends too early.
func cutOff(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errMalformed
	}
	return err
}
