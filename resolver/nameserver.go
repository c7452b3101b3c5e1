package resolver

import (
	"net/netip"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// The name servers of a cluster zone are the names of the service that fronts this server: the service among whose endpoints one of
// our own addresses is. Outside a cluster there is none, and ns.dns.<zone> with our own addresses stands in.

// fronting is the snapshot that has the service: the cluster's, also for a zone of the clusterset, of which snapshot is.
func (a *authority) fronting(z *zone, snapshot *zones.Snapshot) *zones.Snapshot {
	if z.index != a.index {
		return a.index.Snapshot()
	}
	return snapshot
}

// fronts calls yield with each node that names this server: a service with cluster IPs, or our hosts below a headless one. One of our
// addresses is enough, the others belong to the same pod; the one that was asked is tried first.
func (a *authority) fronts(r *Request, snapshot *zones.Snapshot, yield func(*zones.Node)) bool {
	if r.Local.IsValid() && frontsOf(r.Local, snapshot, yield) {
		return true
	}
	for _, addr := range a.local {
		if frontsOf(addr, snapshot, yield) {
			return true
		}
	}
	return false
}

// frontsOf asks each service that has the address once, by however many names it has it.
func frontsOf(addr netip.Addr, snapshot *zones.Snapshot, yield func(*zones.Node)) (found bool) {
	asked := map[string]bool{}
	for p := snapshot.Reverse(new(zones.Match), addr); p != nil; p = p.Next() {
		if service := p.Service(); !asked[service] {
			asked[service] = true
			found = snapshot.FrontOf(p, yield) || found
		}
	}
	return found
}

// nameServers adds the NS records of a zone, with the addresses of their targets.
func (a *authority) nameServers(r *Request, q question, snapshot *zones.Snapshot, z *zone) {
	var nodes []zones.Node
	a.fronts(r, snapshot, func(n *zones.Node) { nodes = append(nodes, *n) })
	if len(nodes) == 0 {
		at, ok := r.Reply.Named(q.owner, wire.TypeNS, a.ttl, nil, z.ns)
		if !ok || r.Query.Type == wire.TypeANY {
			return
		}
		r.Reply.Begin(wire.Additional)
		a.ownAddresses(r, func(v4, v6 string) {
			r.addresses(at, wire.TypeA, a.ttl, v4, 4, 0)
			r.addresses(at, wire.TypeAAAA, a.ttl, v6, 16, 0)
		})
		return
	}
	r.targets = r.targets[:0]
	for i := range nodes {
		at, ok := r.Reply.Named(q.owner, wire.TypeNS, a.ttl, nil, nodes[i].Name(), nodes[i].Unit().Owner(), z.servers)
		if !ok {
			return
		}
		r.targets = append(r.targets, at)
	}
	r.Reply.Begin(wire.Additional)
	for i, at := range r.targets {
		r.addresses(at, wire.TypeA, a.ttl, nodes[i].A(), 4, 0)
		r.addresses(at, wire.TypeAAAA, a.ttl, nodes[i].AAAA(), 16, 0)
	}
}

// nameServerAddresses answers for ns.dns.<zone>: with each address once, though hosts may share one (RFC 2181 section 5).
func (a *authority) nameServerAddresses(r *Request, q question, snapshot *zones.Snapshot) {
	var v4, v6 string
	add := func(more4, more6 string) { v4, v6 = union(v4, more4, 4), union(v6, more6, 16) }
	if !a.fronts(r, snapshot, func(n *zones.Node) { add(n.A(), n.AAAA()) }) {
		a.ownAddresses(r, add)
	}
	if r.wants(wire.TypeA) {
		r.addresses(q.owner, wire.TypeA, a.ttl, v4, 4, 0)
	}
	if r.wants(wire.TypeAAAA) {
		r.addresses(q.owner, wire.TypeAAAA, a.ttl, v6, 16, 0)
	}
}

// union is all packed addresses, of size octets each, that list or more has.
func union(list, more string, size int) string {
next:
	for ; len(more) > 0; more = more[size:] {
		for have := list; len(have) > 0; have = have[size:] {
			if have[:size] == more[:size] {
				continue next
			}
		}
		list += more[:size]
	}
	return list
}

// ownAddresses calls add with this server's addresses, packed: those it listens on, else the one that was asked.
func (a *authority) ownAddresses(r *Request, add func(v4, v6 string)) {
	local := a.local
	if len(local) == 0 && r.Local.IsValid() {
		local = append(local, r.Local)
	}
	for _, addr := range local {
		if addr = addr.Unmap(); addr.Is4() {
			ip := addr.As4()
			add(string(ip[:]), "")
		} else {
			ip := addr.As16()
			add("", string(ip[:]))
		}
	}
}
