package resolver

import "github.com/clusterdns/clusterdns/zones/wire"

// header changes flags of queries and replies (directive header). It is a wrapper: RD of the query is what the later
// steps see, and flags of the reply are changed once there is one.
type header struct{ query, response flagChange }

// flagChange is what is done to header flags.
type flagChange struct{ set, clear uint16 }

func newHeader(o *Header) *header {
	h := new(header)
	for _, c := range o.Query {
		h.query.add(c)
	}
	for _, c := range o.Response {
		h.response.add(c)
	}
	return h
}

// add has c done after what is there.
func (f *flagChange) add(c HeaderChange) {
	f.set, f.clear = f.set&^c.Flag, f.clear|c.Flag
	if c.Set {
		f.set, f.clear = f.set|c.Flag, f.clear&^c.Flag
	}
}

func (f *flagChange) apply(reply *wire.Reply) {
	reply.ClearFlags(f.clear)
	reply.SetFlags(f.set)
}

// change changes RD of q, and of its reply, and has header see the answer.
func (h *header) change(r *Request, q *question) result {
	rd := flagChange{h.query.set & wire.FlagRD, h.query.clear & wire.FlagRD}
	rd.apply(&r.Reply)
	q.recurse = r.Reply.Flags()&wire.FlagRD != 0
	if h.response != (flagChange{}) {
		r.wrap(h, q)
	}
	return result{}
}

// after changes the flags of an answer. As in CoreDNS, a SERVFAIL or REFUSED of the server itself is none.
func (h *header) after(r *Request, _ *wrapped, res result) (again bool) {
	if res.outcome != failed || res.message != nil && res.message.packet != nil {
		h.response.apply(&r.Reply)
	}
	return false
}
