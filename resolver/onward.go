package resolver

import (
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// onward has the steps behind forward asked when the upstreams of grpc deny a name, or none of them answers (option
// fallthrough of grpc). It is a wrapper, so that it is the same for what the cache has.
type onward struct {
	names zones.Set
	grpc  *forwarder
	next  int // index of the first of these steps
}

// newOnward compiles the option, if there is a step behind forward.
func (b *block) newOnward() (err error) {
	o := b.options
	if len(o.Onward.Zones) == 0 || !o.Whoami && o.Erratic == nil {
		return nil
	}
	b.onward = &onward{grpc: b.forwarders[len(b.forwarders)-1]}
	b.onward.names, err = zones.NewSet(o.Onward.Zones)
	return err
}

// wrap has onward see the answer to a question for grpc.
func (o *onward) wrap(r *Request, q *question) result {
	if f := q.forwarders(); len(f) > 0 && f[0] == o.grpc && o.names.Contains(q.name) {
		r.wrap(o, q)
	}
	return result{}
}

func (o *onward) after(r *Request, w *wrapped, res result) (again bool) {
	if m := res.message; w.again || m == nil || m.packet != nil && r.Reply.Rcode != wire.NameError {
		return false
	}
	w.again = true
	r.repeat(w).next = o.next
	return true
}
