package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/watch"
	"github.com/clusterdns/clusterdns/zones"
)

// Program is the running server: what one Config asks for, started, and exchanged by a reload for what another one asks for.
type Program struct {
	log     *slog.Logger
	queries *QueryLog
	metrics *Metrics
	admin   *Admin
	base    context.Context // of all that runs but the listeners, which end before the rest
	end     context.CancelFunc
	logging *task
	serving *task // the admin endpoints
	reloads reloadCounts

	leaving  sync.WaitGroup // of listeners that a reload has dropped
	ending   sync.WaitGroup // of resolvers that a reload has replaced
	opened   []*listening   // all whose sockets may be open yet; changed by Apply
	nextID   int            // of sources; changed by Apply
	applying sync.Mutex     // held by Apply and Close from begin to end: only they change what follows

	mu        sync.Mutex // guards what follows, each exchanged as a whole and never changed; held for moments only: probes wait for it
	config    *config.Config
	listeners map[netip.AddrPort]*listening
	sources   map[watch.Options]*source
	resolvers []*answering
	awaited   []*source
}

// task is a goroutine that ends when it is told to.
type task struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func start(ctx context.Context, run func(context.Context)) *task {
	ctx, cancel := context.WithCancel(ctx)
	t := &task{cancel, make(chan struct{})}
	go func() {
		defer close(t.done)
		run(ctx)
	}()
	return t
}

// ended reports whether the task has ended.
func (t *task) ended() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// stop ends the task and returns after it has.
func (t *task) stop() {
	t.cancel()
	<-t.done
}

// stopWithin is stop for a task that may be stuck in a write: it is left behind after d.
func (t *task) stopWithin(d time.Duration) {
	t.cancel()
	select {
	case <-t.done:
	case <-time.After(d):
	}
}

// flushTimeout is how long the end of the program waits for its last lines to be written.
const flushTimeout = time.Second

type listening struct {
	*Listener
	*task
}

type source struct {
	*watch.Source
	*task
	index    *zones.Index
	required zones.Kinds // what must have synced before the source is ready
	id       string      // in metrics: it stays with the source over reloads
	at       string      // file:line of the directive that started it
	timeout  time.Duration
}

type answering struct {
	*resolver.Resolver
	*task
	errors []*errorLog // of its blocks
}

// run works in the background for the resolver, and then says what its blocks' failures came to.
func (a *answering) run(ctx context.Context) {
	var telling []*task
	for _, e := range a.errors {
		telling = append(telling, start(context.Background(), e.run))
	}
	a.Resolver.Run(ctx)
	for _, t := range telling {
		t.stop()
	}
}

// NewProgram makes a program that serves nothing yet. Lines of the query log go to out.
func NewProgram(out io.Writer, log *slog.Logger) *Program {
	number, revision := version()
	p := &Program{log: log, queries: NewQueryLog(out), metrics: NewMetrics(number, revision),
		listeners: map[netip.AddrPort]*listening{}, sources: map[watch.Options]*source{}}
	p.base, p.end = context.WithCancel(context.Background())
	p.admin = NewAdmin(AdminOptions{NotReady: p.notReady, Metrics: p.metrics.Handler(), Logger: log})
	p.logging = start(context.Background(), p.queries.Run)
	p.serving = start(p.base, p.admin.Run)
	p.metrics.Set("program", p.samples)
	p.metrics.Set("admin", p.admin.Samples)
	return p
}

// generation is what a Config needs beyond what runs already. It is either taken whole or given back.
type generation struct {
	listeners map[netip.AddrPort]*listening
	sources   map[watch.Options]*source
	resolvers []*answering
	awaited   []*source // those of blocks with `ready`
	started   []*source // those that p had not
	fresh     []func()  // give back what was opened for it
}

func (g *generation) abandon() {
	for _, close := range slices.Backward(g.fresh) {
		close()
	}
}

// Apply makes the program serve c. Sockets, sources and caches that both the old and the new Config have go on as they are; the old
// Config serves until the new one is ready, and after an error it goes on serving. At the first start nothing is waited for: what
// has not been read yet answers SERVFAIL with the reason, and the rest is served.
func (p *Program) Apply(ctx context.Context, c *config.Config) error {
	p.applying.Lock()
	defer p.applying.Unlock()
	g := &generation{listeners: map[netip.AddrPort]*listening{}, sources: map[watch.Options]*source{}}
	err := p.open(g, c)
	if err == nil && p.config != nil {
		err = g.waitForSync(ctx)
	}
	if err == nil {
		err = p.listen(g, c)
	}
	if err == nil {
		err = p.admin.Set(EndpointsOf(c))
	}
	if err != nil {
		g.abandon()
		return err
	}
	for _, warning := range c.Warnings {
		p.log.Warn(warning)
	}
	p.take(g, c)
	return nil
}

