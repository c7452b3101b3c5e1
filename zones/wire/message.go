package wire

import (
	"bytes"
	"encoding/binary"
)

// A message of another server is read whole before any of it is trusted: every record must be in bounds, every name
// well formed. What is kept of it is packed again: only the records that belong to the question, and names that our own
// compression writes, since a compression pointer of the sender's may lead anywhere in its message.

// Outcome is what a message says about its question, once the aliases in its answer section are followed.
type Outcome uint8

// The outcomes. RFC 2308 section 2 tells the denials apart.
const (
	Answered Outcome = iota // it has what was asked for
	NoData                  // the last name has no records of the qtype
	NoName                  // NXDOMAIN: the last name does not exist
	Referral                // it names other servers: the upstream does not recurse
	Unusable                // a loop of aliases, or NXDOMAIN along with an answer
	Failed                  // any other rcode
)

const (
	maxAliases  = 16 // CNAMEs followed in one message; the longest chains in use have about 8
	maxTTL      = 1<<31 - 1
	optionError = 15 // Extended DNS Error, RFC 8914 section 2

	typeMD    Type = 3
	typeMF    Type = 4
	typeMB    Type = 7
	typeMG    Type = 8
	typeMR    Type = 9
	typeMINFO Type = 14
	typeRP    Type = 17
	typeAFSDB Type = 18
	typeRT    Type = 21
	typePX    Type = 26
	typeKX    Type = 36
	typeSVCB  Type = 64
	typeHTTPS Type = 65
)

// Message is what Read found in another server's message. It holds no pointer except Text, is reused from message to
// message, and is for one goroutine.
type Message struct {
	Flags   uint16
	Rcode   Rcode // including the bits in the OPT
	Outcome Outcome
	TTL     uint32 // how long the outcome holds, in seconds (RFC 2181 section 8; denials: RFC 2308 section 5)
	Timed   bool   // TTL is valid: there were records, with an SOA for a denial
	EDNS    bool
	Error   bool     // it carries an Extended DNS Error
	Info    InfoCode // its code
	Text    []byte   // its text; points into the message

	counts  [3]uint16 // records of each section, the OPT counted
	starts  [3]int    // offset of each section
	proofs  bool      // the answer section has records of DNSSEC or DNAME
	minimum uint32    // of the SOA of a denial
	qtype   Type
	last    int // octets of the last name in the chain of aliases
	name    [MaxName + 1]byte
	other   [MaxName + 1]byte
}

// IsReply reports whether packet is a reply with this ID to this question: a name in lower case, type and class in wire
// form. A server that could not read the query may omit the question; then only FORMERR or NOTIMP is accepted (RFC 6891
// section 7).
func IsReply(packet []byte, id uint16, question []byte) bool {
	if len(packet) < HeaderSize || binary.BigEndian.Uint16(packet) != id {
		return false
	}
	flags := binary.BigEndian.Uint16(packet[2:])
	if flags&FlagQR == 0 || flags&maskOpcode != 0 {
		return false
	}
	switch binary.BigEndian.Uint16(packet[4:]) {
	case 0:
		rcode := Rcode(flags & maskRcode)
		return (rcode == FormatError || rcode == NotImp) && bytes.Equal(packet[6:10], make([]byte, 4))
	case 1:
		return len(packet) >= HeaderSize+len(question) && equalQuestion(packet[HeaderSize:], question)
	}
	return false
}

// equalQuestion compares packet with folded, a question whose name is in lower case. Type and class must be equal
// exactly.
func equalQuestion(packet, folded []byte) bool {
	name := len(folded) - 4
	if name < 1 || !bytes.Equal(packet[name:name+4], folded[name:]) {
		return false
	}
	return equalFolded(packet[:name], folded)
}

