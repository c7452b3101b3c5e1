package transports

import (
	"encoding/binary"
	"io"
)

// What is needed of HTTP/2 (RFC 9113) and HPACK (RFC 7541) for a client that breaks their rules.
const (
	Preface      = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	Headers      = 1
	Reset        = 3
	Settings     = 4
	Ping         = 6
	Continuation = 9
	EndHeaders   = 4 // a flag
)

// DoHHeaders is the header of a query by POST to HTTPS, GRPCHeaders that of a call of gRPC.
const (
	DoHHeaders  = "\x83\x87\x04\x0a/dns-query\x01\x01a\x0f\x10\x17application/dns-message"
	GRPCHeaders = "\x83\x87\x04\x1d/coredns.dns.DnsService/Query\x01\x01a\x0f\x10\x10application/grpc"
)

// Frame is a frame of HTTP/2.
func Frame(kind, flags byte, stream int, payload string) []byte {
	f := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(f, uint32(stream)), payload...)
}

// ReadFrame reads a frame of HTTP/2.
func ReadFrame(from io.Reader) (kind byte, stream int, payload []byte, err error) {
	var head [9]byte
	if _, err = io.ReadFull(from, head[:]); err != nil {
		return 0, 0, nil, err
	}
	payload = make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	_, err = io.ReadFull(from, payload)
	return head[3], int(binary.BigEndian.Uint32(head[5:])), payload, err
}
