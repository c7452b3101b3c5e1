package resolver

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// message is an upstream's answer, or stands in for one that did not come. It never changes, so the cache and all that
// wait for it share it.
type message struct {
	packet  []byte    // question and sections behind a header, without the OPT; nil in a message made here
	start   int       // offset of the sections in packet
	ends    [3]int    // offset behind each section
	counts  [3]uint16 // records of each section
	ttls    []uint16  // offsets of the TTLs in packet
	rcode   wire.Rcode
	flags   uint16
	outcome wire.Outcome
	ttl     time.Duration // how long the outcome holds, if timed
	timed   bool
	rrsets  []rrset // those that loadbalance turns, in order
	named   bool    // one of them has names in its data

	received time.Time // zero in messages that no flight has fetched

	transient bool          // it is about this moment, not about the question: not cached
	stuck     bool          // it is cut, and TCP gave no whole one
	explained bool          // an Extended DNS Error goes with it
	info      wire.InfoCode // its code
	text      string        // its text
}

// unanswered is the message that stands in for an answer that did not come.
func unanswered(rcode wire.Rcode, info wire.InfoCode, why string) *message {
	return &message{rcode: rcode, outcome: wire.Failed, explained: true, info: info, text: why}
}

// momentary is unanswered for a reason that is about this moment, so that it is not cached.
func momentary(rcode wire.Rcode, info wire.InfoCode, why string) *message {
	m := unanswered(rcode, info, why)
	m.transient = true
	return m
}

// newMessage keeps what belongs to the question of packet, which parsed describes.
func newMessage(packet []byte, parsed *wire.Message) *message {
	packed, counts, cut := parsed.Pack(make([]byte, 0, len(packet)), packet)
	if cap(packed)-len(packed) > roomLeft {
		packed = slices.Clone(packed)
	}
	m := &message{
		packet: packed, counts: counts,
		rcode: parsed.Rcode, flags: parsed.Flags, outcome: parsed.Outcome,
		ttl: time.Duration(parsed.TTL) * time.Second, timed: parsed.Timed,
		explained: parsed.Error, info: parsed.Info, text: string(parsed.Text),
	}
	if cut {
		m.flags |= wire.FlagTC
	}
	m.text = m.text[:min(len(m.text), maxReason)]
	m.findRecords()
	return m
}

// roomLeft is how many octets of a packet's memory may be of no use: the size of an OPT. To copy the packet for less would
// cost more than that.
const roomLeft = 16

// maxReason is how much of an upstream's error text is kept, in octets.
const maxReason = 200

// findRecords finds the sections, the TTLs, and the rrsets that loadbalance turns.
func (m *message) findRecords() {
	m.ttls = make([]uint16, 0, int(m.counts[0])+int(m.counts[1])+int(m.counts[2]))
	m.start = wire.HeaderSize
	if m.packet[5] > 0 {
		at, _ := wire.SkipName(m.packet, wire.HeaderSize)
		m.start = at + 4
	}
	at := m.start
	for section, count := range m.counts {
		last, begun := 0, false // the record before, and whether an rrset of more than one has begun
		for i := range count {
			begin := at
			var record wire.Record
			at, _ = record.Read(m.packet, at)
			same := i > 0 && turns(record.Type) && m.sameRRset(last, begin)
			switch {
			case same && begun:
				m.rrsets[len(m.rrsets)-1].count++
			case same:
				m.rrsets = append(m.rrsets, rrset{first: uint16(len(m.ttls)) - 1, count: 2})
				m.named = m.named || record.Type == wire.TypeMX
			}
			begun, last = same, begin
			m.ttls = append(m.ttls, uint16(record.TTLAt))
		}
		m.ends[section] = at
	}
}

// result is the result of a step that answers with m.
func (m *message) result(source Source, a aging) result {
	return result{outcome: outcomes[m.outcome], source: source, message: m, aging: a}
}

// outcomes are the results for messages. A referral, or an answer that contradicts itself, reaches the client as it is.
var outcomes = [...]outcome{
	wire.Answered: answered,
	wire.NoData:   nodata,
	wire.NoName:   nxdomain,
	wire.Referral: failed,
	wire.Unusable: failed,
	wire.Failed:   failed,
}

