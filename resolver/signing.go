package resolver

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"time"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// signing is the work on one answer. Its memory is reused, so that an answer whose signatures are kept allocates nothing.
type signing struct {
	by    *dnssec
	ring  *keyring
	r     *Request
	reply *wire.Reply
	now   time.Time

	octets  []byte // owners and data of the records
	records []rrecord
	order   []int // indices of records, those of an rrset side by side in the order of their data
	digest  []byte
	name    wire.QName // the last name of the chain of aliases
	other   wire.QName
	refers  int  // index of an NS record of a referral, -1 for none
	cut     bool // the additional section came without its end
}

// rrecord is a record of an answer.
type rrecord struct {
	section     int
	typ         wire.Type
	class       wire.Class
	ttl         uint32
	owner, data span
	dropped     bool
	first, end  int     // in order: the rrset of which it is the last; 0, 0 for none
	signed      *signed // of that rrset
}

// span is where something is in octets.
type span struct{ from, end int }

func (s *signing) at(p span) []byte           { return s.octets[p.from:p.end] }
func (s *signing) owner(i int) []byte         { return s.at(s.records[i].owner) }
func (s *signing) data(i int) []byte          { return s.at(s.records[i].data) }
func (s *signing) is(i int, t wire.Type) bool { return s.records[i].typ == t && !s.records[i].dropped }

func (s *signing) keep(p []byte) span {
	from := len(s.octets)
	s.octets = append(s.octets, p...)
	return span{from, len(s.octets)}
}

// keptOctets and keptRecords are how much memory a request keeps: more than most answers have.
const (
	keptOctets  = 16 << 10
	keptRecords = 256
)

func (s *signing) reset(by *dnssec, r *Request) {
	if cap(s.octets) > keptOctets || cap(s.records) > keptRecords {
		*s = signing{}
	}
	s.by, s.ring, s.r, s.reply, s.now = by, by.ring.Load(), r, &r.Reply, r.Now
	s.octets, s.records, s.order, s.refers = s.octets[:0], s.records[:0], s.order[:0], -1
	s.cut = s.reply.Full()
}

// collect reads the answer. Of an upstream's signatures, those by a zone of ours give way to ours.
func (s *signing) collect(w *wrapped) {
	s.reply.Each(w.mark, 0, func(record *wire.Written) bool {
		record.Canonical()
		s.add(record)
		return true
	})
}

func (s *signing) add(w *wire.Written) {
	s.records = append(s.records, rrecord{section: w.Section, typ: w.Type, class: w.Class, ttl: w.TTL,
		owner: s.keep(w.Owner), data: s.keep(w.Data)})
	if last := &s.records[len(s.records)-1]; w.Type == wire.TypeRRSIG && len(w.Data) > rrsigSigner {
		zone, ok := s.zone(w.Owner, wire.Type(binary.BigEndian.Uint16(w.Data)))
		last.dropped = ok && bytes.HasPrefix(w.Data[rrsigSigner:], []byte(zone))
	}
}

// rrsigSigner is where the name of the signer is in the data of an RRSIG record, RFC 4034 section 3.1.
const rrsigSigner = 18

// zone is the zone whose keys sign records of type t at owner. DS records are of the zone above (RFC 4035 section 2.4),
// if that is ours.
func (s *signing) zone(owner []byte, t wire.Type) (string, bool) {
	if t == wire.TypeDS && len(owner) > 1 {
		s.other.Set(owner[1+int(owner[0]):])
		if i, _, ok := s.by.zones.Match(&s.other); ok {
			return s.by.names[i], true
		}
	}
	s.other.Set(owner)
	i, _, ok := s.by.zones.Match(&s.other)
	if !ok {
		return "", false
	}
	return s.by.names[i], true
}

// find is the index of the first record of the section that match is true of, -1 if there is none.
func (s *signing) find(section int, match func(i int) bool) int {
	for i := range s.records {
		if s.records[i].section == section && !s.records[i].dropped && match(i) {
			return i
		}
	}
	return -1
}

