package resolver

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/clusterdns/clusterdns/resolver/stream"
	"github.com/clusterdns/clusterdns/zones/wire"
)

const (
	lengthSize = stream.LengthSize
	firstRead  = 1024 // octets of room for the beginning of a reply over TCP
)

// overTCP asks over an idle connection or a new one, which the query has for itself: what package stream does not ask. If
// an idle connection turns out to be closed, it tries another.
func (u *upstream) overTCP(ctx context.Context, q query, edns bool, terms terms) (*message, bool, error) {
	for {
		conn, reused, err := u.connect(ctx)
		if err != nil {
			return nil, false, err
		}
		m, hasOPT, err := u.roundTrip(ctx, conn, q, edns, terms)
		if err == nil {
			conn.since = time.Now()
			u.idle.put(conn)
			return m, hasOPT, nil
		}
		conn.Close()
		if !reused || ctx.Err() != nil {
			return nil, false, err
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			u.idle.close(time.Time{}) // the other idle connections are probably dead too
			return nil, false, err
		}
	}
}

// connect returns an idle connection or a new one, after its TLS handshake.
func (u *upstream) connect(ctx context.Context) (conn idleConn, reused bool, err error) {
	via := u.via()
	if conn = u.idle.take(time.Now()); conn.Conn != nil {
		u.counts.dialled(via, true)
		return conn, true, nil
	}
	u.counts.dialled(via, false)
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	plain, err := u.dial(ctx)
	if err != nil || u.tls == nil {
		return idleConn{Conn: plain, made: time.Now()}, false, err
	}
	secure := tls.Client(plain, u.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		plain.Close()
		return idleConn{}, false, fmt.Errorf("TLS: %w", err)
	}
	return idleConn{Conn: secure, made: time.Now()}, false, nil
}

// via is how the upstream is asked over a stream.
func (u *upstream) via() transport {
	if u.tls != nil {
		return viaTLS
	}
	return viaTCP
}

// dial connects over TCP.
func (u *upstream) dial(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1}
	if u.source.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(u.source, 0))
	}
	return dialer.DialContext(ctx, "tcp", u.address.String())
}

// roundTrip sends the query over conn and reads the reply.
func (u *upstream) roundTrip(
	ctx context.Context, conn net.Conn, q query, edns bool, terms terms,
) (*message, bool, error) {
	defer u.limit(ctx, conn)()
	id := randomID()
	packet := q.pack(make([]byte, lengthSize, 512), id, edns)
	binary.BigEndian.PutUint16(packet, uint16(len(packet)-lengthSize))
	if _, err := conn.Write(packet); err != nil {
		return nil, false, err
	}
	told := terms.observer.exchange(u, conn.LocalAddr(), TCP)
	told.sent(packet[lengthSize:])
	for range maxMismatches {
		var length [lengthSize]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return nil, false, err
		}
		reply, err := readReply(conn, int(binary.BigEndian.Uint16(length[:])), terms.grow)
		if err != nil {
			return nil, false, err
		}
		if wire.IsReply(reply, id, q.question(packet[lengthSize:])) {
			told.received(reply)
			return read(reply)
		}
		u.counts.mismatches.Add(1)
	}
	return nil, false, errSpoofed
}

// readReply reads a reply of size octets. It makes room for what has come and as much again, never for what a length
// only says: that costs the sender nothing.
func readReply(conn io.Reader, size int, grow grow) ([]byte, error) {
	var reply []byte
	for len(reply) < size {
		room := min(size, max(firstRead, 2*len(reply)))
		if !grow(room - len(reply)) {
			return nil, errNoRoom
		}
		reply = append(make([]byte, 0, room), reply...)
		n, err := io.ReadFull(conn, reply[len(reply):room])
		if reply = reply[:len(reply)+n]; err != nil {
			return nil, err
		}
	}
	return reply, nil
}
