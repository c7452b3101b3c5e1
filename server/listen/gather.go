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
func (l *Listener) Gather(emit metrics.Emit) {
	var sum tally
	for _, t := range append(l.engine.tallies(), l.shared) {
		t.addTo(&sum)
	}
	emit.Panics(l.panics.Total())
	ours := emit.With("server", l.Label())
	for slot, labels := range l.zones.bySlot() {
		if slot < len(sum.zones) {
			sum.zones[slot].gather(ours.With("zone", labels.zone, "view", labels.view))
		}
	}
	ours.Counter("clusterdns_dropped_packets_total", "Packets that got no answer: no queries, or dropped by a rule.",
		sum.silent)
	if l.options.Scheme == resolver.Do53 {
		l.gatherUDP(ours)
	} else {
		l.gatherTLS(ours)
	}
	l.acceptor.gather(ours)
	for p := range resolver.Proto(resolver.Carriers) {
		of := ours.With("proto", p.String())
		waiting, refused := l.pending.count(p)
		of.Gauge("clusterdns_upstream_waiting", "Queries that wait for upstream.", float64(waiting))
		of.Counter("clusterdns_upstream_pool_full_total",
			"Queries answered SERVFAIL because too many waited for upstream.", refused)
	}
}

// gather emits CoreDNS's metrics for one zone. What was never counted has no series.
func (z *zoneCounts) gather(emit metrics.Emit) {
	z.gatherRequests(emit)
	for rcode := range z.responses {
		for source, n := range z.responses[rcode] {
			if n > 0 {
				emit.Counter("coredns_dns_responses_total", "Counter of response status codes.", n,
					"rcode", rcodeLabel(rcode), "plugin", resolver.Source(source).String())
			}
		}
	}
	if z.do > 0 {
		emit.Counter("coredns_dns_do_requests_total", "Counter of DNS requests with DO bit set per zone.", z.do)
	}
	for p := range resolver.Proto(resolver.Carriers) {
		gatherSizes(emit, "coredns_dns_request_size_bytes", "Size of the request in bytes, per zone and protocol.",
			&z.size[p], p.String())
		gatherSizes(emit, "coredns_dns_response_size_bytes", "Size of the returned response in bytes.",
			&z.replySize[p], p.String())
	}
	if z.duration.Total() > 0 {
		emit.Histogram("coredns_dns_request_duration_seconds",
			"Histogram of the time (in seconds) each request took per zone.",
			&z.duration, timeBounds, float64(time.Second))
	}
}

func gatherSizes(emit metrics.Emit, name, help string, h *observe.Histogram, proto string) {
	if h.Total() > 0 {
		emit.Histogram(name, help, h, sizeBounds, 1, "proto", proto)
	}
}

