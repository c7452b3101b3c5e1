package resolver

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

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
	zones  zoneSet
	detail []zone // by value of zones
	ttl    uint32
	onward zoneSet
	local  []netip.Addr
	svc    string       // "svc.<first cluster zone>" in wire form: where PTR records point
	index  *zones.Index // of that zone
}

// zone is one name an authority answers for.
type zone struct {
	name    string // in wire form
	reverse bool
	index   *zones.Index // of the cluster, or of the clusterset
	version string       // of the specification that the zone follows
	pods    zones.Pods
	svc     string // "svc.<cluster zone>" in wire form
	servers string // the same, of the zone in which the service that fronts this server has its name
	ns      string // "ns.dns.<cluster zone>" in wire form
}

// newAuthority compiles the options of one directive.
func newAuthority(o Kubernetes) (*authority, error) {
	a := &authority{ttl: uint32(o.TTL.Seconds()), local: o.Local}
	var err error
	if a.zones, err = newZoneSet(o.Zones); err != nil {
		return nil, err
	}
	if a.onward, err = newZoneSet(o.Fallthrough.Zones); err != nil {
		return nil, err
	}
	for _, name := range o.Zones {
		wireName, err := wire.ParseName(name)
		if err != nil {
			return nil, err
		}
		z := zone{name: string(wireName), reverse: IsReverse(name), index: o.Index, version: specVersion, pods: o.Pods, svc: labelsSvc + string(wireName), ns: labelsNS + string(wireName)}
		if slices.Contains(o.MultiCluster, name) {
			z.version, z.index, z.pods = multiVersion, o.MultiIndex, zones.PodsDisabled // pods have no names in a clusterset
			if z.index == nil {
				z.index = zones.NewIndex() // nothing has been read: no name below svc can be said not to exist
			}
		}
		a.detail = append(a.detail, z)
	}
	home := slices.IndexFunc(a.detail, func(z zone) bool { return !z.reverse && z.index == o.Index })
	if home < 0 {
		home = slices.IndexFunc(a.detail, func(z zone) bool { return !z.reverse })
	}
	if home < 0 {
		return nil, fmt.Errorf("kubernetes: %s: one zone must not be a reverse zone, for PTR records to point into", strings.Join(o.Zones, " "))
	}
	a.svc, a.index = a.detail[home].svc, a.detail[home].index
	for i := range a.detail {
		z := &a.detail[i]
		z.servers = z.svc
		if z.reverse || z.index != a.index {
			z.servers = a.svc
		}
		if z.reverse { // nothing but addresses has names there
			z.ns = labelsNS + strings.TrimPrefix(a.svc, labelsSvc)
		}
	}
	return a, nil
}

