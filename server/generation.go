package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/admin"
	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/server/listen"
	"github.com/clusterdns/clusterdns/server/logs"
	"github.com/clusterdns/clusterdns/watch"
	"github.com/clusterdns/clusterdns/zones"
)

// socket is where a listener listens.
type socket struct {
	resolver.Scheme
	netip.AddrPort
}

// generation is everything that a Config needs, of which some runs already. Either the program takes it as a whole, or
// it is abandoned.
type generation struct {
	listeners map[socket]*listening
	sources   map[watch.Options]*source
	resolvers []*answering
	awaited   []*source // those of blocks with `ready`
	started   []*source // those that did not run before
	fresh     []func()  // each ends something that was started for it
}

func (g *generation) abandon() {
	for _, close := range slices.Backward(g.fresh) {
		close()
	}
}

// open starts what c needs to answer: resolvers, and the sources that do not run yet.
func (p *Program) open(g *generation, c *config.Config) error {
	for i := range c.Listeners {
		if err := p.openResolver(g, &c.Listeners[i]); err != nil {
			return err
		}
	}
	return nil
}

// listen opens the sockets that c needs and that are not open yet, after it has seen to the addresses of local_address.
// They serve at once, because the kernel may give them queries that the sockets of the old generation had until then.
func (p *Program) listen(g *generation, c *config.Config) error {
	if len(c.LocalAddresses) > 0 {
		defer p.local.Lock()()
	}
	for _, a := range c.LocalAddresses {
		if err := p.local.Add(a.Address); err != nil {
			return fmt.Errorf("%s: local_address: %w", a.At, err)
		}
	}
	for i := range c.Listeners {
		for _, address := range c.Listeners[i].Addresses {
			if err := p.openSocket(g, address, &c.Listeners[i], g.resolvers[i]); err != nil {
				return fmt.Errorf("%s: %w", c.Listeners[i].Blocks[0].At, err)
			}
		}
	}
	return nil
}

func (p *Program) openResolver(g *generation, c *config.Listener) error {
	options := resolver.Options{Server: listen.Label(c.Scheme, c.Addresses[0])}
	r := &answering{}
	for i := range c.Blocks {
		b := &c.Blocks[i]
		steps := b.Steps
		steps.Trace = traceAt(steps.Trace, c.Addresses[0])
		steps.Kubernetes = slices.Clone(steps.Kubernetes)
		for j := range steps.Kubernetes {
			if err := p.openSource(g, b, j, &steps.Kubernetes[j], c.Addresses); err != nil {
				return fmt.Errorf("%s: %w", b.Sources[j].At, err)
			}
		}
		steps.Gateways = slices.Clone(steps.Gateways)
		for j := range steps.Gateways {
			s, err := p.share(g, &b.Gateways[j], b.Gateways[j].Objects)
			if err != nil {
				return fmt.Errorf("%s: %w", b.Gateways[j].At, sourceError("k8s_gateway", "kubeconfig, manifests", err))
			}
			steps.Gateways[j].Index = s.index
			g.await(b, s)
		}
		if failures := logs.NewErrorLog(b.Errors, p.log); failures != nil {
			steps.Errors = slog.New(failures)
			r.errors = append(r.errors, failures)
		}
		options.Blocks = append(options.Blocks, steps)
	}
	var err error
	if r.Resolver, err = resolver.New(options, &p.parts, p.log); err != nil {
		return err
	}
	r.task = start(p.base, r.run)
	g.fresh = append(g.fresh, r.stop)
	g.resolvers = append(g.resolvers, r)
	return nil
}

// traceAt is t with the address that the server listens on, where that is one.
func traceAt(t *resolver.Trace, address netip.AddrPort) *resolver.Trace {
	if t == nil || address.Addr().IsUnspecified() {
		return t
	}
	at := *t
	at.Collector.Local = address
	return &at
}

