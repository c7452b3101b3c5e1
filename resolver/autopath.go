package resolver

import (
	"fmt"
	"sync/atomic"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// autopath asks, in the place of a client, for the names that its search list makes of one that does not exist: a pod
// with `ndots:5` would ask for them one after the other. It is a wrapper: after NXDOMAIN for the name in the first
// domain of the list it asks for the one in the second, and so on, and last for the name without a domain. What it finds
// is behind a CNAME record from the name that the client asked for. Anything else than NXDOMAIN ends it, but for a name that
// no step here is responsible for.
type autopath struct {
	options   Autopath
	zones     zones.Set
	search    [][]byte // in wire form: the list, or what follows the domains of the cluster
	completed atomic.Uint64
}

func newAutopath(o *Autopath) (*autopath, error) {
	a := &autopath{options: *o}
	var err error
	if a.zones, err = zones.NewSet(o.Zones); err != nil {
		return nil, fmt.Errorf("autopath: %w", err)
	}
	for _, text := range o.Search {
		name, err := wire.ParseName(text)
		if err != nil {
			return nil, fmt.Errorf("autopath: search %s: %w", text, err)
		}
		a.search = append(a.search, name)
	}
	return a, nil
}

// clusterDomains is the number of domains that a pod has of its cluster: <namespace>.svc.<zone>, svc.<zone>, <zone>.
const clusterDomains = 3

// walk has autopath see the answer, if q is for a name in the first domain of the client's search list. The target of an
// alias is no name that a resolver has completed.
func (a *autopath) walk(r *Request, q *question) result {
	if !q.scope.autopath || r.links > 0 {
		return result{}
	}
	domain := 0 // labels of the first domain
	if a.options.Kubernetes {
		domain = clusterDomain(r, q)
	} else if len(a.search) > 0 {
		domain = below(q.name, a.search[0])
	}
	if domain > 0 && domain < q.name.Labels() {
		r.wrap(a, q).domain = domain
	}
	return result{}
}

// below is the number of labels of domain if name is at or below it, else 0.
func below(name *wire.QName, domain []byte) (labels int) {
	for at := 0; domain[at] != 0; at += 1 + int(domain[at]) {
		labels++
	}
	if skip := name.Labels() - labels; skip < 0 || string(name.Suffix(skip)) != string(domain) {
		return 0
	}
	return labels
}

// clusterDomain is the number of labels of <namespace>.svc.<zone>, the first search domain of pods of that namespace, if
// the client is one of them and q's name is at or below it; else 0.
func clusterDomain(r *Request, q *question) int {
	for i := range q.scope.served {
		z := &q.scope.served[i]
		if z.info.reverse || z.info.pods != zones.PodsVerified {
			continue
		}
		svc := q.name.Labels() - z.labels - 1
		if svc < 1 || string(q.name.Between(svc, svc+1)) != labelsSvc {
			return 0
		}
		space := z.info.index.Snapshot().PodNamespace(&r.match, r.Client.Addr().Unmap())
		if space == "" || space != string(q.name.Between(svc-1, svc)) {
			return 0
		}
		return z.labels + 2
	}
	return 0
}

// after asks for the next name while there is none, or while nobody here is responsible for it. If none of them exists,
// the first answer is given again: it denies the name that the client asked for.
func (a *autopath) after(r *Request, w *wrapped, res result) (again bool) {
	refused := res.source == None && res.rcode == wire.Refused
	if w.step == 0 && !w.again {
		a.keepFirst(r, w, res)
	}
	switch {
	case w.again || r.Reply.Rcode != wire.NameError && !refused:
		if w.step > 0 {
			a.alias(r, w)
		}
		return false
	case a.next(r, w):
		return true
	}
	return a.denyFirst(r, w)
}

// keepFirst keeps the answer for the first name, if upstream would have to be asked for it again.
func (a *autopath) keepFirst(r *Request, w *wrapped, res result) {
	if res.message != nil && r.question.scope.block.asksAnew() {
		first := res
		w.first = &first
	}
}

// denyFirst gives the first answer again, or has it asked for again.
func (a *autopath) denyFirst(r *Request, w *wrapped) (again bool) {
	q := r.repeat(w)
	if w.first != nil {
		r.finish(q, w.first)
		return false
	}
	w.again, w.step, w.placed = true, 0, 0
	return true
}

// asksAnew reports whether upstream is asked again for a name that it has been asked for, and nothing else of the block
// has changed what it said.
func (b *block) asksAnew() bool { return b.cache == nil && b.header == nil && !b.options.Minimal }

// next has the name in the next domain of the search list asked for; it reports false behind the last one.
func (a *autopath) next(r *Request, w *wrapped) bool {
	list := len(a.search)
	if a.options.Kubernetes {
		list += clusterDomains
	}
	for w.step++; w.step <= list; w.step++ {
		q := r.repeat(w)
		r.text = a.append(append(r.text[:0], q.name.Between(0, q.name.Labels()-w.domain)...), q.name, w, list)
		if len(r.text) > wire.MaxName {
			continue
		}
		r.name.Set(r.text)
		w.placed = len(r.text)
		q.name, q.owner, q.asked = &r.name, r.Reply.PlaceName(r.text), false
		w.target = q.owner
		q.scope = q.scope.block.inside.of(q.name)
		return true
	}
	return false
}

// append appends the domain of the search list that w is at, and the root label. asked is the client's name.
func (a *autopath) append(name []byte, asked *wire.QName, w *wrapped, list int) []byte {
	at := w.step
	if a.options.Kubernetes {
		if at < clusterDomains { // without the namespace, and then without svc
			return append(name, asked.Suffix(asked.Labels()-w.domain+at)...)
		}
		at -= clusterDomains
	}
	if w.step == list {
		return append(name, 0)
	}
	return append(name, a.search[at]...)
}

// alias puts a CNAME record from the name that the client asked for before the answer, if it has records. Its TTL is
// that of the first of them.
func (a *autopath) alias(r *Request, w *wrapped) {
	first := true
	r.rework(w, func(record *wire.Written) {
		if first && record.Section == wire.Answer {
			r.Reply.Begin(wire.Answer)
			r.Reply.AddTarget(w.asked.owner, wire.TypeCNAME, record.TTL, record.Owner)
			a.completed.Add(1)
		}
		first = false
	})
	r.Reply.ClearFlags(wire.FlagAD) // the alias is not signed
}