// Read reads packet, for which IsReply is true, into m. It returns false if any of it is malformed. It leaves packet as
// it is, and allocates nothing unless there are additional records. Octets behind the last record are ignored, because
// some servers pad.
func (m *Message) Read(packet []byte) bool {
	if len(packet) < HeaderSize || binary.BigEndian.Uint16(packet[4:]) > 1 {
		return false
	}
	*m = Message{Flags: binary.BigEndian.Uint16(packet[2:]), TTL: maxTTL, minimum: maxTTL}
	m.Rcode = Rcode(m.Flags & maskRcode)
	at := HeaderSize
	if packet[5] == 1 {
		size, next, ok := UnpackName(&m.name, packet, at)
		if !ok || next-at != size || next+4 > len(packet) {
			return false
		}
		m.qtype, at = Type(binary.BigEndian.Uint16(packet[next:])), next+4
	}
	for section := range m.counts {
		m.counts[section], m.starts[section] = binary.BigEndian.Uint16(packet[6+2*section:]), at
		for range m.counts[section] {
			var ok bool
			if at, ok = m.record(packet, at, section); !ok {
				return false
			}
		}
	}
	m.conclude(packet)
	return true
}

// record checks the record at offset at, or reads it if it is the OPT.
func (m *Message) record(packet []byte, at, section int) (next int, ok bool) {
	owner, ok := checkName(packet, at)
	if !ok {
		return 0, false
	}
	var r Record
	if next, ok = r.Read(packet, at); !ok {
		return 0, false
	}
	if r.Type == TypeOPT {
		return next, section == Additional && owner == at+1 && m.option(&r)
	}
	m.proofs = m.proofs || section == Answer && (r.Type == TypeRRSIG || r.Type == TypeDNAME)
	return next, r.check(packet, owner+10, next)
}

// option reads the OPT (RFC 6891 section 6.1.3).
func (m *Message) option(r *Record) bool {
	if m.EDNS || !validOptions(r.Data) {
		return false
	}
	m.EDNS = true
	m.Rcode |= Rcode(r.TTL>>24) << 4
	for data := r.Data; len(data) > 0; {
		size := int(binary.BigEndian.Uint16(data[2:]))
		if binary.BigEndian.Uint16(data) == optionError && size >= 2 && !m.Error {
			m.Error, m.Info, m.Text = true, InfoCode(binary.BigEndian.Uint16(data[4:])), data[6:4+size]
		}
		data = data[4+size:]
	}
	return true
}

// conclude finds the outcome, and how long it holds.
func (m *Message) conclude(packet []byte) {
	found := m.belonging(packet, func(section, _ int, r Record) {
		m.TTL = min(m.TTL, clampTTL(r.TTL))
		if section == Authority && r.Type == TypeSOA {
			m.minimum = min(m.minimum, clampTTL(binary.BigEndian.Uint32(r.Data[len(r.Data)-4:])))
		}
	})
	m.Timed = found.soa
	switch {
	case m.Rcode != NoError && m.Rcode != NameError:
		m.Outcome, m.Timed = Failed, false
	case found.circle || found.answered && m.Rcode == NameError:
		m.Outcome, m.Timed = Unusable, false
	case m.Rcode == NameError:
		m.Outcome = NoName
	case found.answered:
		m.Outcome, m.Timed = Answered, true
	case found.referral && !found.soa:
		m.Outcome = Referral
	default:
		m.Outcome = NoData
	}
	if m.Outcome != Answered {
		m.TTL = min(m.TTL, m.minimum)
	}
}

// isLast reports whether the name at offset at is the last name. It runs for each record and link, and so stops at the
// first label that differs.
func (m *Message) isLast(packet []byte, at int) bool {
	for rest := m.name[:m.last]; ; {
		c := int(packet[at])
		if c >= 0xc0 {
			at = c&0x3f<<8 | int(packet[at+1])
			continue
		}
		if c != int(rest[0]) || !equalFolded(packet[at+1:at+1+c], rest[1:1+c]) {
			return false
		}
		if c == 0 {
			return true
		}
		at, rest = at+1+c, rest[1+c:]
	}
}

