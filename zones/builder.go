package zones

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"slices"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// Builder collects the records of one service after another and compiles each into ServiceRecords. It is reused, and is
// for one goroutine.
//
// Names are relative to the service and in presentation form: "" is the service's own name, "_http._tcp" one below it.
// They must be in lower case: names that differ only in case would be one name twice.
//
// Endpoints that have their ports in common are a Group, and owners share the whole of it: however many pairs of
// endpoint and port there are, what is collected and what is built grow with the endpoints and the ports alone.
type Builder struct {
	owner   []byte
	drafts  []draft
	byName  []int32 // a hash table of drafts, by their numbers from 1 on
	groups  [][]member
	ports   []string // lists of port numbers, packed and sorted
	byPort  map[string]int
	why     string // there are no names
	remark  string // nothing answers at them
	err     error
	flags   byte // of all names
	placed  bool // addresses have places
	nearest Nearest
	asking  draft // endpoints that are not ready

	limit, spent int // octets

	affine bool
	twins  map[[16]byte][4]byte // of IPv6 addresses
	layout
}

// draft is one owner name of the service being built.
type draft struct {
	name   []byte // wire form, no root label
	hash   uint32 // of the name, as slots have it
	a      []addressA
	aaaa   []addressAAAA
	srv    []draftSRV
	groups []draftGroup
	pairs  int // of address and port, duplicates included: SRV weights are shares of these
	cname  string
	flags  byte
}

// draftSRV is SRV records to one target, draftGroup those to the members of a group, whose addresses the owner has too.
type (
	draftSRV   struct{ target, ports int }
	draftGroup struct{ group, ports int }
)

type member struct {
	host  int // index of a draft
	addr  netip.Addr
	place Place
}

// Name is a handle on one owner name of the service being built, Group one on endpoints, Ports one on port numbers.
type (
	Name  int
	Group int
	Ports struct{ list, pairs int }
)

// ErrTooLarge is returned by Build when the records take more than the limit.
var ErrTooLarge = errors.New("more records than the limit allows")

// Start begins the records of a service.
func (b *Builder) Start(namespace, service string) {
	b.why, b.remark, b.err, b.flags, b.placed = "", "", nil, 0, false
	b.asking.a, b.asking.aaaa = b.asking.a[:0], b.asking.aaaa[:0]
	b.limit, b.spent = math.MaxInt, 0
	b.drafts, b.groups, b.ports = b.drafts[:0], b.groups[:0], b.ports[:0]
	if b.byPort == nil {
		b.byPort = map[string]int{}
	}
	b.byName = b.byName[:min(len(b.byName), leastTable)] // as large as a small service needs it
	clear(b.byName)
	clear(b.byPort)
	clear(b.twins)
	b.affine = false
	owner, err := wire.ParseName(service + "." + namespace)
	b.err = err
	if err == nil {
		b.owner = owner[:len(owner)-1]
	}
}

// Limit bounds in octets what the service takes for combinations: of groups that an owner shares, and of ports that a
// host has in several groups. Each combination is made once, so where slices differ in few ways, as those of
// controllers do, combinations take less than the slices.
func (b *Builder) Limit(octets int) { b.limit = octets }

// Front says that the service may front this server: where it has an endpoint at one of this server's addresses, its
// names are those of name servers. It is called before Reverse.
func (b *Builder) Front() { b.flags |= flagFront }

// Placed has the places of addresses kept, and says how endpoints of the service are chosen. It is called before Build.
func (b *Builder) Placed(how Nearest) { b.placed, b.nearest = true, how }

// Headless says that the service has no addresses but those of its endpoints: not every external zone shows such names.
// It is called before Name.
func (b *Builder) Headless() { b.flags |= flagHeadless }

// Name makes an owner name exist, and with it the empty non-terminals between it and the service (RFC 8020).
func (b *Builder) Name(relative string) Name {
	var text [wire.MaxName]byte
	name, err := wire.AppendParsed(text[:0], relative)
	if err != nil {
		b.err = err
		name = append(text[:0], 0)
	}
	return b.owned(name[:len(name)-1])
}

// owned is the name of labels in wire form.
func (b *Builder) owned(name []byte) Name {
	at, added := b.draft(name)
	if added {
		b.drafts[at].flags = b.flags & flagHeadless
		if len(name) > 0 {
			b.owned(name[1+name[0]:])
		}
	}
	return Name(at)
}

