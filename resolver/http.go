package resolver

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/zones/wire"
)

const (
	dohType  = "application/dns-message"
	grpcType = "application/grpc"
	dohPath  = "/dns-query"                    // RFC 8484 leaves it to configuration; CoreDNS has this one
	grpcPath = "/coredns.dns.DnsService/Query" // of CoreDNS's service definition

	headerBytes   = 16 << 10 // of a response's header
	grpcFrameHead = 5        // a flag for compression and the length
	grpcField     = 0x0a     // field 1 of DnsPacket, octets
)

// errHTTP is the error of a response that is no answer, whatever its body says.
var errHTTP = errors.New("not an answer")

// webTransport has the connections to an upstream that is asked over HTTP: DNS over HTTPS (RFC 8484), or gRPC, of which
// a query is one request and one response. HTTP/2 puts all queries into one connection.
type webTransport struct {
	mu   sync.Mutex
	http *http.Transport // nil until the first query
	made time.Time
}

// overWeb reports whether t is a kind of HTTP.
func (t Transport) overWeb() bool { return t >= OverHTTPS }

// overGRPC reports whether t is a kind of gRPC.
func (t Transport) overGRPC() bool { return t == OverGRPC || t == OverGRPCTLS }

// secure reports whether t has TLS.
func (t Transport) secure() bool { return t != OverDNS && t != OverGRPC }

// connections are those to use at now. When they are older than max_age, new ones take their place, and the old ones end
// with their last query.
func (u *upstream) connections(now time.Time) *http.Transport {
	w := &u.web
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.http != nil && u.idle.maxAge > 0 && now.Sub(w.made) >= u.idle.maxAge {
		w.http.CloseIdleConnections()
		w.http = nil
	}
	if w.http == nil {
		w.http, w.made = u.newHTTP(), now
	}
	return w.http
}

func (u *upstream) newHTTP() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(u.transport == OverHTTPS)
	protocols.SetHTTP2(u.transport != OverGRPC)
	protocols.SetUnencryptedHTTP2(u.transport == OverGRPC)
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, connectTimeout)
			defer cancel()
			return u.dial(ctx)
		},
		TLSClientConfig: u.tls, TLSHandshakeTimeout: connectTimeout, Protocols: protocols,
		MaxIdleConns: u.idle.max, MaxIdleConnsPerHost: u.idle.max, IdleConnTimeout: u.idle.expire,
		MaxResponseHeaderBytes: headerBytes, DisableCompression: true,
		HTTP2: &http.HTTP2Config{SendPingTimeout: u.readTimeout, PingTimeout: u.readTimeout}, // of dead connections
	}
}

// closeWeb ends the connections over HTTP, those in use with their last query.
func (u *upstream) closeWeb() {
	u.web.mu.Lock()
	defer u.web.mu.Unlock()
	if u.web.http != nil {
		u.web.http.CloseIdleConnections()
	}
}

// overHTTP asks once. Connecting and the reply have their own times, as over TCP.
func (u *upstream) overHTTP(ctx context.Context, q query, edns bool, terms terms) (*message, bool, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(2*connectTimeout, func() { cancel(os.ErrDeadlineExceeded) })
	defer timer.Stop()
	via := viaHTTPS
	if u.transport.overGRPC() {
		via = viaGRPC
	}
	id := uint16(0) // RFC 8484 section 4.1
	if u.transport.overGRPC() {
		id = randomID()
	}
	packet := q.pack(make([]byte, 0, 512), id, edns)
	var told atomic.Pointer[exchange] // a request may be sent again over another connection
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		timer.Reset(u.readTimeout)
		u.counts.dialled(via, info.Reused)
		if terms.observer != nil {
			e := terms.observer.exchange(u, info.Conn.LocalAddr(), TCP)
			e.sent(packet)
			told.Store(&e)
		}
	}})
	reply, err := u.post(ctx, packet, terms.grow)
	switch {
	case err != nil && errors.Is(context.Cause(ctx), os.ErrDeadlineExceeded):
		return nil, false, os.ErrDeadlineExceeded
	case err != nil:
		return nil, false, err
	case !wire.IsReply(reply, id, q.question(packet)):
		u.counts.mismatches.Add(1)
		return nil, false, errSpoofed
	}
	if e := told.Load(); e != nil {
		e.received(reply)
	}
	return read(reply)
}

