package server

import (
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/server/metrics"
	"github.com/clusterdns/clusterdns/watch"
	"github.com/clusterdns/clusterdns/watch/saved"
)

// The metrics of sources. Those that CoreDNS has too have its names and labels.

func (s *source) samples(c watch.Counters, emit metrics.Emit) {
	ours := emit.With("source", s.id)
	for kind, n := range c.Objects {
		ours.Gauge("clusterdns_kubernetes_objects", "Objects of Kubernetes that are held, stripped to what is read.",
			float64(n), "kind", kind)
	}
	services, addresses := s.index.Snapshot().Size()
	ours.Gauge("clusterdns_index_services", "Services in the index.", float64(services))
	ours.Gauge("clusterdns_index_addresses", "Addresses with PTR records in the index.", float64(addresses))
	ours.Counter("clusterdns_index_published_total", "Snapshots of the index published.", c.Published)
	ours.Counter("clusterdns_kubernetes_object_problems_total", "Mistakes found in objects; each was logged once. "+
		"What cannot be right has no records, the rest is served.", c.Problems)
	ours.Gauge("clusterdns_kubernetes_namespaces_over_budget", "Namespaces of which something was left out, because they "+
		"take more memory than their budget.", float64(c.OverBudget))
	if c.Toplevel != nil {
		toplevelSamples(ours, c.Toplevel)
	}
	for kind, n := range c.Ignored {
		ours.Gauge("clusterdns_manifests_passed_over", "Manifests of kinds that make no names.", float64(n),
			"kind", kind)
	}
	for _, k := range c.Stale {
		ours.Gauge("clusterdns_kubernetes_stale_seconds", "Time since the API server last said something of a kind: "+
			"an event, a bookmark (one a minute) or a list.", k.For.Seconds(), "kind", k.Kind)
	}
	if c.Snapshot != nil {
		snapshotSamples(c.Snapshot, ours)
	}
	programmingSamples(&c, emit)
	requestSamples(&c.Requests, emit)
}

// toplevelSamples emits what option toplevel counts.
func toplevelSamples(emit metrics.Emit, t *watch.Toplevels) {
	for kind, n := range map[string]int{"namespaces": t.Namespaces, "services": t.Services} {
		emit.Gauge("clusterdns_kubernetes_toplevel_names", "Namespaces with services, and services with named endpoints, that "+
			"are called like top-level domains: by their search lists pods get those in the place of the domains below.", float64(n), "kind", kind)
	}
}

// snapshotSamples emits what is counted of the file that a source keeps for the next start.
func snapshotSamples(c *watch.SnapshotCounters, ours metrics.Emit) {
	if !c.At.IsZero() {
		ours.Gauge("clusterdns_kubernetes_snapshot_age_seconds", "Time since the cluster was known to have what the "+
			"snapshot has that the next start would read.", time.Since(c.At).Seconds())
		ours.Gauge("clusterdns_kubernetes_snapshot_bytes", "Size of that snapshot.", float64(c.Size))
	}
	ours.Gauge("clusterdns_kubernetes_snapshot_serving", "1 while answers come from a snapshot, because the API server "+
		"has not been read since the start.", truth(c.Serving))
	ours.Counter("clusterdns_kubernetes_snapshot_writes_total", "Snapshots written.", c.Writes)
	ours.Counter("clusterdns_kubernetes_snapshot_write_failures_total", "Snapshots that could not be written: the one "+
		"before stays, and the log says why.", c.Failures)
	for _, reason := range saved.Reasons {
		ours.Counter("clusterdns_kubernetes_snapshot_refused_total", "Snapshots that were not taken.", c.Refused[reason],
			"reason", string(reason))
	}
	peerSamples(c, ours)
}

// peerSamples emits what is counted of snapshots that replicas give each other.
func peerSamples(c *watch.SnapshotCounters, ours metrics.Emit) {
	if c.Asked == nil {
		return
	}
	for _, result := range watch.AskedResults {
		ours.Counter("clusterdns_kubernetes_snapshot_peers_asked_total", "Peers that were asked for their snapshot, by what "+
			"came of it.", c.Asked[result], "result", string(result))
	}
	for _, result := range watch.GivenResults {
		ours.Counter("clusterdns_kubernetes_snapshot_peers_given_total", "Connections at which peers ask for "+
			"the snapshot, by what came of them.", c.Given[result], "result", string(result))
	}
	ours.Panics(c.Panics)
}

// programmingSamples emits how long changes of endpoints took. Those of several sources are added up.
func programmingSamples(c *watch.Counters, emit metrics.Emit) {
	for i, kind := range watch.ProgrammingKinds {
		emitLatencies(emit.With("service_kind", kind), "coredns_kubernetes_dns_programming_duration_seconds",
			"Histogram of the time (in seconds) it took to program a dns instance.",
			&c.Programming[i], watch.ProgrammingBounds)
	}
}

// requestSamples emits the requests to an API server.
func requestSamples(r *watch.Requests, emit metrics.Emit) {
	for code, n := range r.Answered {
		emit.Counter("coredns_kubernetes_rest_client_requests_total",
			"Number of HTTP requests, partitioned by status code, method, and host.", n,
			"code", code, "method", "GET", "host", r.Host)
	}
	of := emit.With("verb", "GET", "host", r.Host)
	emitLatencies(of, "coredns_kubernetes_rest_client_request_duration_seconds",
		"Request latency in seconds. Broken down by verb and host.", &r.Took, watch.RequestBounds)
	emitLatencies(of, "coredns_kubernetes_rest_client_rate_limiter_duration_seconds",
		"Client side rate limiter latency in seconds. Broken down by verb and host.", &r.Waited, watch.RequestBounds)
}

// emitLatencies emits a histogram of times, unless it is empty.
func emitLatencies(emit metrics.Emit, name, help string, h *observe.Histogram, bounds []int64) {
	if h.Total() > 0 {
		emit.Histogram(name, help, h, bounds, float64(time.Second))
	}
}