// follow sets s.name to the last name of the chain of aliases, and reports whether that has what was asked for.
func (s *signing) follow(w *wrapped) (found bool) {
	s.reply.ReadName(w.asked.owner, &s.name)
	t := w.asked.qtype
	for range maxLinks + 1 {
		if s.find(wire.Answer, func(i int) bool {
			typ := s.records[i].typ
			return (typ == t || t == wire.TypeANY && typ != wire.TypeRRSIG) && bytes.Equal(s.owner(i), s.name.Name())
		}) >= 0 {
			return true
		}
		i := s.find(wire.Answer, func(i int) bool {
			return s.is(i, wire.TypeCNAME) && bytes.Equal(s.owner(i), s.name.Name())
		})
		if i < 0 {
			return false
		}
		s.name.Set(s.data(i))
	}
	return true // a circle denies nothing
}

// deny adds the NSEC record of an answer that has not what was asked for, if that is a denial (RFC 9824), or a referral
// to a zone that is not signed.
func (s *signing) deny(w *wrapped, res result) {
	if s.follow(w) {
		return
	}
	t := w.asked.qtype
	zone, ours := s.zone(s.name.Name(), t)
	if !ours {
		return
	}
	soa := s.find(wire.Authority, func(i int) bool { return s.is(i, wire.TypeSOA) })
	if s.refers = s.referral(zone); s.refers >= 0 && soa < 0 {
		s.vouch()
		return
	}
	s.refers = -1
	missing := s.reply.Rcode == wire.NameError || res.outcome == nxdomain
	if soa < 0 && !missing && res.outcome != nodata {
		return
	}
	s.dropProofs()
	negative := uint32(0)
	if soa >= 0 {
		data := s.data(soa)
		negative = min(s.records[soa].ttl, binary.BigEndian.Uint32(data[len(data)-4:]))
	}
	kind := existing
	switch {
	case zone == string(s.name.Name()):
		kind = apex
	case missing:
		kind = nonexistent
	case t == wire.TypeDS && res.cut:
		kind = delegation
	case t == wire.TypeANY:
		kind = empty
	}
	s.addNSEC(s.name.Name(), negative, kind, t)
	if !s.r.Query.CO || kind != nonexistent {
		s.reply.Rcode = wire.NoError
	}
	if t == wire.TypeNSEC { // it is the answer
		s.records[len(s.records)-1].section = wire.Answer
		if soa >= 0 {
			s.records[soa].dropped = true
		}
	}
}

// referral is the index of an NS record of a zone below ours that the last name is in, -1 for none.
func (s *signing) referral(zone string) int {
	return s.find(wire.Authority, func(i int) bool {
		owner := s.owner(i)
		return s.is(i, wire.TypeNS) && len(owner) > len(zone) && wire.Within(s.name.Name(), owner)
	})
}

// vouch says of a referral without DS records that the zone is not signed (RFC 4035 section 3.1.4.1).
func (s *signing) vouch() {
	if s.find(wire.Authority, func(i int) bool { return s.is(i, wire.TypeDS) }) < 0 {
		s.addNSEC(s.owner(s.refers), s.records[s.refers].ttl, delegation, 0)
	}
}

// dropProofs drops what an upstream proves its denial with: the names of ours are the same.
func (s *signing) dropProofs() {
	for i := range s.records {
		record := &s.records[i]
		t := record.typ
		if t == wire.TypeRRSIG && len(s.data(i)) > rrsigSigner {
			t = wire.Type(binary.BigEndian.Uint16(s.data(i)))
		}
		if record.section == wire.Authority && (t == wire.TypeNSEC || t == wire.TypeNSEC3) {
			_, ours := s.zone(s.owner(i), t)
			record.dropped = record.dropped || ours
		}
	}
}

