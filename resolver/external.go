package resolver

import (
	"errors"
	"fmt"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// external is what an external zone has beside what every zone of an index has. Its server and its master are labels
// below the zone in wire form.
type external struct {
	zones.External
	server string // ns1.<apex>
	master string // hostmaster.<apex>
}

// newExternals compiles the directives k8s_external. They read the index of the block's first kubernetes.
func (b *block) newExternals() error {
	for i := range b.options.Externals {
		if len(b.options.Kubernetes) == 0 {
			return errors.New("k8s_external: needs kubernetes in the same block")
		}
		a, err := newExternal(&b.options.Externals[i], &b.options.Kubernetes[0])
		if err != nil {
			return fmt.Errorf("k8s_external: %w", err)
		}
		b.externals = append(b.externals, a)
	}
	return nil
}

func newExternal(o *External, of *Kubernetes) (*authority, error) {
	a := &authority{ttl: uint32(o.TTL.Seconds()), index: of.Index, local: of.Local}
	var err error
	if a.zones, err = zones.NewSet(o.Zones); err != nil {
		return nil, err
	}
	if a.fallthroughs, err = zones.NewSet(o.Fallthrough.Zones); err != nil {
		return nil, err
	}
	apex, err := wire.ParseName(o.Apex)
	if err != nil {
		return nil, fmt.Errorf("apex: %w", err)
	}
	labels := string(apex[:len(apex)-1])
	e := external{External: zones.External{Apex: labels, Headless: o.Headless}, server: "\x03ns1" + labels,
		master: labelsMaster + labels}
	for _, name := range o.Zones {
		zone, err := wire.ParseName(name)
		if err != nil {
			return nil, err
		}
		e.Labels = wire.Labels(zone)
		own := e
		a.infos = append(a.infos, zoneInfo{name: string(zone), index: of.Index, svc: string(zone),
			ns: e.server + string(zone), source: FromExternal, external: &own})
	}
	return a, nil
}

// CheckExternal says why a zone called name cannot be an external zone with that apex: one of the names that every such
// zone has would be too long (RFC 1035 section 2.3.4).
func CheckExternal(name, apex string) error {
	zone, err := wire.ParseName(name)
	if err != nil {
		return err
	}
	labels, err := wire.ParseName(apex)
	if err != nil || len(labels) == 1 {
		return fmt.Errorf("apex %q is no name below a zone", apex)
	}
	if size := len(zone) + len(labels) - 1 + len(labelsMaster); size > wire.MaxName {
		return fmt.Errorf("%s is too long for hostmaster.%s below it to be a name", name, apex)
	}
	return nil
}

// answerExternal answers q from the first external zone that has an answer.
func answerExternal(r *Request, q *question) result {
	for i := range q.scope.external {
		if res := q.scope.external[i].answerExternal(r, q); res.outcome != pass {
			return res
		}
	}
	return result{}
}

func (z *servedZone) answerExternal(r *Request, q *question) result {
	snapshot, m := z.info.index.Snapshot(), &r.match
	snapshot.LookupExternal(m, q.name, &z.info.external.External)
	switch m.Outcome {
	case zones.Unsynced:
		return z.notReady()
	case zones.Missing:
		return z.missing(r, snapshot)
	case zones.Found:
		if target := m.Node.CNAME(); target != "" {
			return r.aged(r.follow(q, FromExternal, z.ttl, target), snapshot.Stale())
		}
		z.records(r, q, snapshot)
	case zones.NameServer:
		z.externalServer(r, q, snapshot)
	case zones.Apex:
		z.externalApex(r, q, snapshot)
	}
	return z.found(r, q, snapshot)
}

// externalServer answers for ns1.<apex>.<zone>: it has the addresses that the service which fronts this server has
// outside the cluster.
func (z *servedZone) externalServer(r *Request, q *question, snapshot *zones.Snapshot) {
	n, ok := z.front(r, snapshot)
	if !ok {
		return
	}
	if q.wants(&r.Reply, wire.TypeA) {
		r.rotated(q.owner, wire.TypeA, z.ttl, n.A(), 4)
	}
	if q.wants(&r.Reply, wire.TypeAAAA) {
		r.rotated(q.owner, wire.TypeAAAA, z.ttl, n.AAAA(), 16)
	}
}

// front is the node, in an external zone, of the service that fronts this server.
func (z *servedZone) front(r *Request, snapshot *zones.Snapshot) (n zones.Node, ok bool) {
	for _, server := range z.fronts(r, snapshot) {
		if snapshot.External(&n, server.Service().Owner()) {
			return n, true
		}
	}
	return n, false
}

// externalApex answers for the zone's own name: SOA and NS.
func (z *servedZone) externalApex(r *Request, q *question, snapshot *zones.Snapshot) {
	if q.wants(&r.Reply, wire.TypeSOA) {
		soa := z.soa(snapshot)
		soa.write(&r.Reply, q)
	}
	if !q.wants(&r.Reply, wire.TypeNS) {
		return
	}
	at, ok := r.Reply.AddName(q.owner, wire.TypeNS, z.ttl, nil, z.info.ns)
	if n, fronted := z.front(r, snapshot); ok && fronted {
		r.Reply.Begin(wire.Additional)
		r.rotated(at, wire.TypeA, z.ttl, n.A(), 4)
		r.rotated(at, wire.TypeAAAA, z.ttl, n.AAAA(), 16)
	}
}

// externalApex adds the NS record of an external zone to a transfer, and the addresses of its name server.
func (t *transferWriter) externalApex() {
	z := t.zone
	t.add(t.q.name.Name(), wire.TypeNS, []byte(z.info.ns))
	n, ok := z.front(t.r, t.snapshot)
	if !ok {
		return
	}
	for _, set := range []struct {
		typ    wire.Type
		packed string
		size   int
	}{{wire.TypeA, n.A(), 4}, {wire.TypeAAAA, n.AAAA(), 16}} {
		for ; set.packed != ""; set.packed = set.packed[set.size:] {
			t.add([]byte(z.info.ns), set.typ, []byte(set.packed[:set.size]))
		}
	}
}
