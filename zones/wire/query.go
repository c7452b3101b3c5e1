package wire

import "encoding/binary"

// Sizes that the protocol fixes.
const (
	HeaderSize  = 12  // RFC 1035 section 4.1.1
	MaxName     = 255 // octets of a name in wire form, RFC 1035 section 2.3.4
	MinUDPSize  = 512 // what every client accepts without EDNS, RFC 1035 section 2.3.4
	MaxMessage  = 65535
	maxPointers = 64 // compression pointers followed in one name before it is called a loop
)

// Header flag bits, RFC 1035 section 4.1.1 and RFC 4035 section 3.
const (
	FlagQR     = 1 << 15
	FlagAA     = 1 << 10
	FlagTC     = 1 << 9
	FlagRD     = 1 << 8
	FlagRA     = 1 << 7
	FlagAD     = 1 << 5
	FlagCD     = 1 << 4
	maskOpcode = 0xf << 11
	maskRcode  = 0xf
)

// Verdict says how to answer a message.
type Verdict uint8

// The verdicts, from the best packet to the worst.
const (
	Valid         Verdict = iota
	BadVersion            // EDNS version above 0: BADVERS, RFC 6891 section 6.1.3
	UnknownOpcode         // an opcode other than QUERY: NOTIMP
	Malformed             // only the header is readable: FORMERR
	Silent                // too short for a header, or a response: no answer
)

// Query is one parsed query. It refers to nothing but its packet, is reused from query to query, and is for one
// goroutine.
type Query struct {
	Packet  []byte // the message as it came, with the case of the question
	ID      uint16
	Flags   uint16
	Type    Type
	Class   Class
	EDNS    bool
	DO      bool
	CO      bool   // the client takes NXDOMAIN with a compact denial (RFC 9824)
	UDPSize uint16 // as offered, at least 512; 512 without EDNS
	Options []byte // of the OPT, well-formed
	QName
	whole     bool // all sections could be read
	question  int  // offset behind the question section; 0 if the question could not be read
	authority []byte
}

// Authority is the data of the first record in the authority section, nil for none. In an IXFR query this is the
// sender's SOA (RFC 1995 section 3).
func (q *Query) Authority() []byte { return q.authority }

// Opcode is the kind of query, RFC 1035 section 4.1.1.
func (q *Query) Opcode() uint8 { return uint8(q.Flags >> 11 & 0xf) }

// opcodeNotify is that of NOTIFY, RFC 1996 section 3.3.
const opcodeNotify = 4

// IsNotify reports whether Parse, which returned v, has read a whole NOTIFY.
func (q *Query) IsNotify(v Verdict) bool {
	return v == UnknownOpcode && q.Opcode() == opcodeNotify && q.whole
}

// Parse reads packet into q. It checks every count, length and pointer, allocates nothing and leaves packet as it is.
// Octets behind the last record are ignored, because some clients pad.
// After BadVersion, the question and the EDNS fields are valid. After Malformed and UnknownOpcode, only ID and Flags
// are; the other fields hold what could be read.
func (q *Query) Parse(packet []byte) Verdict {
	q.Packet, q.EDNS, q.DO, q.CO, q.UDPSize, q.question = packet, false, false, false, MinUDPSize, 0
	q.authority, q.Options = nil, nil
	q.clear()
	q.Type, q.Class = 0, 0
	if len(packet) < HeaderSize {
		return Silent
	}
	q.ID = binary.BigEndian.Uint16(packet)
	q.Flags = binary.BigEndian.Uint16(packet[2:])
	if q.Flags&FlagQR != 0 {
		return Silent
	}
	verdict := q.sections(packet)
	q.whole = verdict == Valid
	if q.Flags&maskOpcode != 0 {
		return UnknownOpcode
	}
	return verdict
}

// sections reads what follows the header.
func (q *Query) sections(packet []byte) Verdict {
	counts := packet[4:HeaderSize]
	if binary.BigEndian.Uint16(counts) != 1 {
		return Malformed
	}
	at, ok := q.readQuestion(packet)
	if !ok {
		return Malformed
	}
	answers, authority := int(binary.BigEndian.Uint16(counts[2:])), int(binary.BigEndian.Uint16(counts[4:]))
	for i := range answers + authority {
		var record Record
		if at, ok = record.Read(packet, at); !ok || record.Type == TypeOPT {
			return Malformed // an OPT belongs in the additional section, RFC 6891 section 6.1.1
		}
		if i == answers {
			q.authority = record.Data
		}
	}
	verdict := Valid
	for range binary.BigEndian.Uint16(counts[6:]) {
		start := at
		var record Record
		if at, ok = record.Read(packet, at); !ok {
			return Malformed
		}
		if record.Type != TypeOPT {
			continue
		}
		if verdict = q.readOPT(&record, packet[start] == 0); verdict == Malformed {
			return Malformed
		}
	}
	return verdict
}

// readQuestion reads the one entry of the question section. The qname of a query is never compressed.
func (q *Query) readQuestion(packet []byte) (int, bool) {
	size, ok := q.Set(packet[HeaderSize:])
	at := HeaderSize + size
	if !ok || at+4 > len(packet) {
		return 0, false
	}
	q.Type = Type(binary.BigEndian.Uint16(packet[at:]))
	q.Class = Class(binary.BigEndian.Uint16(packet[at+2:]))
	q.question = at + 4
	return q.question, true
}

// readOPT reads the OPT. There may be only one, and its owner must be the root (RFC 6891 section 6.1.1).
func (q *Query) readOPT(opt *Record, atRoot bool) Verdict {
	if q.EDNS || !atRoot {
		return Malformed
	}
	q.EDNS = true
	q.UDPSize = max(uint16(opt.Class), MinUDPSize)
	q.DO, q.CO = opt.TTL&(1<<15) != 0, opt.TTL&(1<<14) != 0
	switch {
	case !validOptions(opt.Data):
		return Malformed
	case uint8(opt.TTL>>16) != 0:
		return BadVersion
	}
	q.Options = opt.Data
	return Valid
}

// EachOption calls visit with the code and the data of every EDNS option in options, a well-formed list, until visit
// returns false.
func EachOption(options []byte, visit func(code uint16, data []byte) bool) {
	for len(options) > 0 {
		end := 4 + int(binary.BigEndian.Uint16(options[2:]))
		if !visit(binary.BigEndian.Uint16(options), options[4:end]) {
			return
		}
		options = options[end:]
	}
}

// Has reports whether the query has an EDNS option with that code.
func (q *Query) Has(code uint16) (found bool) {
	EachOption(q.Options, func(option uint16, _ []byte) bool {
		found = option == code
		return !found
	})
	return found
}

// validOptions reports whether data is a well-formed list of EDNS options, RFC 6891 section 6.1.2.
func validOptions(data []byte) bool {
	for len(data) > 0 {
		if len(data) < 4 {
			return false
		}
		size := 4 + int(binary.BigEndian.Uint16(data[2:]))
		if size > len(data) {
			return false
		}
		data = data[size:]
	}
	return true
}
