package resolver

import (
	"net/netip"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// The name servers of a cluster zone are the names of the service that fronts this server: the service among whose endpoints one of
// our own addresses is. Outside a cluster there is none, and ns.dns.<zone> with our own addresses stands in.

// fronting is the snapshot that has the service: the cluster's, also for a zone of the clusterset, of which snapshot is.
func (a *authority) fronting(z *zoneInfo, snapshot *zones.Snapshot) *zones.Snapshot {
	if z.index != a.index {
		return a.index.Snapshot()
	}
	return snapshot
}

// fronts is the nodes that name this server, at most limit: services with cluster IPs, or our hosts below a headless one. One of our
// addresses is enough, the others belong to the same pod; the one that was asked is tried first. The list is valid until the next call.
func (a *authority) fronts(r *Request, snapshot *zones.Snapshot, limit int) []zones.Node {
	r.fronts = r.fronts[:0]
	if r.Local.IsValid() {
		r.frontsOf(r.Local, snapshot, limit)
	}
	for _, addr := range a.local {
		if len(r.fronts) > 0 {
			break
		}
		r.frontsOf(addr, snapshot, limit)
	}
	return r.fronts
}

// frontsOf adds to servers the nodes of each service that has the address, once, by however many names it has it.
func (r *Request) frontsOf(addr netip.Addr, snapshot *zones.Snapshot, limit int) {
	r.clearSeen()
	for p := snapshot.Reverse(&r.match, addr); p != nil && len(r.fronts) < limit; p = p.Next() {
		if r.firstSight(p.Service()) {
			r.fronts = snapshot.AppendFronts(r.fronts, &r.match, p, limit)
		}
	}
}

// firstSight reports whether something is seen for the first time since clearSeen.
func (r *Request) firstSight(what string) bool {
	if _, ok := r.seen[what]; ok {
		return false
	}
	r.seen[what] = struct{}{}
	return true
}

func (r *Request) clearSeen() {
	if r.seen == nil {
		r.seen = map[string]struct{}{}
	}
	clear(r.seen)
}

// leastRecord is the octets that a record takes at least: its owner as a pointer, and its fixed part.
const leastRecord = 12

// nameServers adds the NS records of a zone, with the addresses of their targets.
func (a *authority) nameServers(r *Request, q *question, snapshot *zones.Snapshot, z *zoneInfo) {
	servers := a.fronts(r, snapshot, r.Reply.Room()/leastRecord+1)
	if len(servers) == 0 {
		a.ownNameServer(r, q, z)
		return
	}
	r.targets = r.targets[:0]
	for i := range servers {
		n := &servers[i]
		at, ok := r.Reply.AddName(q.owner, wire.TypeNS, a.ttl, nil, n.Name(), n.Service().Owner(), z.frontSVC)
		if !ok {
			return
		}
		r.targets = append(r.targets, at)
	}
	r.Reply.Begin(wire.Additional)
	for i, at := range r.targets {
		r.addresses(at, wire.TypeA, a.ttl, servers[i].A(), 4, 0)
		r.addresses(at, wire.TypeAAAA, a.ttl, servers[i].AAAA(), 16, 0)
	}
}

// ownNameServer adds the NS record of a zone without a service that fronts this server.
func (a *authority) ownNameServer(r *Request, q *question, z *zoneInfo) {
	at, ok := r.Reply.AddName(q.owner, wire.TypeNS, a.ttl, nil, z.ns)
	if !ok || q.qtype == wire.TypeANY {
		return
	}
	r.Reply.Begin(wire.Additional)
	for _, t := range addressTypes {
		a.ownAddresses(r, t, func(addr netip.Addr) bool { return r.addAddress(at, a.ttl, addr) })
	}
}

// addressTypes are the types of address records, in the order in which ANY looks for them.
var addressTypes = [...]wire.Type{wire.TypeA, wire.TypeAAAA}

// nameServerAddresses answers for ns.dns.<zone>.
func (a *authority) nameServerAddresses(r *Request, q *question, snapshot *zones.Snapshot) {
	for _, t := range addressTypes {
		if q.wants(&r.Reply, t) {
			limit := r.Reply.Room()/leastRecord + 1
			a.serverAddresses(r, snapshot, t, limit, func(addr netip.Addr) bool { return r.addAddress(q.owner, a.ttl, addr) })
		}
	}
}

// serverAddresses calls yield with each address of ns.dns.<zone> that a record of type t holds, those of at most limit name servers, until it
// returns false. Hosts may share one, which comes once (RFC 2181 section 5).
func (a *authority) serverAddresses(r *Request, snapshot *zones.Snapshot, t wire.Type, limit int, yield func(netip.Addr) bool) {
	servers := a.fronts(r, snapshot, limit)
	if len(servers) == 0 {
		a.ownAddresses(r, t, yield)
		return
	}
	r.clearSeen()
	for i := range servers {
		packed, size := servers[i].A(), 4
		if t == wire.TypeAAAA {
			packed, size = servers[i].AAAA(), 16
		}
		for ; packed != ""; packed = packed[size:] {
			addr, _ := netip.AddrFromSlice([]byte(packed[:size]))
			if r.firstSight(packed[:size]) && !yield(addr) {
				return
			}
		}
	}
}

// ownAddresses calls yield with those of this server's addresses that a record of type t holds, until it returns false: those it listens
// on, else the one that was asked.
func (a *authority) ownAddresses(r *Request, t wire.Type, yield func(netip.Addr) bool) {
	for _, addr := range a.local {
		if addr = addr.Unmap(); addressType(addr) == t && !yield(addr) {
			return
		}
	}
	if addr := r.Local.Unmap(); len(a.local) == 0 && addr.IsValid() && addressType(addr) == t {
		yield(addr)
	}
}
