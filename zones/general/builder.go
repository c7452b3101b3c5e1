package general

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"time"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// The bounds of one zone, whether a file or a primary has it.
const (
	MostRecords = 2_000_000
	MostOctets  = 256 << 20 // of the records in wire form
)

// ErrSize says that a zone is over its bounds.
var ErrSize = fmt.Errorf("the zone has more than %d records or %d MiB", MostRecords, MostOctets>>20)

// Builder collects the records of a zone. The zero Builder is not ready: use NewBuilder.
type Builder struct {
	apex    []byte
	records []record
	octets  int
}

// record is a record that waits for Build.
type record struct {
	owner string
	typ   wire.Type
	ttl   uint32
	data  []byte
}

// NewBuilder begins the zone called apex, in wire form and lower case.
func NewBuilder(apex []byte) *Builder { return &Builder{apex: bytes.Clone(apex)} }

// Add takes in a record of class IN, and reports why it cannot be part of the zone. The builder keeps the memory of w.
func (b *Builder) Add(w *wire.Written) error {
	switch {
	case w.Class != wire.ClassIN:
		return errors.New("the record has another class than IN")
	case !wire.Within(w.Owner, b.apex):
		return fmt.Errorf("%s is not in the zone %s", wire.NameString(w.Owner), wire.NameString(b.apex))
	case w.Type == wire.TypeSOA && !bytes.Equal(w.Owner, b.apex):
		return fmt.Errorf("the SOA record is of %s and not of the zone %s", wire.NameString(w.Owner),
			wire.NameString(b.apex))
	}
	b.octets += len(w.Owner) + 10 + len(w.Data)
	if len(b.records) == MostRecords || b.octets > MostOctets {
		return ErrSize
	}
	if ttl := w.TTL; ttl > math.MaxInt32 {
		w.TTL = 0 // RFC 2181 section 8
	}
	w.Fold()
	b.records = append(b.records, record{string(w.Owner), w.Type, w.TTL, w.Data})
	return nil
}

// Records is the number of records so far.
func (b *Builder) Records() int { return len(b.records) }

// Build makes the zone. It has one SOA record, of its apex; equal records are one record (RFC 2181 section 5).
func (b *Builder) Build() (*Zone, error) {
	z := &Zone{apex: string(b.apex), labels: wire.Labels(b.apex)}
	slices.SortStableFunc(b.records, compareRecords)
	b.records = slices.CompactFunc(b.records, func(a, b record) bool {
		return a.owner == b.owner && a.typ == b.typ && bytes.Equal(a.data, b.data)
	})
	if err := b.check(); err != nil {
		return nil, err
	}
	p := packer{zone: z, offsets: make(map[string]uint32, len(b.records))}
	p.node(z.apex, b.take(z.apex))
	for len(b.records) > 0 {
		owner := b.records[0].owner
		p.between(owner)
		p.node(owner, b.take(owner))
	}
	p.finish()
	z.serial = z.Numbers().Serial
	return z, nil
}

// compareRecords sorts by owner, from the root on, so that a name comes before those below it, then by type and data.
func compareRecords(a, b record) int {
	return cmp.Or(CompareNames(a.owner, b.owner), cmp.Compare(a.typ, b.typ), bytes.Compare(a.data, b.data))
}

// CompareNames is the canonical order of names in wire form and lower case (RFC 4034 section 6.1).
func CompareNames(a, b string) int {
	var at, bt [128]uint8
	n, m := starts(a, &at), starts(b, &bt)
	for n > 0 && m > 0 {
		n, m = n-1, m-1
		x, y := a[at[n]:], b[bt[m]:]
		if c := cmp.Compare(x[1:1+x[0]], y[1:1+y[0]]); c != 0 {
			return c
		}
	}
	return cmp.Compare(n, m)
}

// starts finds the labels of name and returns their number.
func starts(name string, at *[128]uint8) (n int) {
	for i := 0; name[i] != 0; i += 1 + int(name[i]) {
		at[n] = uint8(i)
		n++
	}
	return n
}

// check reports what makes the records no zone. They are sorted: the apex is first.
func (b *Builder) check() error {
	soas := 0
	for i, r := range b.records {
		switch {
		case r.typ == wire.TypeSOA:
			soas++
		case r.typ == wire.TypeCNAME && i > 0 && b.records[i-1].owner == r.owner && b.records[i-1].typ == r.typ:
			return fmt.Errorf("%s has two CNAME records (RFC 2181 section 10.1)", wire.NameString([]byte(r.owner)))
		case r.typ == wire.TypeDNAME && i > 0 && b.records[i-1].owner == r.owner && b.records[i-1].typ == r.typ:
			return fmt.Errorf("%s has two DNAME records (RFC 6672 section 2.4)", wire.NameString([]byte(r.owner)))
		}
	}
	if soas != 1 {
		return fmt.Errorf("the zone has %d SOA records, and needs one", soas)
	}
	return nil
}

