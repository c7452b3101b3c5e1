package resolver

import (
	"context"
	"log/slog"
	"sync"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// Resolver answers queries for the blocks of one listening address. Any number of goroutines may call it.
type Resolver struct {
	zones  zoneSet // all zones of all blocks
	homes  []home  // by value of zones
	blocks []*block
}

// home is where a zone stands in Options.Blocks.
type home struct{ block, zone int }

// New checks options and compiles them. Nothing runs until Run. Caches of previous, if there is one, whose options are the same go on
// with what they hold.
func New(options Options, previous *Resolver, log *slog.Logger) (*Resolver, error) {
	r := &Resolver{}
	var names []string
	for i := range options.Blocks {
		b, err := newBlock(&options.Blocks[i], previous, log)
		if err != nil {
			return nil, err
		}
		r.blocks = append(r.blocks, b)
		for j, name := range options.Blocks[i].Zones {
			names = append(names, name)
			r.homes = append(r.homes, home{i, j})
		}
	}
	var err error
	r.zones, err = newZoneSet(names)
	return r, err
}

// Run works in the background (health checks, hosts files, loop probes) until ctx ends, and returns after all of it has ended.
func (r *Resolver) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, b := range r.blocks {
		if b.hosts != nil {
			running.Go(func() { b.hosts.run(ctx) })
		}
		for _, f := range b.forwarders {
			running.Go(func() { f.run(ctx) })
		}
		for _, n := range b.notify {
			running.Go(func() { n.run(ctx) })
		}
		if b.loop != nil {
			running.Go(func() { b.loop.run(ctx) })
		}
		if b.cache != nil {
			running.Go(func() { b.cache.run(ctx, b.fetch) })
		}
	}
	running.Wait()
}

// Answer answers packet from memory into buf, without blocking or allocating. With Send the reply is the returned slice. packet and buf
// belong to request until the answer is there, which with Pending is after Resume.
func (r *Resolver) Answer(request *Request, packet, buf []byte) ([]byte, Result) {
	request.mayBlock, request.buf = false, buf
	request.Block, request.Source = -1, None
	if verdict := request.Query.Parse(packet); verdict != wire.Valid {
		return reject(request, verdict, buf)
	}
	return r.answer(context.Background(), request, buf)
}

// Resume goes on with a query that Answer has said Pending to. It blocks until there is an answer or ctx ends.
func (r *Resolver) Resume(ctx context.Context, request *Request) ([]byte, Result) {
	request.mayBlock = true
	return r.answer(ctx, request, request.buf)
}

// Respond answers packet, whatever the transport that it came by: it is Answer and, where that is Pending, Resume. It blocks until there
// is an answer or ctx ends.
func (r *Resolver) Respond(ctx context.Context, request *Request, packet, buf []byte) ([]byte, Result) {
	reply, result := r.Answer(request, packet, buf)
	if result == Pending {
		reply, result = r.Resume(ctx, request)
	}
	return reply, result
}

// rejections are the rcodes for messages that are no queries of ours.
var rejections = [...]wire.Rcode{wire.Malformed: wire.FormatError, wire.UnknownOpcode: wire.NotImp, wire.BadVersion: wire.BadVers}

// reject answers a message that Parse did not find Valid: FORMERR, NOTIMP, BADVERS or silence.
func reject(request *Request, verdict wire.Verdict, buf []byte) ([]byte, Result) {
	if verdict == wire.Silent {
		return nil, Drop
	}
	request.Reply.Start(&request.Query, buf, wire.MinUDPSize, defaultBufsize)
	request.Reply.Rcode = rejections[verdict]
	return request.Reply.Finish(), Send
}

// defaultBufsize is the largest UDP reply that no network has to fragment, RFC 9715 section 3.
const defaultBufsize = 1232

// answer resolves the qname, and after it each alias that an answer leads to.
func (r *Resolver) answer(ctx context.Context, request *Request, buf []byte) ([]byte, Result) {
	name, owner := &request.Query.QName, wire.AtQName
	b := r.begin(request, buf)
	for {
		request.answered = request.Reply.Count(wire.Answer)
		switch b.steps(ctx, request, question{name: name, owner: owner}) {
		case ask:
			return nil, Pending
		case stream:
			return nil, Transfer
		case alias:
			name, owner = &request.alias, request.aliasAt
			b, _ = r.block(name)
		default:
			return request.Reply.Finish(), Send
		}
	}
}

// begin chooses the server block of the qname and starts the reply within the limits of block, client and transport.
func (r *Resolver) begin(request *Request, buf []byte) *block {
	b, at := r.block(&request.Query.QName)
	request.Block, request.Zone, request.Source, request.links = at.block, at.zone, None, 0
	bufsize := uint16(defaultBufsize)
	if b != nil {
		bufsize, request.rotate = b.bufsize, b.rotate
	}
	limit := wire.MaxMessage
	if request.Proto == UDP {
		limit = int(min(request.Query.UDPSize, max(bufsize, wire.MinUDPSize)))
	}
	request.Reply.Start(&request.Query, buf, limit, bufsize)
	if b != nil && b.recursive {
		request.Reply.SetFlags(wire.FlagRA)
	}
	return b
}

// block is the server block with the longest zone that name is in, and where that zone stands; nil and -1 when there is none.
func (r *Resolver) block(name *wire.QName) (*block, home) {
	value, _, ok := r.zones.match(name)
	if !ok {
		return nil, home{-1, -1}
	}
	return r.blocks[r.homes[value].block], r.homes[value]
}
