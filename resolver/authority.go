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

// authority answers for the zones of one `kubernetes` directive from its index.
type authority struct {
	zones        zones.Set
	infos        []zoneInfo // by index of zones
	ttl          uint32
	fallthroughs zones.Set
	local        []netip.Addr
	svc          string       // "svc.<first cluster zone>" in wire form: where PTR records point
	index        *zones.Index // of that zone
}

// zoneInfo is what an authority knows of one of its zones.
type zoneInfo struct {
	name     string // in wire form
	reverse  bool
	index    *zones.Index // of the cluster, or of the clusterset
	version  string       // of the specification that the zone follows
	pods     zones.Pods
	svc      string // "svc.<cluster zone>" in wire form
	frontSVC string // the same, of the zone in which the service that fronts this server has its name
	ns       string // "ns.dns.<cluster zone>" in wire form
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
		wireName, err := wire.ParseName(name)
		if err != nil {
			return nil, err
		}
		z := zoneInfo{
			name: string(wireName), reverse: zones.IsArpa(wireName), index: o.Index, version: specVersion, pods: o.Pods,
			svc: labelsSvc + string(wireName), ns: labelsNS + string(wireName),
		}
		if slices.Contains(o.MultiCluster, name) {
			z.version, z.index, z.pods = multiVersion, o.MultiIndex, zones.PodsDisabled // pods have no names in a clusterset
			if z.index == nil {
				z.index = zones.NewIndex() // nothing has been read: no name below svc can be said not to exist
			}
		}
		a.infos = append(a.infos, z)
	}
	first := slices.IndexFunc(a.infos, func(z zoneInfo) bool { return !z.reverse && z.index == o.Index })
	if first < 0 {
		first = slices.IndexFunc(a.infos, func(z zoneInfo) bool { return !z.reverse })
	}
	if first < 0 {
		return nil, fmt.Errorf("kubernetes: %s: one zone must not be a reverse zone, for PTR records to point into", strings.Join(o.Zones, " "))
	}
	a.svc, a.index = a.infos[first].svc, a.infos[first].index
	for i := range a.infos {
		z := &a.infos[i]
		z.frontSVC = z.svc
		if z.reverse || z.index != a.index {
			z.frontSVC = a.svc
		}
		if z.reverse { // nothing but addresses has names there
			z.ns = labelsNS + strings.TrimPrefix(a.svc, labelsSvc)
		}
	}
	return a, nil
}

// IsReverse reports whether name, a zone, is one of addresses: RFC 1035 section 3.5 and RFC 3596 section 2.5.
func IsReverse(name string) bool {
	zone, err := wire.ParseName(name)
	return err == nil && zones.IsArpa(zone)
}

// CheckZone says why name cannot be the zone of an authority: it is no name, or the names that each zone has at once would be longer
// than a name may be (RFC 1035 section 2.3.4).
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

// view is an authority as it is responsible for the names of one scope.
type servedZone struct {
	*authority
	info    *zoneInfo
	labels  int  // of the zone
	through bool // names that do not exist pass on (option fallthrough)
}

// answer answers q from the index of its zone.
func (v *servedZone) answer(r *Request, q *question) result {
	snapshot := v.info.index.Snapshot()
	if v.info.reverse {
		return v.answerReverse(r, q, snapshot)
	}
	m := &r.match
	snapshot.Lookup(m, q.name, v.labels, v.info.pods)
	switch m.Outcome {
	case zones.Unsynced:
		return notReady
	case zones.Missing:
		return v.missing(snapshot)
	case zones.Found:
		if target := m.Node.CNAME(); target != "" {
			return r.follow(q, v.ttl, target)
		}
		v.records(r, q)
	case zones.Pod:
		if q.wants(&r.Reply, addressType(m.Addr)) {
			r.addAddress(q.owner, v.ttl, m.Addr)
		}
	case zones.Version:
		if q.wants(&r.Reply, wire.TypeTXT) {
			r.Reply.AddText(q.owner, versionTTL, v.info.version)
		}
	case zones.NameServer:
		v.nameServerAddresses(r, q, v.fronting(v.info, snapshot))
	case zones.Apex:
		v.apexRecords(r, q, snapshot)
	}
	return v.found(r, q, snapshot)
}

// missing is the result for a name that does not exist.
func (v *servedZone) missing(snapshot *zones.Snapshot) result {
	if v.through {
		return result{}
	}
	return result{outcome: nxdomain, source: FromKubernetes, authoritative: true, rcode: wire.NameError, lookup: true, soa: v.soa(snapshot)}
}

