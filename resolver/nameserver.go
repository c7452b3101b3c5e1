package resolver

import (
	"net/netip"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// The name servers of a cluster zone are the names of the service that fronts this server: one that operators have made,
// with one of our own addresses among its endpoints (watch.Options, and zones.Builder.Front). Outside a cluster there is
// none, and ns.dns.<zone> with our own addresses stands in.

// maxServers is how many name servers a zone has at most: as many as the root has. What an answer with them costs does not
// grow with the endpoints of a service.
const maxServers = 13

// fronting is the snapshot that has the service that fronts this server: the cluster's. z's own snapshot is another one
// if z is a zone of the clusterset.
func (a *authority) fronting(z *zoneInfo, snapshot *zones.Snapshot) *zones.Snapshot {
	if z.index != a.index {
		return a.index.Snapshot()
	}
	return snapshot
}

// fronts is the names of this server: those of services with cluster IPs, or of our hosts below a headless service. One
// of our addresses is enough, since the others belong to the same pod; the address that the query came to is tried
// first. The list is valid until the next call.
func (a *authority) fronts(r *Request, snapshot *zones.Snapshot) []zones.Node {
	r.fronts = r.fronts[:0]
	if r.Local.IsValid() {
		r.fronts = snapshot.AppendFronts(r.fronts, &r.match, r.Local.Unmap(), maxServers)
	}
	for _, addr := range a.local {
		if len(r.fronts) > 0 {
			break
		}
		r.fronts = snapshot.AppendFronts(r.fronts, &r.match, addr.Unmap(), maxServers)
	}
	return r.fronts
}

// firstSight reports whether it is called with what for the first time since clearSeen.
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

// leastRecord is the size of the smallest record in octets: an owner compressed to a pointer, and the fixed part.
const leastRecord = 12

// nameServers adds the NS records of a zone, with the addresses of their targets.
func (a *authority) nameServers(r *Request, q *question, snapshot *zones.Snapshot, z *zoneInfo) {
	servers := a.fronts(r, snapshot)
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
		r.rotated(at, wire.TypeA, a.ttl, servers[i].A(), 4)
		r.rotated(at, wire.TypeAAAA, a.ttl, servers[i].AAAA(), 16)
	}
}

// ownNameServer adds the NS record of a zone when no service fronts this server.
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

// addressTypes are the types of address records, in the order in which ANY tries them.
var addressTypes = [...]wire.Type{wire.TypeA, wire.TypeAAAA}

// nameServerAddresses answers for ns.dns.<zone>.
func (a *authority) nameServerAddresses(r *Request, q *question, snapshot *zones.Snapshot) {
	for _, t := range addressTypes {
		if q.wants(&r.Reply, t) {
			a.serverAddresses(r, snapshot, t, func(addr netip.Addr) bool { return r.addAddress(q.owner, a.ttl, addr) })
		}
	}
}

// serverAddresses calls yield with the addresses of ns.dns.<zone> for records of type t, until yield returns false. An
// address that several hosts share comes once (RFC 2181 section 5).
func (a *authority) serverAddresses(
	r *Request, snapshot *zones.Snapshot, t wire.Type, yield func(netip.Addr) bool,
) {
	servers := a.fronts(r, snapshot)
	if len(servers) == 0 {
		a.ownAddresses(r, t, yield)
		return
	}
	r.clearSeen()
	start := r.first(len(servers))
	for i := range servers {
		server := &servers[(start+i)%len(servers)]
		packed, size := server.A(), 4
		if t == wire.TypeAAAA {
			packed, size = server.AAAA(), 16
		}
		for _, part := range r.turned(packed, size) {
			for ; part != ""; part = part[size:] {
				addr, _ := netip.AddrFromSlice([]byte(part[:size]))
				if r.firstSight(part[:size]) && !yield(addr) {
					return
				}
			}
		}
	}
}

// ownAddresses calls yield with this server's addresses for records of type t, until yield returns false: the addresses
// that it listens on, or else the one that the query came to.
func (a *authority) ownAddresses(r *Request, t wire.Type, yield func(netip.Addr) bool) {
	own := r.own[:0]
	for _, addr := range a.local {
		if addr = addr.Unmap(); addressType(addr) == t {
			own = append(own, addr)
		}
	}
	if addr := r.Local.Unmap(); len(a.local) == 0 && addr.IsValid() && addressType(addr) == t {
		own = append(own, addr)
	}
	r.own = own
	start := r.first(len(own))
	for i := range own {
		if !yield(own[(start+i)%len(own)]) {
			return
		}
	}
}
