package wire

import "encoding/binary"

// optSize is an OPT record without options, RFC 6891 section 6.1.2.
const optSize = 11

// InfoCode is the info code of an Extended DNS Error, RFC 8914 section 5.2.
type InfoCode uint16

// The info codes that the server gives.
const (
	Other                InfoCode = 0
	StaleAnswer          InfoCode = 3
	NotReady             InfoCode = 14
	Blocked              InfoCode = 15
	Filtered             InfoCode = 17
	Prohibited           InfoCode = 18
	NotAuthoritative     InfoCode = 20
	NoReachableAuthority InfoCode = 22
	NetworkError         InfoCode = 23
	InvalidData          InfoCode = 24
	InvalidQueryType     InfoCode = 30 // RFC 9824
)

// Reply builds one response. Sections are written in order: the question is copied, then come answers, authority and
// additional records. Records that do not fit are left out, and TC is set if they belonged to the answer or authority
// section (see reserve). The zero Reply is ready for Start.
type Reply struct {
	Rcode   Rcode
	Ext     bool      // an Extended DNS Error goes with the reply, if the client speaks EDNS
	Info    InfoCode  // its code
	text    [640]byte // room for two labels with every octet as \DDD, and some words
	textLen int

	query   *Query
	buf     []byte
	limit   int // the most octets that buf may have
	whole   int // of the message, OPT included
	flags   uint16
	counts  [3]uint16 // answer, authority, additional
	section int       // index in counts
	full    bool      // something was left out: nothing more is added to this section or a later one
	ednsUDP uint16    // the UDP payload size that we advertise
	nsid    string    // the identifier of the server, "" for none
	subnet  []byte    // the option of the client's network, nil for none
	scope   byte      // of it
	compact bool      // CO goes with the reply
	padded  bool      // its size becomes a multiple of paddedTo
	recent  recentNames

	visited visited // the record that each is at
}

// The sections, as Begin and Count number them.
const (
	Answer = iota
	Authority
	Additional
)

// Start begins the reply to q in buf, whose capacity must be at least limit. limit is the largest message that the
// transport and the client allow, in octets; udpSize is the payload size that our OPT advertises.
func (r *Reply) Start(q *Query, buf []byte, limit int, udpSize uint16) {
	r.query, r.limit, r.whole, r.ednsUDP = q, limit, limit, udpSize
	r.Rcode, r.Ext, r.Info, r.textLen = NoError, false, 0, 0
	r.counts, r.section, r.full = [3]uint16{}, Answer, false
	r.recent.at, r.nsid, r.compact, r.padded = [2]Offset{}, "", false, false
	r.subnet, r.scope = nil, 0
	r.flags = FlagQR | q.Flags&(maskOpcode|FlagRD|FlagCD)
	if q.EDNS {
		r.limit -= optSize
	}
	end := max(q.question, HeaderSize)
	r.buf = append(buf[:0], q.Packet[:end]...)
}

// OptionNSID is the code of the EDNS option for the identifier of a server (RFC 5001 section 2.3).
const OptionNSID = 3

// Identify puts the identifier of the server into the OPT, if the query asks for it (RFC 5001).
func (r *Reply) Identify(server string) {
	if server != "" && r.query.Has(OptionNSID) {
		r.nsid = server
		r.limit -= 4 + len(server)
	}
}

// Compact says CO in the OPT, if the query does (RFC 9824).
func (r *Reply) Compact() { r.compact = r.query.CO }

// Limit lowers the limit of the message.
func (r *Reply) Limit(limit int) {
	if limit < r.whole {
		r.limit -= r.whole - limit
		r.whole = limit
	}
}

// ClearFlags clears header flags, such as FlagAA.
func (r *Reply) ClearFlags(flags uint16) { r.flags &^= flags }

// SetFlags sets header flags, such as FlagAA.
func (r *Reply) SetFlags(flags uint16) { r.flags |= flags }

// Flags are the header flags so far, TC included.
func (r *Reply) Flags() uint16 { return r.flags }

// Count is the number of records in section so far.
func (r *Reply) Count(section int) int { return int(r.counts[section]) }

// Len is the size of the message so far, without its OPT.
func (r *Reply) Len() int { return len(r.buf) }

// Bytes is the message so far.
func (r *Reply) Bytes() []byte { return r.buf }

// Truncated reports whether TC is set.
func (r *Reply) Truncated() bool { return r.flags&FlagTC != 0 }

// Begin continues with section. After an answer or authority section that was cut, nothing more is added.
func (r *Reply) Begin(section int) { r.section = section }

// Explain attaches an Extended DNS Error (RFC 8914) to the reply. Its text is words, followed by what ExplainName and
// ExplainMore append.
func (r *Reply) Explain(info InfoCode, words ...string) {
	r.Ext, r.Info, r.textLen = true, info, 0
	for _, w := range words {
		r.textLen += copy(r.text[r.textLen:], w)
	}
}

