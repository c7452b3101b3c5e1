package resolver

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// search goes through the search list in the place of a client, as autopath does, and needs no pods for it: the client's
// namespace is in the question, <name>.<namespace>.svc.<zone>, and the snapshot says whether the client's address is of
// that namespace. It answers as if the first domain had an alias for each name that the list finds:
//   - A name that has no records of the type is found too. It ends the list for every type alike, since existence is of
//     names, not of types (RFC 8020 section 2), and the SOA behind the alias is that of the name's own zone (RFC 2308
//     section 2.1).
//   - A failure is no denial: it ends the list, and the client goes on by itself.
//   - The alias takes the place of denials, and is kept for no longer than they would have been: a service that is created
//     under the client's name is found as soon as without an alias.
//   - Who asks in the place of others gets no alias: resolvers, which send no RD or say for whom they ask (RFC 7871), and
//     whoever has an address of which the snapshot is not sure.
type search struct {
	*autopath
	least, most int // dots of the names

	completed, absent, failed, unknown, foreign atomic.Uint64
}

func newSearch(o *Search) (*search, error) {
	list, err := newAutopath(&Autopath{Zones: o.Zones, Kubernetes: true, Search: o.Domains})
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	return &search{autopath: list, least: o.Least, most: o.Most}, nil
}

// walk has search see the answer, if the client may have made q of a search list.
func (s *search) walk(r *Request, q *question) result {
	if !q.scope.search || r.links > 0 || q.class != wire.ClassIN ||
		r.Query.Flags&wire.FlagRD == 0 || r.Query.Has(optionSubnet) {
		return result{}
	}
	if z := clusterOf(q); z != nil && s.listed(q, z.labels) {
		r.wrap(s, q).domain = z.labels + 2
	}
	return result{}
}

// clusterOf is the zone of a cluster that q is in; nil for none. A clusterset is in no search list of the kubelet.
func clusterOf(q *question) *servedZone {
	for i := range q.scope.served {
		if z := &q.scope.served[i]; !z.info.reverse && z.info.version == specVersion {
			return z
		}
	}
	return nil
}

// listed reports whether q's name is <name>.<namespace>.svc.<zone> with a name that a client may ask for by its search
// list. A name of one label, not counting those of SRV records, is left alone: with the domain it is the full name of a
// service, of which many ask who mean no other. So is a name of so many dots that clients ask for it without the list.
func (s *search) listed(q *question, zone int) bool {
	labels := q.name.Labels() - zone - 2 // of the name
	if labels < 2 || labels-1 > s.most || string(q.name.Between(labels+1, labels+2)) != labelsSvc {
		return false
	}
	dots := labels - 1
	for i := 0; i < labels && q.name.Label(i)[0] == '_'; i++ {
		dots--
	}
	return dots >= s.least
}

// after goes on to the next name of the list while there is none, or while nobody here is responsible for it.
func (s *search) after(r *Request, w *wrapped, res result) (again bool) {
	denied := r.denied(w)
	switch {
	case w.again, w.step == 0 && !(denied && s.meant(r)):
		return false
	case !denied && (res.source != None || res.rcode != wire.Refused):
		s.end(r, w)
		return false
	case w.step == 0:
		s.keepFirst(r, w, res)
		w.ttl = math.MaxUint32
	case s.doubtful(w, res):
		w.ttl = min(w.ttl, r.deniedFor(w))
		w.step--
		if w.instead = s.next(r, w); w.instead {
			r.question.qtype = wire.TypeA
		}
		return w.instead
	}
	if denied {
		w.ttl = min(w.ttl, r.deniedFor(w))
	}
	if w.instead = false; s.next(r, w) {
		return true
	}
	s.absent.Add(1)
	return s.denyFirst(r, w)
}

// denied reports whether the answer that w surrounds says that the name itself does not exist. An alias exists, wherever
// it leads (RFC 6604 section 3).
func (r *Request) denied(w *wrapped) bool {
	return r.Reply.Rcode == wire.NameError && r.Reply.Count(wire.Answer) == w.asked.before
}

// deniedFor is how long a cache keeps the denial that w surrounds (RFC 2308 section 5), in seconds: not at all if it has
// no SOA.
func (r *Request) deniedFor(w *wrapped) (ttl uint32) {
	r.Reply.Each(w.mark, w.placed, func(record *wire.Written) bool {
		if record.Type != wire.TypeSOA || record.Section != wire.Authority || len(record.Data) < 4 {
			return true
		}
		ttl = min(record.TTL, binary.BigEndian.Uint32(record.Data[len(record.Data)-4:]))
		return false
	})
	return ttl
}

// meant reports whether the client means its search list by the name that has been denied: no service has it, and the
// client is of the namespace. Where the service exists the name is of one of its endpoints or ports, which most ask for in
// full.
func (s *search) meant(r *Request) bool {
	q, m := &r.question, &r.match
	z := clusterOf(q)
	snapshot := z.info.index.Snapshot()
	snapshot.Lookup(m, q.name, z.labels, z.info.pods)
	if m.Outcome != zones.Missing || m.Why != zones.NoService {
		return false
	}
	switch snapshot.Who(m, r.Client.Addr().Unmap()).Namespace {
	case "":
		s.unknown.Add(1)
	case string(m.Namespace):
		return true
	default:
		s.foreign.Add(1)
	}
	return false
}

// doubtful reports whether a denial may mean that the name has no AAAA records: some name servers, and rules of template,
// deny the name then. Its A records decide, for which such a client asks anyway.
func (s *search) doubtful(w *wrapped, res result) bool {
	return w.asked.qtype == wire.TypeAAAA && !w.instead && (res.message != nil || res.source == FromTemplate)
}

// end makes the answer at which the list ends that of the client's name.
func (s *search) end(r *Request, w *wrapped) {
	if r.Reply.Rcode != wire.NoError && r.Reply.Count(wire.Answer) == w.asked.before {
		s.failed.Add(1)
		r.rework(w, func(*wire.Written) {}) // without the name of the list
		return
	}
	s.completed.Add(1)
	r.Reply.ReadName(w.target, &r.name)
	if t := w.asked.qtype; w.instead || t == wire.TypeCNAME || t == wire.TypeANY {
		s.aliasAlone(r, w)
	} else {
		s.aliasFirst(r, w)
	}
	r.Reply.SetFlags(wire.FlagAA)   // it is about the first owner (RFC 1035 section 4.1.1)
	r.Reply.ClearFlags(wire.FlagAD) // nobody has signed the alias
	if _, said := r.Reply.Explanation(); len(said) == 0 && r.Reply.Rcode == wire.NoError {
		r.Reply.Explain(wire.Other, edeCompleted)
	}
}

// aliasAlone answers with the alias to r.name: to the question for it (RFC 1034 section 3.6.2), and where the name is there
// and has none of the records.
func (s *search) aliasAlone(r *Request, w *wrapped) {
	r.text = append(r.text[:0], r.name.Name()...)
	r.repeat(w)
	r.Reply.AddTarget(w.asked.owner, wire.TypeCNAME, w.ttl, r.text)
}

// aliasFirst puts the alias to r.name before the answer.
func (s *search) aliasFirst(r *Request, w *wrapped) {
	first := true
	alias := func() {
		if first {
			r.Reply.Begin(wire.Answer)
			r.Reply.AddTarget(w.asked.owner, wire.TypeCNAME, w.ttl, r.name.Name())
		}
		first = false
	}
	r.rework(w, func(*wire.Written) { alias() })
	alias() // of an answer without records
}