// refreshes reports whether m ends what was known before: any reply does but SERVFAIL and REFUSED (RFC 8767 section 4).
// A message made here is no reply, and one that is cut has lacked its rest over TCP too.
func (m *message) refreshes() bool {
	return m.packet != nil && m.flags&wire.FlagTC == 0 && m.rcode != wire.ServerFailure && m.rcode != wire.Refused
}

// size is about how many octets the message takes in memory, without its fields.
func (m *message) size() int {
	return cap(m.packet) + 2*cap(m.ttls) + 4*cap(m.rrsets) + len(m.text)
}

// aging is how TTLs change on the way to a client: they are held between floor and limit, then lowered by age. All in
// seconds.
type aging struct {
	floor, limit, age uint32
	denial            uint32 // the limit behind the answer section, unless it is 0
}

// behindAnswer is for the records behind the answer section.
func (a aging) behindAnswer() aging {
	if a.denial > 0 {
		a.limit = a.denial
	}
	return a
}

// unchangedTTLs leaves TTLs as they are.
var unchangedTTLs = aging{limit: 1<<31 - 1}

func (a aging) apply(ttl uint32) uint32 {
	if ttl > 1<<31-1 {
		ttl = 0 // RFC 2181 section 8
	}
	ttl = min(max(ttl, a.floor), a.limit)
	return ttl - min(ttl, a.age)
}

// write adds m to the reply as the answer to q.
func (m *message) write(r *Request, q *question, a aging) {
	if m.packet != nil {
		m.writeRecords(r, q, a)
	}
	r.Reply.Rcode = m.rcode
	if m.rcode > 15 && !r.Query.EDNS {
		r.Reply.Rcode = wire.ServerFailure // an extended rcode needs an OPT
	}
	if m.explained {
		r.Reply.Explain(m.info, m.text)
	}
	flags := m.flags & wire.FlagTC
	if r.Query.DO || r.Query.Flags&wire.FlagAD != 0 {
		flags |= m.flags & wire.FlagAD // RFC 6840 section 5.8
	}
	r.Reply.SetFlags(flags)
}

// writeRecords adds the records of m. At the end of a chain of aliases, those that only help the client are left out.
func (m *message) writeRecords(r *Request, q *question, a aging) {
	last := wire.Additional
	if r.links > 0 {
		last = m.needed()
	}
	var rrsets []rrset
	if r.rotate {
		rrsets = m.rrsets
	}
	switch {
	case q.owner != wire.AtQName || !r.Reply.Fits(m.ends[m.needed()]-m.start):
		m.unpack(&r.Reply, q, a, rrsets, last) // the question has another name, or the answer is too large
	case !m.named:
		m.copy(&r.Reply, a, rrsets)
	case !r.rotate || !m.unpackWhole(r, q, a, rrsets):
		m.copy(&r.Reply, a, nil)
	}
}

// unpackWhole adds m record by record, because names in the data of records that change places can be neither moved nor
// pointed into. It reports whether all of it fit; otherwise it takes back what it has added.
func (m *message) unpackWhole(r *Request, q *question, a aging, rrsets []rrset) bool {
	before := r.Reply.Mark()
	m.unpack(&r.Reply, q, a, rrsets, wire.Additional)
	for section, count := range m.counts {
		if r.Reply.Count(section) != int(count) {
			r.Reply.Rewind(before)
			return false
		}
	}
	return true
}

// needed is the last section that must be sent. Those behind it only help the client.
func (m *message) needed() int {
	if m.outcome == wire.Answered {
		return wire.Answer
	}
	return wire.Authority
}