// ExplainName appends name, in wire form with or without a root label, to the text of the Extended DNS Error, without a
// final dot.
func (r *Reply) ExplainName(name []byte) {
	text := AppendName(r.text[:r.textLen:len(r.text)], name)
	n := min(len(text), len(r.text))
	if n > r.textLen {
		copy(r.text[:], text[:n])
		r.textLen = n - 1
	}
}

// ExplainMore appends words to the text of the Extended DNS Error.
func (r *Reply) ExplainMore(words string) { r.textLen += copy(r.text[r.textLen:], words) }

// Explanation is the code and the text of the Extended DNS Error, which clients without EDNS do not get. The text is
// empty for none, and good until the reply changes.
func (r *Reply) Explanation() (InfoCode, []byte) {
	if !r.Ext {
		return 0, nil
	}
	return r.Info, r.text[:r.textLen]
}

// reserve reports whether size more octets fit; if not, the section ends here. Truncation is decided here: a cut answer
// or authority section sets TC, a cut additional section does not (RFC 2181 section 9).
func (r *Reply) reserve(size int) bool {
	if r.Fits(size) {
		return true
	}
	r.full = true
	if r.section != Additional {
		r.flags |= FlagTC
	}
	return false
}

// Room is how many octets are left for records.
func (r *Reply) Room() int { return max(r.limit-len(r.buf), 0) }

// Fits reports whether size more octets fit into the reply. Unlike reserve, it changes nothing.
func (r *Reply) Fits(size int) bool { return !r.full && len(r.buf)+size <= r.limit }

// AddRecord adds a record whose data is complete and contains no name to compress. It reports whether it fit. A record
// with owner 0, which no pointer reaches, is left out.
func (r *Reply) AddRecord(owner Offset, typ Type, ttl uint32, data string) bool {
	if owner == 0 {
		return true
	}
	if !r.reserve(12 + len(data)) {
		return false
	}
	r.buf = append(r.fixed(owner, typ, ttl, len(data)), data...)
	return true
}

// fixed appends the fixed part of a record: owner, type, class IN, TTL, size of the data.
func (r *Reply) fixed(owner Offset, typ Type, ttl uint32, size int) []byte {
	r.counts[r.section]++
	return append(r.buf, 0xc0|byte(owner>>8), byte(owner), byte(typ>>8), byte(typ), 0, byte(ClassIN),
		byte(ttl>>24), byte(ttl>>16), byte(ttl>>8), byte(ttl), byte(size>>8), byte(size))
}

// AddName adds a record whose data is head followed by the name that parts make up (in wire form, the last part with
// the root label). It returns the offset of that name, for later owners, and whether the record fit. The offset is 0 if
// no compression pointer reaches it. Names in SRV records are not compressed (RFC 2782). A record whose name would be
// too long is left out: the labels of objects are checked before it is known in which zones they are served.
func (r *Reply) AddName(owner Offset, typ Type, ttl uint32, head []byte, parts ...string) (at Offset, ok bool) {
	size := 0
	for _, part := range parts {
		if size+len(part) > MaxName {
			return 0, true
		}
		size += copy(r.recent.new[size:], part)
	}
	return r.addTarget(owner, typ, ttl, head, r.recent.new[:size])
}

// AddTarget is AddName for a name in one piece.
func (r *Reply) AddTarget(owner Offset, typ Type, ttl uint32, target []byte) (at Offset, ok bool) {
	return r.addTarget(owner, typ, ttl, nil, target)
}

func (r *Reply) addTarget(owner Offset, typ Type, ttl uint32, head, name []byte) (at Offset, ok bool) {
	end := Offset(0)
	if typ != TypeSRV {
		name, end = r.compress(name)
	}
	size := len(head) + len(name)
	if end != 0 {
		size += 2
	}
	if !r.reserve(12 + size) {
		return 0, false
	}
	r.buf = append(r.fixed(owner, typ, ttl, size), head...)
	start := len(r.buf)
	r.buf = append(r.buf, name...)
	if end != 0 {
		r.buf = append(r.buf, 0xc0|byte(end>>8), byte(end))
	}
	return r.remember(start), true
}

// AddText adds a TXT record of one string of at most 255 octets (RFC 1035 section 3.3.14).
func (r *Reply) AddText(owner Offset, ttl uint32, text string) bool {
	if !r.reserve(13 + len(text)) {
		return false
	}
	r.buf = append(r.fixed(owner, TypeTXT, ttl, 1+len(text)), byte(len(text)))
	r.buf = append(r.buf, text...)
	return true
}