func (z *zoneCounts) gatherRequests(emit metrics.Emit) {
	for p := range z.requests {
		for family := range z.requests[p] {
			for typ, n := range z.requests[p][family] {
				if n > 0 {
					emit.Counter("coredns_dns_requests_total",
						"Counter of DNS requests made per zone, protocol and family.", n,
						"proto", resolver.Proto(p).String(), "family", families[family], "type", resolver.TypeLabels[typ])
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

// gatherUDP emits what the kernel and the engine tell about the UDP sockets.
func (l *Listener) gatherUDP(emit metrics.Emit) {
	var drops uint64
	var buffer uint32
	for _, s := range l.engine.sockets() {
		drops += uint64(s.drops)
		buffer += s.buffer
	}
	emit.Counter("clusterdns_udp_kernel_drops_total",
		"Datagrams that the kernel dropped because the receive buffer was full.", drops)
	emit.Counter("clusterdns_udp_send_failures_total", "Replies that the kernel did not take.", l.engine.failures())
	emit.Gauge("clusterdns_udp_receive_buffer_bytes", "Receive buffer of the UDP sockets, as granted.", float64(buffer))
	emit.Gauge("clusterdns_udp_engine_info", "The way UDP is read, batch or portable.", 1, "engine", l.engine.String())
}

func (l *Listener) gatherTLS(emit metrics.Emit) {
	emit.Gauge("clusterdns_tls_handshakes_waiting", "TLS handshakes that wait until others have been computed.",
		float64(l.handshakes.waiting.Load()))
	emit.Counter("clusterdns_tls_handshakes_failed_total",
		"TLS handshakes that failed, or took too long.", l.handshakes.failed.Load())
	if c := l.credentials.Load(); c != nil {
		emit.Counter("clusterdns_tls_certificates_refused_total",
			"Changed certificates that could not be used; the one before goes on.", c.failed.Load())
	}
}

func (s *streams) gather(emit metrics.Emit) {
	gatherConns(emit, s.open)
	transfers := s.transfers.Counts()
	emit.Gauge("clusterdns_transfers", "Zone transfers under way.", float64(transfers.Open))
	emit.Counter("clusterdns_transfers_evicted_total",
		"Zone transfers that were ended because they stood still, or their client had several, while others waited.",
		transfers.Evicted)
	emit.Counter("clusterdns_transfers_refused_total", "Zone transfers that waited for a place in vain.",
		transfers.Refused)
}

func gatherConns(emit metrics.Emit, open *Places) {
	c := open.Counts()
	emit.Gauge("clusterdns_tcp_connections", "Open TCP connections.", float64(c.Open))
	emit.Counter("clusterdns_tcp_connections_total", "TCP connections that came.", c.Came)
	emit.Counter("clusterdns_tcp_connections_evicted_total",
		"TCP connections closed to make room: idle ones, and those of clients that do not read.", c.Evicted)
	emit.Counter("clusterdns_tcp_connections_refused_total",
		"TCP connections closed at once because all places were busy.", c.Refused)
}

func (w *web) gather(emit metrics.Emit) {
	gatherConns(emit, w.open)
	gatherRequests(emit, w.requests.all)
	if w.l.options.Scheme == resolver.DoH {
		for status, n := range w.statuses.counts() {
			emit.Counter("coredns_dns_https_responses_total", "Counter of DoH responses per server and http status code.", n,
				"status", strconv.Itoa(status))
		}
	}
}

func (s *quicServer) gather(emit metrics.Emit) {
	c := s.open.Counts()
	emit.Gauge("clusterdns_quic_connections", "Open QUIC connections.", float64(c.Open))
	emit.Counter("clusterdns_quic_connections_total", "QUIC connections that came.", c.Came)
	emit.Counter("clusterdns_quic_connections_evicted_total", "QUIC connections closed to make room.", c.Evicted)
	emit.Counter("clusterdns_quic_connections_refused_total",
		"QUIC connections refused because all places were busy.", c.Refused)
	gatherRequests(emit, s.requests.all)
	for status, n := range s.statuses.counts() {
		if s.l.options.Scheme == resolver.DoH3 {
			emit.Counter("coredns_dns_https3_responses_total",
				"Counter of DoH3 responses per server and http status code.", n, "status", strconv.Itoa(status))
		} else {
			emit.Counter("coredns_dns_quic_responses_total", "Counter of DoQ responses per server and QUIC application code.",
				n, "status", "0x"+strconv.FormatInt(int64(status), 16))
		}
	}
}

func gatherRequests(emit metrics.Emit, requests *Places) {
	c := requests.Counts()
	emit.Gauge("clusterdns_requests", "HTTP requests and QUIC streams in work.", float64(c.Open))
	emit.Counter("clusterdns_requests_evicted_total",
		"HTTP requests and QUIC streams whose connection was closed because they did not go on while others came.", c.Evicted)
	emit.Counter("clusterdns_requests_refused_total",
		"HTTP requests and QUIC streams refused because all places were busy.", c.Refused)
}