func (s *signing) addNSEC(owner []byte, ttl uint32, kind nsecKind, t wire.Type) {
	record := rrecord{section: wire.Authority, typ: wire.TypeNSEC, class: wire.ClassIN, ttl: ttl, owner: s.keep(owner)}
	record.data.from = len(s.octets)
	s.octets = appendSuccessor(s.octets, s.at(record.owner), kind == delegation)
	s.octets = appendTypes(s.octets, kind, t)
	record.data.end = len(s.octets)
	s.records = append(s.records, record)
}

// sign finds the signatures of the answer and authority sections. It reports false if there is no time to make them.
func (s *signing) sign() bool {
	s.arrange()
	for i := range s.records {
		record := &s.records[i]
		if record.end > 0 && record.section != wire.Additional {
			zone, ours := s.signer(i)
			if !ours {
				continue
			}
			if record.signed = s.signatures(record, zone); record.signed == nil {
				return false
			}
		}
	}
	return true
}

// arrange sorts the records, and gives the last one of each rrset, in the order of the answer, the rrset.
func (s *signing) arrange() {
	for i := range s.records {
		if record := &s.records[i]; !record.dropped && record.typ != wire.TypeRRSIG && record.class == wire.ClassIN {
			s.order = append(s.order, i)
		}
	}
	slices.SortFunc(s.order, func(a, b int) int { return cmp.Or(s.compare(a, b), bytes.Compare(s.data(a), s.data(b))) })
	for first := 0; first < len(s.order); {
		end, last := first+1, s.order[first]
		for ; end < len(s.order) && s.compare(s.order[first], s.order[end]) == 0; end++ {
			last = max(last, s.order[end])
		}
		s.records[last].first, s.records[last].end = first, end
		first = end
	}
	if s.cut { // the last rrset may lack records
		for i := range slices.Backward(s.records) {
			if s.records[i].section == wire.Additional {
				s.records[i].end = 0
				break
			}
		}
	}
}

// compare is 0 for records of one rrset.
func (s *signing) compare(a, b int) int {
	x, y := &s.records[a], &s.records[b]
	return cmp.Or(cmp.Compare(x.section, y.section), cmp.Compare(x.typ, y.typ), bytes.Compare(s.at(x.owner), s.at(y.owner)))
}

// signer is the zone that signs the rrset of record i; ours is false if it is not to be signed: names of others, of zones
// below ours, and aliases that follow from a DNAME record (RFC 6672 section 5.3.1).
func (s *signing) signer(i int) (zone string, ours bool) {
	t, owner := s.records[i].typ, s.owner(i)
	if s.refers >= 0 && wire.Within(owner, s.owner(s.refers)) && t != wire.TypeDS && t != wire.TypeNSEC {
		return "", false
	}
	if t == wire.TypeCNAME && s.find(wire.Answer, func(j int) bool {
		above := s.owner(j)
		return s.is(j, wire.TypeDNAME) && len(owner) > len(above) && wire.Within(owner, above)
	}) >= 0 {
		return "", false
	}
	return s.zone(owner, t)
}

// signatures are those of the rrset of which record is the last, kept or made; nil if there is no time to make them.
func (s *signing) signatures(record *rrecord, zone string) *signed {
	key := s.key(record, zone)
	kept := &s.ring.sets
	if record.typ == wire.TypeNSEC {
		kept = &s.ring.denials
	}
	now := s.now.Unix()
	if found := kept.get(&key, now); found != nil {
		s.by.hits.Add(1)
		return found
	}
	slot := slotOf(s.r)
	if !s.by.purse.take(slot, s.ring.cost, s.now) {
		return nil
	}
	s.by.purse.busy <- struct{}{} // never for long: what waits here is in the purse
	defer func() { <-s.by.purse.busy }()
	if found := kept.get(&key, now); found != nil { // another has made it meanwhile
		s.by.purse.giveBack(slot, s.ring.cost)
		s.by.hits.Add(1)
		return found
	}
	s.by.misses.Add(1)
	made := s.make(record, zone)
	if made != nil {
		kept.put(&key, made)
	}
	return made
}