// post sends packet and reads what comes back.
func (u *upstream) post(ctx context.Context, packet []byte, grow grow) ([]byte, error) {
	request, err := u.request(ctx, packet)
	if err != nil {
		return nil, err
	}
	response, err := u.connections(time.Now()).RoundTrip(request) // follows no redirections
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %d: %w", response.StatusCode, errHTTP)
	}
	if u.transport.overGRPC() {
		return readGRPC(response, grow)
	}
	if kind := response.Header.Get("Content-Type"); kind != dohType {
		return nil, fmt.Errorf("content type %.40q: %w", kind, errHTTP)
	}
	return readBody(response.Body, wire.MaxMessage, grow)
}

// request is the request for packet.
func (u *upstream) request(ctx context.Context, packet []byte) (*http.Request, error) {
	scheme, host := "https://", u.serverName
	if u.transport == OverGRPC {
		scheme, host = "http://", u.address.Addr().WithZone("").String()
	}
	url := scheme + net.JoinHostPort(host, strconv.Itoa(int(u.address.Port())))
	kind, method, path, body := dohType, http.MethodPost, dohPath, packet
	switch {
	case u.transport.overGRPC():
		kind, path, body = grpcType, grpcPath, frameGRPC(packet)
	case u.dohGET:
		method, path, body = http.MethodGet, dohPath+"?dns="+base64.RawURLEncoding.EncodeToString(packet), nil
	}
	request, err := http.NewRequestWithContext(ctx, method, url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header = http.Header{"Accept": {kind}, "User-Agent": nil}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", kind)
	}
	if u.transport.overGRPC() {
		request.Header.Set("Te", "trailers")
	}
	return request, nil
}

// readBody reads a body of most octets at most. It makes room for what has come and as much again.
func readBody(body io.Reader, most int, grow grow) ([]byte, error) {
	var all []byte
	for {
		if len(all) == cap(all) {
			room := min(most+1, max(firstRead, 2*len(all)))
			if !grow(room - len(all)) {
				return nil, errNoRoom
			}
			all = append(make([]byte, 0, room), all...)
		}
		n, err := body.Read(all[len(all):cap(all)])
		all = all[:len(all)+n]
		switch {
		case len(all) > most:
			return nil, errMalformed
		case err == io.EOF:
			return all, nil
		case err != nil:
			return nil, err
		}
	}
}

// frameGRPC is packet as the one field of a DnsPacket, in a frame of gRPC.
func frameGRPC(packet []byte) []byte {
	field := binary.AppendUvarint([]byte{grpcField}, uint64(len(packet)))
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(field)+len(packet)))
	return append(append(frame, field...), packet...)
}

// readGRPC reads the message of a response, which ends with its status.
func readGRPC(response *http.Response, grow grow) ([]byte, error) {
	body, err := readBody(response.Body, grpcFrameHead+4+wire.MaxMessage, grow)
	if err != nil {
		return nil, err
	}
	status := response.Trailer.Get("Grpc-Status")
	if status == "" {
		status = response.Header.Get("Grpc-Status") // a response without a message has no trailer
	}
	if status != "0" {
		return nil, fmt.Errorf("gRPC status %.20q: %w", status, errHTTP)
	}
	return unframeGRPC(body)
}

// unframeGRPC is the DNS message in body, which is one frame that is not compressed.
func unframeGRPC(body []byte) ([]byte, error) {
	if len(body) < grpcFrameHead || body[0] != 0 ||
		uint64(binary.BigEndian.Uint32(body[1:])) != uint64(len(body)-grpcFrameHead) {
		return nil, errMalformed
	}
	field := body[grpcFrameHead:]
	if len(field) == 0 || field[0] != grpcField {
		return nil, errMalformed
	}
	size, n := binary.Uvarint(field[1:])
	if n <= 0 || size != uint64(len(field)-1-n) {
		return nil, errMalformed
	}
	return field[1+n:], nil
}
