package server

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/observe/shadow"
	"github.com/clusterdns/clusterdns/observe/traffic"
	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/server/explain"
	"github.com/clusterdns/clusterdns/server/page"
	"github.com/clusterdns/clusterdns/watch"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// What the page tells of the program.

// page is the handler of the directive dashboard.
func (p *Program) page() http.Handler {
	return page.New(page.Options{
		Traffic: p.traffic, State: p.state, Clusters: p.served, Corefile: p.corefile, Hosts: p.pageHosts,
		Who:     p.who,
		Source:  func(source uint8) string { return resolver.Source(source).String() },
		Explain: explain.Handler(p.explainBase),
	})
}

// now is the generation that serves. Its fields never change.
func (p *Program) now() (*config.Config, map[socket]*listening, []*resolver.Resolver, []*source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var resolvers []*resolver.Resolver
	for _, r := range p.resolvers {
		resolvers = append(resolvers, r.Resolver)
	}
	var sources []*source
	for _, s := range p.sources {
		sources = append(sources, s)
	}
	slices.SortFunc(sources, func(a, b *source) int {
		return cmp.Or(cmp.Compare(len(a.id), len(b.id)), cmp.Compare(a.id, b.id))
	})
	return p.config, p.listeners, resolvers, sources
}

func (p *Program) state() page.State {
	c, listeners, resolvers, sources := p.now()
	s := page.State{Started: p.started, NotReady: append([]string{}, p.notReady()...), Addresses: []string{}, Caches: []page.Cache{},
		Upstreams: []page.Upstream{}, Watches: []page.Watch{}, Troubles: []page.Trouble{}}
	s.Version, s.Revision = config.ProgramVersion()
	for _, l := range listeners {
		s.Addresses = append(s.Addresses, l.Label())
	}
	slices.Sort(s.Addresses)
	s.Reload = page.Reload{Current: !p.reloads.behind.Load()}
	if c != nil {
		s.Reload.Digest = c.Digest
	}
	if last := p.reloads.last.Load(); last != nil {
		s.Reload.Last, s.Reload.Fault = &last.at, last.fault
	}
	counts := resolver.Counts(resolvers)
	for _, blocks := range counts {
		for i := range blocks {
			if c := blocks[i].Cache; c != nil {
				s.Caches = append(s.Caches, cacheState(c))
			}
			for j := range blocks[i].Forwards {
				s.Upstreams = append(s.Upstreams, upstreamStates(&blocks[i].Forwards[j])...)
			}
		}
	}
	s.Shadow = shadowState(resolvers, counts)
	for _, source := range sources {
		s.Watches = append(s.Watches, source.states()...)
		if why := source.Trouble(); why != "" {
			s.Troubles = append(s.Troubles, page.Trouble{Source: source.id, Why: why})
		}
	}
	return s
}

// mostDifferences bounds what the page shows.
const mostDifferences = 50

// shadowState is what second servers have answered; nil where none is asked.
func shadowState(resolvers []*resolver.Resolver, counts [][]resolver.BlockCounts) *page.Shadow {
	var s *page.Shadow
	sums := map[shadow.Outcome]uint64{}
	for _, blocks := range counts {
		for i := range blocks {
			c := blocks[i].Shadow
			if c == nil {
				continue
			}
			if s == nil {
				s = &page.Shadow{Outcomes: []page.Outcome{}, Away: []string{}, Differences: []page.Difference{}}
			}
			s.Away = append(s.Away, c.Away...)
			for o, n := range c.Outcomes {
				sums[o] += n
			}
		}
	}
	if s == nil {
		return nil
	}
	for o, n := range sums {
		s.Outcomes = append(s.Outcomes, page.Outcome{Result: o.Result, Kind: o.Kind, Count: n})
	}
	slices.SortFunc(s.Outcomes, func(a, b page.Outcome) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Result, b.Result), cmp.Compare(a.Kind, b.Kind))
	})
	all := resolver.Differences(resolvers)
	for _, d := range all[:min(len(all), mostDifferences)] {
		s.Differences = append(s.Differences, page.Difference{Time: d.At, Name: d.Name, Type: d.Type, Ours: d.Ours,
			Theirs: d.Theirs, Server: d.Server})
	}
	return s
}

func cacheState(c *resolver.CacheCounts) page.Cache {
	return page.Cache{Zones: c.Zones, Entries: c.Entries[0] + c.Entries[1], Bytes: c.Size[0] + c.Size[1],
		Requests: c.Requests, Hits: c.Hits[0] + c.Hits[1], Stale: c.ServedStale, Evicted: c.Evictions[0] + c.Evictions[1]}
}

