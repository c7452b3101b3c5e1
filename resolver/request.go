package resolver

import (
	"net/netip"
	"time"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Proto is how a query came.
type Proto uint8

// The transports.
const (
	UDP Proto = iota
	TCP
)

// Request is one query on its way, with all that an answer may depend on, and what became of it. A listener keeps one for each
// packet in work and reuses it; nothing in it outlives the call that fills it.
type Request struct {
	// Set by the listener.
	Query  wire.Query
	Client netip.AddrPort
	Local  netip.Addr // the address that was asked
	Proto  Proto
	Now    time.Time // when the batch arrived; carries a monotonic reading

	// Set by Answer and Resume, for metrics and the query log.
	Reply  wire.Reply
	Block  int    // index of the server block in Options.Blocks, -1 when none matched
	Zone   int    // index in its Zones of the one that the qname is in
	Source Source // the step that answered

	// Scratch of the steps, kept so that nothing is allocated.
	match    zones.Match
	answered int              // records in the answer section before the question at hand
	targets  []wire.Pointer   // where the targets of SRV and NS records stand in the reply
	alias    wire.QName       // the name to resolve next
	aliasAt  wire.Pointer     // and where it stands in the reply
	links    int              // aliases followed so far
	visited  [maxLinks]string // and their targets
	rotation uint32           // which record of an rrset comes first
	rotate   bool
	mayBlock bool   // in Resume
	buf      []byte // of the reply
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
)

// String is the plugin's name in CoreDNS, "" for None.
func (s Source) String() string {
	return [...]string{"", "hosts", "kubernetes", "cache", "forward"}[s]
}

// Result says what the caller does next.
type Result uint8

// The results of Answer; Resume never returns Pending.
const (
	Send     Result = iota // send the reply
	Drop                   // send nothing
	Pending                // not answerable from memory: call Resume where it may block
	Transfer               // a zone transfer over TCP: call SendZone
)

// Take copies from, of which Answer has said Pending, so that Resume may go on with r while from is reused for other packets. packet and
// buf are r's own memory for the query and the reply; it returns packet, grown where it was too small.
func (r *Request) Take(from *Request, packet, buf []byte) []byte {
	packet = append(packet[:0], from.Query.Packet...)
	r.Query = from.Query
	r.Query.Packet = packet
	r.Client, r.Local, r.Proto, r.Now = from.Client, from.Local, from.Proto, from.Now
	r.buf = buf
	return packet
}
