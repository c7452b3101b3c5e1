package wire

// Compression, RFC 1035 section 4.1.4: a name ends in a pointer to an earlier name with the same end.

// Offset is where an earlier name is in the message, as a compression pointer holds it. 0 stands for a name that no
// pointer reaches.
type Offset uint16

// AtQName is the offset of the qname.
const AtQName Offset = HeaderSize

// Pointer is at as an offset, 0 if no pointer reaches it.
func Pointer(at int) Offset {
	if at > maxPointer {
		return 0
	}
	return Offset(at)
}

// MaxPointer is the largest offset a compression pointer can hold.
const maxPointer = 0x3fff

// recentNames are the offsets of the two names written last, which the next name may share its end with: names of one
// zone share most of it.
type recentNames struct {
	at  [2]Offset
	new [MaxName + 1]byte // the name to be written
}

// Suffix is the offset of the name at owner without its first skip labels; 0 if owner is 0.
func (r *Reply) Suffix(owner Offset, skip int) Offset {
	if owner == 0 {
		return 0
	}
	at := r.followPointers(int(owner))
	for range skip {
		at = r.followPointers(at + 1 + int(r.buf[at]))
	}
	return Pointer(at)
}

// followPointers is the offset of the label at offset at, or of the label that a pointer there leads to. Our own
// pointers lead backwards.
func (r *Reply) followPointers(at int) int {
	for r.buf[at] >= 0xc0 {
		at = int(r.buf[at]&0x3f)<<8 | int(r.buf[at+1])
	}
	return at
}

// labelOffsets finds the labels of the name at offset at, the root label excluded, and returns their number.
func (r *Reply) labelOffsets(at int, offsets *[128]uint16) int {
	n := 0
	for at = r.followPointers(at); r.buf[at] != 0; at = r.followPointers(at + 1 + int(r.buf[at])) {
		offsets[n] = uint16(at)
		n++
	}
	return n
}

// compress splits name, in wire form, into a head and an end that an earlier name has too. It returns the offset of
// that end, 0 if no earlier name shares one. It compares letters exactly: a name inside a record does not take on the
// case of the question.
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
		for shared < labels && shared < have {
			if !r.sameLabel(int(offsets[have-1-shared]), name[starts[labels-1-shared]:]) {
				break
			}
			shared++
		}
		for shared > 0 && offsets[have-shared] > maxPointer {
			shared-- // no compression pointer reaches it
		}
		if shared > 0 && int(starts[labels-shared]) < len(head) {
			head, end = name[:starts[labels-shared]], Offset(offsets[have-shared])
		}
	}
	return head, end
}

// sameLabel reports whether the label at offset at of the message is the first label of name.
func (r *Reply) sameLabel(at int, name []byte) bool {
	size := 1 + int(name[0])
	return at+size <= len(r.buf) && string(r.buf[at:at+size]) == string(name[:size])
}

// remember keeps the offset of a name for the names to come. It returns 0 if no compression pointer can reach it.
func (r *Reply) remember(at int) Offset {
	if at > maxPointer {
		return 0
	}
	r.recent.at[1], r.recent.at[0] = r.recent.at[0], Offset(at)
	return Offset(at)
}