// openSource finds or starts the source of one kubernetes directive and joins its index to the directive's view.
func (p *Program) openSource(
	g *generation, b *config.Block, i int, view *resolver.Kubernetes, addresses []netip.AddrPort,
) error {
	c := &b.Sources[i]
	view.Local = localAddresses(addresses)
	s, err := p.share(g, c, c.Objects)
	if err != nil {
		return sourceError("kubernetes", "kubeconfig, endpoint, manifests", err)
	}
	view.Index = s.index
	g.await(b, s)
	if len(view.MultiCluster) > 0 {
		if s, err = p.share(g, c, c.Imports); err != nil {
			return fmt.Errorf("kubernetes: %w", err)
		}
		view.MultiIndex = s.index
		g.await(b, s)
	}
	return nil
}

// sourceError is why a directive has no source. Options are those that name one.
func sourceError(directive, options string, err error) error {
	if errors.As(err, new(watch.NoClusterError)) {
		err = fmt.Errorf("%w; outside a cluster give %s one of the options %s", err, directive, options)
	}
	return fmt.Errorf("%s: %w", directive, err)
}

// await makes s count for the ready endpoint when the block says so.
func (g *generation) await(b *config.Block, s *source) {
	if b.Ready {
		g.awaited = append(g.awaited, s)
	}
}

// share is the source with these options of c: one that runs already, or a new one.
func (p *Program) share(g *generation, c *config.Source, options watch.Options) (*source, error) {
	s := g.sources[options]
	if s == nil {
		s = p.sources[options]
	}
	if s == nil {
		index := zones.NewIndex()
		w, err := watch.New(options, index, p.log)
		if err != nil {
			return nil, err
		}
		s = &source{Source: w, index: index, options: options, required: options.Required(), id: p.sourceID(g, w.Name())}
		s.at, s.timeout = c.At, c.StartupTimeout
		s.task = start(p.base, s.run)
		g.started = append(g.started, s)
		g.fresh = append(g.fresh, s.stop)
	}
	g.sources[options] = s
	return s, nil
}

// sourceID tells a source from all others in metrics: its name, with a number where another one has that name too.
func (p *Program) sourceID(g *generation, name string) string {
	taken := func(id string) bool {
		same := func(s *source) bool { return s.id == id }
		return slices.ContainsFunc(slices.Collect(maps.Values(p.sources)), same) ||
			slices.ContainsFunc(slices.Collect(maps.Values(g.sources)), same)
	}
	id := name
	for n := 2; taken(id); n++ {
		id = fmt.Sprintf("%s (%d)", name, n)
	}
	return id
}

// source is a watch.Source that runs, with the index that it writes.
type source struct {
	*watch.Source
	*task
	index    *zones.Index
	required zones.Kinds // what must have synced before the source is ready
	options  watch.Options
	id       string // in metrics, by sourceID: it stays with the source over reloads
	at       string // file:line of the directive that started it
	timeout  time.Duration
}

// run keeps the source's index equal to its cluster, and memory small.
func (s *source) run(ctx context.Context) {
	var tidying sync.WaitGroup
	tidying.Go(func() { keepSmall(ctx, s.Listed()) })
	s.Source.Run(ctx)
	tidying.Wait()
}

