package resolver

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Fixed facts of a cluster zone, Spec 2.1 and 2.2.
const (
	specVersion   = "1.1.0" // of the Kubernetes DNS-Based Service Discovery specification
	multiVersion  = "1.0.0" // of the Multicluster Service DNS specification
	versionTTL    = 28800   // seconds
	maxSOATTL     = 300     // seconds
	soaRefresh    = 7200    // seconds; retry and expire likewise
	soaRetry      = 1800
	soaExpire     = 86400
	labelsSvc     = "\x03svc"
	labelsNS      = "\x02ns\x03dns"
	labelsMaster  = "\x0ahostmaster"
	labelsVersion = "\x0bdns-version"
)

// authority answers from an index for the zones of one `kubernetes` directive.
type authority struct {
	zones        zones.Set
	infos        []zoneInfo // by index of zones
	ttl          uint32
	fallthroughs zones.Set
	local        []netip.Addr
	svc          string       // "svc.<zone>" in wire form, of the zone that PTR records point into
	index        *zones.Index // of the same zone
	visibility   *visibility  // nil without the option
}

// zoneInfo is one zone of an authority.
type zoneInfo struct {
	name     string // in wire form
	reverse  bool
	index    *zones.Index // of the cluster, or of the clusterset
	version  string       // of the specification that the zone follows
	pods     zones.Pods
	svc      string // "svc.<zone>" in wire form
	frontSVC string // "svc.<zone>" of the zone with the names of the service that fronts this server
	ns       string // "ns.dns.<zone>" in wire form; of the cluster's zone when this one is a reverse zone
	source   Source
	chosen   bool      // of names of several clusters, records lead to some (cluster_id)
	external *external // of k8s_external; else nil
}

// newAuthority compiles the options of one directive.
func newAuthority(o Kubernetes) (*authority, error) {
	a := &authority{ttl: uint32(o.TTL.Seconds()), local: o.Local}
	var err error
	if a.zones, err = zones.NewSet(o.Zones); err != nil {
		return nil, err
	}
	if a.fallthroughs, err = zones.NewSet(o.Fallthrough.Zones); err != nil {
		return nil, err
	}
	for _, name := range o.Zones {
		info, err := newZoneInfo(&o, name)
		if err != nil {
			return nil, err
		}
		a.infos = append(a.infos, info)
	}
	if o.Visibility != nil {
		a.visibility = &visibility{Visibility: *o.Visibility, index: o.Index}
	}
	if err := a.link(o.Index, o.Zones); err != nil {
		return nil, err
	}
	return a, nil
}

// newZoneInfo is the zone called name, one of o.Zones, without what depends on the other zones.
func newZoneInfo(o *Kubernetes, name string) (zoneInfo, error) {
	zone, err := wire.ParseName(name)
	if err != nil {
		return zoneInfo{}, err
	}
	z := zoneInfo{
		name: string(zone), reverse: zones.IsArpa(zone), index: o.Index, version: specVersion, pods: o.Pods,
		svc: labelsSvc + string(zone), ns: labelsNS + string(zone), source: FromKubernetes,
	}
	if slices.Contains(o.MultiCluster, name) {
		// Pods have no names in a clusterset.
		z.version, z.index, z.pods, z.chosen = multiVersion, o.MultiIndex, zones.PodsDisabled, o.NearestCluster
		if z.index == nil {
			z.index = zones.NewIndex() // never synced: names below svc get SERVFAIL, not NXDOMAIN
		}
	}
	return z, nil
}

// link chooses the zone that PTR records and the names of this server point into: the first one of the cluster, or else
// the first one of a clusterset. index is the cluster's.
func (a *authority) link(index *zones.Index, names []string) error {
	first := slices.IndexFunc(a.infos, func(z zoneInfo) bool { return !z.reverse && z.index == index })
	if first < 0 {
		first = slices.IndexFunc(a.infos, func(z zoneInfo) bool { return !z.reverse })
	}
	if first < 0 {
		return fmt.Errorf("%s: one zone must not be a reverse zone, for PTR records to point into",
			strings.Join(names, " "))
	}
	a.svc, a.index = a.infos[first].svc, a.infos[first].index
	for i := range a.infos {
		z := &a.infos[i]
		z.frontSVC = z.svc
		if z.reverse || z.index != a.index {
			z.frontSVC = a.svc
		}
		if z.reverse { // it has no ns.dns of its own
			z.ns = labelsNS + strings.TrimPrefix(a.svc, labelsSvc)
		}
	}
	return nil
}

// IsReverse reports whether the zone called name is one of reverse names (RFC 1035 section 3.5, RFC 3596 section 2.5).
func IsReverse(name string) bool {
	zone, err := wire.ParseName(name)
	return err == nil && zones.IsArpa(zone)
}

// CheckZone says why an authority cannot serve a zone called name: it is not a name, or the names that every such zone
// has would exceed the length of a name (RFC 1035 section 2.3.4).
func CheckZone(name string) error {
	zone, err := wire.ParseName(name)
	if err != nil {
		return err
	}
	longest := labelsVersion
	if IsReverse(name) {
		longest = labelsMaster // in the SOA; it has no dns-version, and ns.dns is in the zone of the cluster
	}
	if size, most := len(zone), wire.MaxName-len(longest); size > most {
		return fmt.Errorf("has %d octets and may have %d, so that %s below it is a name", size, most, longest[1:])
	}
	return nil
}