func upstreamStates(f *resolver.ForwardCounts) (all []page.Upstream) {
	for i := range f.Upstreams {
		u := &f.Upstreams[i]
		s := page.Upstream{Address: u.To, Health: "up", Failed: u.Failed, Waiting: f.Waiting}
		var took observe.Histogram
		for j := range u.Latencies {
			took.Add(&u.Latencies[j].Histogram)
		}
		s.Queries = took.Total() + u.Failed
		s.P50 = traffic.Quantile(&took, resolver.LatencyBounds, 0.5).Seconds()
		s.P99 = traffic.Quantile(&took, resolver.LatencyBounds, 0.99).Seconds()
		switch {
		case u.Looping:
			s.Health = "loop"
		case u.Down:
			s.Health = "down"
		}
		all = append(all, s)
	}
	return all
}

// states is what is watched for a source, by kind.
func (s *source) states() (all []page.Watch) {
	c := s.Counters()
	idle := map[string]float64{}
	for _, k := range c.Stale {
		idle[k.Kind] = k.For.Seconds()
	}
	synced := s.index.Snapshot().Synced(s.required)
	for kind, n := range c.Objects {
		if _, watched := idle[kind]; n == 0 && !watched {
			continue // nothing is read of it
		}
		w := page.Watch{Source: s.id, Kind: kind, Objects: n, Synced: synced}
		if seconds, watched := idle[kind]; watched {
			w.Idle = &seconds
		}
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b page.Watch) int { return cmp.Compare(a.Kind, b.Kind) })
	return all
}

// served is the clusters of the generation that serves. It is asked for each client on the page.
func (p *Program) served() []page.Cluster {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clusters
}

// clustersOf are the indexes that are served, each once, with the first zone of each that is not a reverse one.
func clustersOf(c *config.Config, sources map[watch.Options]*source) (all []page.Cluster) {
	for i := range c.Listeners {
		for j := range c.Listeners[i].Blocks {
			b := &c.Listeners[i].Blocks[j]
			for k := range b.Sources {
				s := sources[b.Sources[k].Objects]
				zone := forwardZone(b.Steps.Kubernetes[k].Zones)
				same := func(known page.Cluster) bool { return known.Zone == zone }
				if s != nil && zone != "" && !slices.ContainsFunc(all, same) {
					all = append(all, page.Cluster{Zone: zone, Index: s.index})
				}
			}
		}
	}
	return all
}

// who says whose address a client has: a pod's, where pods are read, else a service's that it is an endpoint of.
func (p *Program) who(client netip.Addr) string {
	var m zones.Match
	for _, c := range p.served() {
		s := c.Index.Snapshot()
		if pod := s.Client(&m, client); pod != "" {
			return "pod " + pod
		} else if label := s.PodNamespace(&m, client); label != "" {
			return "a pod in " + label[1:]
		}
		if ptr := s.Reverse(&m, client); ptr.Next() {
			return "an endpoint of " + strings.TrimSuffix(wire.NameString([]byte(ptr.Service())), ".")
		}
	}
	return ""
}

// forwardZone is the first zone that is not one of addresses; "" for none.
func forwardZone(zones []string) string {
	for _, zone := range zones {
		if !strings.HasSuffix("."+zone, ".arpa.") {
			return zone
		}
	}
	return ""
}

func (p *Program) corefile() (all []page.File) {
	c, _, _, _ := p.now()
	if c == nil {
		return nil
	}
	for _, f := range c.Files {
		all = append(all, page.File(f))
	}
	return all
}

// pageHosts are the names of the page, besides localhost.
func (p *Program) pageHosts() []string {
	c, _, _, _ := p.now()
	if c == nil {
		return nil
	}
	names := slices.Clone(c.Dashboard.Hosts)
	for _, address := range c.Dashboard.Addresses {
		if host, _, err := net.SplitHostPort(address); err == nil {
			names = append(names, strings.ToLower(host))
		}
	}
	return names
}

// dashboardAddress is where the page is served; nil for nowhere.
func (p *Program) dashboardAddress() net.Addr {
	c, _, _, _ := p.now()
	if len(c.Dashboard.Addresses) == 0 {
		return nil
	}
	return p.admin.Addresses()[c.Dashboard.Addresses[0]]
}
