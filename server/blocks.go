package server

import (
	"math"
	"strings"
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/metrics"
)

// The metrics of server blocks, by CoreDNS's names and labels.

// blockSamples emits what the blocks of one resolver have counted. server is the label of its first listener.
func blockSamples(server string, blocks []resolver.BlockCounts, emit func(metrics.Sample)) {
	for i := range blocks {
		b := &blocks[i]
		if b.Hosts != nil {
			hostsSamples(b.Hosts, emit)
		}
		if b.Cache != nil {
			cacheSamples(server, strings.Join(b.Zones, ","), b.Cache, emit)
		}
		for j := range b.Forwards {
			forwardSamples(&b.Forwards[j], emit)
		}
	}
}

func hostsSamples(c *resolver.HostsCounts, emit func(metrics.Sample)) {
	emit(metrics.Sample{Name: "coredns_hosts_entries", Help: "The combined number of entries in hosts and Corefile.", Kind: metrics.Gauge, Value: float64(c.Entries)})
	reloaded := 0.0
	if !c.Reloaded.IsZero() {
		reloaded = float64(c.Reloaded.UnixNano()) / 1e9
	}
	emit(metrics.Sample{Name: "coredns_hosts_reload_timestamp_seconds", Help: "The timestamp of the last reload of hosts file.", Kind: metrics.Gauge, Value: reloaded})
}

// halves are the labels of the two halves of a cache.
var halves = [2]string{"success", "denial"}

func cacheSamples(server, zones string, c *resolver.CacheCounts, emit func(metrics.Sample)) {
	labels := []string{"server", server, "zones", zones, "view", ""}
	count := func(name, help string, value uint64, more ...string) {
		emit(metrics.Sample{Name: "coredns_cache_" + name, Help: help, Value: float64(value), Labels: metrics.With(labels, more...)})
	}
	for i, half := range halves {
		emit(metrics.Sample{Name: "coredns_cache_entries", Help: "The number of elements in the cache.", Kind: metrics.Gauge, Value: float64(c.Entries[i]), Labels: metrics.With(labels, "type", half)})
		emit(metrics.Sample{Name: "clusterdns_cache_bytes", Help: "Octets that the cache holds.", Kind: metrics.Gauge, Value: float64(c.Size[i]), Labels: metrics.With(labels, "type", half)})
		count("hits_total", "The count of cache hits.", c.Hits[i], "type", half)
		count("evictions_total", "The count of cache evictions.", c.Evictions[i], "type", half)
	}
	count("requests_total", "The count of cache requests.", c.Requests)
	count("misses_total", "The count of cache misses.", c.Misses)
	count("prefetch_total", "The number of times the cache has prefetched a cached item.", c.Prefetches)
	count("drops_total", "The number of responses that are not cached.", c.Drops)
	count("served_stale_total", "The number of requests served from stale cache entries.", c.ServedStale)
}

func forwardSamples(c *resolver.ForwardCounts, emit func(metrics.Sample)) {
	count := func(name, help string, value uint64, labels ...string) {
		emit(metrics.Sample{Name: name, Help: help, Value: float64(value), Labels: labels})
	}
	count("coredns_forward_max_concurrent_rejects_total", "Counter of the number of queries rejected because the concurrent queries were at maximum.", c.Rejected)
	count("coredns_forward_healthcheck_broken_total", "Counter of the number of complete failures of the healthchecks.", c.Broken)
	count("clusterdns_forward_coalesced_total", "Queries that waited for the answer to an equal one under way.", c.Coalesced)
	emit(metrics.Sample{Name: "clusterdns_forward_waiting", Help: "Queries that wait for upstream.", Kind: metrics.Gauge, Value: float64(c.Waiting)})
	for i := range c.Upstreams {
		upstreamSamples(&c.Upstreams[i], emit)
	}
}

// upstreamSamples emits the metrics of one upstream, under the names of today and the older ones that many dashboards
// still query.
func upstreamSamples(u *resolver.UpstreamCounts, emit func(metrics.Sample)) {
	to := []string{"proxy_name", "forward", "to", u.To}
	count := func(name, help string, value uint64, labels ...string) {
		emit(metrics.Sample{Name: name, Help: help, Value: float64(value), Labels: labels})
	}
	requests := uint64(0)
	for _, l := range u.Latencies {
		n := latencySamples(u.To, l, emit)
		requests += n
		count("coredns_forward_responses_total", "Counter of responses received per upstream.", n, "to", u.To, "rcode", l.Rcode)
	}
	count("coredns_forward_requests_total", "Counter of requests made per upstream.", requests+u.Failed, "to", u.To)
	count("coredns_forward_healthcheck_failures_total", "Counter of the number of failed healthchecks.", u.ChecksFailed, "to", u.To)
	count("coredns_proxy_healthcheck_failures_total", "Counter of the number of failed healthchecks.", u.ChecksFailed, to...)
	for _, conns := range u.Conns {
		count("coredns_proxy_conn_cache_hits_total", "Counter of connection cache hits per upstream and protocol.", conns.Reused, metrics.With(to, "proto", conns.Proto)...)
		count("coredns_proxy_conn_cache_misses_total", "Counter of connection cache misses per upstream and protocol.", conns.Connected, metrics.With(to, "proto", conns.Proto)...)
	}
	count("clusterdns_upstream_failures_total", "Queries to an upstream without a usable reply.", u.Failed, "to", u.To)
	count("clusterdns_upstream_mismatches_total", "Replies that answer another question than the one asked; ignored.", u.Mismatches, "to", u.To)
	emit(metrics.Sample{Name: "clusterdns_upstream_down", Help: "1 while an upstream is taken to be down.", Kind: metrics.Gauge, Value: truth(u.Down), Labels: []string{"to", u.To}})
	emit(metrics.Sample{Name: "clusterdns_upstream_looping", Help: "1 while an upstream asks us what we ask it.", Kind: metrics.Gauge, Value: truth(u.Looping), Labels: []string{"to", u.To}})
}

// latencySamples emits one histogram under both names and returns how many observations it has.
func latencySamples(to string, l resolver.Latencies, emit func(metrics.Sample)) (total uint64) {
	h := observe.Histogram{Sum: int64(math.Round(l.Sum * float64(time.Second)))}
	copy(h.Counts[:], l.Counts)
	var bounds []int64
	for _, bound := range l.Bounds {
		bounds = append(bounds, int64(math.Round(bound*float64(time.Second))))
	}
	for _, s := range []metrics.Sample{
		{Name: "coredns_proxy_request_duration_seconds", Labels: []string{"proxy_name", "forward", "to", to, "rcode", l.Rcode}},
		{Name: "coredns_forward_request_duration_seconds", Labels: []string{"to", to, "rcode", l.Rcode}},
	} {
		s.Help = "Histogram of the time each request took."
		emit(s.Histogram(&h, bounds, float64(time.Second)))
	}
	return h.Total()
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
