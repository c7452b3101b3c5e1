package wire

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
)

// What of another server's message belongs to its question. Nothing else of it is kept, because who answers for one
// name could otherwise put records of other names into caches, and next to records that clients take for the answer:
//
//   - answer: the aliases from the qname on, and what was asked for at their end, each with its signatures;
//   - authority: SOA, NS and DS records of zones that the last name is in, and the proofs of DNSSEC;
//   - additional: records of names that one of these records leads to.

// keeper is called with the section, the offset and the content of a record.
type keeper func(section, at int, r Record)

// found is what belonging saw.
type found struct{ answered, circle, soa, referral bool }

// belonging calls keep for each record of class IN that belongs to the question, sections in order, aliases in the
// order in which they are followed. It leaves the last name in m.name. Without a question, nothing belongs to it.
func (m *Message) belonging(packet []byte, keep keeper) (f found) {
	if m.starts[Answer] == HeaderSize {
		return f
	}
	m.last, _, _ = UnpackName(&m.name, packet, HeaderSize)
	if n := m.counts[Additional]; n > 1 || n == 1 && !m.EDNS {
		return m.withAdditional(packet, keep)
	}
	return m.without(packet, keep)
}

// without is belonging for a message without additional records.
func (m *Message) without(packet []byte, keep keeper) (f found) {
	f.answered, f.circle = m.follow(packet, keep)
	f.soa, f.referral = m.authority(packet, keep)
	return f
}

// withAdditional is belonging for a message with additional records.
func (m *Message) withAdditional(packet []byte, keep keeper) (f found) {
	leads := map[string]bool{} // names that a kept record leads to
	note := func(section, at int, r Record) {
		m.addTargets(leads, packet, &r)
		keep(section, at, r)
	}
	f = m.without(packet, note)
	leads[string(m.name[:m.last])] = true // of a service binding that leads to its own owner, RFC 9460 section 2.5.2
	for c := m.section(packet, Additional); c.next(); {
		if size, _, _ := UnpackName(&m.other, packet, c.at); leads[string(m.other[:size])] {
			note(Additional, c.at, c.Record)
		}
	}
	return f
}

// cursor goes through the records of class IN of a section, the OPT left out.
type cursor struct {
	Record
	packet     []byte
	at, behind int // offsets of the record and behind it
	left       uint16
}

func (m *Message) section(packet []byte, section int) cursor {
	return cursor{packet: packet, behind: m.starts[section], left: m.counts[section]}
}

func (c *cursor) next() bool {
	for c.left > 0 {
		c.left--
		c.at = c.behind
		if c.behind, _ = c.Read(c.packet, c.at); c.Class == ClassIN && c.Type != TypeOPT {
			return true
		}
	}
	return false
}

// follow follows aliases in the answer section from the qname to the last name (RFC 1034 section 3.6.2), whatever order
// they stand in, and keeps them and what was asked for at their end.
func (m *Message) follow(packet []byte, keep keeper) (answered, circle bool) {
	var links [maxAliases]int // offsets of the aliases followed
	for n := 0; ; n++ {
		alias := 0
		for c := m.section(packet, Answer); c.next(); {
			asked := c.Type == m.qtype || m.qtype == TypeANY
			if (asked || c.Type == TypeCNAME && alias == 0) && m.isLast(packet, c.at) {
				if answered = answered || asked; !asked {
					alias = c.at
				}
			}
		}
		switch {
		case answered:
			m.keepRecords(packet, keep)
			return true, false
		case alias == 0:
			return false, false
		case slices.Contains(links[:n], alias):
			return false, true
		}
		m.keepAlias(packet, alias, keep)
		if n == maxAliases {
			return false, true
		}
		links[n] = alias
		at, _ := SkipName(packet, alias)
		m.last, _, _ = UnpackName(&m.name, packet, at+10)
	}
}

// keepRecords keeps the records of the last name that were asked for, and behind them their signatures.
func (m *Message) keepRecords(packet []byte, keep keeper) {
	for c := m.section(packet, Answer); c.next(); {
		if (c.Type == m.qtype || m.qtype == TypeANY) && m.isLast(packet, c.at) {
			keep(Answer, c.at, c.Record)
		}
	}
	if m.proofs && m.qtype != TypeANY {
		m.keepSignatures(packet, m.qtype, keep)
	}
}

