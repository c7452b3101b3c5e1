package wire

// QName is a name in lower case with the offsets of its labels, for matching with zones and for lookups.
type QName struct {
	size   int // octets of name, root label included
	labels int // labels of name, root excluded
	name   [MaxName + 1]byte
	offset [128]uint8 // of each label in name
}

func (n *QName) clear() { n.size, n.labels = 0, 0 }

// Set reads the uncompressed name in wire form at the start of data and returns its size. If there is no valid name, ok
// is false and n is empty.
func (n *QName) Set(data []byte) (size int, ok bool) {
	n.clear()
	for {
		if size >= len(data) {
			n.clear()
			return 0, false
		}
		c := int(data[size])
		if c == 0 {
			break
		}
		if c > 63 || size+1+c >= MaxName {
			n.clear()
			return 0, false
		}
		n.offset[n.labels] = uint8(size)
		n.labels++
		size += 1 + c
	}
	size++
	n.size = size
	fold(n.name[:size], data[:size])
	return size, true
}

// SetString is Set for a name that is known to be valid.
func (n *QName) SetString(name string) {
	var buf [MaxName + 1]byte
	n.Set(buf[:copy(buf[:], name)])
}

// Name is the name in wire form, ASCII letters in lower case, root label included. It is valid until n is set again.
func (n *QName) Name() []byte { return n.name[:n.size] }

// Labels is the number of labels, the root excluded.
func (n *QName) Labels() int { return n.labels }

// Suffix is the name without its first skip labels, root label included.
func (n *QName) Suffix(skip int) []byte { return n.name[n.at(skip):n.size] }

// Between is the labels with index first to end-1, counted from the left, without a root label.
func (n *QName) Between(first, end int) []byte { return n.name[n.at(first):n.at(end)] }

// Label is the text of the i-th label from the left.
func (n *QName) Label(i int) []byte { return n.name[int(n.offset[i])+1 : n.at(i+1)] }

// Offset is the index in Name of the i-th label from the left.
func (n *QName) Offset(i int) int { return n.at(i) }

func (n *QName) at(label int) int {
	if label >= n.labels {
		return n.size - 1
	}
	return int(n.offset[label])
}
