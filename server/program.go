package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/observe/traffic"
	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/admin"
	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/server/device"
	"github.com/clusterdns/clusterdns/server/listen"
	"github.com/clusterdns/clusterdns/server/logs"
	"github.com/clusterdns/clusterdns/server/metrics"
	"github.com/clusterdns/clusterdns/server/page"
	"github.com/clusterdns/clusterdns/watch"
)

// Program is the running server: everything that one Config needs, until a reload exchanges it for what another one
// needs.
type Program struct {
	log        *slog.Logger
	queries    *logs.QueryLog
	metrics    *metrics.Collector
	admin      *admin.Server
	started    time.Time
	base       context.Context // of everything that runs except the listeners, which end first
	end        context.CancelFunc
	logging    *task
	serving    *task // the admin endpoints
	traffic    *traffic.Traffic
	counting   *task // of traffic
	reloads    reloadCounts
	handshakes *listen.Handshakes
	parts      resolver.Parts // what outlives the resolvers of a Config
	local      *device.Table  // what local_address has the machine given

	leaving  sync.WaitGroup // of listeners that a reload has dropped
	ending   sync.WaitGroup // of resolvers that a reload has replaced
	replaced *task          // ends with the resolvers that the last reload has replaced; nil before the first
	opened   []*listening   // all whose sockets may still be open; changed by Apply
	keeping  *task          // of local; nil before the first address
	applying chan struct{}  // has an element while Apply runs, which alone changes what follows

	// mu guards what follows. Each is exchanged as a whole and never changed, and not at all once closing is set. It is
	// held only for moments, because probes wait for it.
	mu        sync.Mutex
	closing   bool
	config    *config.Config
	listeners map[socket]*listening
	sources   map[watch.Options]*source
	resolvers []*answering
	awaited   []*source
	clusters  []page.Cluster // for the page
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

// stopWithin is stop for a task that may be blocked in a write: after d it is left behind.
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
	*listen.Listener
	*task
	credentials *listen.Credentials // as the Config says; nil for none
	limits      config.Limits
}

type answering struct {
	*resolver.Resolver
	*task
	errors []*logs.ErrorLog // of its blocks
}

// run works in the background for the resolver, and then writes the sums of its blocks' failures.
func (a *answering) run(ctx context.Context) {
	var summing []*task
	for _, e := range a.errors {
		summing = append(summing, start(context.Background(), e.Run))
	}
	a.Resolver.Run(ctx)
	for _, t := range summing {
		t.stop()
	}
}

// NewProgram makes a program that serves nothing yet. Lines of the query log go to out.
func NewProgram(out io.Writer, log *slog.Logger) *Program {
	number, revision := config.ProgramVersion()
	p := &Program{log: log, queries: logs.NewQueryLog(out), metrics: metrics.New(number, revision),
		listeners: map[socket]*listening{}, sources: map[watch.Options]*source{}, applying: make(chan struct{}, 1),
		handshakes: listen.NewHandshakes(), started: time.Now(), traffic: traffic.New(), local: device.NewTable(log)}
	p.base, p.end = context.WithCancel(context.Background())
	p.counting = start(p.base, p.traffic.Run)
	p.admin = admin.New(admin.Options{NotReady: p.notReady, Snapshot: p.snapshot, Metrics: p.metrics.Handler(), Page: p.page(),
		Logger: log})
	p.logging = start(context.Background(), p.queries.Run)
	p.serving = start(p.base, p.admin.Run)
	p.metrics.Set("program", p.samples)
	p.metrics.Set("admin", p.admin.Gather)
	return p
}

// Apply makes the program serve c. Sockets, sources and caches that both the old and the new Config have go on as they
// are; the old Config serves until the new one is ready, and after an error it goes on serving. The first start waits
// for nothing: names of a cluster that has not been read yet are answered SERVFAIL with the reason, and the rest is
// served.
func (p *Program) Apply(ctx context.Context, c *config.Config) error {
	p.applying <- struct{}{}
	defer func() { <-p.applying }()
	g := &generation{listeners: map[socket]*listening{}, sources: map[watch.Options]*source{}}
	err := p.open(g, c)
	if err == nil && p.config != nil {
		err = g.waitForSync(ctx)
	}
	if err == nil {
		err = ctx.Err() // reading files may have taken long
	}
	if err == nil {
		err = p.listen(g, c)
	}
	if err == nil {
		err = p.admin.Set(endpointsOf(c))
	}
	if err == nil && !p.take(g, c) {
		err = errClosing
	}
	if err != nil {
		g.abandon()
		p.local.Keep(localOf(p.config))
		return err
	}
	for _, warning := range c.Warnings {
		p.log.Warn(warning)
	}
	return nil
}

var errClosing = errors.New("the program ends")

