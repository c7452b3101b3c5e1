package resolver

import (
	"net/netip"
	"time"
)

// observer is told of what upstreams are asked for one question, for dnstap and trace of the client who asked first.
type observer struct {
	taps     *taps
	extra    [][]byte  // by index in taps: the text of option extra
	attempts *attempts // nil where the query is not traced
}

// observer is nil where nobody wants to be told.
func (r *Request) observer() *observer {
	if r.taps == nil && r.trace == nil {
		return nil
	}
	o := &observer{taps: r.taps}
	if r.taps != nil {
		for i := range *r.taps {
			o.extra = append(o.extra, (*r.taps)[i].extra(nil, r))
		}
	}
	if r.trace != nil {
		o.attempts = new(attempts)
	}
	return o
}

// attempted tells that an upstream has been asked.
func (o *observer) attempted(to netip.AddrPort, began time.Time) {
	if o != nil {
		o.attempts.add(to, began)
	}
}