// keepAlias keeps the alias of the last name, and the DNAME records that it may have been made of (RFC 6672 section
// 3.1).
func (m *Message) keepAlias(packet []byte, alias int, keep keeper) {
	if m.proofs {
		for c := m.section(packet, Answer); c.next(); {
			if (c.Type == TypeDNAME || c.covers() == TypeDNAME) && !m.isLast(packet, c.at) && m.above(packet, c.at) {
				keep(Answer, c.at, c.Record)
			}
		}
	}
	var r Record
	r.Read(packet, alias)
	keep(Answer, alias, r)
	if m.proofs {
		m.keepSignatures(packet, TypeCNAME, keep)
	}
}

// keepSignatures keeps the signatures of the last name's records of type t.
func (m *Message) keepSignatures(packet []byte, t Type, keep keeper) {
	for c := m.section(packet, Answer); c.next(); {
		if c.covers() == t && c.Type != t && m.isLast(packet, c.at) {
			keep(Answer, c.at, c.Record)
		}
	}
}

// covers is the type that r is a signature of, 0 if it is none.
func (r *Record) covers() Type {
	if r.Type != TypeRRSIG || len(r.Data) < 2 {
		return 0
	}
	return Type(binary.BigEndian.Uint16(r.Data))
}

// authority keeps what says who answers for the last name, or that it does not exist.
func (m *Message) authority(packet []byte, keep keeper) (soa, referral bool) {
	for c := m.section(packet, Authority); c.next(); {
		t := c.Type
		if t == TypeRRSIG {
			t = c.covers()
		}
		switch t {
		case TypeSOA, TypeNS, TypeDS:
			if !m.above(packet, c.at) {
				continue
			}
		case TypeNSEC, TypeNSEC3: // they prove, or not, by what they say and who has signed it
		default:
			continue
		}
		soa, referral = soa || c.Type == TypeSOA, referral || c.Type == TypeNS
		keep(Authority, c.at, c.Record)
	}
	return soa, referral
}

// addTargets adds the names that the data of r leads to.
func (m *Message) addTargets(leads map[string]bool, packet []byte, r *Record) {
	before, names, _ := r.Type.shape()
	switch r.Type {
	case typeSVCB, typeHTTPS: // a priority, then the target; RFC 9460 section 2.2
		before, names = 2, 1
	case typeNAPTR:
		at, ok := naptrTarget(r.Data)
		if !ok {
			return
		}
		before, names = at, 1
	}
	at := r.TTLAt + 6 + before
	for range names {
		size, next, ok := UnpackName(&m.other, packet, at)
		if !ok {
			return
		}
		leads[string(m.other[:size])] = true
		at = next
	}
}

// Pack appends to buf, which is empty, a message with the question of packet, which Read has accepted, and the records
// that belong to it. It returns the numbers of records in its sections; cut is set if more of them belong to it than a
// message has room for.
func (m *Message) Pack(buf, packet []byte) (message []byte, counts [3]uint16, cut bool) {
	p := packings.Get().(*packing)
	query, reply := &p.query, &p.reply
	*query = Query{Packet: packet[:m.starts[Answer]]}
	if m.starts[Answer] > HeaderSize {
		query.readQuestion(packet)
	}
	reply.Start(query, buf, MaxMessage, 0)
	copy(reply.buf[HeaderSize:], query.Name())
	m.belonging(packet, func(section, at int, r Record) {
		var owner [MaxName + 1]byte
		size, _, _ := expandName(&owner, packet, at)
		if bytes.EqualFold(owner[:size], query.Name()) {
			fold(owner[:size], owner[:size]) // so that it can point to the qname
		}
		var scratch [1024]byte
		end := r.TTLAt + 6 + len(r.Data)
		reply.Begin(section)
		reply.Add(&Written{section, owner[:size], r.Type, r.Class, r.TTL, r.Unpack(scratch[:0], packet, end)})
	})
	message, counts, cut = reply.buf, reply.counts, reply.full
	reply.buf, query.Packet = nil, nil
	packings.Put(p)
	return message, counts, cut
}

// packing is what Pack needs for a moment.
type packing struct {
	query Query
	reply Reply
}

var packings = sync.Pool{New: func() any { return new(packing) }}