// openSocket finds or opens the sockets of an address. Those with other limits are replaced: their connections end as
// when the address is dropped.
func (p *Program) openSocket(
	g *generation, address netip.AddrPort, c *config.Listener, answerer listen.Answerer,
) error {
	at := socket{c.Scheme, address}
	credentials, err := readCredentials(c)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	if l := p.listeners[at]; l != nil && l.limits == c.Limits {
		g.listeners[at] = &listening{l.Listener, l.task, credentials, l.limits}
		return nil
	}
	if n := c.Limits.Sockets; n > listen.MaxReaders {
		p.log.Warn("multisocket: fewer sockets than asked for", "asked", n, "sockets", listen.MaxReaders)
	}
	p.opened = slices.DeleteFunc(p.opened, func(l *listening) bool { return l.ended() })
	var siblings []*listen.Listener
	for _, l := range p.opened {
		siblings = append(siblings, l.Listener)
	}
	l, err := listen.Open(listen.Options{
		Address: address, Scheme: c.Scheme, Credentials: credentials, Siblings: siblings, Answerer: answerer,
		Handshakes: p.handshakes, Traffic: p.traffic,
		Blocks: g.blocksOf(c), Log: p.queries, Logger: p.log,
		ReadTimeout: c.Limits.Read, WriteTimeout: c.Limits.Write, IdleTimeout: c.Limits.Idle, Queries: c.Limits.Queries,
		Streams: c.Limits.Connections, Each: c.Limits.Streams, Requests: c.Limits.Requests, Readers: c.Limits.Sockets})
	if err != nil {
		return err
	}
	run := start(context.Background(), l.Run)
	g.listeners[at] = &listening{l, run, credentials, c.Limits}
	g.fresh = append(g.fresh, run.stop)
	p.opened = append(p.opened, g.listeners[at])
	return nil
}

// readCredentials reads the certificate of a listener; nil where it has none.
func readCredentials(c *config.Listener) (*listen.Credentials, error) {
	if c.TLS == nil {
		return nil, nil
	}
	return listen.ReadCredentials(listen.TLS(*c.TLS), c.Scheme)
}

// waitForSync waits until the sources that g started have been read, each at most for its startup timeout. Until then
// they must not take the place of what serves. A source that ran before serves already, whether it has been read or
// not.
func (g *generation) waitForSync(ctx context.Context) error {
	for _, s := range g.started {
		if err := s.waitForSync(ctx); err != nil {
			return fmt.Errorf("%s: kubernetes: the cluster could not be read within %v (option startup_timeout)",
				s.at, s.timeout)
		}
	}
	return nil
}

func (s *source) waitForSync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return s.Wait(ctx, s.required)
}

func (g *generation) blocksOf(c *config.Listener) []listen.Block {
	var blocks []listen.Block
	client := g.clients()
	for i := range c.Blocks {
		b := &c.Blocks[i]
		blocks = append(blocks, listen.Block{
			Zones: b.Steps.Zones, View: b.Steps.ViewName(), Metrics: b.Prometheus != "", Client: client, Log: b.Log, Crash: b.Debug,
			Traced: b.Errors != nil && b.Errors.Stacktrace,
		})
	}
	return blocks
}

// endpointsOf are the admin endpoints that c asks for.
func endpointsOf(c *config.Config) admin.Endpoints {
	return admin.Endpoints{
		Health: c.Health.Addresses, Ready: c.Ready.Addresses,
		Prometheus: c.Prometheus.Addresses, Pprof: c.Pprof.Addresses, Dashboard: c.Dashboard.Addresses,
		Continuously: c.Ready.Continuously, At: c.EndpointAt,
	}
}

// localAddresses are the addresses that clients may reach this server by: those it is bound to, else all of the
// machine's but loopback.
func localAddresses(bound []netip.AddrPort) []netip.Addr {
	var local []netip.Addr
	for _, a := range bound {
		if a.Addr().IsUnspecified() {
			return interfaceAddresses()
		}
		if !a.Addr().IsLoopback() {
			local = append(local, a.Addr())
		}
	}
	return local
}

func interfaceAddresses() []netip.Addr {
	networks, err := net.InterfaceAddrs()
	if err != nil {
		return nil // only the NS records of the apex need them
	}
	var local []netip.Addr
	for _, n := range networks {
		prefix, err := netip.ParsePrefix(n.String())
		if a := prefix.Addr().Unmap(); err == nil && !a.IsLoopback() && !a.IsLinkLocalUnicast() {
			local = append(local, a)
		}
	}
	return local
}
