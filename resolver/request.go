package resolver

import (
	"net/netip"
	"time"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Proto is how a query came.
type Proto uint8

// The transports. To add one: its constant, and its row in transports.
const (
	UDP Proto = iota
	TCP

	Protos = iota // how many there are
)

// transports is what the transports differ in.
var protos = [Protos]struct {
	name     string // in metrics and logs
	datagram bool   // a reply is one datagram, limited by what the client and the network take
}{
	UDP: {"udp", true},
	TCP: {"tcp", false},
}

// String is the transport's name in metrics and logs.
func (p Proto) String() string { return protos[p].name }

// Datagram reports whether a query and its reply are a packet each. Over a stream there may be several messages, of any size.
func (p Proto) Datagram() bool { return protos[p].datagram }

// Limit is the most octets that a reply to q may have, where datagrams may have bufsize.
func (p Proto) Limit(q *wire.Query, bufsize uint16) int {
	if protos[p].datagram {
		return int(min(q.UDPSize, max(bufsize, wire.MinUDPSize)))
	}
	return wire.MaxMessage
}

// Request is one query on its way, with all that an answer may depend on, and what became of it. A listener keeps one for each
// packet in work and reuses it; nothing in it outlives the call that fills it.
type Request struct {
	// Set by the listener.
	Client netip.AddrPort
	Local  netip.Addr // the address that was asked
	Proto  Proto
	Now    time.Time // when the batch arrived; carries a monotonic reading

	// Set by Answer and Resume, for metrics and the query log.
	Query  wire.Query // what the client asked; its Packet and QName stay as they came
	Reply  wire.Reply
	Block  int    // index of the server block in Options.Blocks, -1 when none matched
	Zone   int    // index in its Zones of the one that the qname is in
	Source Source // the step that answered

	// Of the steps. Memory is kept, so that nothing is allocated.
	question question
	name     wire.QName       // of question, once it is not what the client asked
	wrapped  []wrapped        // what surrounds the steps, the innermost last
	fallback *entry           // what the cache has for the question if upstream does not answer
	links    int              // aliases followed so far
	visited  [maxLinks]string // and their targets
	rotate   bool
	mayBlock bool // in Resume

	// Scratch.
	match    zones.Match
	targets  []wire.Offset // where the targets of SRV and NS records stand in the reply
	fronts   []zones.Node  // the nodes that name this server
	seen     map[string]struct{}
	rotation uint32 // which record of an rrset comes first
	message  []byte // a reply while it is written once more
	text     []byte // a name in presentation form
}

// Take copies from, of which Answer has said Pending, so that Resume may go on with r while from is reused for other packets. packet and
// buf are r's own memory for the query and the reply; it returns packet, grown where it was too small.
func (r *Request) Take(from *Request, packet, buf []byte) []byte {
	packet = r.Query.Take(&from.Query, packet)
	r.Reply.Take(&from.Reply, &r.Query, buf)
	r.Client, r.Local, r.Proto, r.Now = from.Client, from.Local, from.Proto, from.Now
	r.Block, r.Zone, r.Source = from.Block, from.Zone, from.Source
	r.question, r.wrapped = from.question, append(r.wrapped[:0], from.wrapped...)
	if r.question.asked {
		r.question.name = &r.Query.QName
	} else {
		r.name = from.name
		r.question.name = &r.name
	}
	r.fallback, r.links, r.visited, r.rotate = from.fallback, from.links, from.visited, from.rotate
	return packet
}

// Source names the step that wrote an answer; its String is the plugin name that CoreDNS's metrics use.
type Source uint8

// The steps that answer.
const (
	None Source = iota // refused, malformed
	FromHosts
	FromKubernetes
	FromCache
	FromForward
	FromACL
)

// String is the plugin's name in CoreDNS, "" for None.
func (s Source) String() string {
	return [...]string{"", "hosts", "kubernetes", "cache", "forward", "acl"}[s]
}

// Result says what the caller does next.
type Result uint8

// The results of Answer; Resume never returns Pending.
const (
	Send     Result = iota // send the reply
	Drop                   // send nothing
	Pending                // not answerable from memory: call Resume where it may block
	Transfer               // a zone transfer: call SendZone where several messages can be sent
)