// IsReverse reports whether name, a zone, is one of addresses: RFC 1035 section 3.5 and RFC 3596 section 2.5.
func IsReverse(name string) bool {
	return dns.IsSubDomain("in-addr.arpa.", name) || dns.IsSubDomain("ip6.arpa.", name)
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

// question is one name to be answered on the way of a request: the qname, or what it is an alias of.
type question struct {
	name  *wire.QName
	owner wire.Pointer // where the name stands in the reply
	zone  int          // labels of the zone it was found in
}

// apex points at the zone's own name in the reply: the end of the question's name.
func (q *question) apex(reply *wire.Reply) wire.Pointer {
	return reply.Suffix(q.owner, q.name.Labels()-q.zone)
}

// step is what became of a question in one step.
type step uint8

const (
	pass   step = iota // the next step's turn
	done               // answered
	alias              // Request.alias is to be resolved next
	ask                // only an upstream knows, and blocking is not allowed here
	stream             // a zone transfer: more than one message
)

// answer answers q if it is in one of the zones. Names that do not exist pass on under `fallthrough`.
func (a *authority) answer(r *Request, q question) step {
	value, labels, ok := a.zones.match(q.name)
	if !ok {
		return pass
	}
	q.zone = labels
	z := &a.detail[value]
	snapshot := z.index.Snapshot()
	if z.reverse {
		return a.answerReverse(r, q, snapshot, z)
	}
	m := &r.match
	snapshot.Lookup(m, q.name, labels, z.pods)
	if m.Outcome == zones.Missing && a.onward.contains(q.name) {
		return pass
	}
	r.Source = FromKubernetes
	switch m.Outcome {
	case zones.Unsynced:
		return r.notReady()
	case zones.Missing:
		r.Reply.Rcode = wire.NameError
	case zones.Found:
		if target := m.Node.CNAME(); target != "" {
			return r.follow(q, a.ttl, target)
		}
		a.records(r, q, z)
	case zones.Pod:
		r.address(q, a.ttl, m.Addr)
	case zones.Version:
		if r.wants(wire.TypeTXT) {
			r.Reply.Text(q.owner, versionTTL, z.version)
		}
	case zones.NameServer:
		a.nameServerAddresses(r, q, a.fronting(z, snapshot))
	case zones.Apex:
		a.apexRecords(r, q, snapshot, z)
	}
	return a.finish(r, q, snapshot)
}

// finish sets what all authoritative answers share. An answer without records carries the SOA (RFC 2308 section 3) and says why.
func (a *authority) finish(r *Request, q question, snapshot *zones.Snapshot) step {
	r.Reply.SetFlags(wire.FlagAA)
	if r.answered == r.Reply.Count(wire.Answer) && !r.Reply.Truncated() {
		r.explain(&r.match)
		r.Reply.Begin(wire.Authority)
		a.soa(r, q, snapshot)
	}
	return done
}

func (a *authority) soa(r *Request, q question, snapshot *zones.Snapshot) {
	r.Reply.SOA(q.apex(&r.Reply), q.name.Suffix(q.name.Labels()-q.zone), min(a.ttl, maxSOATTL), labelsNS, labelsMaster,
		[5]uint32{snapshot.Serial(), soaRefresh, soaRetry, soaExpire, a.ttl})
}

// records adds the rrset of a node that the qtype asks for.
func (a *authority) records(r *Request, q question, z *zone) {
	n := &r.match.Node
	if r.wants(wire.TypeA) {
		r.rotated(q, wire.TypeA, a.ttl, n.A(), 4)
	}
	if r.wants(wire.TypeAAAA) {
		r.rotated(q, wire.TypeAAAA, a.ttl, n.AAAA(), 16)
	}
	if r.wants(wire.TypeSRV) {
		a.services(r, q, n, z)
	}
}

// services adds the SRV records of n and, as additional data, the addresses of their targets (RFC 2782).
func (a *authority) services(r *Request, q question, n *zones.Node, z *zone) {
	r.targets = r.targets[:0]
	for i := range n.Services() {
		fixed, target := n.Service(i)
		at, ok := r.Reply.Named(q.owner, wire.TypeSRV, a.ttl, fixed[:], target.Name(), target.Unit().Owner(), z.svc)
		if !ok {
			return
		}
		r.targets = append(r.targets, at)
	}
	r.Reply.Begin(wire.Additional)
	last := ""
	for i, at := range r.targets {
		_, target := n.Service(i)
		if i > 0 && target.Name() == last {
			continue // several ports of one target stand side by side
		}
		last = target.Name()
		if at == 0 {
			a.farAddresses(r, &target, z)
			continue
		}
		r.addresses(at, wire.TypeA, a.ttl, target.A(), 4, 0)
		r.addresses(at, wire.TypeAAAA, a.ttl, target.AAAA(), 16, 0)
	}
}

// farAddresses adds the addresses of a target that stands where no pointer reaches, behind the first 16 KiB of a reply over TCP (RFC 1035
// section 4.1.4), with its name written again. A target whose name is too long is in no record.
func (a *authority) farAddresses(r *Request, target *zones.Node, z *zone) {
	if len(target.Name())+len(target.Unit().Owner())+len(z.svc) > wire.MaxName {
		return
	}
	owner := []byte(target.Name() + target.Unit().Owner() + z.svc)
	for addr := range slices.Chunk([]byte(target.A()), 4) {
		r.Reply.Owned(owner, wire.TypeA, wire.ClassIN, a.ttl, addr)
	}
	for addr := range slices.Chunk([]byte(target.AAAA()), 16) {
		r.Reply.Owned(owner, wire.TypeAAAA, wire.ClassIN, a.ttl, addr)
	}
}

// apexRecords answers for the zone's own name: SOA and NS.
func (a *authority) apexRecords(r *Request, q question, snapshot *zones.Snapshot, z *zone) {
	if r.wants(wire.TypeSOA) {
		a.soa(r, q, snapshot)
	}
	if r.wants(wire.TypeNS) {
		a.nameServers(r, q, a.fronting(z, snapshot), z)
	}
}

// answerReverse answers a name of a reverse zone: the owners of PTR records exist there and nothing else does.
func (a *authority) answerReverse(r *Request, q question, snapshot *zones.Snapshot, z *zone) step {
	r.match = zones.Match{}
	if q.name.Labels() == q.zone {
		r.Source = FromKubernetes
		r.match.Outcome = zones.Apex
		a.apexRecords(r, q, snapshot, z)
		return a.finish(r, q, snapshot)
	}
	addr, ok := reverseAddr(q.name)
	if ok && !snapshot.Synced(zones.ServiceKinds) {
		r.Source = FromKubernetes
		return r.notReady()
	}
	var pointer *zones.Pointer
	if ok {
		pointer = snapshot.Reverse(&r.match, addr)
	}
	if pointer == nil && a.onward.contains(q.name) {
		return pass
	}
	r.Source = FromKubernetes
	if pointer == nil {
		r.Reply.Rcode = wire.NameError
		if ok {
			r.match.Why = zones.NoAddress
		}
		return a.finish(r, q, snapshot)
	}
	r.match.Outcome = zones.Found
	if r.wants(wire.TypePTR) {
		for ; pointer != nil; pointer = pointer.Next() {
			if _, ok := r.Reply.Named(q.owner, wire.TypePTR, a.ttl, nil, pointer.Host(), pointer.Service(), a.svc); !ok {
				break
			}
		}
	}
	return a.finish(r, q, snapshot)
}