// servedZone is a zone of an authority that the names of a scope are in.
type servedZone struct {
	*authority
	info    *zoneInfo
	labels  int  // of the zone's name
	through bool // names that do not exist go on to the next step (option fallthrough)
}

// answerServed answers q from the first served zone that has an answer.
func answerServed(r *Request, q *question) result {
	for i := range q.scope.served {
		if res := q.scope.served[i].answer(r, q); res.outcome != pass {
			return res
		}
	}
	return result{}
}

// answer answers q from the index of the zone.
func (z *servedZone) answer(r *Request, q *question) result {
	snapshot := z.info.index.Snapshot()
	if z.info.reverse {
		return z.answerReverse(r, q, snapshot)
	}
	m := &r.match
	snapshot.Lookup(m, q.name, z.labels, z.info.pods)
	z.hide(r, m, snapshot)
	switch m.Outcome {
	case zones.Unsynced:
		return z.notReady()
	case zones.Missing:
		return z.missing(r, snapshot)
	case zones.Found:
		if target := m.Node.CNAME(); target != "" {
			return r.aged(r.follow(q, z.info.source, z.ttl, target), snapshot.Stale())
		}
		z.records(r, q, snapshot)
	case zones.Pod:
		if q.wants(&r.Reply, addressType(m.Addr)) {
			r.addAddress(q.owner, z.ttl, m.Addr)
		}
	case zones.Version:
		if q.wants(&r.Reply, wire.TypeTXT) {
			r.Reply.AddText(q.owner, versionTTL, z.info.version)
		}
	case zones.NameServer:
		z.nameServerAddresses(r, q, z.fronting(z.info, snapshot))
	case zones.Apex:
		z.apexRecords(r, q, snapshot)
	}
	return z.found(r, q, snapshot)
}

// missing is the result for a name that does not exist.
func (z *servedZone) missing(r *Request, snapshot *zones.Snapshot) result {
	if z.through {
		return result{}
	}
	return r.aged(result{
		outcome: nxdomain, source: z.info.source, authoritative: true,
		rcode: wire.NameError, lookup: true, soa: z.soa(snapshot),
	}, snapshot.Stale())
}

// found is the result for a name that exists. A truncated answer counts as one with records, though none may have fit.
func (z *servedZone) found(r *Request, q *question, snapshot *zones.Snapshot) result {
	if q.empty(&r.Reply) && !r.Reply.Truncated() {
		return r.aged(result{outcome: nodata, source: z.info.source, authoritative: true, lookup: true,
			soa: z.soa(snapshot)}, snapshot.Stale())
	}
	return r.aged(result{outcome: answered, source: z.info.source, authoritative: true}, snapshot.Stale())
}

// notReady is the result until the cluster has been read.
func (z *servedZone) notReady() result {
	return failure(z.info.source, wire.ServerFailure, wire.NotReady, unsynced(z.info.index))
}

func (z *servedZone) soa(snapshot *zones.Snapshot) soa {
	return soa{zone: z, serial: snapshot.Serial(), ttl: min(z.ttl, maxSOATTL), negative: z.ttl}
}

// records adds the rrsets of the matched node that q asks for.
func (z *servedZone) records(r *Request, q *question, snapshot *zones.Snapshot) {
	n, ttl := &r.match.Node, z.ttl
	var near *zones.Near
	if n.Nearest() > zones.NearestOff || n.Service().Affine() {
		near, ttl = r.choose(snapshot, n, ttl)
	}
	r.withheld = withholds(near, n, q.qtype)
	if q.wants(&r.Reply, wire.TypeA) {
		r.addAddresses(q.owner, wire.TypeA, ttl, n, near)
	}
	if q.wants(&r.Reply, wire.TypeAAAA) {
		r.addAddresses(q.owner, wire.TypeAAAA, ttl, n, near)
	}
	if q.wants(&r.Reply, wire.TypeSRV) {
		z.services(r, q, n, near, ttl)
	}
}

// services adds the SRV records of n to endpoints that near gives and, as additional data, the addresses of their targets
// (RFC 2782).
func (z *servedZone) services(r *Request, q *question, n *zones.Node, near *zones.Near, ttl uint32) {
	r.targets = r.targets[:0]
	owner, tries := n.Service().Owner(), r.Reply.Room()/leastRecord+1 // a record whose name is too long takes no room
	all := r.srvs(n, near)
	s := all
	for ; tries > 0 && s.Next(); tries-- {
		name := [...]string{s.Target.Name(), owner, z.info.svc}
		parts := name[:]
		if s.Target.IsHost() {
			parts = name[:1]
		}
		at, ok := r.Reply.AddName(q.owner, wire.TypeSRV, ttl, s.Fixed[:], parts...)
		if !ok {
			return
		}
		if s.First {
			r.targets = append(r.targets, at)
		}
	}
	r.Reply.Begin(wire.Additional)
	if len(r.targets) == 1 && near == nil { // it is still at hand
		z.targetAddresses(r, r.targets[0], n, &s.Target, near, ttl)
		return
	}
	s = all
	for _, at := range r.targets {
		s.NextTarget()
		z.targetAddresses(r, at, n, &s.Target, near, ttl)
	}
}

