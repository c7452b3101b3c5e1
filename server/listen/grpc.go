package listen

import (
	"encoding/binary"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// gRPC over HTTP/2, as far as one unary call needs it: POST of one message with a prefix of five octets, the reply in
// the same form, and the status in trailers. The library for it (google.golang.org/grpc 1.84) was measured to add 1.8 MB
// to the binary and 2 MB to memory at start.

const (
	grpcPath   = "/coredns.dns.DnsService/Query"
	grpcPrefix = 5        // octets before each message: compressed or not, and its length
	grpcField  = 1<<3 | 2 // the tag of DnsPacket.msg: field 1, octets with their length
)

// The status codes of gRPC that are used.
const (
	grpcOK                = 0
	grpcInvalidArgument   = 3
	grpcDeadlineExceeded  = 4
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcInternal          = 13
)

// serveGRPC answers one call of coredns.dns.DnsService/Query.
func (w *web) serveGRPC(to http.ResponseWriter, r *http.Request) {
	defer w.l.survive()
	if r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		w.statuses.count(refuse(to, http.StatusUnsupportedMediaType))
		return
	}
	c := r.Context().Value(connKey{}).(*caller)
	header := to.Header()
	header.Set("Content-Type", "application/grpc")
	header.Set("Trailer", "Grpc-Status")
	code := w.call(to, r, c)
	header.Set("Grpc-Status", strconv.Itoa(code))
	w.statuses.count(http.StatusOK)
}

// call answers one call, and returns its status.
func (w *web) call(to http.ResponseWriter, r *http.Request, c *caller) int {
	var place Place
	if r.URL.Path != grpcPath {
		return grpcUnimplemented
	}
	if !w.requests.take(&place, c) {
		return grpcResourceExhausted
	}
	defer w.requests.all.Leave(&place)
	rc := http.NewResponseController(to)
	rc.SetReadDeadline(time.Now().Add(w.l.options.ReadTimeout))
	framed, status := readBody(to, r, longestQuery+2*grpcPrefix)
	if status != http.StatusOK {
		return statusOfGRPC(status)
	}
	message, code := unframe(framed)
	if code != grpcOK {
		return code
	}
	w.requests.all.Keep(&place)
	reply, foreign := w.l.ask(r.Context(), message, c)
	switch {
	case foreign:
		return grpcInvalidArgument
	case reply == nil:
		return grpcInternal
	}
	leave, ok := w.requests.send(c, reply)
	if !ok {
		return grpcResourceExhausted
	}
	defer leave()
	rc.SetWriteDeadline(time.Now().Add(w.l.options.WriteTimeout))
	to.Write(frame(reply))
	return grpcOK
}

// statusOfGRPC is the status of a call whose body could not be read, for which HTTP has that status.
func statusOfGRPC(status int) int {
	switch status {
	case http.StatusRequestEntityTooLarge:
		return grpcResourceExhausted
	case http.StatusRequestTimeout:
		return grpcDeadlineExceeded
	}
	return grpcInvalidArgument
}

// unframe is the DNS message in a message of gRPC, or the status that refuses it.
func unframe(framed []byte) ([]byte, int) {
	if len(framed) < grpcPrefix || int64(binary.BigEndian.Uint32(framed[1:])) != int64(len(framed)-grpcPrefix) {
		return nil, grpcInvalidArgument
	}
	if framed[0] != 0 {
		return nil, grpcUnimplemented // compressed, which the client was not told that it may be
	}
	return packetOf(framed[grpcPrefix:])
}

// packetOf is the field msg of a DnsPacket: of several the last, as Protocol Buffers have it. Other fields are passed
// over.
func packetOf(data []byte) (message []byte, code int) {
	for len(data) > 0 {
		tag, n := binary.Uvarint(data)
		if n <= 0 {
			return nil, grpcInvalidArgument
		}
		data = data[n:]
		size, n := fieldSize(tag, data)
		if n < 0 || size > uint64(len(data)-n) {
			return nil, grpcInvalidArgument
		}
		if tag == grpcField {
			message = data[n : n+int(size)]
		}
		data = data[n+int(size):]
	}
	return message, grpcOK
}

// fieldSize is the octets of a field's value, and of the length before it; -1 for what no field has.
func fieldSize(tag uint64, data []byte) (size uint64, before int) {
	switch tag & 7 {
	case 0: // a number
		_, n := binary.Uvarint(data)
		if n <= 0 {
			return 0, -1
		}
		return uint64(n), 0
	case 1:
		return 8, 0
	case 2: // octets
		size, n := binary.Uvarint(data)
		if n <= 0 {
			return 0, -1
		}
		return size, n
	case 5:
		return 4, 0
	}
	return 0, -1
}

// frame makes a message of gRPC of a DNS message.
func frame(reply []byte) []byte {
	out := make([]byte, grpcPrefix, grpcPrefix+4+len(reply))
	out = append(out, grpcField)
	out = binary.AppendUvarint(out, uint64(len(reply)))
	out = append(out, reply...)
	binary.BigEndian.PutUint32(out[1:], uint32(len(out)-grpcPrefix))
	return out
}