// Host is a target of SRV records outside the cluster: an absolute name in wire form, without records.
func (b *Builder) Host(name []byte) Name {
	at, added := b.draft(name)
	if added {
		b.drafts[at].flags = flagHost
	}
	return Name(at)
}

// leastTable is for how many names the table is made, twice: a power of two.
const leastTable = 256

// draft is the draft called name: below the service, or that of a host, which ends in the root label. added says that it is a
// new one.
func (b *Builder) draft(name []byte) (at int, added bool) {
	if 2*len(b.drafts) >= len(b.byName) {
		b.growTable()
	}
	h := uint32(hash(name))
	place := b.place(h, name)
	if at := b.byName[place]; at > 0 {
		return int(at) - 1, false
	}
	if at = len(b.drafts); at < cap(b.drafts) {
		b.drafts = b.drafts[:at+1]
	} else {
		b.drafts = append(b.drafts, draft{})
	}
	d := &b.drafts[at]
	*d = draft{name: append(d.name[:0], name...), hash: h, a: d.a[:0], aaaa: d.aaaa[:0], srv: d.srv[:0], groups: d.groups[:0]}
	b.byName[place] = int32(at + 1)
	return at, true
}

// place is the place in the table of the draft with a name, whose hash is h, or where it is to be put.
func (b *Builder) place(h uint32, name []byte) int {
	for at := int(h) & (len(b.byName) - 1); ; at = (at + 1) & (len(b.byName) - 1) {
		n := b.byName[at]
		if n == 0 {
			return at
		}
		if d := &b.drafts[n-1]; d.hash == h && bytes.Equal(d.name, name) {
			return at
		}
	}
}

// growTable makes the table twice as large.
func (b *Builder) growTable() {
	size := max(leastTable, 2*len(b.byName))
	b.byName = slices.Grow(b.byName[:0], size)[:size]
	clear(b.byName)
	for i := range b.drafts {
		b.byName[b.place(b.drafts[i].hash, b.drafts[i].name)] = int32(i + 1)
	}
}

// Ports makes a list of port numbers. pairs is how many of the pairs among which weights are divided each address with
// these ports counts for.
func (b *Builder) Ports(pairs int, numbers ...uint16) Ports {
	b.key, b.numbers = b.key[:0], append(b.numbers[:0], numbers...)
	slices.Sort(b.numbers)
	for _, n := range slices.Compact(b.numbers) {
		b.key = binary.BigEndian.AppendUint16(b.key, n)
	}
	return Ports{b.list(b.key), pairs}
}

// list is the index in b.ports of packed port numbers.
func (b *Builder) list(packed []byte) int {
	if at, ok := b.byPort[string(packed)]; ok {
		return at
	}
	at, list := len(b.ports), string(packed)
	b.byPort[list] = at
	b.ports = append(b.ports, list)
	return at
}

// Group makes a group without members.
func (b *Builder) Group() Group {
	at := len(b.groups)
	if at < cap(b.groups) {
		b.groups = b.groups[:at+1]
		b.groups[at] = b.groups[at][:0]
	} else {
		b.groups = append(b.groups, nil)
	}
	return Group(at)
}

// Member adds an endpoint to a group: an address, the name that has it, and its place.
func (b *Builder) Member(g Group, host Name, addr netip.Addr, at Place) {
	b.groups[g] = append(b.groups[g], member{int(host), addr.Unmap(), at})
}

// Share gives owner the addresses of g, whose members have all been added, and an SRV record for each of them and each
// of the ports.
func (b *Builder) Share(owner Name, g Group, ports Ports) {
	if len(b.groups[g]) == 0 {
		return
	}
	d := &b.drafts[owner]
	d.pairs += len(b.groups[g]) * ports.pairs
	d.groups = append(d.groups, draftGroup{int(g), ports.list})
}

// Address adds an A or AAAA record.
func (b *Builder) Address(owner Name, addr netip.Addr) { b.AddressAt(owner, addr, 0) }

// AddressAt adds the A or AAAA record of an endpoint, with its place.
func (b *Builder) AddressAt(owner Name, addr netip.Addr, at Place) { b.drafts[owner].add(addr, at) }

// Asking adds an endpoint that is not ready: it has no records, and asks.
func (b *Builder) Asking(addr netip.Addr, at Place) { b.asking.add(addr, at) }

func (d *draft) add(addr netip.Addr, at Place) {
	if addr = addr.Unmap(); addr.Is4() {
		d.a = append(d.a, addressA{addr.As4(), at})
	} else {
		d.aaaa = append(d.aaaa, addressAAAA{addr.As16(), at})
	}
}

