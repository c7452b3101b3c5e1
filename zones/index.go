package zones

import (
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// Index holds the names and records of one cluster: one goroutine writes, many read without locks. A reader loads one
// Snapshot and answers from it, so that each answer is of one moment.
type Index struct {
	current  atomic.Pointer[Snapshot]
	numbered atomic.Pointer[Snapshot]      // the last one that Number has given a serial
	changed  atomic.Pointer[chan struct{}] // closed by the next publication
	trouble  atomic.Pointer[string]        // nil for none
	Hosts    NamesPlace                    // of Ingresses, routes and load balancers (directive k8s_gateway)
	Places   Places                        // of endpoints
	edit     uint64                        // number of the last edit; for the writer alone
	owner    []byte                        // scratch of the writer
}

// NewIndex is an empty index, not synced.
func NewIndex() *Index {
	x := &Index{}
	x.current.Store(&Snapshot{})
	x.numbered.Store(&Snapshot{})
	changed := make(chan struct{})
	x.changed.Store(&changed)
	return x
}

// Snapshot is the state of an index at one moment. It never changes.
type Snapshot struct {
	serial     uint32
	changed    bool // since it was given its serial
	synced     Kinds
	stale      string // why this may be old; "" for what the cluster has
	services   trie[*ServiceRecords]
	externals  trie[*ServiceRecords] // of services that clients outside the cluster reach (directive k8s_external)
	namespaces trie[*namespace]
	reverse    reverse
	pods       trie[*podAddress]
	clients    trie[*clientAddress] // with claims by slices and nodes

	// Of clients; see who.go.
	asking reverse    // endpoints that are not ready
	ranges ranges     // of nodes
	zones  []Locality // of nodes, by their numbers
	places *places
}

// Kinds is a set of kinds of Kubernetes objects.
type Kinds uint16

// The kinds that names come from.
const (
	Services Kinds = 1 << iota
	Slices
	Namespaces
	PodObjects
	Ingresses
	Gateways
	HTTPRoutes
	TLSRoutes
	GRPCRoutes
	DNSEndpoints
	Nodes
)

// ServiceKinds are the kinds that must have synced before an answer may deny a name at or below svc.<zone>.
const ServiceKinds = Services | Slices | Namespaces

// Snapshot is the current state.
func (x *Index) Snapshot() *Snapshot { return x.current.Load() }

// Changed is closed when the next snapshot is published. To miss no change, call Changed before Snapshot.
func (x *Index) Changed() <-chan struct{} { return *x.changed.Load() }

// Numbered is the last snapshot that Number has given a serial, which stands for this content and no other: what
// secondaries get. Until there is one, it is empty and not synced.
func (x *Index) Numbered() *Snapshot { return x.numbered.Load() }

// Serial is the SOA serial, of this content or, if it is yet to be numbered, of the one before.
func (s *Snapshot) Serial() uint32 { return s.serial }

// Changed reports whether the content has no serial yet.
func (s *Snapshot) Changed() bool { return s.changed }

// Synced reports whether all objects of these kinds have been read once.
func (s *Snapshot) Synced(kinds Kinds) bool { return s.synced&kinds == kinds }

// Stale says why the content may be old, in words of an Extended DNS Error; "" while it is the cluster's.
func (s *Snapshot) Stale() string { return s.stale }

// Size is the number of services, and of addresses with PTR records.
func (s *Snapshot) Size() (services, addresses int) {
	return s.services.size, s.reverse.v4.size + s.reverse.v6.size
}

// Service is the service with these labels, "<service>.<namespace>" in wire form without a root label; nil for none.
func (s *Snapshot) Service(owner []byte) *ServiceRecords { return s.services.get(owner) }

// Unready says why nothing answers at the addresses of r, "0 of 2 endpoints ready", though it has names; "" if something
// does, or if it is not known: some of its slices may have been left out.
func (s *Snapshot) Unready(r *ServiceRecords) string {
	label := r.owner[1+int(r.owner[0]):]
	if n := s.namespaces.get([]byte(label)); r.start() == r.end() || n != nil && n.over {
		return ""
	}
	return r.why
}

// namespace is the name <namespace>.svc.<zone>. It exists while there is a Namespace object or a service in it, and it is
// not refused.
type namespace struct {
	label    string // in wire form
	object   bool
	over     bool // not all of it is known: it takes more memory than its budget
	refused  bool // called like a top-level domain: it is there, and has no names
	services int
	sees     Rules // by which clients in it see others
	shown    Rules // by which others see it
}

func (n *namespace) exists() bool { return n != nil && (n.object || n.services > 0) }

func (n *namespace) isRefused() bool { return n != nil && n.refused }

func (n *namespace) is(label []byte) bool       { return n.label == string(label) }
func (n *namespace) same(other *namespace) bool { return n.label == other.label }
func (n *namespace) sum() uint64                { return hashString(n.label) }

// Tx is a change to an Index. All of it is published in one step.
type Tx struct {
	index   *Index
	snap    *Snapshot
	edit    uint64
	changed bool
	silent  bool                 // something has changed that is no content
	gone    map[removal]struct{} // PTR records to remove from their lists
	bare    bool                 // there are no PTR records but those of fresh
	fresh   []*ServiceRecords    // new services, whose PTR records are put into the index together
}

// Update lets change edit the state and publishes the result in one step. If nothing has changed it publishes nothing
// and reports false. Only one goroutine may call it, or Number, at a time.
func (x *Index) Update(now time.Time, change func(*Tx)) bool {
	x.edit++
	next := *x.current.Load()
	tx := Tx{index: x, snap: &next, edit: x.edit, bare: next.reverse == reverse{} && next.asking == reverse{}}
	change(&tx)
	next.places = x.Places.snapshot()
	if !tx.changed {
		if tx.silent {
			x.publish(&next)
		}
		return tx.silent
	}
	tx.placeFresh()
	tx.removeGone()
	next.changed = true
	if next.serial == 0 {
		next.serial = uint32(now.Unix()) // nothing has this serial: Number is called in a later second
	}
	x.publish(&next)
	return true
}

// Continue has serials go on from one that another index had, before anything has been published: what is published
// next gets a later one, also where the clock was set back.
func (x *Index) Continue(serial uint32) {
	next := *x.current.Load()
	next.serial = serial
	x.publish(&next)
}

// SetTrouble says why the cluster cannot be read at the moment, "" for nothing. Any goroutine may call it.
func (x *Index) SetTrouble(why string) { x.trouble.Store(&why) }

// Trouble is what SetTrouble has said last.
func (x *Index) Trouble() string {
	if why := x.trouble.Load(); why != nil {
		return *why
	}
	return ""
}

// Number gives the current content a serial, which is the time in seconds, if it has changed since the last call. Called
// at full seconds only, it gives all changes of a second one serial, and so
//   - the serial is not ahead of the clock, unless that was set back: then it grows by one each time;
//   - another process that reads the same cluster later, or with a clock that agrees at the same time, has no lower one;
//   - two of them that see a change in the same second give it the same serial.
func (x *Index) Number(now time.Time) {
	if next := *x.current.Load(); next.changed {
		next.serial, next.changed = max(uint32(now.Unix()), next.serial+1), false
		x.numbered.Store(&next)
		x.publish(&next)
	}
}

func (x *Index) publish(next *Snapshot) {
	x.current.Store(next)
	changed := make(chan struct{})
	close(*x.changed.Swap(&changed))
}

// SetSynced says that all objects of these kinds have been read once.
func (tx *Tx) SetSynced(kinds Kinds) {
	if tx.snap.synced&kinds != kinds {
		tx.snap.synced |= kinds
		tx.changed = true
	}
}

// SetUnsynced says that objects of these kinds, which had been read, are not known any more.
func (tx *Tx) SetUnsynced(kinds Kinds) {
	if tx.snap.synced&kinds != 0 {
		tx.snap.synced &^= kinds
		tx.changed = true
	}
}

// SetStale says why the content may be old, "" if it is the cluster's. The serial stays.
func (tx *Tx) SetStale(why string) {
	if tx.snap.stale != why {
		tx.snap.stale = why
		tx.silent = true
	}
}

// SetService replaces the service with r's owner, and its PTR records. It takes ownership of r.
func (tx *Tx) SetService(r *ServiceRecords) {
	old := tx.service(r.owner)
	if old != nil && old.equal(r) {
		return
	}
	tx.changed = true
	if old != nil {
		r.owner, r.shared = old.owner, old.shared
	} else {
		owner := r.owner
		r.shared = &owner
	}
	tx.snap.services = tx.snap.services.put(r, tx.edit)
	tx.updatePTRs(old, r)
	if old == nil {
		tx.countService(r.owner, 1)
	}
}

// DropService removes a service and its PTR records, and returns how many octets they took.
func (tx *Tx) DropService(namespace, service string) int {
	owner, err := wire.ParseName(service + "." + namespace)
	if err != nil {
		return 0
	}
	owner = owner[:len(owner)-1]
	old := tx.snap.services.get(owner)
	if old == nil {
		return 0
	}
	tx.changed = true
	tx.snap.services = tx.snap.services.drop(owner, tx.edit)
	tx.updatePTRs(old, nil)
	tx.countService(old.owner, -1)
	return old.Size()
}

// SetNamespace says whether the Namespace object called name exists.
func (tx *Tx) SetNamespace(name string, exists bool) {
	label, err := wire.ParseName(name)
	if err != nil {
		return
	}
	label = label[:len(label)-1]
	entry := namespace{label: string(label)}
	if old := tx.snap.namespaces.get(label); old != nil {
		entry = *old
	}
	if entry.object == exists {
		return
	}
	entry.object = exists
	tx.putNamespace(entry)
}

// SetOver says whether something of a namespace was left out, because it takes more memory than its budget.
func (tx *Tx) SetOver(name string, over bool) {
	label, err := wire.ParseName(name)
	if err != nil {
		return
	}
	if old := tx.snap.namespaces.get(label[:len(label)-1]); old != nil && old.over != over {
		entry := *old
		entry.over = over
		tx.putNamespace(entry)
	}
}

// Size is how many octets the records of a service take, 0 if there is none.
func (tx *Tx) Size(owner string) int {
	if r := tx.service(owner); r != nil {
		return r.Size()
	}
	return 0
}

// service is the service with an owner, nil for none.
func (tx *Tx) service(owner string) *ServiceRecords {
	tx.index.owner = append(tx.index.owner[:0], owner...)
	return tx.snap.services.get(tx.index.owner)
}

// SetRefused says whether a namespace without names is there, and is called like a top-level domain.
func (tx *Tx) SetRefused(name string, refused bool) {
	label, err := wire.ParseName(name)
	if err != nil {
		return
	}
	entry := namespace{label: string(label[:len(label)-1])}
	if old := tx.snap.namespaces.get(label[:len(label)-1]); old != nil {
		entry = *old
	}
	if entry.refused != refused {
		entry.refused = refused
		tx.putNamespace(entry)
	}
}

// countService counts the services of a namespace, because a name with names below it exists (RFC 8020).
func (tx *Tx) countService(owner string, by int) {
	label := owner[1+int(owner[0]):]
	entry := namespace{label: label}
	if old := tx.snap.namespaces.get([]byte(label)); old != nil {
		entry = *old
	}
	entry.services += by
	tx.putNamespace(entry)
}

func (tx *Tx) putNamespace(entry namespace) {
	tx.changed = true
	if !entry.exists() && !entry.refused {
		tx.snap.namespaces = tx.snap.namespaces.drop([]byte(entry.label), tx.edit)
		return
	}
	tx.snap.namespaces = tx.snap.namespaces.put(&entry, tx.edit)
}