// equalFolded reports whether a is b, which is in lower case and of the same size.
func equalFolded(a, b []byte) bool {
	for i, c := range a {
		if c-'A' < 26 {
			c += 'a' - 'A'
		}
		if c != b[i] {
			return false
		}
	}
	return true
}

// above reports whether the last name is at or below the name at offset at.
func (m *Message) above(packet []byte, at int) bool {
	size, _, _ := UnpackName(&m.other, packet, at)
	for from := 0; m.last-from >= size; from += 1 + int(m.name[from]) {
		if m.last-from == size {
			return bytes.Equal(m.other[:size], m.name[from:m.last])
		}
	}
	return false
}

// clampTTL is a TTL, 0 if its top bit is set (RFC 2181 section 8).
func clampTTL(ttl uint32) uint32 {
	if ttl > maxTTL {
		return 0
	}
	return ttl
}

// shape is the layout of the data of types whose names may be compressed (RFC 3597 section 4): octets before the names,
// the number of names, octets behind them.
func (t Type) shape() (before, names, after int) {
	switch t {
	case TypeNS, TypeCNAME, TypePTR, TypeDNAME, typeMB, typeMG, typeMR, typeMD, typeMF:
		return 0, 1, 0
	case TypeSOA:
		return 0, 2, 20
	case typeMINFO, typeRP:
		return 0, 2, 0
	case TypeMX, typeAFSDB, typeRT, typeKX:
		return 2, 1, 0
	case typePX:
		return 2, 2, 0
	case TypeSRV:
		return 6, 1, 0
	}
	return 0, 0, 0
}

// check reports whether the data of r, which lies between offsets at and end, is well formed, as far as this server and
// the compression pointers of a reply depend on it.
func (r *Record) check(packet []byte, at, end int) bool {
	before, names, after := r.Type.shape()
	switch {
	case r.Type == TypeA:
		return end-at == 4
	case r.Type == TypeAAAA:
		return end-at == 16
	case names == 0:
		return true
	case end-at < before+names+after:
		return false
	}
	at += before
	for range names {
		next, ok := checkName(packet, at)
		if !ok || next > end {
			return false
		}
		at = next
	}
	return at+after == end
}

// checkName returns the offset behind the name at offset at. ok is false if the name runs out of packet, is too long,
// or has a pointer to anything but the end of an earlier name (RFC 1035 section 4.1.4): in another message, the header
// and what follows the sections differ. What follows a pointer is read only up to that pointer, so there are no loops.
func checkName(packet []byte, at int) (next int, ok bool) {
	size, pointers, end := 0, 0, len(packet)
	for at < end {
		c := int(packet[at])
		switch {
		case c == 0:
			return max(next, at+1), true
		case c < 64:
			if size += 1 + c; size >= MaxName {
				return 0, false
			}
			at += 1 + c
		case c >= 0xc0 && at+1 < len(packet):
			target := c&0x3f<<8 | int(packet[at+1])
			if next == 0 {
				next = at + 2
			}
			if pointers++; pointers > maxPointers || target >= at || target < HeaderSize {
				return 0, false
			}
			at, end = target, at
		default:
			return 0, false
		}
	}
	return 0, false
}

// Unpack appends the data of r to data with all names in full, so that it can be part of another message. r is a record
// of a message that Read accepted; end is the offset behind it. Letters of names stay as they are.
func (r *Record) Unpack(data, packet []byte, end int) []byte {
	return r.unpack(data, packet, end, false)
}

// unpack is Unpack, with letters of names in lower case if lower is set.
func (r *Record) unpack(data, packet []byte, end int, lower bool) []byte {
	before, names, after := r.Type.shape()
	if names == 0 {
		return append(data, r.Data...)
	}
	at := end - len(r.Data)
	data = append(data, packet[at:at+before]...)
	at += before
	for range names {
		var name [MaxName + 1]byte
		size, next, _ := expandName(&name, packet, at)
		if lower {
			fold(name[:size], name[:size])
		}
		data, at = append(data, name[:size]...), next
	}
	return append(data, packet[at:at+after]...)
}
