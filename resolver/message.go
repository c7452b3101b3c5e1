package resolver

import (
	"encoding/binary"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// message is an upstream's answer, or stands in for one that did not come. It never changes, so the cache and all that
// wait for it share it.
type message struct {
	packet     []byte    // header, question and sections as they came, without the OPT; nil in a message made here
	start      int       // offset of the sections in packet
	ends       [3]int    // offset behind each section
	counts     [3]uint16 // records of each section
	ttls       []uint16  // offsets of the TTLs in packet
	rcode      wire.Rcode
	flags      uint16
	outcome    wire.Outcome
	ttl        time.Duration // how long the outcome holds, if timed
	timed      bool
	addressRun addressRun

	received time.Time // zero in messages that no flight has fetched

	transient bool          // it is about this moment, not about the question: not cached
	explained bool          // an Extended DNS Error goes with it
	info      wire.InfoCode // its code
	text      string        // its text
}

// addressRun is the run of address records at the end of the answer section, whose order may change.
type addressRun struct{ first, count, size int } // the run in message.ttls, and the octets of an address

// unanswered is the message that stands in for an answer that did not come.
func unanswered(rcode wire.Rcode, info wire.InfoCode, why string) *message {
	return &message{rcode: rcode, outcome: wire.Failed, explained: true, info: info, text: why}
}

// newMessage keeps packet, which parsed describes. It returns nil in the rare case that the OPT is between other
// records and the message cannot be packed again without it.
func newMessage(packet []byte, parsed *wire.Message) *message {
	if parsed.Split {
		if packet = withoutOPT(packet); packet == nil {
			return nil
		}
		opt := *parsed
		if !parsed.Read(packet) {
			return nil
		}
		parsed.Rcode, parsed.EDNS = opt.Rcode, opt.EDNS
		parsed.Error, parsed.Info, parsed.Text = opt.Error, opt.Info, opt.Text
	}
	m := &message{
		start: parsed.Start, ends: parsed.Ends, counts: parsed.Counts,
		rcode: parsed.Rcode, flags: parsed.Flags, outcome: parsed.Outcome,
		ttl: time.Duration(parsed.TTL) * time.Second, timed: parsed.Timed,
		explained: parsed.Error, info: parsed.Info, text: string(parsed.Text),
	}
	m.text = m.text[:min(len(m.text), maxReason)]
	m.packet = append(make([]byte, 0, parsed.Ends[wire.Additional]), packet[:parsed.Ends[wire.Additional]]...)
	m.findTTLs()
	return m
}

// maxReason is how much of an upstream's error text is kept, in octets.
const maxReason = 200

// withoutOPT packs a message again whose OPT is not its last record: without the OPT, names behind it have other
// offsets.
func withoutOPT(packet []byte) []byte {
	unpacked := new(dns.Msg)
	if unpacked.Unpack(packet) != nil {
		return nil
	}
	kept := unpacked.Extra[:0]
	for _, rr := range unpacked.Extra {
		if rr.Header().Rrtype != dns.TypeOPT {
			kept = append(kept, rr)
		}
	}
	unpacked.Extra, unpacked.Compress, unpacked.Rcode = kept, true, unpacked.Rcode&0xf
	repacked, err := unpacked.Pack()
	if err != nil {
		return nil
	}
	return repacked
}

// findTTLs finds the TTLs and the run of address records.
func (m *message) findTTLs() {
	records := int(m.counts[0]) + int(m.counts[1]) + int(m.counts[2])
	m.ttls = make([]uint16, 0, records)
	var last wire.Type
	at := m.start
	for i := range records {
		var record wire.Record
		at, _ = record.Read(m.packet, at)
		m.ttls = append(m.ttls, uint16(record.TTLAt))
		if i >= int(m.counts[wire.Answer]) || record.Type != wire.TypeA && record.Type != wire.TypeAAAA {
			continue
		}
		if record.Type != last {
			m.addressRun = addressRun{first: i, size: len(record.Data)}
		}
		last = record.Type
		m.addressRun.count++
	}
	if m.addressRun.first+m.addressRun.count != int(m.counts[wire.Answer]) || m.outcome != wire.Answered {
		m.addressRun = addressRun{} // with other records between or behind, the order stays
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

// size is about how many octets the message takes in memory, without its fields.
func (m *message) size() int { return cap(m.packet) + 2*cap(m.ttls) + len(m.text) }

// aging is how TTLs change on the way to a client: they are held between floor and limit, then lowered by age. All in
// seconds.
type aging struct{ floor, limit, age uint32 }

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
	if m.packet == nil {
		return
	}
	rotation := 0
	if r.rotate && m.addressRun.count > 1 {
		r.rotation++
		rotation = int(r.rotation % uint32(m.addressRun.count))
	}
	switch {
	case q.owner == wire.AtQName && r.Reply.Fits(m.ends[m.needed()]-m.start):
		m.copy(&r.Reply, a, rotation)
	case r.links == 0: // the question has another name, or the answer is too large
		m.unpack(&r.Reply, q, a, rotation, wire.Additional)
	default:
		m.unpack(&r.Reply, q, a, rotation, m.needed())
	}
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
func (m *message) copy(reply *wire.Reply, a aging, rotation int) {
	keep, needed, counts := wire.Additional, m.needed(), m.counts
	for keep > needed && !reply.Fits(m.ends[keep]-m.start) {
		counts[keep] = 0
		keep--
	}
	at := reply.CopySections(m.packet[m.start:m.ends[keep]], counts)
	body := reply.Bytes()[at:]
	for i := range int(counts[0]) + int(counts[1]) + int(counts[2]) {
		ttlAt := int(m.ttls[i])
		place := body[ttlAt-m.start:]
		binary.BigEndian.PutUint32(place, a.apply(binary.BigEndian.Uint32(m.packet[ttlAt:])))
		if rotation > 0 && m.addressRun.has(i) {
			copy(place[6:], m.address(i, rotation))
		}
	}
}

func (s addressRun) has(i int) bool { return i >= s.first && i < s.first+s.count }

// address is the data of the i-th record after the run of address records has been rotated.
func (m *message) address(i, rotation int) []byte {
	i = m.addressRun.first + (i-m.addressRun.first+rotation)%m.addressRun.count
	at := int(m.ttls[i]) + 6
	return m.packet[at : at+m.addressRun.size]
}

// unpack adds the sections up to last record by record, with names in full, until the reply is full. Of the sections
// that only help it adds what fits (RFC 2181 section 9). It is for messages that do not fit as they are, and for those that
// answer a rewritten question or the end of a chain of aliases, whose compression pointers point into another question.
func (m *message) unpack(reply *wire.Reply, q *question, a aging, rotation, last int) {
	var owner [wire.MaxName + 1]byte
	var scratch [1024]byte
	at, end, section := m.start, int(m.counts[wire.Answer]), wire.Answer
	for i := 0; ; i++ {
		for i == end && section < last {
			section++
			end += int(m.counts[section])
			reply.Begin(section)
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
		data := record.Unpack(scratch[:0], m.packet, at)
		if rotation > 0 && m.addressRun.has(i) {
			data = m.address(i, rotation)
		}
		if section > m.needed() && !reply.Fits(len(name)+10+len(data)) ||
			!reply.AddRaw(name, record.Type, record.Class, a.apply(record.TTL), data) {
			return
		}
	}
}
