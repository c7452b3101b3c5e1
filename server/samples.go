package server

import (
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/watch"
)

// To add a metric: a plain counter in the room that knows it, and its sample here or in that room's part of the listener (gather.go).

// samples emits what the program and its sources count. It does not hold p.mu while it asks them: a source that publishes a large cluster
// takes seconds to answer, and probes would wait with it.
func (p *Program) samples(emit func(Sample)) {
	p.mu.Lock()
	c, listeners, resolvers, sources := p.config, p.listeners, p.resolvers, p.sources
	p.mu.Unlock()
	emit(Sample{Name: "coredns_reload_failed_total", Help: "Counter of the number of failed reload attempts.", Value: float64(p.reloads.failed.Load())})
	if c != nil {
		emit(Sample{Name: "coredns_reload_version_info", Kind: Gauge, Value: 1, Help: "A metric with a constant '1' value labeled by hash, and value which type of hash generated.",
			Labels: []string{"hash", "sha512", "value", c.Digest}})
	}
	emit(Sample{Name: "clusterdns_log_lines_dropped_total", Help: "Query log lines dropped because the writer could not keep up.", Value: float64(p.queries.Dropped())})
	var all []*resolver.Resolver
	for _, r := range resolvers {
		all = append(all, r.Resolver)
	}
	for i, blocks := range resolver.Counts(all) {
		stepSamples(listeners[c.Listeners[i].Addresses[0]].Label(), blocks, emit)
	}
	for _, s := range sources {
		s.samples(s.id, s.Counters(), emit)
	}
}

func (s *source) samples(index string, c watch.Counters, emit func(Sample)) {
	services, addresses := s.index.Snapshot().Size()
	gauge := func(name, help string, value int, labels ...string) {
		emit(Sample{Name: name, Help: help, Kind: Gauge, Value: float64(value), Labels: append([]string{"source", index}, labels...)})
	}
	const held = "Objects of Kubernetes that are held, stripped to what is read."
	for kind, n := range c.Objects {
		gauge("clusterdns_kubernetes_objects", held, n, "kind", kind)
	}
	gauge("clusterdns_index_services", "Services in the index.", services)
	gauge("clusterdns_index_addresses", "Addresses with PTR records in the index.", addresses)
	count := func(name, help string, value uint64) {
		emit(Sample{Name: name, Help: help, Value: float64(value), Labels: []string{"source", index}})
	}
	count("clusterdns_kubernetes_object_problems_total", "Mistakes found in objects; each was logged once. What cannot be right has no records, the rest is served.", c.Problems)
	count("clusterdns_index_published_total", "Snapshots of the index published.", c.Published)
	for kind, n := range c.Ignored {
		gauge("clusterdns_manifests_passed_over", "Manifests of kinds that make no names.", n, "kind", kind)
	}
	for _, k := range c.Stale {
		emit(Sample{Name: "clusterdns_kubernetes_stale_seconds", Help: "Time since the API server last said something of a kind: an event, a bookmark (one a minute) or a list.",
			Kind: Gauge, Value: k.For.Seconds(), Labels: []string{"source", index, "kind", k.Kind}})
	}
	programmingSamples(&c, emit)
	requestSamples(&c.Requests, emit)
}

// programmingSamples emits how long changes of endpoints took, as CoreDNS does. Those of several sources are added up.
func programmingSamples(c *watch.Counters, emit func(Sample)) {
	for i, kind := range watch.ProgrammingKinds {
		emitLatencies(emit, &c.Programming[i], watch.ProgrammingBounds, "coredns_kubernetes_dns_programming_duration_seconds",
			"Histogram of the time (in seconds) it took to program a dns instance.", "service_kind", kind)
	}
}

// requestSamples emits the requests to an API server, as CoreDNS does.
func requestSamples(r *watch.Requests, emit func(Sample)) {
	for code, n := range r.Answered {
		emit(Sample{Name: "coredns_kubernetes_rest_client_requests_total", Help: "Number of HTTP requests, partitioned by status code, method, and host.",
			Value: float64(n), Labels: []string{"code", code, "method", "GET", "host", r.Host}})
	}
	emitLatencies(emit, &r.Took, watch.RequestBounds, "coredns_kubernetes_rest_client_request_duration_seconds",
		"Request latency in seconds. Broken down by verb and host.", "verb", "GET", "host", r.Host)
	emitLatencies(emit, &r.Waited, watch.RequestBounds, "coredns_kubernetes_rest_client_rate_limiter_duration_seconds",
		"Client side rate limiter latency in seconds. Broken down by verb and host.", "verb", "GET", "host", r.Host)
}

// emitLatencies emits a histogram of nanoseconds in which something was counted.
func emitLatencies(emit func(Sample), h *observe.Histogram, bounds []int64, name, help string, labels ...string) {
	s := Sample{Name: name, Help: help, Kind: Histogram, Labels: labels, Value: time.Duration(h.Sum).Seconds(), Buckets: map[float64]uint64{}}
	for i, bound := range bounds {
		s.Count += h.Counts[i]
		s.Buckets[time.Duration(bound).Seconds()] = s.Count
	}
	if s.Count += h.Counts[len(bounds)]; s.Count > 0 {
		emit(s)
	}
}

// uses lists the directives in use at each address and for each zone, for coredns_plugin_enabled.
func uses(c *config.Config, g *generation) []PluginUse {
	var all []PluginUse
	for i := range c.Listeners {
		for _, address := range c.Listeners[i].Addresses {
			label := g.listeners[address].Label()
			for j := range c.Listeners[i].Blocks {
				b := &c.Listeners[i].Blocks[j]
				for _, zone := range b.Steps.Zones {
					for _, name := range b.Enabled() {
						all = append(all, PluginUse{label, zone, name})
					}
				}
			}
		}
	}
	return all
}
