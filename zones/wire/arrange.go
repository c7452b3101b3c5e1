package wire

// Addresses are A or AAAA records of one owner that follow one another in a reply: an rrset, whose records may change
// places.
type Addresses struct {
	Owner QName
	Size  int // octets of an address: 4 or 16
	at    []int
	buf   []byte
}

// Len is the number of records.
func (a *Addresses) Len() int { return len(a.at) }

// Address is the address of the record at i. It is valid only until records change places.
func (a *Addresses) Address(i int) []byte { return a.buf[a.at[i]+6 : a.at[i]+6+a.Size] }

// Swap has two records change places. Their owners are the same, however they are written.
func (a *Addresses) Swap(i, j int) {
	x, y := a.buf[a.at[i]:a.at[i]+6+a.Size], a.buf[a.at[j]:a.at[j]+6+a.Size]
	for k := range x {
		x[k], y[k] = y[k], x[k]
	}
}

// Arrange calls visit with the addresses that were written since m, one rrset after the other, if the rrset has more than
// one. It uses scratch.
func (r *Reply) Arrange(m Mark, scratch *Addresses, visit func(*Addresses)) {
	a := scratch
	a.buf, a.at = r.buf, a.at[:0]
	at := m.size
	var typ Type
	var owner [MaxName + 1]byte
	for section, count := range r.counts {
		for range count - m.counts[section] {
			var record Record
			begin := at
			at, _ = record.Read(r.buf, at)
			size, _, _ := UnpackName(&owner, r.buf, begin)
			if record.Type != typ || string(owner[:size]) != string(a.Owner.Name()) {
				a.visit(visit)
				typ = record.Type
				a.Owner.Set(owner[:size])
			}
			if len(record.Data) == addressSize(record.Type) && record.Class == ClassIN {
				a.Size, a.at = len(record.Data), append(a.at, record.TTLAt)
			}
		}
		a.visit(visit)
		typ = 0
	}
}

// visit has the records so far visited, and forgets them.
func (a *Addresses) visit(visit func(*Addresses)) {
	if len(a.at) > 1 {
		visit(a)
	}
	a.at = a.at[:0]
}

// addressSize is the octets of an address in a record of type t, -1 for other types.
func addressSize(t Type) int {
	switch t {
	case TypeA:
		return 4
	case TypeAAAA:
		return 16
	}
	return -1
}
