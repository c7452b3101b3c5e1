package resolver

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/clusterdns/clusterdns/resolver/datagram"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Resolver answers queries for the server blocks of one listening address. Any number of goroutines may call it.
type Resolver struct {
	scopes scopes
	blocks []*block
	parts  *Parts
	used   []*part
	probes bool // a block has loop
}

// New checks options and compiles them. Nothing runs until Run. Parts that were made from equal options are taken over
// from parts with all that they hold; nil stands for empty Parts.
func New(options Options, parts *Parts, log *slog.Logger) (*Resolver, error) {
	if parts == nil {
		parts = new(Parts)
	}
	r := &Resolver{parts: parts}
	if err := r.compile(options, log); err != nil {
		r.release()
		return nil, err
	}
	return r, nil
}

// compile makes the blocks, and the scopes of all their zones.
func (r *Resolver) compile(options Options, log *slog.Logger) (err error) {
	r.probes = slices.ContainsFunc(options.Blocks, func(b Block) bool { return b.Loop })
	for i := range options.Blocks {
		b, err := r.newBlock(&options.Blocks[i], options.Server, log)
		if err != nil {
			return err
		}
		r.blocks = append(r.blocks, b)
	}
	r.scopes, err = compileScopes(r.blocks)
	return err
}

// Run does the background work (health checks, cache refreshes, hosts files, loop probes, NOTIFY) until ctx ends. It
// returns when all of that has ended, except in parts that another resolver still uses.
func (r *Resolver) Run(ctx context.Context) {
	for _, p := range r.used {
		r.parts.start(p)
	}
	var notifying sync.WaitGroup
	for _, b := range r.blocks {
		for _, n := range b.notify {
			notifying.Go(func() { n.run(ctx) })
		}
	}
	<-ctx.Done()
	notifying.Wait()
	r.release()
}

// release gives the parts back in reverse order: a cache before the forwarders that it asks.
func (r *Resolver) release() {
	for _, p := range slices.Backward(r.used) {
		r.parts.release(p)
	}
}

// Answer answers packet from memory into buf, without blocking. With Send, the returned slice is the reply. After
// Pending, Wait has upstream asked.
func (r *Resolver) Answer(request *Request, packet, buf []byte) ([]byte, Result) {
	request.Block, request.Zone, request.Source = -1, -1, None
	request.taps, request.shadow, request.trace, request.noted = nil, nil, nil, noted{}
	if verdict := request.Query.Parse(packet); verdict != wire.Valid {
		if request.Query.IsNotify(verdict) && r.hasSecondaries() {
			return r.notified(request, buf)
		}
		return reject(request, verdict, buf)
	}
	r.begin(request, buf)
	return r.conclude(request, r.runSteps(request))
}

// Wait has upstream asked what Answer or Resume has reported as Pending, without blocking. With Pending, wait holds all
// of request that is needed, and waker is woken once, perhaps before Wait returns: then Resume goes on. Else there is
// a reply at once, because nobody is to be asked.
func (r *Resolver) Wait(request *Request, wait *Wait, waker Waker) ([]byte, Result) {
	wait.waker = waker
	for {
		q := &request.question
		res := q.scope.block.ask(request, q, wait)
		if res.outcome == pending {
			return nil, Pending
		}
		if reply, result := r.conclude(request, res); result != Pending {
			return reply, result
		}
	}
}

// Resume goes on in request with a query whose wait has ended, where Answer stopped. It does not block. request needs
// nothing but a new buffer for the reply, as large as the one before. After Pending, upstream must be asked something
// else: call Wait again.
func (r *Resolver) Resume(request *Request, wait *Wait, buf []byte) ([]byte, Result) {
	wait.restore(request, buf)
	q := &request.question
	return r.conclude(request, q.scope.block.resume(request, q, wait))
}

// Respond answers packet, whatever its transport. It blocks until there is an answer or ctx ends.
func (r *Resolver) Respond(ctx context.Context, request *Request, packet, buf []byte) ([]byte, Result) {
	reply, result := r.Answer(request, packet, buf)
	for result == Pending {
		var wait Wait
		woken := make(signal)
		if reply, result = r.Wait(request, &wait, woken); result == Pending {
			woken.await(ctx, &wait)
			reply, result = r.Resume(request, &wait, buf)
		}
	}
	return reply, result
}

