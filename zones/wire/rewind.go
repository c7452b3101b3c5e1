package wire

import "encoding/binary"

// Mark is a state of a reply that Rewind can restore.
type Mark struct {
	size    int
	limit   int
	whole   int
	counts  [3]uint16
	section int
	flags   uint16
	rcode   Rcode
	full    bool
	recent  [2]Offset
}

// Mark is the current state of the reply.
func (r *Reply) Mark() Mark {
	return Mark{len(r.buf), r.limit, r.whole, r.counts, r.section, r.flags, r.Rcode, r.full, r.recent.at}
}

// Rewind restores the state at m: it takes back records, flags, the rcode, and the Extended DNS Error.
func (r *Reply) Rewind(m Mark) {
	r.buf, r.limit, r.whole, r.counts, r.section = r.buf[:m.size], m.limit, m.whole, m.counts, m.section
	r.flags, r.Rcode, r.full, r.recent.at = m.flags, m.rcode, m.full, m.recent
	r.Ext, r.textLen = false, 0
}

// CutBehindAnswer takes back the records that were written to the authority and additional sections since m. No name of
// PlaceName may have been written since.
func (r *Reply) CutBehindAnswer(m Mark) {
	at := m.size
	for range r.counts[Answer] - m.counts[Answer] {
		var record Record
		at, _ = record.Read(r.buf, at)
	}
	r.buf, r.section = r.buf[:at], Answer
	r.counts[Authority], r.counts[Additional] = m.counts[Authority], m.counts[Additional]
	for i, name := range r.recent.at {
		if int(name) >= at {
			r.recent.at[i] = 0
		}
	}
}

// Kept is a reply without its octets and without the buffer for the rest: what Restore needs besides them.
type Kept struct {
	mark    Mark
	ednsUDP uint16
	nsid    string
	compact bool
	padded  bool
	subnet  bool
	scope   byte
}

// Keep is the reply as it is now. An Extended DNS Error is not kept.
func (r *Reply) Keep() Kept {
	return Kept{r.Mark(), r.ednsUDP, r.nsid, r.compact, r.padded, r.subnet != nil, r.scope}
}

// Restore makes r the reply to q that was kept when it had these octets. It goes on in buf, whose capacity must be as
// for Start.
func (r *Reply) Restore(kept Kept, octets []byte, q *Query, buf []byte) {
	r.query, r.ednsUDP, r.nsid, r.buf = q, kept.ednsUDP, kept.nsid, append(buf[:0], octets...)
	r.compact, r.padded, r.subnet, r.scope = kept.compact, kept.padded, nil, kept.scope
	if kept.subnet {
		s, _ := q.Subnet()
		r.subnet = s.option
	}
	r.Rewind(kept.mark)
}

// PlaceName writes a name, in wire form, outside of all records, so that owners can point to it. It does not count
// towards the limit. Rewind or Rework must remove it before Finish.
func (r *Reply) PlaceName(name []byte) Offset {
	at := len(r.buf)
	r.buf = append(r.buf, name...)
	r.limit += len(name)
	return r.remember(at)
}

// ReadName reads the name at an offset of the message.
func (r *Reply) ReadName(at Offset, name *QName) {
	var whole [MaxName + 1]byte
	size, _, _ := UnpackName(&whole, r.buf, int(at))
	name.Set(whole[:size])
}

// Written is a record of a reply. Its names are in full, and in lower case.
type Written struct {
	Section int
	Owner   []byte
	Type    Type
	Class   Class
	TTL     uint32
	Data    []byte
}

// Each calls visit with every record written since m, in order, until visit returns false. placed is the size of the
// name that PlaceName has written at m, 0 for none. The content of a record is valid only during the call.
func (r *Reply) Each(m Mark, placed int, visit func(*Written) bool) {
	r.each(r.buf, m, placed, r.counts, visit)
}

// visited is memory for one record on its way to a function, so that nothing is allocated.
type visited struct {
	Written
	owner [MaxName + 1]byte
	data  [1024]byte
}

