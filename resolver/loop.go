package resolver

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/zones/wire"
)

const typeHINFO wire.Type = 13

// When upstreams are probed: soon after the start, when the listeners answer; often while there is a loop, so that the
// end of it is noticed; and now and then, because a loop may be made later and elsewhere.
const (
	probeWhileLooping = 5 * time.Second
	probeAlways       = 5 * time.Minute
)

// probeFirst is when a new resolver sends its first probes.
var probeFirst = [...]time.Duration{200 * time.Millisecond, 2 * time.Second, 10 * time.Second}

// loop finds upstreams that forward our queries back to us. It asks each upstream for a random name: if a query for
// that name arrives here, the upstream loops, and is asked nothing but probes until one of them no longer comes back.
type loop struct {
	log        *slog.Logger
	forwarders []*forwarder
	below      []string                 // of each forwarder, the parent of the random names, in wire form
	probes     atomic.Pointer[[]*probe] // of all upstreams that there are now
}

// probe watches one upstream.
type probe struct {
	forwarder *forwarder
	upstream  *upstream
	below     string // the parent of the random names, in wire form
	name      atomic.Pointer[string]
	back      atomic.Bool
	found     atomic.Bool // the upstream leads here; counted in its loops
}

// mark says whether the probe has found a loop, and reports whether that is news.
func (p *probe) mark(found bool) (changed bool) {
	if p.found.Swap(found) == found {
		return false
	}
	if found {
		p.upstream.loops.Add(1)
	} else {
		p.upstream.loops.Add(-1)
	}
	return true
}

// newLoop probes the upstreams of a block's forwarders with names below zone, or below the zone that is forwarded if
// that is a smaller one.
func newLoop(zone string, forwarders []*forwarder, log *slog.Logger) (*loop, error) {
	l := &loop{log: log, forwarders: forwarders}
	for _, f := range forwarders {
		below := zone
		if f.options.From != "." {
			below = f.options.From
		}
		name, err := wire.ParseName(below)
		if err != nil {
			return nil, fmt.Errorf("loop: %w", err)
		}
		l.below = append(l.below, string(name))
	}
	l.gather()
	return l, nil
}

// gather makes a probe for each upstream that has none, and forgets those of upstreams that are gone. It reports whether
// there is a new one.
func (l *loop) gather() (added bool) {
	var before, all []*probe
	if list := l.probes.Load(); list != nil {
		before = *list
	}
	for i, f := range l.forwarders {
		for _, u := range f.upstreams() {
			at := slices.IndexFunc(before, func(p *probe) bool { return p.forwarder == f && p.upstream == u })
			if at >= 0 {
				all = append(all, before[at])
				continue
			}
			all, added = append(all, &probe{forwarder: f, upstream: u, below: l.below[i]}), true
		}
	}
	l.probes.Store(&all)
	return added
}

// answerProbe ends the way of a probe that came back, whichever block has sent it: a view may lead it to another one.
func (r *Resolver) answerProbe(_ *Request, q *question) result {
	if q.qtype != typeHINFO {
		return result{}
	}
	for _, b := range r.blocks {
		if b.loop != nil && b.loop.caught(q) {
			return loopAnswer
		}
	}
	return result{}
}

// caught reports whether q is a probe that came back, and records that.
func (l *loop) caught(q *question) bool {
	if q.qtype != typeHINFO {
		return false
	}
	for _, p := range *l.probes.Load() {
		if name := p.name.Load(); name != nil && *name == string(q.name.Name()) {
			p.back.Store(true)
			return true
		}
	}
	return false
}

// loopAnswer is the answer to a probe that came back: it must not go round again.
var loopAnswer = failure(None, wire.ServerFailure, wire.Other, edeLoopProbe)

// run probes until ctx ends. Then it forgets the loops that it found: nobody would notice the end of them. What the
// loop of another block has found of the same upstream stays.
func (l *loop) run(ctx context.Context) {
	defer func() {
		for _, p := range *l.probes.Load() {
			p.mark(false)
		}
	}()
	begin := time.Now()
	for _, at := range probeFirst {
		observe.Pause(ctx, time.Until(begin.Add(at)))
		l.gather()
		l.round(ctx)
	}
	for ctx.Err() == nil {
		pause := probeAlways
		if l.looping() {
			pause = probeWhileLooping
		}
		for end := time.Now().Add(pause); time.Now().Before(end) && ctx.Err() == nil; {
			observe.Pause(ctx, probeWhileLooping)
			if l.gather() {
				break // an upstream whose address was found meanwhile
			}
		}
		l.round(ctx)
	}
}

func (l *loop) looping() bool {
	for _, p := range *l.probes.Load() {
		if p.found.Load() {
			return true
		}
	}
	return false
}

// round probes each upstream once.
func (l *loop) round(ctx context.Context) {
	for _, p := range *l.probes.Load() {
		if ctx.Err() != nil {
			return
		}
		p.send(ctx)
		if ctx.Err() != nil {
			return // a probe that was cut short tells nothing
		}
		switch back := p.back.Load(); {
		case !p.mark(back):
		case back:
			l.log.Error("loop: what is forwarded to this upstream comes back to this server, so it is not asked "+
				"any more. Forward to another server, or take this server out of the upstream's own configuration; "+
				"if the upstream is from /etc/resolv.conf, give the pod or kubelet (resolvConf) a file without a "+
				"local address",
				"upstream", p.upstream.address)
		default:
			l.log.Info("loop: the forwarding loop is gone; the upstream is asked again", "upstream", p.upstream.address)
		}
	}
}

// send asks the upstream for a new random name. In a loop, the probe arrives here before the upstream answers.
func (p *probe) send(ctx context.Context) {
	name := randomLabel() + randomLabel() + p.below
	if len(name) > wire.MaxName {
		name = randomLabel() + "\x00"
	}
	p.back.Store(false)
	p.name.Store(&name)
	defer p.name.Store(nil)
	ctx, cancel := context.WithTimeout(ctx, p.upstream.readTimeout)
	defer cancel()
	f := p.forwarder
	defer f.panics.Survive(f.log, "loop")
	p.upstream.attempt(ctx, query{name: name, typ: typeHINFO, rd: true}, f.options.ForceTCP, true, unbounded)
}

// randomLabel is a label in wire form that nobody can guess.
func randomLabel() string {
	var n [8]byte
	rand.Read(n[:]) // never fails
	digits := strconv.FormatUint(binary.BigEndian.Uint64(n[:])>>2, 10)
	return string(rune(len(digits))) + digits
}
