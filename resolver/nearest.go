package resolver

import (
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Nearest endpoints (option nearest of kubernetes): of a headless service a client gets those alone that zones.Choose
// gives it. Such an answer is for this client, so whoever keeps it for others must know that. A cache that says for which
// network it asks (EDNS Client Subnet, RFC 7871) is told by the scope of the reply for whom it holds. Who is known to be a
// pod or a node asks for itself. To all others the answer has TTL 0: they may be caches, and their address is not that of
// their clients.

// readSubnet reads the network that a cache asks for.
func (r *Request) readSubnet() {
	var ok bool
	r.subnet, ok = r.Query.Subnet()
	r.wrongSubnet = !ok
}

// checkSubnet answers FORMERR if the network is malformed (RFC 7871 section 7.1.2).
func checkSubnet(r *Request, _ *question) result {
	if r.wrongSubnet {
		return failure(None, wire.FormatError, wire.Other, edeSubnet)
	}
	return result{}
}

// who is the client, as far as s knows it.
func (r *Request) who(s *zones.Snapshot) zones.Client {
	switch {
	case !r.subnet.Given():
		return s.Who(&r.match, r.Client.Addr())
	case r.subnet.Network.IsValid():
		return s.WhoWithin(&r.match, r.subnet.Network)
	}
	return zones.Client{} // it does not want to be known
}

// choose is which endpoints at n the client is given, nil for all, and the TTL of the answer.
func (r *Request) choose(s *zones.Snapshot, n *zones.Node, ttl uint32) (*zones.Near, uint32) {
	client := r.who(s)
	near := &r.near
	s.Choose(near, n, client)
	ordered := n.Service().Affine() && n.Several()
	switch {
	case !near.Depends && !ordered:
		return nil, ttl
	case r.subnet.Network.IsValid() && ordered:
		r.Reply.Scope(r.subnet.Network.Bits()) // to us it is one client
	case r.subnet.Network.IsValid():
		r.Reply.Scope(client.Range)
	case !client.Known():
		ttl = 0
	}
	if !near.Depends {
		near = nil
	}
	return near, ttl
}

// withholds reports whether near keeps all records of n from a question of type t, though there are some.
func withholds(near *zones.Near, n *zones.Node, t wire.Type) bool {
	if near == nil || !near.Local {
		return false
	}
	return t == wire.TypeA && n.A() != "" || t == wire.TypeAAAA && n.AAAA() != "" || t == wire.TypeSRV || t == wire.TypeANY
}

// eachNear calls yield with the packed addresses of n that near gives, those from the index before on, starting at another
// one in each reply if the block rotates, until yield returns false.
func (r *Request) eachNear(n *zones.Node, packed string, before, size int, near *zones.Near, yield func(addr string) bool) {
	count := len(packed) / size
	first := r.first(near.Count(n, before, before+count))
	// of those that are given: from the first one on, then the others
	for _, round := range [...][2]int{{first, count}, {0, first}} {
		at := 0
		for i := 0; i < count && at < round[1]; i++ {
			if !near.Has(n, before+i) {
				continue
			}
			if at >= round[0] && !yield(packed[i*size:][:size]) {
				return
			}
			at++
		}
	}
}

// explainLocal says that a service has endpoints, but none on the client's node.
func (r *Request) explainLocal(m *zones.Match) {
	reply := &r.Reply
	reply.Explain(wire.Other, "service ")
	reply.ExplainName(m.Namespace)
	reply.ExplainMore("/")
	reply.ExplainName(m.Service)
	reply.ExplainMore(edeNotHere)
	reply.ExplainMore(" ")
	reply.ExplainMore(r.near.Node())
}