// found is the result for a name that exists. An answer that was cut has records all the same.
func (v *servedZone) found(r *Request, q *question, snapshot *zones.Snapshot) result {
	if q.empty(&r.Reply) && !r.Reply.Truncated() {
		return result{outcome: nodata, source: FromKubernetes, authoritative: true, lookup: true, soa: v.soa(snapshot)}
	}
	return result{outcome: answered, source: FromKubernetes, authoritative: true}
}

// notReady is the result while the cluster has not been read.
var notReady = failure(FromKubernetes, wire.ServerFailure, wire.NotReady, edeUnsynced)

func (v *servedZone) soa(snapshot *zones.Snapshot) soa {
	return soa{labels: v.labels, serial: snapshot.Serial(), ttl: min(v.ttl, maxSOATTL), negative: v.ttl, exists: true}
}

// records adds the rrset of a node that the qtype asks for.
func (v *servedZone) records(r *Request, q *question) {
	n := &r.match.Node
	if q.wants(&r.Reply, wire.TypeA) {
		r.rotated(q, wire.TypeA, v.ttl, n.A(), 4)
	}
	if q.wants(&r.Reply, wire.TypeAAAA) {
		r.rotated(q, wire.TypeAAAA, v.ttl, n.AAAA(), 16)
	}
	if q.wants(&r.Reply, wire.TypeSRV) {
		v.services(r, q, n)
	}
}

// services adds the SRV records of n and, as additional data, the addresses of their targets (RFC 2782).
func (v *servedZone) services(r *Request, q *question, n *zones.Node) {
	r.targets = r.targets[:0]
	for i := range n.SRVs() {
		fixed, target := n.SRV(i)
		at, ok := r.Reply.AddName(q.owner, wire.TypeSRV, v.ttl, fixed[:], target.Name(), target.Service().Owner(), v.info.svc)
		if !ok {
			return
		}
		r.targets = append(r.targets, at)
	}
	r.Reply.Begin(wire.Additional)
	last := ""
	for i, at := range r.targets {
		_, target := n.SRV(i)
		if i > 0 && target.Name() == last {
			continue // several ports of one target stand side by side
		}
		last = target.Name()
		if at == 0 {
			v.farAddresses(r, &target)
			continue
		}
		r.addresses(at, wire.TypeA, v.ttl, target.A(), 4, 0)
		r.addresses(at, wire.TypeAAAA, v.ttl, target.AAAA(), 16, 0)
	}
}

// farAddresses adds the addresses of a target that stands where no pointer reaches, behind the first 16 KiB of a reply over TCP (RFC 1035
// section 4.1.4), with its name written again. A target whose name is too long is in no record.
func (v *servedZone) farAddresses(r *Request, target *zones.Node) {
	if len(target.Name())+len(target.Service().Owner())+len(v.info.svc) > wire.MaxName {
		return
	}
	owner := []byte(target.Name() + target.Service().Owner() + v.info.svc)
	for addr := range slices.Chunk([]byte(target.A()), 4) {
		r.Reply.AddRaw(owner, wire.TypeA, wire.ClassIN, v.ttl, addr)
	}
	for addr := range slices.Chunk([]byte(target.AAAA()), 16) {
		r.Reply.AddRaw(owner, wire.TypeAAAA, wire.ClassIN, v.ttl, addr)
	}
}

// apexRecords answers for the zone's own name: SOA and NS.
func (v *servedZone) apexRecords(r *Request, q *question, snapshot *zones.Snapshot) {
	if q.wants(&r.Reply, wire.TypeSOA) {
		soa := v.soa(snapshot)
		soa.write(&r.Reply, q)
	}
	if q.wants(&r.Reply, wire.TypeNS) {
		v.nameServers(r, q, v.fronting(v.info, snapshot), v.info)
	}
}

// answerReverse answers a name of a reverse zone: the owners of PTR records exist there and nothing else does.
func (v *servedZone) answerReverse(r *Request, q *question, snapshot *zones.Snapshot) result {
	r.match = zones.Match{}
	if q.name.Labels() == v.labels {
		r.match.Outcome = zones.Apex
		v.apexRecords(r, q, snapshot)
		return v.found(r, q, snapshot)
	}
	addr, ok := zones.ParseArpa(q.name)
	if !ok {
		return v.missing(snapshot)
	}
	if !snapshot.Synced(zones.ServiceKinds) {
		return notReady
	}
	ptr := snapshot.Reverse(&r.match, addr)
	if ptr == nil {
		r.match.Why = zones.NoAddress
		return v.missing(snapshot)
	}
	r.match.Outcome = zones.Found
	if q.wants(&r.Reply, wire.TypePTR) {
		for ; ptr != nil; ptr = ptr.Next() {
			if _, ok := r.Reply.AddName(q.owner, wire.TypePTR, v.ttl, nil, ptr.Host(), ptr.Service(), v.svc); !ok {
				break
			}
		}
	}
	return v.found(r, q, snapshot)
}
