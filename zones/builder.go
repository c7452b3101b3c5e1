package zones

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// Builder collects the records of one service after another and compiles each into ServiceRecords. It is reused, and is
// for one goroutine.
//
// Names are relative to the service and in presentation form: "" is the service's own name, "_http._tcp" one below it.
// They must be in lower case: names that differ only in case would be one name twice.
type Builder struct {
	owner  []byte
	drafts []draft
	byName map[string]int
	why    string
	err    error
	order  []int
	offset []uint32
	blob   []byte
}

// draft is one owner name of the service being built.
type draft struct {
	name      []byte // wire form, no root label
	a         [][4]byte
	aaaa      [][16]byte
	srv       []draftSRV
	endpoints int // pairs of address and port, duplicates included: SRV weights are shares of these
	cname     string
	flags     byte
}

type draftSRV struct {
	port   uint16
	target int // index of a draft
}

// Name is a handle on one owner name of the service being built.
type Name int

// Start begins the records of a service.
func (b *Builder) Start(namespace, service string) {
	b.why, b.err = "", nil
	b.drafts = b.drafts[:0]
	if b.byName == nil {
		b.byName = make(map[string]int)
	}
	clear(b.byName)
	owner, err := wire.ParseName(service + "." + namespace)
	b.err = err
	if err == nil {
		b.owner = owner[:len(owner)-1]
	}
}

// Name makes an owner name exist, and with it the empty non-terminals between it and the service (RFC 8020).
func (b *Builder) Name(relative string) Name {
	if at, ok := b.byName[relative]; ok {
		return Name(at)
	}
	name, err := wire.ParseName(relative)
	if relative == "" {
		name, err = []byte{0}, nil
	}
	if err != nil {
		b.err = err
		name = []byte{0}
	}
	if relative != "" {
		b.Name(parent(relative))
	}
	at := len(b.drafts)
	if at < cap(b.drafts) {
		b.drafts = b.drafts[:at+1]
		d := &b.drafts[at]
		*d = draft{a: d.a[:0], aaaa: d.aaaa[:0], srv: d.srv[:0]}
	} else {
		b.drafts = append(b.drafts, draft{})
	}
	b.drafts[at].name = name[:len(name)-1]
	b.byName[relative] = at
	return Name(at)
}

// parent is name without its first label. Names below a service contain no quoted dots.
func parent(name string) string {
	for i := range len(name) {
		if name[i] == '.' {
			return name[i+1:]
		}
	}
	return ""
}

// Address adds an A or AAAA record.
func (b *Builder) Address(owner Name, addr netip.Addr) {
	d := &b.drafts[owner]
	if addr = addr.Unmap(); addr.Is4() {
		d.a = append(d.a, addr.As4())
	} else {
		d.aaaa = append(d.aaaa, addr.As16())
	}
}

// SRV adds an SRV record that points to target, for one of target's addresses. Its weight is 100 divided by the
// endpoints of owner, so each pair of address and port counts once, duplicates included.
func (b *Builder) SRV(owner Name, port uint16, target Name) {
	d := &b.drafts[owner]
	d.endpoints++
	d.srv = append(d.srv, draftSRV{port, int(target)})
}

// Endpoint counts an endpoint without ports among those that share the weights of owner's SRV records.
func (b *Builder) Endpoint(owner Name) { b.drafts[owner].endpoints++ }

// Alias adds a CNAME record that points to an absolute name in wire form. The owner has no other records.
func (b *Builder) Alias(owner Name, target []byte) { b.drafts[owner].cname = string(target) }

// Reverse makes PTR records that point from owner's addresses to owner. cluster says that the addresses are cluster
// IPs, which take precedence over endpoints.
func (b *Builder) Reverse(owner Name, cluster bool) {
	b.drafts[owner].flags |= flagPTR
	if cluster {
		b.drafts[owner].flags |= flagCluster
	}
}

// NoNames says why the service has no names, in words for people. Names added before are dropped.
func (b *Builder) NoNames(why string) { b.why = why }

// Build compiles what was collected. It sorts records and drops duplicates, so that equal clusters give equal results.
// It returns an error if a name was invalid.
func (b *Builder) Build() (*ServiceRecords, error) {
	if b.err != nil {
		return nil, b.err
	}
	r := &ServiceRecords{owner: string(b.owner), why: b.why}
	if b.why != "" || len(b.drafts) == 0 {
		return r, nil
	}
	b.sort()
	b.blob = b.blob[:0]
	for range 2 { // the first pass finds the offset of each node, the second writes the offsets of targets
		b.blob = b.blob[:0]
		for _, at := range b.order {
			b.offset[at] = uint32(len(b.blob))
			b.blob = appendNode(b.blob, &b.drafts[at], b.offset)
		}
	}
	r.blob = string(b.blob)
	r.slots = slotsOf(r, len(b.order))
	return r, nil
}

// sort sorts the names, and the records of each name.
func (b *Builder) sort() {
	b.order = b.order[:0]
	for i := range b.drafts {
		b.order = append(b.order, i)
	}
	slices.SortFunc(b.order, func(i, j int) int { return bytes.Compare(b.drafts[i].name, b.drafts[j].name) })
	b.offset = append(b.offset[:0], make([]uint32, len(b.drafts))...)
	rank := b.offset // Build fills it with offsets after the sort
	for i, at := range b.order {
		rank[at] = uint32(i)
	}
	for i := range b.drafts {
		d := &b.drafts[i]
		slices.SortFunc(d.a, func(x, y [4]byte) int { return bytes.Compare(x[:], y[:]) })
		slices.SortFunc(d.aaaa, func(x, y [16]byte) int { return bytes.Compare(x[:], y[:]) })
		slices.SortFunc(d.srv, func(x, y draftSRV) int {
			if x.target != y.target {
				return int(rank[x.target]) - int(rank[y.target])
			}
			return int(x.port) - int(y.port)
		})
		d.a, d.aaaa, d.srv = slices.Compact(d.a), slices.Compact(d.aaaa), slices.Compact(d.srv)
	}
}
