package wire

import "encoding/binary"

// Type is a record type or qtype, as the IANA DNS parameters number them.
type Type uint16

// The types that the server itself handles; others pass through by number (RFC 3597).
const (
	TypeA      Type = 1
	TypeNS     Type = 2
	TypeCNAME  Type = 5
	TypeSOA    Type = 6
	TypePTR    Type = 12
	TypeHINFO  Type = 13
	TypeMX     Type = 15
	TypeTXT    Type = 16
	TypeAAAA   Type = 28
	TypeSRV    Type = 33
	TypeDNAME  Type = 39
	TypeOPT    Type = 41
	TypeDS     Type = 43
	TypeRRSIG  Type = 46
	TypeNSEC   Type = 47
	TypeDNSKEY Type = 48
	TypeNSEC3  Type = 50
	TypeNXNAME Type = 128 // RFC 9824: a bit of NSEC records alone
	TypeIXFR   Type = 251
	TypeAXFR   Type = 252
	TypeANY    Type = 255
)

// Class is a record class or qclass.
type Class uint16

// ClassIN is the Internet. ClassCH has names about the server itself (RFC 4892). ClassANY as a qclass stands for all classes (RFC 1035 section
// 3.2.5).
const (
	ClassIN  Class = 1
	ClassCH  Class = 3
	ClassANY Class = 255
)

// Rcode is a response code; those above 15 need EDNS (RFC 6891 section 6.1.3).
type Rcode uint16

// The response codes that the server makes itself.
const (
	NoError       Rcode = 0
	FormatError   Rcode = 1
	ServerFailure Rcode = 2
	NameError     Rcode = 3 // NXDOMAIN
	NotImp        Rcode = 4
	Refused       Rcode = 5
	YXDomain      Rcode = 6
	NotAuth       Rcode = 9
	BadVers       Rcode = 16
)

// Record is the fixed part of one resource record in a message, and its data as it is there: names in Data may be
// compressed.
type Record struct {
	Type  Type
	Class Class
	TTL   uint32
	TTLAt int    // offset of the TTL in the message
	Data  []byte // points into the message
}

// Read reads the record at offset at of message and returns the offset behind it; ok is false if the record runs out of
// message.
func (r *Record) Read(message []byte, at int) (next int, ok bool) {
	at, ok = SkipName(message, at)
	if !ok || at+10 > len(message) {
		return 0, false
	}
	r.Type = Type(binary.BigEndian.Uint16(message[at:]))
	r.Class = Class(binary.BigEndian.Uint16(message[at+2:]))
	r.TTL = binary.BigEndian.Uint32(message[at+4:])
	r.TTLAt = at + 4
	size := int(binary.BigEndian.Uint16(message[at+8:]))
	if at+10+size > len(message) {
		return 0, false
	}
	r.Data = message[at+10 : at+10+size]
	return at + 10 + size, true
}
