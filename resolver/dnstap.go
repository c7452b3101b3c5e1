package resolver

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/clusterdns/clusterdns/observe/dnstap"
)

// Dnstap is one directive dnstap: it tells a collector of the messages of clients, and of those to upstreams and back.
type Dnstap struct {
	Sink     dnstap.Options
	Full     bool   // with the messages themselves
	Identity string // of this server
	Version  string
	Extra    string
	Expand   func(text []byte, r *Request) []byte `json:"-"` // appends Extra with its values; nil where it has no placeholders
}

// sink is a part: directives that have the same collector share what waits for it.
type sink struct{ *dnstap.Sink }

func (s *sink) run(ctx context.Context) { s.Run(ctx) }

// tap is one directive of a block.
type tap struct {
	options *Dnstap
	sink    *sink
}

// taps are all of a block. Their methods do nothing for a nil *taps, which is that of a block without the directive.
type taps []tap

func (r *Resolver) newTaps(b *block, log *slog.Logger) error {
	var all taps
	for i := range b.options.Dnstaps {
		o := &b.options.Dnstaps[i]
		s, err := obtain(r, "dnstap", o.Sink, func() (*sink, error) { return &sink{dnstap.New(o.Sink, log)}, nil })
		if err != nil {
			return err
		}
		all = append(all, tap{o, s})
	}
	if len(all) > 0 {
		b.taps = &all
	}
	return nil
}

// asked tells of the client's query. Upstream has not been asked by then.
func (t *taps) asked(r *Request) {
	if t == nil {
		return
	}
	t.tell(r, dnstap.Message{Type: dnstap.ClientQuery, TCP: r.Proto.Carrier() == TCP, Initiator: r.Client, Asked: r.Now,
		Query: r.Query.Packet})
}

// Replied tells of a message that the client gets. A listener calls it for each one, whoever has written it.
func (r *Request) Replied(reply []byte) {
	r.shadow.answered(r, reply)
	if r.taps == nil {
		return
	}
	r.taps.tell(r, dnstap.Message{Type: dnstap.ClientResponse, TCP: r.Proto.Carrier() == TCP, Initiator: r.Client,
		Asked: r.Now, Answered: time.Now(), Response: reply})
}

// tell gives each tap what it wants of m, which is about r.
func (t *taps) tell(r *Request, m dnstap.Message) {
	for i := range *t {
		tap := &(*t)[i]
		r.text = tap.extra(r.text[:0], r)
		tap.tell(m, r.text)
	}
}

func (t *tap) tell(m dnstap.Message, extra []byte) {
	m.Identity, m.Version, m.Extra = t.options.Identity, t.options.Version, extra
	if !t.options.Full {
		m.Query, m.Response = nil, nil
	}
	t.sink.Add(&m)
}

// extra appends the text of option extra.
func (t *tap) extra(text []byte, r *Request) []byte {
	if t.options.Expand != nil {
		return t.options.Expand(text, r)
	}
	return append(text, t.options.Extra...)
}

// exchange is one query to an upstream with its reply, as taps are told of it.
type exchange struct {
	observer *observer // nil for nobody
	message  dnstap.Message
}

// exchange begins with a connection or socket, whose own address is local.
func (o *observer) exchange(u *upstream, local net.Addr, carrier Proto) exchange {
	if o == nil || o.taps == nil {
		return exchange{}
	}
	e := exchange{o, dnstap.Message{TCP: carrier == TCP, Responder: u.address}}
	if local != nil {
		e.message.Initiator, _ = netip.ParseAddrPort(local.String())
	}
	return e
}

// sent tells of the query that has been sent.
func (e *exchange) sent(query []byte) {
	if e == nil || e.observer == nil {
		return
	}
	e.message.Type, e.message.Asked, e.message.Query = dnstap.ForwarderQuery, time.Now(), query
	e.tell()
}

// received tells of the reply to it.
func (e *exchange) received(reply []byte) {
	if e == nil || e.observer == nil {
		return
	}
	e.message.Type, e.message.Answered = dnstap.ForwarderResponse, time.Now()
	e.message.Query, e.message.Response = nil, reply
	e.tell()
}

func (e *exchange) tell() {
	for i := range *e.observer.taps {
		(*e.observer.taps)[i].tell(e.message, e.observer.extra[i])
	}
}