// take takes the records of owner, which are the first ones.
func (b *Builder) take(owner string) (all []record) {
	n := 0
	for n < len(b.records) && b.records[n].owner == owner {
		n++
	}
	all, b.records = b.records[:n], b.records[n:]
	return all
}

// packer writes the nodes of a zone.
type packer struct {
	zone    *Zone
	offsets map[string]uint32 // plus 1, by owner
}

// between writes the empty non-terminals between owner and the names above it that exist.
func (p *packer) between(owner string) {
	above := owner[1+int(owner[0]):]
	if p.offsets[above] == 0 {
		p.between(above)
		p.node(above, nil)
	}
}

// node writes a node. The one above it is written.
func (p *packer) node(owner string, records []record) {
	z := p.zone
	p.offsets[owner] = uint32(len(z.octets)) + 1
	hidden := uint32(0)
	if owner != z.apex {
		hidden = p.hides(owner[1+int(owner[0]):])
	}
	if len(records) > 0 {
		z.names++
	}
	z.octets = append(append(z.octets, byte(len(owner))), owner...)
	z.octets = binary.BigEndian.AppendUint32(z.octets, hidden)
	z.octets = append(z.octets, 0, 0)
	count := len(z.octets) - 2
	for len(records) > 0 {
		n := 1
		for n < len(records) && records[n].typ == records[0].typ {
			n++
		}
		p.rrset(records[:n])
		records = records[n:]
		binary.BigEndian.PutUint16(z.octets[count:], binary.BigEndian.Uint16(z.octets[count:])+1)
	}
}

// hides is the node that hides the names below owner: what hides owner, or owner itself.
func (p *packer) hides(owner string) uint32 {
	at := p.offsets[owner]
	n := p.zone.node(at)
	if above := n.above(); above != 0 {
		return above
	}
	_, cut := n.RRset(wire.TypeNS)
	_, dname := n.RRset(wire.TypeDNAME)
	if cut && owner != p.zone.apex || dname {
		return at
	}
	return 0
}

// rrset writes records of one type. TTLs that differ are the lowest one (RFC 2181 section 5.2).
func (p *packer) rrset(records []record) {
	z, ttl := p.zone, records[0].ttl
	for _, r := range records {
		ttl = min(ttl, r.ttl)
	}
	records = records[:min(len(records), math.MaxUint16)]
	z.records += len(records)
	z.octets = binary.BigEndian.AppendUint16(z.octets, uint16(records[0].typ))
	z.octets = binary.BigEndian.AppendUint32(z.octets, ttl)
	z.octets = binary.BigEndian.AppendUint16(z.octets, uint16(len(records)))
	start := len(z.octets)
	z.octets = append(z.octets, 0, 0, 0, 0)
	for _, r := range records {
		z.octets = binary.BigEndian.AppendUint16(z.octets, uint16(len(r.data)))
		z.octets = append(z.octets, r.data...)
	}
	binary.BigEndian.PutUint32(z.octets[start:], uint32(len(z.octets)-start-4))
}

// finish makes the hash table.
func (p *packer) finish() {
	z := p.zone
	z.octets = slices.Clip(z.octets)
	z.slots = make([]slot, len(p.offsets)*3/2+1)
	for owner, at := range p.offsets {
		h := uint32(maphash.String(seed, owner))
		i := h % uint32(len(z.slots))
		for z.slots[i].at != 0 {
			i = (i + 1) % uint32(len(z.slots))
		}
		z.slots[i] = slot{h, at}
	}
}

// Numbers are those of an SOA record (RFC 1035 section 3.3.13).
type Numbers struct {
	Serial                 uint32
	Refresh, Retry, Expire time.Duration
	Minimum                uint32 // seconds
}

// Numbers reads the SOA record.
func (z *Zone) Numbers() Numbers {
	rrset, _ := z.Top().RRset(wire.TypeSOA)
	data := rrset.First()
	n := data[len(data)-20:]
	second := func(at int) time.Duration { return time.Duration(binary.BigEndian.Uint32(n[at:])) * time.Second }
	return Numbers{binary.BigEndian.Uint32(n), second(4), second(8), second(12), binary.BigEndian.Uint32(n[16:])}
}
