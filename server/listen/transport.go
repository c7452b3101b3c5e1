package listen

import (
	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// transport is what differs between the ways that a query may come by.
type transport struct {
	name     string // in metrics and in the query log
	datagram bool   // a reply is one packet, as large as the query permits; over a stream a message may have any size
}

// transports are those that are served, by resolver.Proto. To add one, add its row: labels, counters and pools of pending
// queries follow. Then something has to accept its connections, as streams does for TCP.
var transports = [...]transport{
	resolver.UDP: {name: "udp", datagram: true},
	resolver.TCP: {name: "tcp"},
}

// bufsize is the largest reply that the client of request takes.
func bufsize(request *resolver.Request) uint16 {
	if transports[request.Proto].datagram {
		return request.Query.UDPSize
	}
	return wire.MaxMessage
}