var slotSeed = maphash.MakeSeed()

// slotOf is the slot of the client in the purse.
func slotOf(r *Request) uint8 { return uint8(maphash.Comparable(slotSeed, Host(r.Client.Addr()))) }

// key is a digest of the rrset, without its TTL.
func (s *signing) key(record *rrecord, zone string) rrsetKey {
	b := append(s.digest[:0], zone...)
	b = append(b, s.at(record.owner)...)
	b = append(b, byte(record.typ>>8), byte(record.typ))
	for _, i := range s.order[record.first:record.end] {
		data := s.data(i)
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
	}
	if s.digest = b; cap(b) > keptOctets {
		s.digest = nil
	}
	return sha256.Sum256(b)
}

// make signs the rrset of which record is the last.
func (s *signing) make(record *rrecord, zone string) *signed {
	made := &signed{until: s.now.Add(signedFor - signedRest).Unix()}
	owner := s.at(record.owner)
	labels := wire.Labels(owner)
	if bytes.HasPrefix(owner, []byte("\x01*")) {
		labels-- // RFC 4034 section 3.1.3
	}
	var all [][]byte
	for _, i := range s.order[record.first:record.end] {
		all = append(all, s.data(i))
	}
	for _, k := range s.ring.keys {
		if !s.ring.signs(k, record.typ) {
			continue
		}
		data, err := k.signature(owner, record.typ, labels, s.now, []byte(zone), all)
		if err != nil {
			s.by.log.Error("dnssec: a key does not sign", "key", k.String(), "error", err)
			return nil
		}
		made.records = append(made.records, data)
	}
	return made
}

// write writes the answer with its signatures.
func (s *signing) write() {
	positive := s.find(wire.Authority, func(i int) bool { return !s.is(i, wire.TypeNS) && !s.is(i, wire.TypeRRSIG) }) < 0 &&
		s.refers < 0
	for section := range wire.Additional + 1 {
		s.reply.Begin(section)
		if section == wire.Authority && positive && !s.reply.Fits(s.size(section)) {
			continue // the servers of the zone are not worth a TC
		}
		for i := range s.records {
			if s.records[i].section == section && !s.records[i].dropped {
				s.writeRecord(i)
			}
		}
	}
}

// size is the octets of a section with its signatures, at most.
func (s *signing) size(section int) (n int) {
	for i := range s.records {
		record := &s.records[i]
		if record.section != section || record.dropped {
			continue
		}
		owner := record.owner.end - record.owner.from
		n += owner + 10 + record.data.end - record.data.from
		if record.signed != nil {
			for _, data := range record.signed.records {
				n += owner + 10 + len(data)
			}
		}
	}
	return n
}

// writeRecord writes a record, and behind the last of an rrset the signatures.
func (s *signing) writeRecord(i int) {
	record := &s.records[i]
	w := wire.Written{Owner: s.at(record.owner), Type: record.typ, Class: record.class, TTL: record.ttl, Data: s.at(record.data)}
	owner := wire.Offset(0)
	if bytes.Equal(w.Owner, s.r.Query.QName.Name()) {
		owner = wire.AtQName // in the client's letters
	}
	if !s.reply.AddAt(owner, &w) || record.end == 0 {
		return
	}
	if record.section == wire.Additional {
		s.signAdditional(i)
	}
	if record.signed == nil {
		return
	}
	w.Type = wire.TypeRRSIG
	for _, w.Data = range record.signed.records {
		s.reply.AddAt(owner, &w)
	}
}

// signAdditional finds the signatures of an rrset that the client has not asked for, if there is room and time for them:
// without them it still serves (RFC 4035 section 3.1.1).
func (s *signing) signAdditional(i int) {
	record := &s.records[i]
	if zone, ours := s.signer(i); ours && s.reply.Fits(s.ring.size+len(s.ring.keys)*len(zone)) {
		record.signed = s.signatures(record, zone)
	}
}
