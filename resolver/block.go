package resolver

import (
	"cmp"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// To add a step:
//   - its options in options.go, and the zones in them in (*block).names;
//   - its compiled form in block, made by newPolicies, newLocal or newUpstream; with obtain if it outlives a reload;
//   - what it decides for a zone, in scope and (*block).scope;
//   - its line in (*block).compileSteps, its Source with its String if it answers, its texts in ede.go;
//   - if it also sees the answer, its after method (see wrapper), with its state in wrapped;
//   - what it keeps in Request for Resume, taken by (*Wait).keep;
//   - its counters in counts.go.

// block is one compiled server block.
type block struct {
	options     *Block
	steps       []step
	flags       uint16 // of every reply: RA, if the block forwards
	view        *view  // nil without the directive
	metadata    *metadata
	cancel      *cancel // nil without the directive; likewise below
	dnssec      *dnssec
	dns64       *dns64
	balance     *balance
	rewrites    *rewrites
	autopath    *autopath
	search      *search
	acls        *acls
	header      *header
	chaos       *chaos
	erratic     *erratic
	local       *local
	templates   *templates
	hosts       *hosts
	externals   []*authority
	gateways    []*named
	authorities []*authority
	generals    *generals
	etcds       []*named
	cache       *cache
	forwarders  []*forwarder
	onward      *onward
	taps        *taps
	shadow      *shadowing // nil without the directive
	tracer      *tracer
	loop        *loop
	transfers   []transferRule
	notify      []*notifier
	nearest     bool   // endpoints of headless services are chosen for clients
	inside      scopes // of names that rewrite, autopath or search asks for: such a question stays in the block

	notifyPanics observe.Panics
}

// step is what one directive does with a question: it answers, passes to the next step, or changes the question.
type step func(*Request, *question) result

// compileSteps puts the steps of the directives that the block has in their order, whatever the order in the Corefile.
func (b *block) compileSteps(r *Resolver) {
	for _, s := range []struct {
		used bool
		name string // of the directive, in traces
		step step
	}{
		{b.cancel != nil, "cancel", b.cancel.limit},
		{true, "transfer", b.transfer}, // of the zone itself: its name is not rewritten
		{b.nearest, "", checkSubnet},
		{b.loop != nil, "loop", r.answerProbe},
		{b.loop == nil && r.probes, "", r.answerProbe}, // of other blocks
		{b.dnssec != nil, "dnssec", b.dnssec.answer},   // what the steps behind it change is signed too
		{b.local != nil, "local", b.local.answer},
		{b.dns64 != nil, "dns64", b.dns64.wrap},
		{b.balance != nil, "loadbalance", b.balance.wrap},
		{b.options.Any, "any", answerAny},
		{b.chaos != nil, "chaos", b.chaos.answer},
		{b.rewrites != nil, "rewrite", b.rewrites.change},
		{true, "", b.knownClass},
		{b.autopath != nil, "autopath", b.autopath.walk},
		{b.search != nil, "search", b.search.walk},
		{b.acls != nil, "acl", b.acls.check},
		{b.header != nil, "header", b.header.change},
		{b.options.Minimal, "minimal", minimal{}.wrap},
		{b.templates != nil, "template", turning(b.templates.answer)},
		{b.templates != nil && b.templates.others, "", onlyIN},
		{b.hosts != nil, "hosts", b.hosts.answer},
		{len(b.externals) > 0, "k8s_external", answerExternal},
		{len(b.gateways) > 0, "k8s_gateway", answerGateway},
		{len(b.authorities) > 0, "kubernetes", answerServed},
		{b.generals != nil, b.generalName(), answerGeneral},
		{len(b.etcds) > 0, "etcd", answerEtcd},
		{b.onward != nil, "", b.onward.wrap},
		{b.cache != nil, "cache", b.cache.answer},
		{true, "forward", b.forward},
		{b.erratic != nil, "erratic", b.erratic.answer},
		{b.options.Whoami, "whoami", answerWhoami},
		{true, "", refuseAll},
	} {
		if s.used && b.tracer != nil && b.writes(s.name) {
			s.step = spanned(s.name, s.step)
		}
		if s.used {
			b.steps = append(b.steps, s.step)
		}
	}
	if b.onward != nil {
		b.onward.next = len(b.steps) - 1 // refuseAll, and before it
		for _, used := range []bool{b.erratic != nil, b.options.Whoami} {
			if used {
				b.onward.next--
			}
		}
	}
}

// answer takes the question through the steps that are before it until one has a result.
func (b *block) answer(r *Request, q *question) result {
	for q.next < len(b.steps) {
		step := b.steps[q.next]
		q.next++
		if res := step(r, q); res.outcome != pass {
			return res
		}
	}
	return result{} // not reached: the last step is refuseAll
}

// refuseAll ends the steps: none of them is for the question.
func refuseAll(r *Request, _ *question) result {
	return r.refuse(wire.NotAuthoritative, edeNoForward)
}

// knownClass refuses questions of classes of which no step has records.
func (b *block) knownClass(r *Request, q *question) result {
	if b.templates != nil && b.templates.others {
		return result{}
	}
	return onlyIN(r, q)
}

// onlyIN refuses questions of other classes, which the steps behind it have no records of.
func onlyIN(r *Request, q *question) result {
	if q.class != wire.ClassIN && q.class != wire.ClassANY {
		return r.refuse(wire.Other, edeClass)
	}
	return result{}
}

// logFailure tells the directive errors why q has no answer, in the form of CoreDNS's lines.
func (b *block) logFailure(q *question, rcode wire.Rcode, why string) {
	if b.options.Errors != nil {
		b.options.Errors.Error(fmt.Sprintf("%d %s %s: %s", rcode, wire.NameString(q.name.Name()), dns.Type(q.qtype), why))
	}
}

// newBlock compiles the options of one block. server is the label of its listening address.
func (r *Resolver) newBlock(o *Block, server string, log *slog.Logger) (*block, error) {
	b := &block{options: o}
	if len(o.Forwards) > 0 {
		b.flags = wire.FlagRA
	}
	server += " " + o.ViewName() // what blocks of other views count is counted apart
	for _, compile := range []func() error{
		func() error { return r.newView(b, server) },
		func() error { return r.newBalance(b, log) },
		func() error { return r.newPolicies(b, server, log) },
		func() error { return r.newLocal(b, server, log) },
		func() error { return r.newUpstream(b, server, log) },
		func() error { return r.newRewrites(b, server) },
		func() error { return r.newTaps(b, log) },
		func() error { return r.newShadow(b, log) },
		func() error { return newMetadata(b) },
		func() error { return r.newTracer(b, log) },
		b.newInside, // last: its scopes refer to all other directives
	} {
		if err := compile(); err != nil {
			return nil, err
		}
	}
	b.compileSteps(r)
	return b, nil
}

// newInside makes the scopes of names that a step asks for in the place of the client's.
func (b *block) newInside() (err error) {
	if b.rewrites != nil || b.autopath != nil || b.search != nil {
		all := append(append(b.names(), b.options.Zones...), ".")
		b.inside, err = newScopes(all, func(zone *wire.QName) *scope { return b.scope(zone, blockZone{}) })
	}
	return err
}

// ownLimit is the largest UDP reply about zones of ours, in octets.
func (b *block) ownLimit() uint16 { return cmp.Or(b.options.Bufsize, MostBufsize) }

// payload is the largest UDP reply that has forwarded records, what upstreams are offered, and what our OPT says.
func (b *block) payload() uint16 { return cmp.Or(b.options.Bufsize, DefaultBufsize) }

// newPolicies compiles the directives that change answers or keep them from clients.
func (r *Resolver) newPolicies(b *block, server string, log *slog.Logger) (err error) {
	o := b.options
	if o.Cancel > 0 {
		b.cancel, err = obtain(r, "cancel", []any{o.Cancel, server, o.Zones}, func() (*cancel, error) {
			return &cancel{after: o.Cancel}, nil
		})
	}
	if err == nil && o.DNS64 != nil {
		b.dns64, err = obtain(r, "dns64", []any{o.DNS64, server, o.Zones}, func() (*dns64, error) {
			return &dns64{options: *o.DNS64}, nil
		})
	}
	if err == nil && o.Autopath != nil {
		b.autopath, err = obtain(r, "autopath", []any{o.Autopath, server, o.Zones}, func() (*autopath, error) {
			return newAutopath(o.Autopath)
		})
	}
	if err == nil && o.Search != nil {
		b.search, err = obtain(r, "search", []any{o.Search, server, o.Zones}, func() (*search, error) {
			return newSearch(o.Search)
		})
	}
	if err == nil && o.Dnssec != nil {
		b.dnssec, err = obtain(r, "dnssec", []any{o.Dnssec, server, o.Zones}, func() (*dnssec, error) {
			return newDnssec(*o.Dnssec, log)
		})
		if err == nil {
			b.dnssec.load() // a reload reads what has changed
		}
	}
	if o.Header != nil {
		b.header = newHeader(o.Header)
	}
	if err == nil && len(o.ACLs) > 0 {
		err = r.newACLs(b, server)
	}
	return err
}

// newACLs compiles each acl as a part of its own: one that changes leaves the counters of the others alone.
func (r *Resolver) newACLs(b *block, server string) (err error) {
	b.acls = &acls{}
	b.acls.allowed, err = obtain(r, "acl", []any{server, b.options.Zones}, func() (*atomic.Uint64, error) {
		return new(atomic.Uint64), nil
	})
	for i := range b.options.ACLs {
		o := &b.options.ACLs[i]
		list, failed := obtain(r, "acl", []any{o, server, b.options.Zones}, func() (*acl, error) { return newACL(o) })
		b.acls.lists, err = append(b.acls.lists, list), cmp.Or(err, failed)
	}
	return err
}

// newLocal compiles the directives that answer from local data, and the transfers of that data.
func (r *Resolver) newLocal(b *block, server string, log *slog.Logger) (err error) {
	o := b.options
	if len(o.Templates) > 0 {
		b.templates, err = obtain(r, "template", []any{o.Templates, server, o.Zones}, func() (*templates, error) {
			return newTemplates(o.Templates)
		})
		if err != nil {
			return err
		}
	}
	if o.Chaos != nil {
		b.chaos = newChaos(o.Chaos)
	}
	if o.Erratic != nil {
		b.erratic, err = obtain(r, "erratic", []any{*o.Erratic, server, o.Zones}, func() (*erratic, error) {
			return &erratic{Erratic: *o.Erratic}, nil
		})
		if err != nil {
			return err
		}
	}
	if o.Local != nil {
		b.local, err = obtain(r, "local", []any{o.Local, server, o.Zones}, func() (*local, error) {
			return newLocalNames(o.Local)
		})
		if err != nil {
			return err
		}
	}
	if o.Hosts != nil {
		options := *o.Hosts
		if options.Zones == nil {
			options.Zones = o.Zones
		}
		b.hosts, err = obtain(r, "hosts", options, func() (*hosts, error) { return newHosts(options, log) })
		if err != nil {
			return err
		}
		b.hosts.Load() // a reload reads what has changed, also where reload 0 keeps run from looking
	}
	for _, k := range o.Kubernetes {
		a, err := newAuthority(k)
		if err != nil {
			return fmt.Errorf("kubernetes: %w", err)
		}
		b.authorities = append(b.authorities, a)
		b.nearest = b.nearest || k.Nearest
	}
	if err := b.newExternals(); err != nil {
		return err
	}
	if err = r.newGenerals(b, log); err != nil {
		return err
	}
	if err := b.newGateways(); err != nil {
		return err
	}
	if err := r.newEtcds(b, log); err != nil {
		return err
	}
	if b.transfers, err = newTransferRules(o.Transfers); err != nil {
		return err
	}
	b.notify = b.notifiers(log)
	return nil
}

// newUpstream compiles the forwarders, the cache of their answers, and loop detection.
func (r *Resolver) newUpstream(b *block, server string, log *slog.Logger) error {
	o := b.options
	var keys []string // of the forwarders: what stands on one of them does not outlive it
	for _, options := range o.Forwards {
		f, err := r.newForward(options, log)
		if err != nil {
			return err
		}
		b.forwarders = append(b.forwarders, f)
		keys = append(keys, r.used[len(r.used)-1].key)
	}
	if err := b.newOnward(); err != nil {
		return err
	}
	var err error
	if o.Cache != nil {
		options := *o.Cache
		if options.Zones == nil {
			options.Zones = o.Zones
		}
		b.cache, err = obtain(r, "cache", []any{options, keys, server, o.Zones}, func() (*cache, error) {
			return newCache(options, b.forwarders)
		})
	}
	if err == nil && o.Loop {
		b.loop, err = obtain(r, "loop", []any{o.Zones[0], keys}, func() (*loop, error) {
			return newLoop(o.Zones[0], b.forwarders, log)
		})
	}
	return err
}

// newForward is the forwarder for options. The content of its TLS files is part of its key, so a changed certificate
// makes a new forwarder.
func (r *Resolver) newForward(options Forward, log *slog.Logger) (*forwarder, error) {
	secrets, err := readSecrets(&options)
	if err != nil {
		return nil, fmt.Errorf("forward: tls: %w", err)
	}
	return obtain(r, "forward", []any{options, secrets}, func() (*forwarder, error) {
		return newForwarder(options, secrets, &r.parts.asked, log)
	})
}