// open starts what c needs to answer: sources that p has not, and resolvers.
func (p *Program) open(g *generation, c *config.Config) error {
	for i := range c.Listeners {
		if err := p.openResolver(g, &c.Listeners[i], p.like(i)); err != nil {
			return err
		}
	}
	return nil
}

// listen opens the sockets that c needs and p has not. They serve at once, because they may take queries from sockets that p has.
func (p *Program) listen(g *generation, c *config.Config) error {
	for i := range c.Listeners {
		for _, address := range c.Listeners[i].Addresses {
			if err := p.openSocket(g, address, g.resolvers[i], blocksOf(&c.Listeners[i])); err != nil {
				return fmt.Errorf("%s: %w", c.Listeners[i].Blocks[0].At, err)
			}
		}
	}
	return nil
}

// like is the resolver that had the i-th listener's place, whose caches may go on; nil at the first start.
func (p *Program) like(i int) *resolver.Resolver {
	if i < len(p.resolvers) {
		return p.resolvers[i].Resolver
	}
	return nil
}

func (p *Program) openResolver(g *generation, c *config.Listener, previous *resolver.Resolver) error {
	var options resolver.Options
	r := &answering{}
	for i := range c.Blocks {
		b := &c.Blocks[i]
		steps := b.Steps
		steps.Kubernetes = slices.Clone(steps.Kubernetes)
		for j := range steps.Kubernetes {
			if err := p.openSource(g, b, j, &steps.Kubernetes[j], c.Addresses); err != nil {
				return fmt.Errorf("%s: %w", b.Sources[j].At, err)
			}
		}
		if failures := newErrorLog(b.Errors, p.log); failures != nil {
			steps.Errors = slog.New(failures)
			r.errors = append(r.errors, failures)
		}
		options.Blocks = append(options.Blocks, steps)
	}
	var err error
	if r.Resolver, err = resolver.New(options, previous, p.log); err != nil {
		return err
	}
	r.task = start(p.base, r.run)
	g.fresh = append(g.fresh, r.stop)
	g.resolvers = append(g.resolvers, r)
	return nil
}

// openSource finds or starts the source of one kubernetes directive and joins its index to the directive's view.
func (p *Program) openSource(g *generation, b *config.Block, i int, view *resolver.Kubernetes, addresses []netip.AddrPort) error {
	c := &b.Sources[i]
	view.Local = localAddresses(addresses)
	s, err := p.share(g, c, c.Objects)
	if err != nil {
		return fmt.Errorf("kubernetes: %w", err)
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

// await makes s count for the ready endpoint when the block says so.
func (g *generation) await(b *config.Block, s *source) {
	if b.Ready {
		g.awaited = append(g.awaited, s)
	}
}

// share is the source with these options, which are c's: one that runs already, or a new one.
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
		s = &source{Source: w, index: index, required: options.Required(), id: strconv.Itoa(p.nextID), at: c.At, timeout: c.StartupTimeout}
		p.nextID++
		s.task = start(p.base, s.run)
		g.started = append(g.started, s)
		g.fresh = append(g.fresh, s.stop)
	}
	g.sources[options] = s
	return s, nil
}

// run keeps the source's index equal to its cluster, in no more memory than that takes.
func (s *source) run(ctx context.Context) {
	var tidying sync.WaitGroup
	tidying.Go(func() { keepSmall(ctx, s.Listed()) })
	s.Source.Run(ctx)
	tidying.Wait()
}

// openSocket finds or opens the sockets of an address.
func (p *Program) openSocket(g *generation, address netip.AddrPort, answerer Answerer, blocks []Block) error {
	if l := p.listeners[address]; l != nil {
		g.listeners[address] = l
		return nil
	}
	p.opened = slices.DeleteFunc(p.opened, func(l *listening) bool { return l.ended() })
	var beside []*Listener
	for _, l := range p.opened {
		beside = append(beside, l.Listener)
	}
	l, err := Listen(Options{Address: address, Beside: beside, Answerer: answerer, Blocks: blocks, Log: p.queries, Logger: p.log})
	if err != nil {
		return err
	}
	run := start(context.Background(), l.Run)
	g.listeners[address] = &listening{l, run}
	g.fresh = append(g.fresh, run.stop)
	p.opened = append(p.opened, g.listeners[address])
	return nil
}

