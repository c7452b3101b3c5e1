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

// observer is nil where nobody wants to be told of what is asked for r.
func (r *Request) observer() *observer {
	o := r.taps.observer(r)
	if r.trace == nil {
		return o
	}
	if o == nil {
		o = new(observer)
	}
	o.attempts = new(attempts)
	return o
}

// observer is for what is asked on behalf of r, and does not end with it, as a refresh; nil without the directive.
func (t *taps) observer(r *Request) *observer {
	if t == nil {
		return nil
	}
	o := &observer{taps: t}
	for i := range *t {
		o.extra = append(o.extra, (*t)[i].extra(nil, r))
	}
	return o
}

// attempted tells that an upstream has been asked.
func (o *observer) attempted(to netip.AddrPort, began time.Time) {
	if o != nil {
		o.attempts.add(to, began)
	}
}