// targetAddresses adds the addresses of a target of n whose name is at an offset of the reply.
func (z *servedZone) targetAddresses(r *Request, at wire.Offset, n, target *zones.Node, near *zones.Near, ttl uint32) {
	if at == 0 || z.info.chosen {
		z.someAddresses(r, at, n, target, near, ttl)
		return
	}
	r.addAddresses(at, wire.TypeA, ttl, target, near)
	r.addAddresses(at, wire.TypeAAAA, ttl, target, near)
}

// someAddresses adds the addresses of a target: where the own cluster comes first, only those that n leads to. An endpoint
// of another cluster may be there for its IPv6 address alone, since the own cluster has IPv4.
// A target that no compression pointer reaches, because it lies behind the first 16 KiB of a reply over TCP (RFC 1035
// section 4.1.4), has its name written again. One whose name would be too long has no record at all.
func (z *servedZone) someAddresses(r *Request, at wire.Offset, n, target *zones.Node, near *zones.Near, ttl uint32) {
	var owner []byte
	if at == 0 {
		if len(target.Name())+len(target.Service().Owner())+len(z.info.svc) > wire.MaxName {
			return
		}
		owner = []byte(target.Name() + target.Service().Owner() + z.info.svc)
	}
	for _, t := range [...]wire.Type{wire.TypeA, wire.TypeAAAA} {
		r.eachAddress(target, t, near, func(addr string) bool {
			switch {
			case z.info.chosen && !n.Has(addr):
				return true
			case at == 0:
				return r.Reply.AddRaw(owner, t, wire.ClassIN, ttl, []byte(addr))
			}
			return r.Reply.AddRecord(at, t, ttl, addr)
		})
	}
}

// apexRecords answers for the zone's own name: SOA and NS.
func (z *servedZone) apexRecords(r *Request, q *question, snapshot *zones.Snapshot) {
	if q.wants(&r.Reply, wire.TypeSOA) {
		soa := z.soa(snapshot)
		soa.write(&r.Reply, q)
	}
	if q.wants(&r.Reply, wire.TypeNS) {
		z.nameServers(r, q, z.fronting(z.info, snapshot), z.info)
	}
}

// between answers the name of the addresses of prefix, between the apex of a reverse zone and owners of PTR records. It
// exists if such owners are below it (RFC 8020). With fallthrough the next steps may have records of it, for they know
// the rest of the tree; that it does not exist they cannot say.
func (z *servedZone) between(r *Request, q *question, snapshot *zones.Snapshot, prefix netip.Prefix) result {
	switch {
	case z.visibility == nil && !snapshot.ReverseWithin(prefix): // else it would tell of hidden ones
		r.match.Why = zones.NoAddress
		return z.missing(r, snapshot)
	case z.through:
		r.wrap(z, q)
		return result{}
	}
	r.match.Outcome = zones.Empty
	return z.found(r, q, snapshot)
}

// after puts NODATA in the place of what the next steps say of an empty non-terminal, unless it is NOERROR.
func (z *servedZone) after(r *Request, w *wrapped, _ result) (again bool) {
	if r.Reply.Rcode == wire.NoError {
		return false
	}
	q := r.repeat(w)
	r.match = zones.Match{Outcome: zones.Empty}
	res := z.found(r, q, z.info.index.Snapshot())
	r.finish(q, &res)
	return false
}

// answerReverse answers a name in a reverse zone, where the apex, the owners of PTR records, and what is between them
// exist.
func (z *servedZone) answerReverse(r *Request, q *question, snapshot *zones.Snapshot) result {
	r.match = zones.Match{}
	if q.name.Labels() == z.labels {
		r.match.Outcome = zones.Apex
		z.apexRecords(r, q, snapshot)
		return z.found(r, q, snapshot)
	}
	prefix, ok := zones.ParseArpa(q.name)
	if !ok {
		return z.missing(r, snapshot)
	}
	if !snapshot.Synced(zones.ServiceKinds) {
		return z.notReady()
	}
	if !prefix.IsSingleIP() {
		return z.between(r, q, snapshot, prefix)
	}
	ptr, client := snapshot.Reverse(&r.match, prefix.Addr()), z.seer(r, snapshot)
	if !client.next(r, &ptr) {
		if client.passed {
			z.visibility.hidden.Add(1)
		}
		r.match.Why = zones.NoAddress
		return z.missing(r, snapshot)
	}
	r.match.Outcome = zones.Found
	if q.wants(&r.Reply, wire.TypePTR) {
		for more := true; more; more = client.next(r, &ptr) {
			if _, ok := r.Reply.AddName(q.owner, wire.TypePTR, z.ttl, nil, ptr.Host(), ptr.Service(), z.svc); !ok {
				break
			}
		}
	}
	return z.found(r, q, snapshot)
}