// SRV adds an SRV record for each of the ports that points to target, for one of target's addresses. Its weight is 100
// divided by the pairs of owner, so each pair of address and port counts once, duplicates included.
func (b *Builder) SRV(owner, target Name, ports Ports) {
	d := &b.drafts[owner]
	d.pairs += ports.pairs
	d.srv = append(d.srv, draftSRV{int(target), ports.list})
}

// Alias adds a CNAME record that points to an absolute name in wire form. The owner has no other records.
func (b *Builder) Alias(owner Name, target []byte) { b.drafts[owner].cname = string(target) }

// Reverse makes PTR records that point from owner's addresses to owner. cluster says that the addresses are cluster
// IPs, which take precedence over endpoints.
func (b *Builder) Reverse(owner Name, cluster bool) {
	if b.flags&flagHeadless != 0 {
		return // an external zone has no PTR records
	}
	b.drafts[owner].flags |= flagPTR | b.flags&flagFront
	if cluster {
		b.drafts[owner].flags |= flagCluster
	}
}

// NoNames says why the service has no names, in words for people. Names added before are dropped.
func (b *Builder) NoNames(why string) { b.why = why }

// Unready says why nothing answers at the addresses of the service.
func (b *Builder) Unready(why string) { b.remark = why }

// Build compiles what was collected. It sorts records and drops duplicates, so that equal clusters give equal results.
// It returns an error if a name was invalid, or ErrTooLarge: after that one it may be called once more, behind NoNames.
// The memory for an uncommonly large service is let go of.
func (b *Builder) Build() (*ServiceRecords, error) {
	large := len(b.drafts) > keptDrafts
	r, err := b.build()
	if large && !errors.Is(err, ErrTooLarge) {
		*b = Builder{}
	}
	return r, err
}

func (b *Builder) build() (*ServiceRecords, error) {
	if b.err != nil {
		return nil, b.err
	}
	r := &ServiceRecords{owner: string(b.owner), why: b.why}
	if b.why != "" {
		b.drafts = b.drafts[:0]
	}
	if len(b.drafts)+len(b.asking.a)+len(b.asking.aaaa) == 0 {
		return r, nil
	}
	b.sort()
	if !b.lay() {
		return nil, ErrTooLarge
	}
	r.blob, r.why = string(b.blob), cmp.Or(b.why, b.remark)
	r.slots = b.slots(r.start())
	return r, nil
}

// slots are the slots of what has been laid out. Nodes begin at start.
func (b *Builder) slots(start int) []slot {
	slots := make([]slot, len(b.order))
	for i, at := range b.order {
		slots[i] = slot{b.drafts[at].hash, uint32(start) + b.offset[i]}
	}
	slices.SortFunc(slots, func(a, b slot) int { return cmp.Compare(a.hash, b.hash) })
	return slots
}

// keptDrafts is for how many names a Builder keeps its memory: that of a service with hundreds of endpoints.
const keptDrafts = 1024

// sort sorts the names, and the addresses of each name.
func (b *Builder) sort() {
	b.order = b.order[:0]
	for i := range b.drafts {
		b.order = append(b.order, i)
	}
	slices.SortFunc(b.order, func(i, j int) int { return bytes.Compare(b.drafts[i].name, b.drafts[j].name) })
	b.rank = append(b.rank[:0], make([]uint32, len(b.drafts))...)
	for i, at := range b.order {
		b.rank[at] = uint32(i)
	}
	for i := range b.drafts {
		d := &b.drafts[i]
		d.a, d.aaaa = sortAddresses(d.a, d.aaaa)
	}
	b.asking.a, b.asking.aaaa = sortAddresses(b.asking.a, b.asking.aaaa)
}

// sortAddresses sorts addresses and drops duplicates. Of one that is at several places the highest number stays.
func sortAddresses(a []addressA, aaaa []addressAAAA) ([]addressA, []addressAAAA) {
	slices.SortFunc(a, func(x, y addressA) int { return cmp.Or(bytes.Compare(x.ip[:], y.ip[:]), cmp.Compare(y.place, x.place)) })
	slices.SortFunc(aaaa, func(x, y addressAAAA) int {
		return cmp.Or(bytes.Compare(x.ip[:], y.ip[:]), cmp.Compare(y.place, x.place))
	})
	return slices.CompactFunc(a, func(x, y addressA) bool { return x.ip == y.ip }),
		slices.CompactFunc(aaaa, func(x, y addressAAAA) bool { return x.ip == y.ip })
}