// signal is the Waker of a goroutine that waits. It is closed when it is woken.
type signal chan struct{}

// Wake wakes the goroutine.
func (s signal) Wake(*datagram.Cycle) { close(s) }

// await returns when wait has ended. If ctx ends before, it interrupts wait.
func (s signal) await(ctx context.Context, wait *Wait) {
	select {
	case <-s:
	case <-ctx.Done():
		if !wait.Interrupt() {
			<-s
		}
	}
}

// rejections are the rcodes for messages that are not queries we can read.
var rejections = [...]wire.Rcode{
	wire.Malformed:     wire.FormatError,
	wire.UnknownOpcode: wire.NotImp,
	wire.BadVersion:    wire.BadVers,
}

// reject answers a message that is not Valid: with FORMERR, NOTIMP, BADVERS or silence.
func reject(request *Request, verdict wire.Verdict, buf []byte) ([]byte, Result) {
	if verdict == wire.Silent {
		return nil, Drop
	}
	request.Reply.Start(&request.Query, buf, wire.MinUDPSize, DefaultBufsize)
	request.Reply.Rcode = rejections[verdict]
	return request.Reply.Finish(), Send
}

// begin sets the question to what the client asks, in the scope of its name, and starts the reply within the limits of
// the server block, the client and the transport.
func (r *Resolver) begin(request *Request, buf []byte) {
	query := &request.Query
	request.question = question{
		name: &query.QName, qtype: query.Type, class: query.Class, owner: wire.AtQName, asked: true,
		recurse: query.Flags&wire.FlagRD != 0,
	}
	request.question.scope = r.scopes.choose(request)
	request.links, request.wrapped, request.fallback, request.rotate = 0, request.wrapped[:0], nil, false
	request.limit, request.affine, request.subnet, request.wrongSubnet = nil, false, wire.Subnet{}, false
	limit, payload, flags := uint16(DefaultBufsize), uint16(DefaultBufsize), uint16(0)
	if s := request.question.scope; s != nil {
		request.Block, request.Zone = s.at.block, s.at.zone
		limit, payload = s.block.ownLimit(), s.block.payload()
		request.rotate, flags, request.taps = s.block.options.Rotate, s.block.flags, s.block.taps
		request.noted.by, request.shadow = s.block.metadata, s.block.shadow
		request.trace = s.block.tracer.begin(request)
		request.taps.asked(request)
	}
	request.Reply.Start(query, buf, request.Proto.Limit(query, limit), payload)
	request.Reply.SetFlags(flags)
	if request.Proto.Encrypted() {
		request.Reply.Pad()
	}
	if s := request.question.scope; s != nil {
		request.Reply.Identify(s.block.options.NSID)
		if s.block.nearest {
			request.readSubnet()
			request.Reply.Answer(&request.subnet)
		}
	}
}

// runSteps asks the question of the server block that has its name.
func (r *Resolver) runSteps(request *Request) result {
	q := &request.question
	q.before = request.Reply.Count(wire.Answer)
	if q.scope == nil {
		if r.scopes.of(q.name) != nil {
			return request.refuse(wire.NotAuthoritative, edeNoView)
		}
		return request.refuse(wire.NotAuthoritative, edeNoBlock)
	}
	return q.scope.block.answer(request, q)
}

// conclude carries a result through to the reply. It follows an alias to the next name, and lets wrappers see the
// answer, who may ask another question. A pending question ends here and continues in Resume.
func (r *Resolver) conclude(request *Request, res result) ([]byte, Result) {
	q := &request.question
	for {
		switch res.outcome {
		case pending:
			return nil, Pending
		case transfer:
			return nil, Transfer
		case drop:
			return nil, Drop
		case alias:
			q.scope = r.scopes.choose(request)
		default:
			request.finish(q, &res)
			request.failed(&res)
			if len(request.wrapped) == 0 || !request.unwrap(res) {
				return request.Reply.Finish(), Send
			}
		}
		res = r.runSteps(request)
	}
}
