package server

import (
	"github.com/clusterdns/clusterdns/observe/traffic"
	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/server/metrics"
)

// To add a metric: add a plain counter to the room that counts it, and its sample to blocks.go for resolver, to
// sources.go for watch, and to the method Gather of a listener or of the admin endpoints for those. All others are
// here.

// samples emits what the program and all that it runs count. It does not hold p.mu meanwhile: a source that publishes a
// large cluster takes seconds to answer, and probes would wait as well.
func (p *Program) samples(emit metrics.Emit) {
	p.mu.Lock()
	c, listeners, resolvers, sources := p.config, p.listeners, p.resolvers, p.sources
	p.mu.Unlock()
	emit.Counter("coredns_reload_failed_total", "Counter of the number of failed reload attempts.",
		p.reloads.failed.Load())
	emit.Gauge("clusterdns_config_current", "1 while what was last read of the Corefile is what is served.",
		truth(!p.reloads.behind.Load()))
	emit.Counter("clusterdns_log_lines_dropped_total",
		"Query log lines dropped because the writer could not keep up.", p.queries.Dropped())
	if c != nil {
		configSamples(c, listeners, emit)
	}
	for _, a := range p.local.Counts() {
		emit.Gauge("clusterdns_local_address_present", "1 while the machine has an address of local_address.",
			truth(a.Present), "address", a.Addr.String(), "device", a.Device)
		emit.Counter("clusterdns_local_address_restored_total",
			"Times that an address of local_address was taken away by somebody else and made again.",
			a.Restored, "address", a.Addr.String(), "device", a.Device)
	}
	for _, l := range listeners {
		l.Gather(emit)
	}
	var all []*resolver.Resolver
	for _, r := range resolvers {
		all = append(all, r.Resolver)
	}
	counts := resolver.Counts(all)
	hostsSamples(counts, emit)
	etcdSamples(counts, emit)
	for i, blocks := range counts {
		blockSamples(listeners[socket{c.Listeners[i].Scheme, c.Listeners[i].Addresses[0]}].Label(), blocks, emit)
	}
	for _, s := range sources {
		s.samples(s.Counters(), emit)
	}
	if f := p.traffic.Fill(); f != nil {
		trafficSamples(f, emit)
	}
}

// trafficSamples emits what the bounds of the page have done.
func trafficSamples(f *traffic.Fill, emit metrics.Emit) {
	const keys, evicted = "clusterdns_dashboard_entries", "clusterdns_dashboard_evictions_total"
	const helpKeys = "Names, clients and failures that the tables of the page hold, for all parts of an hour."
	const helpEvicted = "Names, clients and failures that others have displaced in a full table of the page."
	for table, n := range f.Keys {
		emit.Gauge(keys, helpKeys, float64(n), "table", table.String())
		emit.Counter(evicted, helpEvicted, f.Evicted[table], "table", table.String())
	}
	emit.Gauge(keys, helpKeys, float64(f.Failures), "table", "failures")
	emit.Counter(evicted, helpEvicted, f.Pushed, "table", "failures")
	emit.Counter("clusterdns_dashboard_samples_dropped_total", "Queries of the sample for which there was no room: they are counted, "+
		"and stand in no table.", f.Lost)
	emit.Gauge("clusterdns_dashboard_tails", "Readers of /api/tail.", float64(f.Tails))
	emit.Counter("clusterdns_dashboard_tail_omitted_total", "Queries that readers of /api/tail missed, because they were too far behind.",
		f.Omitted)
}

// configSamples emits which configuration is served, and the directives that it has.
func configSamples(c *config.Config, listeners map[socket]*listening, emit metrics.Emit) {
	emit.Gauge("coredns_reload_version_info",
		"A metric with a constant '1' value labeled by hash, and value which type of hash generated.", 1,
		"hash", "sha512", "value", c.Digest)
	for _, labels := range uses(c, listeners) {
		emit.Gauge("coredns_plugin_enabled",
			"A metric that indicates whether a plugin is enabled on per server and zone basis.", 1, labels...)
	}
}

// uses lists the directives that are in use, each as the labels of coredns_plugin_enabled.
func uses(c *config.Config, listeners map[socket]*listening) (all [][]string) {
	for i := range c.Listeners {
		for _, address := range c.Listeners[i].Addresses {
			server := listeners[socket{c.Listeners[i].Scheme, address}].Label()
			for j := range c.Listeners[i].Blocks {
				b := &c.Listeners[i].Blocks[j]
				for _, zone := range b.Steps.Zones {
					for _, name := range b.Enabled() {
						all = append(all, []string{"server", server, "zone", zone, "view", b.Steps.ViewName(), "name", name})
					}
				}
			}
		}
	}
	return all
}
