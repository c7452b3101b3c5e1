package server

import (
	"fmt"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
)

// gather emits the listener's counters, summed over its workers.
func (l *Listener) gather(emit func(Sample)) {
	var sum tally
	for _, t := range append(l.engine.tallies(), l.slow) {
		t.addTo(&sum)
	}
	server := l.Label()
	for slot, name := range l.zones.all() {
		if slot < len(sum.zones) {
			sum.zones[slot].gather(emit, []string{"server", server, "zone", name, "view", ""})
		}
	}
	l.gatherOwn(emit, server, sum.silent)
}

// gather emits CoreDNS's metrics for one zone. What was never counted has no series.
func (z *zoneCounts) gather(emit func(Sample), zone []string) {
	z.gatherRequests(emit, zone)
	for rcode := range z.responses {
		for source, n := range z.responses[rcode] {
			if n > 0 {
				emit(Sample{Name: "coredns_dns_responses_total", Help: "Counter of response status codes.", Value: float64(n),
					Labels: with(zone, "rcode", rcodeLabel(rcode), "plugin", resolver.Source(source).String())})
			}
		}
	}
	for p := range transports {
		labels := with(zone, "proto", transports[p].name)
		z.size[p].gather(emit, "coredns_dns_request_size_bytes", "Size of the request in bytes, per zone and protocol.", labels)
		z.replySize[p].gather(emit, "coredns_dns_response_size_bytes", "Size of the returned response in bytes.", labels)
	}
	if z.do > 0 {
		emit(Sample{Name: "coredns_dns_do_requests_total", Help: "Counter of DNS requests with DO bit set per zone.", Value: float64(z.do), Labels: zone})
	}
	z.duration.gather(emit, "coredns_dns_request_duration_seconds", "Histogram of the time (in seconds) each request took per zone.", zone)
}

func (z *zoneCounts) gatherRequests(emit func(Sample), zone []string) {
	for p := range z.requests {
		for family := range z.requests[p] {
			for typ, n := range z.requests[p][family] {
				if n > 0 {
					emit(Sample{Name: "coredns_dns_requests_total", Help: "Counter of DNS requests made per zone, protocol and family.", Value: float64(n),
						Labels: with(zone, "proto", transports[p].name, "family", [...]string{"1", "2"}[family], "type", typeNames[typ])})
				}
			}
		}
	}
}

// with is labels and more, in memory of its own.
func with(labels []string, more ...string) []string {
	return append(append(make([]string, 0, len(labels)+len(more)), labels...), more...)
}

func rcodeLabel(rcode int) string {
	if rcode == otherRcode {
		return "other"
	}
	if name, ok := dns.RcodeToString[rcode]; ok {
		return name
	}
	return fmt.Sprintf("RCODE%d", rcode)
}

func (h *timeHistogram) gather(emit func(Sample), name, help string, labels []string) {
	s := Sample{Name: name, Help: help, Kind: Histogram, Labels: labels, Value: h.sum.Seconds(), Buckets: map[float64]uint64{}}
	bound := firstTime
	for i, n := range h.buckets {
		s.Count += n
		if i < timeBuckets {
			s.Buckets[bound.Seconds()] = s.Count
			bound *= 2
		}
	}
	if s.Count > 0 {
		emit(s)
	}
}

func (h *sizeHistogram) gather(emit func(Sample), name, help string, labels []string) {
	s := Sample{Name: name, Help: help, Kind: Histogram, Labels: labels, Value: float64(h.sum), Buckets: map[float64]uint64{}}
	for i, n := range h.buckets {
		s.Count += n
		if i < len(sizeBounds) {
			s.Buckets[sizeBounds[i]] = s.Count
		}
	}
	if s.Count > 0 {
		emit(s)
	}
}

// gatherOwn emits what CoreDNS has no metric for.
func (l *Listener) gatherOwn(emit func(Sample), server string, silent uint64) {
	count := func(name, help string, n uint64, labels ...string) {
		emit(Sample{Name: name, Help: help, Value: float64(n), Labels: with([]string{"server", server}, labels...)})
	}
	gauge := func(name, help string, n float64, labels ...string) {
		emit(Sample{Name: name, Help: help, Kind: Gauge, Value: n, Labels: with([]string{"server", server}, labels...)})
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
	for p, m := range map[resolver.Proto]*misses{resolver.UDP: l.misses, resolver.TCP: l.streams.misses} {
		gauge("clusterdns_upstream_waiting", "Queries that wait for upstream.", float64(m.running.Load()), "proto", transports[p].name)
		count("clusterdns_upstream_pool_full_total", "Queries answered SERVFAIL because too many waited for upstream.", m.refused.Load(), "proto", transports[p].name)
	}
	tcp := l.streams.open.counts()
	gauge("clusterdns_tcp_connections", "Open TCP connections.", float64(tcp.open))
	count("clusterdns_tcp_connections_total", "TCP connections that came.", tcp.accepted)
	count("clusterdns_tcp_connections_evicted_total", "Idle TCP connections closed to make room.", tcp.evicted)
	count("clusterdns_tcp_connections_refused_total", "TCP connections closed at once because all places were busy.", tcp.refused)
}