// copy copies the sections behind the question that they belong to. It leaves out sections that only help if there is
// no room for them (RFC 2181 section 9); the caller has checked that the others fit.
func (m *message) copy(reply *wire.Reply, a aging, rrsets []rrset) {
	keep, needed, counts := wire.Additional, m.needed(), m.counts
	for keep > needed && !reply.Fits(m.ends[keep]-m.start) {
		counts[keep] = 0
		keep--
	}
	end := m.ends[keep]
	if keep == wire.Authority {
		counts[wire.Additional], end = m.fitting(reply)
	}
	at := reply.CopySections(m.packet[m.start:end], counts)
	body := reply.Bytes()[at:]
	turn := turn{rrsets: rrsets}
	for i := range int(counts[0]) + int(counts[1]) + int(counts[2]) {
		if i == int(counts[0]) {
			a = a.behindAnswer()
		}
		from, to := int(m.ttls[turn.source(i)]), int(m.ttls[i])
		place := body[to-m.start:]
		if from != to { // data of the same size
			data, _ := m.data(from)
			copy(place[6:], data)
		}
		binary.BigEndian.PutUint32(place, a.apply(binary.BigEndian.Uint32(m.packet[from:])))
	}
}

// fitting is how many records of the additional section there is room for, and where they end. It takes whole rrsets
// alone, since nothing says that one was cut (RFC 2181 section 9).
func (m *message) fitting(reply *wire.Reply) (count uint16, end int) {
	first := int(m.counts[wire.Answer]) + int(m.counts[wire.Authority])
	at, before := m.ends[wire.Authority], 0
	end = at
	for i := first; i < len(m.ttls); i++ {
		begin := at
		if _, at = m.data(int(m.ttls[i])); i == first || !m.sameRRset(before, begin) {
			count, end = uint16(i-first), begin
		}
		if !reply.Fits(at - m.start) {
			return count, end
		}
		before = begin
	}
	return m.counts[wire.Additional], at
}

// sameRRset reports whether the records at two offsets are of one rrset: of one owner, type and class.
func (m *message) sameRRset(a, b int) bool {
	var owners [2][wire.MaxName + 1]byte
	n, afterA, _ := wire.UnpackName(&owners[0], m.packet, a)
	k, afterB, _ := wire.UnpackName(&owners[1], m.packet, b)
	return string(owners[0][:n]) == string(owners[1][:k]) &&
		string(m.packet[afterA:afterA+4]) == string(m.packet[afterB:afterB+4])
}

// data is the data of the record whose TTL is at offset ttl, and the offset behind it.
func (m *message) data(ttl int) (data []byte, end int) {
	end = ttl + 6 + int(binary.BigEndian.Uint16(m.packet[ttl+4:]))
	return m.packet[ttl+6 : end], end
}

// unpack adds the sections up to last record by record, with names in full, until the reply is full. Of the sections
// that only help it adds what fits (RFC 2181 section 9). It is for messages that do not fit as they are, and for those that
// answer a rewritten question or the end of a chain of aliases, whose compression pointers point into another question.
func (m *message) unpack(reply *wire.Reply, q *question, a aging, rrsets []rrset, last int) {
	var owner [wire.MaxName + 1]byte
	var scratch [1024]byte
	turn := turn{rrsets: rrsets}
	at, end, section := m.start, int(m.counts[wire.Answer]), wire.Answer
	for i := 0; ; i++ {
		for i == end && section < last {
			section++
			end += int(m.counts[section])
			reply.Begin(section)
			a = a.behindAnswer()
		}
		if i == end {
			return
		}
		size, _, _ := wire.UnpackName(&owner, m.packet, at)
		name := owner[:size]
		if q.owner != 0 && string(name) == string(q.name.Name()) {
			name = append(owner[:0], 0xc0|byte(q.owner>>8), byte(q.owner))
		}
		var record wire.Record
		at, _ = record.Read(m.packet, at)
		behind := at
		if from := turn.source(i); from != i {
			record.TTLAt = int(m.ttls[from])
			record.TTL = binary.BigEndian.Uint32(m.packet[record.TTLAt:])
			record.Data, behind = m.data(record.TTLAt)
		}
		data := record.Unpack(scratch[:0], m.packet, behind)
		if section > m.needed() && !reply.Fits(len(name)+10+len(data)) ||
			!reply.AddRaw(name, record.Type, record.Class, a.apply(record.TTL), data) {
			return
		}
	}
}