func (r *Reply) each(message []byte, m Mark, placed int, counts [3]uint16, visit func(*Written) bool) {
	u := &r.visited
	at := m.size + placed
	for section, count := range counts {
		for range count - m.counts[section] {
			size, _, _ := UnpackName(&u.owner, message, at)
			var record Record
			at, _ = record.Read(message, at)
			data := record.unpack(u.data[:0], message, at, true)
			u.Written = Written{section, u.owner[:size], record.Type, record.Class, record.TTL, data}
			if !visit(&u.Written) {
				return
			}
		}
	}
}

// Has reports whether a record of type t was written to section since m. It allocates nothing.
func (r *Reply) Has(m Mark, section int, t Type) bool {
	at := m.size
	for s, count := range r.counts {
		for range count - m.counts[s] {
			var record Record
			at, _ = record.Read(r.buf, at)
			if s == section && record.Type == t {
				return true
			}
		}
	}
	return false
}

// TakeBack takes back the records since m. Unlike with Rewind, flags, rcode, Extended DNS Error and the limit of the
// message stay.
func (r *Reply) TakeBack(m Mark) {
	lowered := m.whole - r.whole
	r.buf, r.limit, r.counts, r.section = r.buf[:m.size], m.limit-lowered, m.counts, m.section
	r.full, r.recent.at = m.full, m.recent
}

// Rework writes the records since m again, each after change has changed it; change may replace owner and data by other
// memory. A name of placed octets that PlaceName has written at m is removed. Flags, rcode, Extended DNS Error and the
// limit of the message stay.
// scratch is memory for a copy of the message; Rework returns it, grown if it was too small.
func (r *Reply) Rework(m Mark, placed int, scratch []byte, change func(*Written)) []byte {
	scratch = append(scratch[:0], r.buf...)
	counts := r.counts
	r.TakeBack(m)
	r.each(scratch, m, placed, counts, func(w *Written) bool {
		change(w)
		r.Begin(w.Section)
		return r.Add(w)
	})
	return scratch
}

// Add adds w to the current section, whatever w.Section says, and reports whether it fit. Its names share their ends
// with earlier ones where possible, and where readers know that they may (RFC 3597 section 4).
func (r *Reply) Add(w *Written) bool { return r.add(0, w) }

// AddAt is Add for a record whose owner is a name at an offset of the message; w.Owner is not read.
func (r *Reply) AddAt(owner Offset, w *Written) bool { return r.add(owner, w) }

// add adds a record whose owner is at an offset of the message, or, if that is 0, w.Owner.
func (r *Reply) add(owner Offset, w *Written) bool {
	if r.full {
		return false
	}
	start, recent := len(r.buf), r.recent.at
	if owner != 0 {
		r.buf = append(r.buf, 0xc0|byte(owner>>8), byte(owner))
	} else {
		r.appendName(w.Owner)
	}
	r.buf = append(r.buf, byte(w.Type>>8), byte(w.Type), byte(w.Class>>8), byte(w.Class),
		byte(w.TTL>>24), byte(w.TTL>>16), byte(w.TTL>>8), byte(w.TTL), 0, 0)
	data := len(r.buf)
	before, names, _ := w.Type.shape()
	if names == 0 || before > len(w.Data) {
		r.buf = append(r.buf, w.Data...)
	} else {
		r.appendData(w, before, names)
	}
	if len(r.buf) > r.limit {
		size := len(r.buf) - start
		r.buf, r.recent.at = r.buf[:start], recent
		return r.reserve(size)
	}
	binary.BigEndian.PutUint16(r.buf[data-2:], uint16(len(r.buf)-data))
	r.counts[r.section]++
	return true
}

// AddAlias adds a CNAME record as Add does. It returns the offset of the target, for later owners; the offset is 0 if no
// compression pointer reaches it.
func (r *Reply) AddAlias(owner []byte, ttl uint32, target []byte) (at Offset, ok bool) {
	start := len(r.buf)
	if !r.Add(&Written{Owner: owner, Type: TypeCNAME, Class: ClassIN, TTL: ttl, Data: target}) {
		return 0, false
	}
	var record Record
	record.Read(r.buf, start)
	if data := record.TTLAt + 6; data <= maxPointer {
		return Offset(data), true
	}
	return 0, true
}

