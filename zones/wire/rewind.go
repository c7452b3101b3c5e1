package wire

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
	each(r.buf, m, placed, r.counts, visit)
}

func each(message []byte, m Mark, placed int, counts [3]uint16, visit func(*Written) bool) {
	var owner [MaxName + 1]byte
	var scratch [1024]byte
	at := m.size + placed
	for section, count := range counts {
		for range count - m.counts[section] {
			size, _, _ := UnpackName(&owner, message, at)
			var record Record
			at, _ = record.Read(message, at)
			data := record.Unpack(scratch[:0], message, at)
			if !visit(&Written{section, owner[:size], record.Type, record.Class, record.TTL, data}) {
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

// Rework writes the records since m again, each after change has changed it; change may replace owner and data by other
// memory. A name of placed octets that PlaceName has written at m is removed. Flags, rcode and Extended DNS Error stay.
// scratch is memory for a copy of the message; Rework returns it, grown if it was too small.
func (r *Reply) Rework(m Mark, placed int, scratch []byte, change func(*Written)) []byte {
	scratch = append(scratch[:0], r.buf...)
	counts := r.counts
	r.buf, r.limit, r.counts, r.section = r.buf[:m.size], m.limit, m.counts, m.section
	r.full, r.recent.at = m.full, m.recent
	each(scratch, m, placed, counts, func(w *Written) bool {
		change(w)
		r.Begin(w.Section)
		return r.addCompressed(w)
	})
	return scratch
}

// addCompressed adds a record whose owner shares its end with an earlier name where possible.
func (r *Reply) addCompressed(w *Written) bool {
	head, end := r.compress(w.Owner)
	var owner [MaxName + 1]byte
	name := append(owner[:0], head...)
	if end != 0 {
		name = append(name, 0xc0|byte(end>>8), byte(end))
	}
	start := len(r.buf)
	if !r.AddRaw(name, w.Type, w.Class, w.TTL, w.Data) {
		return false
	}
	if len(head) > 1 {
		r.remember(start)
	}
	if before, names, _ := w.Type.shape(); names > 0 {
		r.remember(len(r.buf) - len(w.Data) + before)
	}
	return true
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

// typeNAPTR is defined in RFC 3403.
const typeNAPTR Type = 35

// target is the index in the data of the name that w points to.
func (w *Written) target() (at int, ok bool) {
	switch w.Type {
	case TypeNS, TypeCNAME, TypePTR, TypeSOA, typeDNAME:
		return 0, true
	case TypeMX:
		return 2, true
	case TypeSRV:
		return 6, true
	case typeNAPTR: // order, preference, three strings, RFC 3403 section 4.1
		at = 4
		for range 3 {
			if at >= len(w.Data) {
				return 0, false
			}
			at += 1 + int(w.Data[at])
		}
		return at, true
	}
	return 0, false
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
