package resolver

import (
	"net/netip"
	"time"

	"github.com/clusterdns/clusterdns/resolver/datagram"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Proto is the transport that a query arrived by.
type Proto uint8

// The transports. To add one: its constant here, its row in protos, and what receives its queries in server/listen.
const (
	UDP    Proto = iota
	TCP          // RFC 7766
	TLS          // RFC 7858
	HTTPS        // RFC 8484, over HTTP/1.1 and HTTP/2
	HTTPS3       // the same over HTTP/3
	QUIC         // RFC 9250
	GRPC         // coredns.dns.DnsService

	Protos = iota // the number of transports
)

// Carriers is the number of protocols that carry the transports, UDP and TCP: a Proto below it is one.
const Carriers = 2

// protos lists what the transports differ in.
var protos = [Protos]struct {
	carrier   Proto // as CoreDNS names it in metrics and logs
	datagram  bool  // a reply is one datagram, limited by what the client and the network accept
	transfers bool  // a reply may be several messages, as of a zone transfer
}{
	UDP:    {UDP, true, false},
	TCP:    {TCP, false, true},
	TLS:    {TCP, false, true}, // RFC 9103
	HTTPS:  {TCP, false, false},
	HTTPS3: {UDP, false, false},
	QUIC:   {UDP, false, false},
	GRPC:   {TCP, false, false},
}

// Carrier is what the transport is carried by, UDP or TCP.
func (p Proto) Carrier() Proto { return protos[p].carrier }

// Encrypted reports whether nobody on the way reads what is sent.
func (p Proto) Encrypted() bool { return p >= Carriers }

// String is the transport's name in metrics and logs: that of its carrier, as in CoreDNS. The label of the server says
// the rest.
func (p Proto) String() string {
	if p.Carrier() == UDP {
		return "udp"
	}
	return "tcp"
}

// Datagram reports whether a query and its reply are one packet each. A stream carries several messages, of any size.
func (p Proto) Datagram() bool { return protos[p].datagram }

// Transfers reports whether zones can be sent, which takes several messages.
func (p Proto) Transfers() bool { return protos[p].transfers }

// Limit is the largest reply to q in octets. most limits datagrams alone.
func (p Proto) Limit(q *wire.Query, most uint16) int {
	if protos[p].datagram {
		return int(min(q.UDPSize, max(most, wire.MinUDPSize)))
	}
	return wire.MaxMessage
}

// Request is one query on its way, with all that its answer may depend on, and what became of it. A listener keeps one
// Request for each packet in work and reuses it.
type Request struct {
	// Set by the listener.
	Client    netip.AddrPort
	Local     netip.Addr // the address that was asked
	LocalPort uint16
	Proto     Proto
	Now       time.Time // when the batch arrived; carries a monotonic reading

	// Out has what Wait asks upstream over UDP, until the listener flushes it; nil to ask at once.
	Out *datagram.Outbox

	// Set by Answer, Wait, Resume and SendZone, for metrics and the query log.
	Query  wire.Query // what the client asked; its Packet and QName stay as they came
	Reply  wire.Reply
	Block  int    // index of the server block in Options.Blocks, -1 when none matched
	Zone   int    // index in the block's Zones of the zone that matched
	Source Source // the step that answered

	// State of the steps. Slices are reused, so that nothing is allocated.
	question question
	trace    *traced // nil for a query that is not traced
	taps     *taps   // of the block that has the client's name; likewise below
	shadow   *shadowing
	name     wire.QName    // of question, once that is not the client's own
	wrapped  []wrapped     // the wrappers in force, the innermost last
	fallback *entry        // a stale cache entry, for when no upstream answers
	links    int           // aliases followed so far
	visited  [maxLinks]hop // those aliases
	rotate   bool
	affine   bool    // the answer has an order of its own for the client
	limit    *cancel // how long the query may take; nil for no bound
	noted    noted   // for metadata

	subnet      wire.Subnet // of the client, as a cache says it; read for blocks with nearest
	wrongSubnet bool        // it is malformed
	withheld    bool        // all endpoints of the match are kept from the client

	// Scratch.
	match     zones.Match
	near      zones.Near
	addresses wire.Addresses
	targets   []wire.Offset // where the targets of SRV and NS records are in the reply
	fronts    []zones.Node  // names of the service that fronts this server
	own       []netip.Addr  // addresses of this server
	seen      map[string]struct{}
	message   []byte   // the old reply while Rework writes the new one
	text      []byte   // a name in presentation form
	signing   *signing // nil until an answer is signed

	environment *environment // of expressions; nil until one is asked
}

// Host is the part of an address that tells clients apart. One host may have all addresses of a /64 of IPv6.
func Host(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); a.Is6() {
		prefix, _ := a.Prefix(64)
		return prefix.Addr()
	}
	return a
}

// Source is the step that wrote an answer.
type Source uint8

// The steps that answer.
const (
	None Source = iota // refused, malformed
	FromHosts
	FromKubernetes
	FromCache
	FromForward
	FromACL
	FromRewrite
	FromTemplate
	FromFile
	FromLocal
	FromAny
	FromChaos
	FromWhoami
	FromErratic
	FromEtcd
	FromAuto
	FromSecondary
	FromExternal
	FromGateway
	FromDnssec
)

// String is the name of the CoreDNS plugin that does what the step does, for metrics; "" for None.
func (s Source) String() string {
	return [...]string{
		None:           "",
		FromHosts:      "hosts",
		FromKubernetes: "kubernetes",
		FromCache:      "cache",
		FromForward:    "forward",
		FromACL:        "acl",
		FromRewrite:    "rewrite",
		FromTemplate:   "template",
		FromFile:       "file",
		FromLocal:      "local",
		FromAny:        "any",
		FromChaos:      "chaos",
		FromWhoami:     "whoami",
		FromErratic:    "erratic",
		FromEtcd:       "etcd",
		FromAuto:       "auto",
		FromSecondary:  "secondary",
		FromExternal:   "k8s_external",
		FromGateway:    "k8s_gateway",
		FromDnssec:     "dnssec",
	}[s]
}

// Result tells the caller of Answer or Resume what to do next.
type Result uint8

// The results of Answer, Wait and Resume.
const (
	Send     Result = iota // send the reply
	Drop                   // send nothing
	Pending                // not answerable from memory: call Wait
	Transfer               // a zone transfer: call SendZone, which sends several messages
)