// appendData appends the data of w, which has that many names behind some octets.
func (r *Reply) appendData(w *Written, before, names int) {
	r.buf = append(r.buf, w.Data[:before]...)
	rest := w.Data[before:]
	for i := range names {
		size := nameSize(rest)
		if w.Type.compressed() {
			r.appendName(rest[:size])
		} else {
			if i == 0 {
				r.remember(len(r.buf))
			}
			r.buf = append(r.buf, rest[:size]...)
		}
		rest = rest[size:]
	}
	r.buf = append(r.buf, rest...)
}

// compressed reports whether names in the data of records of type t may be written compressed: only of types of RFC
// 1035, since a reader that does not know a type cannot expand them.
func (t Type) compressed() bool {
	return t <= TypeMX
}

// appendName appends a name that shares its end with an earlier one where possible.
func (r *Reply) appendName(name []byte) {
	head, end := r.compress(name)
	start := len(r.buf)
	r.buf = append(r.buf, head...)
	if end != 0 {
		r.buf = append(r.buf, 0xc0|byte(end>>8), byte(end))
	}
	if len(head) > 1 {
		r.remember(start)
	}
}

// SetTarget calls change with the name in the data of w that clients follow, in full and in wire form, and replaces it
// by the result: the target of a CNAME, DNAME, MX, NAPTR, NS, PTR or SRV record, and the MNAME of an SOA.
func (w *Written) SetTarget(change func(name []byte) []byte) {
	at, ok := w.target()
	if !ok || at >= len(w.Data) {
		return
	}
	size := nameSize(w.Data[at:])
	if size == 0 {
		return
	}
	name := change(w.Data[at : at+size])
	data := append(append(make([]byte, 0, len(w.Data)+len(name)), w.Data[:at]...), name...)
	w.Data = append(data, w.Data[at+size:]...)
}

// Canonical makes the names in the data of w lower case that are so in what a signature is made over (RFC 4034 section
// 6.2) and that Each leaves as they are.
func (w *Written) Canonical() {
	if at, ok := w.target(); ok && w.Type == typeNAPTR && at <= len(w.Data) {
		size := nameSize(w.Data[at:])
		fold(w.Data[at:at+size], w.Data[at:at+size])
	}
}

// Full reports whether a record was left out of the current section or one before it.
func (r *Reply) Full() bool { return r.full }

// typeNAPTR is defined in RFC 3403.
const typeNAPTR Type = 35

// target is the index in the data of the name that w points to.
func (w *Written) target() (at int, ok bool) {
	switch w.Type {
	case TypeNS, TypeCNAME, TypePTR, TypeSOA, TypeDNAME:
		return 0, true
	case TypeMX:
		return 2, true
	case TypeSRV:
		return 6, true
	case typeNAPTR:
		return naptrTarget(w.Data)
	}
	return 0, false
}

// naptrTarget is the index of the name in the data of a NAPTR record: order, preference and three strings are before it
// (RFC 3403 section 4.1).
func naptrTarget(data []byte) (at int, ok bool) {
	at = 4
	for range 3 {
		if at >= len(data) {
			return 0, false
		}
		at += 1 + int(data[at])
	}
	return at, true
}

// nameSize is the size of the uncompressed name at the start of data, root label included; 0 if there is none.
func nameSize(data []byte) int {
	for at := 0; at < len(data); at += 1 + int(data[at]) {
		if data[at] == 0 {
			return at + 1
		}
		if data[at] > 63 {
			return 0
		}
	}
	return 0
}

// Whole reports whether the data of w is of the size that its type wants and has the names that it wants, uncompressed.
func (w *Written) Whole() bool {
	before, names, after := w.Type.shape()
	switch {
	case w.Type == TypeA:
		return len(w.Data) == 4
	case w.Type == TypeAAAA:
		return len(w.Data) == 16
	case names == 0:
		return true
	}
	rest := w.Data[min(before, len(w.Data)):]
	for range names {
		size := nameSize(rest)
		if size == 0 || size > MaxName {
			return false
		}
		rest = rest[size:]
	}
	return len(rest) == after
}

// Fold makes the names in the data of w, which is whole, lower case.
func (w *Written) Fold() {
	before, names, _ := w.Type.shape()
	rest := w.Data[before:]
	for range names {
		size := nameSize(rest)
		fold(rest[:size], rest[:size])
		rest = rest[size:]
	}
}