// waitForSync waits until the sources that g started have been read, each at most its startup timeout. What could not be read by then
// must not take the place of what serves. A source that ran before serves already, read or not.
func (g *generation) waitForSync(ctx context.Context) error {
	for _, s := range g.started {
		if err := s.waitForSync(ctx); err != nil {
			return fmt.Errorf("%s: kubernetes: the cluster could not be read within %v (option startup_timeout)", s.at, s.timeout)
		}
	}
	return nil
}

func (s *source) waitForSync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return s.Wait(ctx, s.required)
}

// take puts g in the place of what ran before, and ends what is not needed any more.
func (p *Program) take(g *generation, c *config.Config) {
	runtime.SetBlockProfileRate(c.Pprof.BlockRate)
	p.metrics.SetDetailed(c.Prometheus.RuntimeMetrics)
	oldListeners, oldSources, oldResolvers := p.listeners, p.sources, p.resolvers
	p.mu.Lock()
	p.config, p.listeners, p.sources, p.resolvers, p.awaited = c, g.listeners, g.sources, g.resolvers, g.awaited
	p.mu.Unlock()
	var all []*Listener
	for i := range c.Listeners {
		for _, address := range c.Listeners[i].Addresses {
			l := g.listeners[address]
			l.SetResolver(g.resolvers[i], blocksOf(&c.Listeners[i]))
			all = append(all, l.Listener)
		}
	}
	runtime.GOMAXPROCS(Processors(all))
	p.metrics.SetListeners(all, uses(c, g))
	for address, l := range oldListeners {
		if g.listeners[address] == nil {
			p.leaving.Go(l.stop)
		}
	}
	for _, r := range oldResolvers {
		p.ending.Go(func() {
			wait(p.base, drainTimeout)
			r.stop()
		})
	}
	for options, s := range oldSources {
		if g.sources[options] == nil {
			s.stop()
		}
	}
}

func blocksOf(c *config.Listener) []Block {
	var blocks []Block
	for i := range c.Blocks {
		b := &c.Blocks[i]
		blocks = append(blocks, Block{Zones: b.Steps.Zones, Metrics: b.Prometheus != "", Log: b.Log, Crash: b.Debug})
	}
	return blocks
}

// Run serves until ctx ends, then drains: it goes on answering for the lameduck time, and ends all that it started. A value on
// reloads, or a change of the Corefile where `reload` asks to look for one, calls load.
func (p *Program) Run(ctx context.Context, load func() (*config.Config, error), reloads <-chan os.Signal) {
	p.watchConfig(ctx, load, reloads)
	p.log.Info("shutting down; a second SIGTERM or SIGINT ends at once")
	p.admin.Lameduck(context.Background(), p.config.Health.Lameduck)
	p.Close()
}

// Close ends all that runs, and returns after it has: first the listeners, at once, so that the queries that wait for upstream are
// answered meanwhile, then what has answered them.
func (p *Program) Close() {
	p.applying.Lock()
	defer p.applying.Unlock()
	for _, l := range p.listeners {
		p.leaving.Go(l.stop)
	}
	p.leaving.Wait()
	p.end()
	for _, r := range p.resolvers {
		r.stop()
	}
	for _, s := range p.sources {
		s.stop()
	}
	p.serving.stop()
	p.ending.Wait()
	p.logging.stopWithin(flushTimeout) // last: it writes what the listeners left
}

// notReady names what has not been read yet, for /ready.
func (p *Program) notReady() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.awaited {
		if !s.index.Snapshot().Synced(s.required) {
			return []string{"kubernetes"}
		}
	}
	return nil
}

// Addresses are where the program listens.
func (p *Program) Addresses() []netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []netip.AddrPort
	for _, l := range p.listeners {
		all = append(all, l.Address())
	}
	slices.SortFunc(all, netip.AddrPort.Compare)
	return all
}

// Synced waits until every source has been read, or ctx ends.
func (p *Program) Synced(ctx context.Context) error {
	p.mu.Lock()
	all := make([]*source, 0, len(p.sources))
	for _, s := range p.sources {
		all = append(all, s)
	}
	p.mu.Unlock()
	var failed error
	for _, s := range all {
		failed = errors.Join(failed, s.Wait(ctx, s.required))
	}
	return failed
}

// localAddresses are the addresses that clients may reach this server by: those it is bound to, else all of the machine's but loopback.
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
		if prefix, err := netip.ParsePrefix(n.String()); err == nil && !prefix.Addr().IsLoopback() && !prefix.Addr().IsLinkLocalUnicast() {
			local = append(local, prefix.Addr().Unmap())
		}
	}
	return local
}
