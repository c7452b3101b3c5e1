package resolver

import (
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Session affinity: an answer with the endpoints of a headless service whose sessionAffinity is ClientIP has those first
// that come first for the client (zones/affinity.go). All others stand behind them, for clients that find the first one
// dead. It is the service that says so, so loadbalance leaves such answers as they are. For whom such an answer may be
// kept is said as with nearest endpoints.

// key stands for the client in scores: for the network that a cache asks for (RFC 7871), if it says one. That the answer is
// the client's own is noted.
func (r *Request) key() zones.ClientKey {
	r.affine = true
	if network := r.subnet.Network; network.IsValid() {
		return zones.NewClientKey(network.Addr())
	}
	return zones.NewClientKey(r.Client.Addr())
}

// eachAddress calls yield with the addresses of the A or AAAA records of n that near gives, nil for all, in the order that
// they have for the client, until yield returns false.
func (r *Request) eachAddress(n *zones.Node, t wire.Type, near *zones.Near, yield func(addr string) bool) {
	packed, before, size := n.A(), 0, 4
	if t == wire.TypeAAAA {
		packed, before, size = n.AAAA(), len(n.A())/4, 16
	}
	switch {
	case len(packed) > size && n.Service().Affine():
		l := n.Lead(r.key(), size, near)
		for i := range l.Count() {
			if !yield(packed[l.At(i)*size:][:size]) {
				return
			}
		}
		for i := range len(packed) / size {
			if !l.Has(i) && near.Has(n, before+i) && !yield(packed[i*size:][:size]) {
				return
			}
		}
	case near != nil:
		r.eachNear(n, packed, before, size, near, yield)
	default:
		for _, part := range r.turned(packed, size) {
			for ; part != ""; part = part[size:] {
				if !yield(part[:size]) {
					return
				}
			}
		}
	}
}

// addAddresses adds the A or AAAA records of n that near gives.
func (r *Request) addAddresses(owner wire.Offset, t wire.Type, ttl uint32, n *zones.Node, near *zones.Near) {
	r.eachAddress(n, t, near, func(addr string) bool { return r.Reply.AddRecord(owner, t, ttl, addr) })
}

// srvs is the SRV records of n to endpoints that near gives in the order that they have for the client.
func (r *Request) srvs(n *zones.Node, near *zones.Near) zones.SRVs {
	if n.Service().Affine() {
		return n.LeadSRVs(r.key(), near)
	}
	return n.SRVs(near)
}
