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
	r.targets = r.targets[:0]
	fits := true
	fronted := a.fronts(r, snapshot, func(n *zones.Node) {
		if !fits {
			return
		}
		var at wire.Pointer
		if at, fits = r.Reply.Named(q.owner, wire.TypeNS, a.ttl, nil, n.Name(), n.Unit().Owner(), z.servers); fits {
			nodes, r.targets = append(nodes, *n), append(r.targets, at)
		}
	})
	switch {
	case !fits:
		return
	case !fronted:
		a.ownNameServer(r, q, z)
		return
	}
	r.Reply.Begin(wire.Additional)
	for i, at := range r.targets {
		r.addresses(at, wire.TypeA, a.ttl, nodes[i].A(), 4, 0)
		r.addresses(at, wire.TypeAAAA, a.ttl, nodes[i].AAAA(), 16, 0)
	}
}

// ownNameServer adds the NS record of a zone without a service that fronts this server.
func (a *authority) ownNameServer(r *Request, q question, z *zone) {
	at, ok := r.Reply.Named(q.owner, wire.TypeNS, a.ttl, nil, z.ns)
	if !ok || r.Query.Type == wire.TypeANY {
		return
	}
	r.Reply.Begin(wire.Additional)
	a.ownAddresses(r, func(v4, v6 string) {
		r.addresses(at, wire.TypeA, a.ttl, v4, 4, 0)
		r.addresses(at, wire.TypeAAAA, a.ttl, v6, 16, 0)
	})
}

// addressTypes are the types of address records, in the order in which ANY looks for them.
var addressTypes = [...]wire.Type{wire.TypeA, wire.TypeAAAA}

// nameServerAddresses answers for ns.dns.<zone>.
func (a *authority) nameServerAddresses(r *Request, q question, snapshot *zones.Snapshot) {
	for _, t := range addressTypes {
		if r.wants(t) {
			a.serverAddresses(r, snapshot, t, func(packed string) bool { return r.Reply.Record(q.owner, t, a.ttl, packed) })
		}
	}
}

// serverAddresses calls yield with each address of ns.dns.<zone> that a record of type t holds, until it returns false. Hosts may share one,
// which comes once (RFC 2181 section 5).
func (a *authority) serverAddresses(r *Request, snapshot *zones.Snapshot, t wire.Type, yield func(packed string) bool) {
	seen, more := map[string]bool{}, true
	add := func(v4, v6 string) {
		packed, size := v4, 4
		if t == wire.TypeAAAA {
			packed, size = v6, 16
		}
		for ; more && packed != ""; packed = packed[size:] {
			if addr := packed[:size]; !seen[addr] {
				seen[addr] = true
				more = yield(addr)
			}
		}
	}
	if !a.fronts(r, snapshot, func(n *zones.Node) { add(n.A(), n.AAAA()) }) {
		a.ownAddresses(r, add)
	}
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
