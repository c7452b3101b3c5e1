package server

import (
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/server/metrics"
	"github.com/clusterdns/clusterdns/watch"
)

// The metrics of sources. Those that CoreDNS has too have its names and labels.

func (s *source) samples(c watch.Counters, emit func(metrics.Sample)) {
	label := []string{"source", s.id}
	services, addresses := s.index.Snapshot().Size()
	gauge := func(name, help string, value int, labels ...string) {
		emit(metrics.Sample{Name: name, Help: help, Kind: metrics.Gauge, Value: float64(value), Labels: metrics.With(label, labels...)})
	}
	const held = "Objects of Kubernetes that are held, stripped to what is read."
	gauge("clusterdns_kubernetes_objects", held, c.Services, "kind", "services")
	gauge("clusterdns_kubernetes_objects", held, c.Slices, "kind", "endpointslices")
	gauge("clusterdns_kubernetes_objects", held, c.Namespaces, "kind", "namespaces")
	gauge("clusterdns_kubernetes_objects", held, c.Pods, "kind", "pods")
	gauge("clusterdns_index_services", "Services in the index.", services)
	gauge("clusterdns_index_addresses", "Addresses with PTR records in the index.", addresses)
	count := func(name, help string, value uint64) {
		emit(metrics.Sample{Name: name, Help: help, Value: float64(value), Labels: label})
	}
	count("clusterdns_kubernetes_object_problems_total",
		"Mistakes found in objects; each was logged once. What cannot be right has no records, the rest is served.", c.Problems)
	count("clusterdns_index_published_total", "Snapshots of the index published.", c.Published)
	for kind, n := range c.PassedOver {
		gauge("clusterdns_manifests_passed_over", "Manifests of kinds that make no names.", n, "kind", kind)
	}
	for _, k := range c.Stale {
		emit(metrics.Sample{Name: "clusterdns_kubernetes_stale_seconds", Kind: metrics.Gauge, Value: k.For.Seconds(), Labels: metrics.With(label, "kind", k.Kind),
			Help: "Time since the API server last said something of a kind: an event, a bookmark (one a minute) or a list."})
	}
	programmingSamples(&c, emit)
	requestSamples(&c.Requests, emit)
}

// programmingSamples emits how long changes of endpoints took. Those of several sources are added up.
func programmingSamples(c *watch.Counters, emit func(metrics.Sample)) {
	for i, kind := range watch.ProgrammingKinds {
		emitLatencies(&c.Programming[i], watch.ProgrammingBounds, emit, metrics.Sample{Name: "coredns_kubernetes_dns_programming_duration_seconds",
			Help: "Histogram of the time (in seconds) it took to program a dns instance.", Labels: []string{"service_kind", kind}})
	}
}

// requestSamples emits the requests to an API server.
func requestSamples(r *watch.Requests, emit func(metrics.Sample)) {
	for code, n := range r.Answered {
		emit(metrics.Sample{Name: "coredns_kubernetes_rest_client_requests_total", Value: float64(n), Labels: []string{"code", code, "method", "GET", "host", r.Host},
			Help: "Number of HTTP requests, partitioned by status code, method, and host."})
	}
	labels := []string{"verb", "GET", "host", r.Host}
	emitLatencies(&r.Took, watch.RequestBounds, emit, metrics.Sample{Name: "coredns_kubernetes_rest_client_request_duration_seconds",
		Help: "Request latency in seconds. Broken down by verb and host.", Labels: labels})
	emitLatencies(&r.Waited, watch.RequestBounds, emit, metrics.Sample{Name: "coredns_kubernetes_rest_client_rate_limiter_duration_seconds",
		Help: "Client side rate limiter latency in seconds. Broken down by verb and host.", Labels: labels})
}

// emitLatencies emits s with a histogram of times, unless it is empty.
func emitLatencies(l *watch.Latencies, bounds []time.Duration, emit func(metrics.Sample), s metrics.Sample) {
	h := observe.Histogram{Sum: int64(l.Sum)}
	copy(h.Counts[:], l.Counts[:])
	var in []int64
	for _, bound := range bounds {
		in = append(in, int64(bound))
	}
	if h.Total() > 0 {
		emit(s.Histogram(&h, in, float64(time.Second)))
	}
}
