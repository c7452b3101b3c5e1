package listen

import (
	"strconv"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/metrics"
)

// Gather emits the listener's counters, summed over its workers.
func (l *Listener) Gather(emit func(metrics.Sample)) {
	var sum tally
	for _, t := range append(l.engine.tallies(), l.shared) {
		t.addTo(&sum)
	}
	server := []string{"server", l.Label()}
	for slot, name := range l.zones.all() {
		if slot < len(sum.zones) {
			sum.zones[slot].gather(emit, metrics.With(server, "zone", name, "view", ""))
		}
	}
	emit(metrics.Sample{Name: "coredns_panics_total", Help: "A metrics that counts the number of panics.", Value: float64(l.panics.total.Load())})
	l.gatherOwn(emit, server, sum.silent)
}

// gather emits CoreDNS's metrics for one zone. What was never counted has no series.
func (z *zoneCounts) gather(emit func(metrics.Sample), zone []string) {
	z.gatherRequests(emit, zone)
	for rcode := range z.responses {
		for source, n := range z.responses[rcode] {
			if n > 0 {
				emit(metrics.Sample{Name: "coredns_dns_responses_total", Help: "Counter of response status codes.", Value: float64(n),
					Labels: metrics.With(zone, "rcode", rcodeLabel(rcode), "plugin", resolver.Source(source).String())})
			}
		}
	}
	if z.do > 0 {
		emit(metrics.Sample{Name: "coredns_dns_do_requests_total", Help: "Counter of DNS requests with DO bit set per zone.", Value: float64(z.do), Labels: zone})
	}
	distribution := func(h *observe.Histogram, bounds []int64, unit float64, name, help string, labels ...string) {
		if h.Total() > 0 {
			emit(metrics.Sample{Name: name, Help: help, Labels: metrics.With(zone, labels...)}.Histogram(h, bounds, unit))
		}
	}
	for p, transport := range transports {
		distribution(&z.size[p], sizeBounds, 1, "coredns_dns_request_size_bytes", "Size of the request in bytes, per zone and protocol.", "proto", transport.name)
		distribution(&z.replySize[p], sizeBounds, 1, "coredns_dns_response_size_bytes", "Size of the returned response in bytes.", "proto", transport.name)
	}
	distribution(&z.duration, timeBounds, float64(time.Second), "coredns_dns_request_duration_seconds",
		"Histogram of the time (in seconds) each request took per zone.")
}

func (z *zoneCounts) gatherRequests(emit func(metrics.Sample), zone []string) {
	for p := range z.requests {
		for family := range z.requests[p] {
			for typ, n := range z.requests[p][family] {
				if n > 0 {
					emit(metrics.Sample{Name: "coredns_dns_requests_total", Value: float64(n), Help: "Counter of DNS requests made per zone, protocol and family.",
						Labels: metrics.With(zone, "proto", transports[p].name, "family", families[family], "type", typeNames[typ])})
				}
			}
		}
	}
}

func rcodeLabel(rcode int) string {
	if rcode == otherRcode {
		return "other"
	}
	if name, ok := dns.RcodeToString[rcode]; ok {
		return name
	}
	return "RCODE" + strconv.Itoa(rcode)
}

// gatherOwn emits what CoreDNS has no metric for.
func (l *Listener) gatherOwn(emit func(metrics.Sample), server []string, silent uint64) {
	count := func(name, help string, n uint64, labels ...string) {
		emit(metrics.Sample{Name: name, Help: help, Value: float64(n), Labels: metrics.With(server, labels...)})
	}
	gauge := func(name, help string, n float64, labels ...string) {
		emit(metrics.Sample{Name: name, Help: help, Kind: metrics.Gauge, Value: n, Labels: metrics.With(server, labels...)})
	}
	var drops uint64
	var buffer uint32
	for _, s := range l.engine.sockets() {
		drops += uint64(s.drops)
		buffer += s.buffer
	}
	count("clusterdns_udp_kernel_drops_total", "Datagrams that the kernel dropped because the receive buffer was full.", drops)
	count("clusterdns_udp_send_failures_total", "Replies that the kernel did not take.", l.engine.failures())
	gauge("clusterdns_udp_receive_buffer_bytes", "Receive buffer of the UDP sockets, as granted.", float64(buffer))
	gauge("clusterdns_udp_engine_info", "The way UDP is read, batch or portable.", 1, "engine", l.engine.String())
	count("clusterdns_dropped_packets_total", "Packets that got no answer: no queries, or dropped by a rule.", silent)
	for p, pending := range l.pending {
		proto := transports[p].name
		gauge("clusterdns_upstream_waiting", "Queries that wait for upstream.", float64(pending.running.Load()), "proto", proto)
		count("clusterdns_upstream_pool_full_total", "Queries answered SERVFAIL because too many waited for upstream.", pending.refused.Load(), "proto", proto)
	}
	tcp := l.streams.open.counts()
	gauge("clusterdns_tcp_connections", "Open TCP connections.", float64(tcp.open))
	count("clusterdns_tcp_connections_total", "TCP connections that came.", tcp.accepted)
	count("clusterdns_tcp_connections_evicted_total", "Idle TCP connections closed to make room.", tcp.evicted)
	count("clusterdns_tcp_connections_refused_total", "TCP connections closed at once because all places were busy.", tcp.refused)
}
