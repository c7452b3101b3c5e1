package dnstap

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Type says what a message is.
type Type byte

// The types of messages, of enum Message.Type in dnstap.proto.
const (
	ClientQuery       Type = 5
	ClientResponse    Type = 6
	ForwarderQuery    Type = 7
	ForwarderResponse Type = 8
)

// Message is one DNS message with what is known of it. Zero fields are left out.
type Message struct {
	Identity string // of this server
	Version  string
	Extra    []byte

	Type      Type
	TCP       bool           // else UDP
	Initiator netip.AddrPort // who has sent the query
	Responder netip.AddrPort // whom it was sent to
	Asked     time.Time
	Answered  time.Time // of responses
	Query     []byte    // the message itself, in wire form
	Response  []byte
}

// The fields of the messages Dnstap and Message in dnstap.proto, each with its wire type: 0 for a varint, 2 for octets,
// 5 for 32 bits.
const (
	identityField = 1<<3 | 2
	versionField  = 2<<3 | 2
	extraField    = 3<<3 | 2
	messageField  = 14<<3 | 2
	kindField     = 15 << 3 // Dnstap.type

	typeField        = 1 << 3 // Message.type
	familyField      = 2 << 3
	protocolField    = 3 << 3
	initiatorField   = 4<<3 | 2
	responderField   = 5<<3 | 2
	initiatorPort    = 6 << 3
	responderPort    = 7 << 3
	askedSeconds     = 8 << 3
	askedNanoseconds = 9<<3 | 5
	queryField       = 10<<3 | 2
	answeredSeconds  = 12 << 3
	answeredNanosecs = 13<<3 | 5
	responseField    = 14<<3 | 2

	kindMessage = 1
	familyINET  = 1
	familyINET6 = 2
	protocolUDP = 1
	protocolTCP = 2
)

// overhead is more octets than a message has besides its variable fields.
const overhead = 160

// most is no less than the octets that m is encoded in.
func (m *Message) most() int {
	return overhead + len(m.Identity) + len(m.Version) + len(m.Extra) + len(m.Query) + len(m.Response)
}

// append appends m encoded. The length of the inner message stands before it in three octets, enough for the two longest
// DNS messages, whatever it is. That is a valid varint too, and so nothing is moved once the length is known.
func (m *Message) append(b []byte) []byte {
	b = appendOctets(b, identityField, m.Identity)
	b = appendOctets(b, versionField, m.Version)
	b = appendOctets(b, extraField, m.Extra)
	b = append(b, messageField, 0x80, 0x80, 0)
	start := len(b)
	b = m.appendInner(b)
	size := len(b) - start
	b[start-3] |= byte(size & 0x7f)
	b[start-2] |= byte(size >> 7 & 0x7f)
	b[start-1] = byte(size >> 14)
	return append(b, kindField, kindMessage)
}

func (m *Message) appendInner(b []byte) []byte {
	b = append(b, typeField, byte(m.Type))
	for _, a := range [...]netip.AddrPort{m.Initiator, m.Responder} {
		if a.IsValid() {
			b = append(b, familyField, family(a))
			break
		}
	}
	protocol := byte(protocolUDP)
	if m.TCP {
		protocol = protocolTCP
	}
	b = append(b, protocolField, protocol)
	b = appendAddress(b, initiatorField, m.Initiator)
	b = appendAddress(b, responderField, m.Responder)
	b = appendPort(b, initiatorPort, m.Initiator)
	b = appendPort(b, responderPort, m.Responder)
	b = appendTime(b, askedSeconds, askedNanoseconds, m.Asked)
	b = appendOctets(b, queryField, m.Query)
	b = appendTime(b, answeredSeconds, answeredNanosecs, m.Answered)
	return appendOctets(b, responseField, m.Response)
}

func appendOctets[T string | []byte](b []byte, field byte, octets T) []byte {
	if len(octets) == 0 {
		return b
	}
	return append(binary.AppendUvarint(append(b, field), uint64(len(octets))), octets...)
}

// family is that of the socket: IPv4 also for an IPv4 client of a socket of IPv6, whose address is written in 4 octets.
func family(a netip.AddrPort) byte {
	if a.Addr().Unmap().Is4() {
		return familyINET
	}
	return familyINET6
}

func appendAddress(b []byte, field byte, a netip.AddrPort) []byte {
	switch addr := a.Addr().Unmap(); {
	case !a.IsValid():
		return b
	case addr.Is4():
		octets := addr.As4()
		return append(append(b, field, byte(len(octets))), octets[:]...)
	default:
		octets := addr.As16()
		return append(append(b, field, byte(len(octets))), octets[:]...)
	}
}

func appendPort(b []byte, field byte, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return b
	}
	return binary.AppendUvarint(append(b, field), uint64(a.Port()))
}

func appendTime(b []byte, seconds, nanoseconds byte, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = binary.AppendUvarint(append(b, seconds), uint64(t.Unix()))
	return binary.LittleEndian.AppendUint32(append(b, nanoseconds), uint32(t.Nanosecond()))
}