// AddSOA adds an SOA record (RFC 1035 section 3.3.13) for the zone at owner. zone is the zone's name in lower case;
// rname is labels below it, and so is mname, unless it ends with the root label. A record with owner 0 is left out.
func (r *Reply) AddSOA(owner Offset, zone []byte, ttl uint32, mname, rname string, numbers [5]uint32) bool {
	if owner == 0 {
		return true
	}
	head, end := r.compress(zone)
	size := len(mname) + len(head) + len(rname) + 20
	if end != 0 {
		size += 2
	}
	elsewhere := mname[len(mname)-1] == 0
	if !elsewhere {
		size += 2 // rname points at the zone in mname
	}
	if !r.reserve(12 + size) {
		return false
	}
	r.buf = append(r.fixed(owner, TypeSOA, ttl, size), mname...)
	if elsewhere {
		r.buf = append(r.buf, rname...)
	}
	at := len(r.buf)
	r.buf = append(r.buf, head...)
	if end != 0 {
		r.buf = append(r.buf, 0xc0|byte(end>>8), byte(end))
	}
	if !elsewhere {
		if len(head) == 0 || at > maxPointer {
			at = int(end)
		}
		if at == 0 {
			at = int(owner)
		}
		r.buf = append(r.buf, rname...)
		r.buf = append(r.buf, 0xc0|byte(at>>8), byte(at))
	}
	for _, n := range numbers {
		r.buf = binary.BigEndian.AppendUint32(r.buf, n)
	}
	return true
}

// AddRaw adds a record whose owner is written as given, instead of as a pointer.
func (r *Reply) AddRaw(owner []byte, typ Type, class Class, ttl uint32, data []byte) bool {
	if !r.reserve(len(owner) + 10 + len(data)) {
		return false
	}
	r.counts[r.section]++
	r.buf = append(append(r.buf, owner...), byte(typ>>8), byte(typ), byte(class>>8), byte(class),
		byte(ttl>>24), byte(ttl>>16), byte(ttl>>8), byte(ttl), byte(len(data)>>8), byte(len(data)))
	r.buf = append(r.buf, data...)
	return true
}

// CopySections adds whole sections as another server encoded them behind the same question, and returns their offset.
// counts are the numbers of answer, authority and additional records. The compression pointers in body stay valid
// because the question has the same size. The reply must be empty, and body must fit.
func (r *Reply) CopySections(body []byte, counts [3]uint16) (at int) {
	at = len(r.buf)
	r.buf = append(r.buf, body...)
	r.counts = counts
	return at
}

// Finish writes the header and, if the query had one, the OPT, and returns the message. The text of the Extended DNS
// Error, or all of it, is left out if it does not fit.
func (r *Reply) Finish() []byte {
	if r.query.EDNS {
		opt := len(r.buf)
		r.appendOPT()
		if r.padded {
			r.pad(opt)
		}
	}
	header := r.buf[:HeaderSize]
	binary.BigEndian.PutUint16(header[2:], r.flags|uint16(r.Rcode)&maskRcode)
	binary.BigEndian.PutUint16(header[4:], r.questions())
	for i, n := range r.counts {
		binary.BigEndian.PutUint16(header[6+2*i:], n)
	}
	return r.buf
}

func (r *Reply) questions() uint16 {
	if r.query.question > 0 {
		return 1
	}
	return 0
}

// appendOPT adds our OPT: payload size, extended rcode, version 0, the query's DO bit (RFC 6891 section 6.1.3, RFC
// 3225), and the Extended DNS Error if there is one (RFC 8914 section 2).
func (r *Reply) appendOPT() {
	free := r.limit - len(r.buf) - 6 // of the option: code, length, info code
	text := r.text[:r.textLen]
	withError := r.Ext && free >= 0
	if len(text) > free {
		text = text[:0]
	}
	do := byte(0)
	if r.query.DO {
		do = 0x80
	}
	if r.compact {
		do |= 0x40
	}
	size := 0
	if withError {
		size = 6 + len(text)
	}
	if r.nsid != "" {
		size += 4 + len(r.nsid)
	}
	if r.subnet != nil {
		size += 4 + len(r.subnet)
	}
	r.counts[Additional]++
	r.buf = append(r.buf, 0, 0, byte(TypeOPT), byte(r.ednsUDP>>8), byte(r.ednsUDP),
		byte(r.Rcode>>4), 0, do, 0, byte(size>>8), byte(size))
	if r.nsid != "" {
		r.buf = append(append(r.buf, 0, OptionNSID, 0, byte(len(r.nsid))), r.nsid...)
	}
	if r.subnet != nil {
		r.buf = append(r.buf, 0, OptionSubnet, 0, byte(len(r.subnet)))
		at := len(r.buf)
		r.buf = append(r.buf, r.subnet...)
		r.buf[at+subnetHead-1] = r.scope
	}
	if !withError {
		return
	}
	r.buf = append(r.buf, 0, 15, byte((2+len(text))>>8), byte(2+len(text)), byte(r.Info>>8), byte(r.Info))
	r.buf = append(r.buf, text...)
}