// take puts g in the place of the generation before, and ends what only that one needed. It reports false, and does
// nothing, when the program is about to end.
func (p *Program) take(g *generation, c *config.Config) bool {
	oldListeners, oldSources, oldResolvers := p.listeners, p.sources, p.resolvers
	clusters := clustersOf(c, g.sources)
	p.mu.Lock()
	if p.closing {
		p.mu.Unlock()
		return false
	}
	p.clusters = clusters
	p.config, p.listeners, p.sources, p.resolvers, p.awaited = c, g.listeners, g.sources, g.resolvers, g.awaited
	p.mu.Unlock()
	runtime.SetBlockProfileRate(c.Pprof.BlockRate)
	p.metrics.SetDetailed(c.Prometheus.RuntimeMetrics)
	p.traffic.Set(len(c.Dashboard.Addresses) > 0)
	var all []*listen.Listener
	var settle []func()
	for i := range c.Listeners {
		for _, address := range c.Listeners[i].Addresses {
			l := g.listeners[socket{c.Listeners[i].Scheme, address}]
			l.SetCredentials(l.credentials)
			settle = append(settle, l.SetResolver(g.resolvers[i], g.blocksOf(&c.Listeners[i])))
			all = append(all, l.Listener)
		}
	}
	runtime.GOMAXPROCS(listen.Processors(all))
	for at, l := range oldListeners {
		if now := g.listeners[at]; now == nil || now.Listener != l.Listener {
			p.leaving.Go(l.stop)
			settle = append(settle, func() { <-l.done })
		}
	}
	if len(c.LocalAddresses) > 0 && p.keeping == nil {
		p.keeping = start(p.base, p.local.Run)
	}
	if len(oldResolvers) > 0 {
		p.replaced = start(p.base, func(ctx context.Context) { p.endReplaced(ctx, oldResolvers, settle, localOf(c)) })
	}
	var replaced []*watch.Source
	for options, s := range oldSources {
		if g.sources[options] == nil {
			s.Disown() // before another one may write the file
			s.stop()
			replaced = append(replaced, s.Source)
		}
	}
	for _, s := range g.sources {
		s.Own(replaced...)
	}
	return true
}

// endReplaced ends the resolvers that a reload has replaced when no query needs them any more, and gives their memory
// back at once: their tables may be large, and the next reload brings others. The addresses that only the replaced
// Config needed go then.
func (p *Program) endReplaced(ctx context.Context, resolvers []*answering, settle []func(), local []device.Address) {
	settled := make(chan struct{})
	p.ending.Go(func() {
		defer close(settled)
		for _, wait := range settle {
			wait()
		}
	})
	select {
	case <-settled:
	case <-ctx.Done():
	case <-time.After(listen.Defaults().Drain):
	}
	for _, r := range resolvers {
		r.stop()
	}
	p.local.Keep(local)
	debug.FreeOSMemory()
}

// localOf is the addresses that c has the machine given; c may be nil.
func localOf(c *config.Config) (all []device.Address) {
	if c == nil {
		return nil
	}
	for _, a := range c.LocalAddresses {
		all = append(all, a.Address)
	}
	return all
}

// attempt is what do returns. When ctx ends before, it waits for patience at most, and leaves do behind: files that do
// reads may not answer, such as a FIFO or one of a dead mount, and must not hold up the end of the program.
func attempt[V any](ctx context.Context, patience time.Duration, do func() (V, error)) (V, error) {
	var value V
	var err error
	attempted := start(context.Background(), func(context.Context) { value, err = do() })
	select {
	case <-attempted.done:
		return value, err
	case <-ctx.Done():
	}
	select {
	case <-attempted.done:
		return value, err
	case <-time.After(patience):
		var none V
		return none, ctx.Err()
	}
}

// apply is Apply that may be left behind when ctx ends.
func (p *Program) apply(ctx context.Context, c *config.Config) error {
	_, err := attempt(ctx, flushTimeout, func() (struct{}, error) { return struct{}{}, p.Apply(ctx, c) })
	return err
}

// Run serves until ctx ends, then drains: it goes on answering for the lameduck time, and ends everything that it
// started. It calls load for each value on reloads, and where the directive reload is given, at its interval.
func (p *Program) Run(ctx context.Context, load func() (*config.Config, error), reloads <-chan os.Signal) {
	p.watchConfig(ctx, load, reloads)
	p.log.Info("server: shutting down; a second SIGTERM or SIGINT ends at once")
	p.admin.Lameduck(context.Background(), p.config.Health.Lameduck)
	start(context.Background(), func(context.Context) { p.Close() }).stopWithin(closeTimeout)
}

// closeTimeout is more than an orderly end takes. What has not ended by then reads a file that does not answer.
const closeTimeout = 15 * time.Second

// Close ends everything that runs, and returns after it has ended: first the listeners, all at the same time, while the
// resolvers still answer the queries that wait for upstream, and then the resolvers and the rest.
func (p *Program) Close() {
	select {
	case p.applying <- struct{}{}:
	case <-time.After(flushTimeout): // Apply reads a file that does not answer, and may take nothing when it does
	}
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
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
	p.counting.stop()
	p.serving.stop()
	if p.replaced != nil {
		p.replaced.stop()
	}
	p.ending.Wait()
	if p.keeping != nil {
		p.keeping.stop()
	}
	p.local.Keep(nil)                  // its sockets are closed
	p.logging.stopWithin(flushTimeout) // last: it writes what the listeners left
}

// notReady names the directives that wait for their first data, for /ready, and says why, where that is known.
func (p *Program) notReady() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.awaited {
		if !s.index.Snapshot().Synced(s.required) {
			if why := s.Trouble(); why != "" {
				return []string{"kubernetes: " + why}
			}
			return []string{"kubernetes"}
		}
	}
	return nil
}

// snapshot is the time of the snapshot that a source is answered from, for /ready; "" for none.
func (p *Program) snapshot() string {
	p.mu.Lock()
	sources := p.awaited
	p.mu.Unlock()
	for _, s := range sources {
		if at := s.Snapshot(); at != "" {
			return at
		}
	}
	return ""
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
