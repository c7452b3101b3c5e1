package wire

// Compression, RFC 1035 section 4.1.4: the end of a name that stands in the message already is pointed at.

// Offset is the place of an earlier name of the message, as a compression pointer holds it.
type Offset uint16

// AtQName points at the qname.
const AtQName Offset = HeaderSize

// MaxPointer is the largest offset a compression pointer can hold.
const maxPointer = 0x3fff

// targets are the places of the names written last, which the next one may share its end with: those of one zone share most of it.
type recentNames struct {
	at  [2]Offset
	new [MaxName + 1]byte // the name to be written
}

// Suffix is the place of the name at owner without its first skip labels; 0 for 0.
func (r *Reply) Suffix(owner Offset, skip int) Offset {
	if owner == 0 {
		return 0
	}
	at := r.followPointers(int(owner))
	for range skip {
		at = r.followPointers(at + 1 + int(r.buf[at]))
	}
	return Offset(at)
}

// resolve is where the label at offset at of the message stands, behind the pointer if there is one. Pointers of ours lead backwards.
func (r *Reply) followPointers(at int) int {
	for r.buf[at] >= 0xc0 {
		at = int(r.buf[at]&0x3f)<<8 | int(r.buf[at+1])
	}
	return at
}

// places finds where the labels of the name at offset at of the message stand, its root label not counted.
func (r *Reply) labelOffsets(at int, offsets *[128]uint16) int {
	n := 0
	for at = r.followPointers(at); r.buf[at] != 0; at = r.followPointers(at + 1 + int(r.buf[at])) {
		offsets[n] = uint16(at)
		n++
	}
	return n
}

// shorten is name, in wire form, without the end that it shares with an earlier name, and where that end stands; the place is 0 when
// nothing is shared. Letters are compared as they are: a name inside a record does not take the question's case.
func (r *Reply) compress(name []byte) (head []byte, end Offset) {
	var starts, offsets [128]uint16
	labels := 0
	for at := 0; name[at] != 0; at += 1 + int(name[at]) {
		starts[labels] = uint16(at)
		labels++
	}
	head = name
	for i, at := range [...]Offset{AtQName, r.recent.at[0], r.recent.at[1]} {
		if at == 0 || i == 0 && r.query.question == 0 {
			continue
		}
		have := r.labelOffsets(int(at), &offsets)
		shared := 0
		for shared < labels && shared < have && r.sameLabel(int(offsets[have-1-shared]), name[starts[labels-1-shared]:]) {
			shared++
		}
		if shared > 0 && int(starts[labels-shared]) < len(head) {
			head, end = name[:starts[labels-shared]], Offset(offsets[have-shared])
		}
	}
	return head, end
}

// sameLabel reports whether the label at offset at of the message is the one that name begins with.
func (r *Reply) sameLabel(at int, name []byte) bool {
	size := 1 + int(name[0])
	return at+size <= len(r.buf) && string(r.buf[at:at+size]) == string(name[:size])
}

// remember keeps the place of a name for the names to come.
func (r *Reply) remember(at int) Offset {
	if at > maxPointer {
		return 0
	}
	r.recent.at[1], r.recent.at[0] = r.recent.at[0], Offset(at)
	return Offset(at)
}
