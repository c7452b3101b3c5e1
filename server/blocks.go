package server

import (
	"time"

	"github.com/clusterdns/clusterdns/observe/shadow"
	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/metrics"
	"github.com/clusterdns/clusterdns/zones/feed"
)

// The metrics of server blocks, by CoreDNS's names and labels.

// blockSamples emits what the blocks of one resolver have counted. server is the label of its first listener.
func blockSamples(server string, blocks []resolver.BlockCounts, emit metrics.Emit) {
	for i := range blocks {
		b := &blocks[i]
		ours := emit.With("server", server)
		if b.ViewFailed != nil {
			ours.Counter("clusterdns_view_failures_total",
				"Expressions of views that failed, or gave neither true nor false.", *b.ViewFailed, "view", b.View)
		}
		if b.Cancelled != nil {
			ours.Counter("clusterdns_cancelled_total", "Questions without an answer within the time of cancel.",
				*b.Cancelled, "view", b.View)
		}
		if b.Dnssec != nil {
			dnssecSamples(b.Dnssec, ours)
		}
		if b.Translated != nil {
			ours.Counter("coredns_dns64_requests_translated_total", "Counter of DNS requests translated by dns64.",
				*b.Translated)
		}
		if b.Completed != nil {
			ours.Counter("coredns_autopath_success_total", "Counter of requests that did autopath.", *b.Completed,
				"view", b.View)
		}
		if b.Hidden != nil {
			ours.Counter("clusterdns_visibility_hidden_total",
				"Questions for names that exist, in namespaces that visibility keeps from the client.", *b.Hidden, "view", b.View)
		}
		if s := b.Search; s != nil {
			for _, c := range []struct {
				result string
				count  uint64
			}{{"completed", s.Completed}, {"absent", s.Absent}, {"failed", s.Failed}, {"unknown", s.Unknown}, {"foreign", s.Foreign}} {
				ours.Counter("clusterdns_search_questions_total",
					"Questions that only a search list makes, of names that the cluster does not have, by what search made of them.",
					c.count, "view", b.View, "result", c.result)
			}
		}
		if b.ACL != nil {
			aclSamples(b.ACL, ours.With("view", b.View))
		}
		if b.Localhost != nil { // without labels, as in CoreDNS
			emit.Counter("coredns_local_localhost_requests_total", "Counter of special localhost subdomain requests.",
				*b.Localhost)
		}
		for _, zone := range b.Templates {
			templateSamples(&zone, ours.With("zone", zone.Zone, "view", b.View))
		}
		generalSamples(&b.Generals, ours.With("view", b.View))
		if b.Cache != nil {
			cacheSamples(b.Cache, ours.With("zones", b.Cache.Zones, "view", b.View))
		}
		for _, d := range b.Dnstaps {
			of := emit.With("sink", d.Sink)
			of.Counter("clusterdns_dnstap_messages_total", "Messages that a reader of dnstap has been sent.", d.Sent)
			of.Counter("clusterdns_dnstap_dropped_total",
				"Messages of dnstap that did not fit into the queue, or were lost with a connection.", d.Dropped)
			of.Gauge("clusterdns_dnstap_readers", "Readers of dnstap that are connected.", float64(d.Readers))
		}
		if s := b.Shadow; s != nil {
			shadowSamples(s, emit)
		}
		if t := b.Trace; t != nil {
			of := emit.With("collector", t.Collector)
			of.Counter("clusterdns_trace_spans_total", "Spans that the collector of trace has taken.", t.Sent)
			of.Counter("clusterdns_trace_dropped_total",
				"Spans that did not fit into the backlog, or whose request has failed.", t.Dropped)
			of.Counter("clusterdns_trace_failures_total", "Requests to the collector of trace that have failed.", t.Failed)
		}
		emit.Panics(b.Panics)
		for j := range b.Forwards {
			forwardSamples(&b.Forwards[j], emit)
		}
	}
}

// shadowSamples emits what a second server answers to the same questions.
func shadowSamples(c *shadow.Counts, emit metrics.Emit) {
	for o, n := range c.Outcomes {
		emit.Counter("clusterdns_shadow_answers_total",
			"Answers that were compared with those of a second server, by what was found.", n,
			"result", o.Result, "kind", o.Kind)
	}
	const took = "How long the answers that were compared took."
	emit.Histogram("clusterdns_shadow_duration_seconds", took, &c.Ours, shadow.LatencyBounds, float64(time.Second),
		"server", "clusterdns")
	emit.Histogram("clusterdns_shadow_duration_seconds", took, &c.Theirs, shadow.LatencyBounds, float64(time.Second),
		"server", "second")
	emit.Gauge("clusterdns_shadow_away", "Second servers that do not answer.", float64(len(c.Away)))
	emit.Gauge("clusterdns_shadow_waiting", "Answers that wait for the question to the second server.", float64(c.Waiting))
	emit.Panics(c.Panics)
}

func dnssecSamples(c *resolver.DnssecCounts, emit metrics.Emit) {
	emit.Gauge("coredns_dnssec_cache_entries", "The number of elements in the dnssec cache.", float64(c.Entries),
		"type", "signature")
	emit.Counter("coredns_dnssec_cache_hits_total", "The count of cache hits.", c.Hits)
	emit.Counter("coredns_dnssec_cache_misses_total", "The count of cache misses.", c.Misses)
	emit.Counter("clusterdns_dnssec_refused_total",
		"Answers that were SERVFAIL because signing them takes more time than there is.", c.Refused)
	emit.Counter("clusterdns_dnssec_keys_refused_total",
		"Changed keys that could not be used; those from before go on.", c.Failed)
}

func aclSamples(c *resolver.ACLCounts, emit metrics.Emit) {
	emit.Counter("coredns_acl_allowed_requests_total", "Counter of DNS requests being allowed.", c.Allowed)
	for _, z := range c.Zones {
		of := emit.With("zone", z.Zone)
		of.Counter("coredns_acl_blocked_requests_total", "Counter of DNS requests being blocked.", z.Blocked)
		of.Counter("coredns_acl_filtered_requests_total", "Counter of DNS requests being filtered.", z.Filtered)
		of.Counter("coredns_acl_dropped_requests_total", "Counter of DNS requests being dropped.", z.Dropped)
	}
}

func templateSamples(c *resolver.TemplateCounts, emit metrics.Emit) {
	for _, m := range c.Matches {
		emit.Counter("coredns_template_matches_total", "Counter of template regex matches.", m.Count,
			"class", m.Class, "type", m.Type)
	}
	for _, f := range c.Failures {
		of := emit.With("class", f.Class, "type", f.Type, "section", f.Section, "template", f.Text)
		if f.RR {
			of.Counter("coredns_template_rr_failures_total", "Counter of mis-templated RRs.", f.Count)
		} else {
			of.Counter("coredns_template_template_failures_total", "Counter of go template failures.", f.Count)
		}
	}
}

// generalSamples emits the zones of file, auto and secondary, of which CoreDNS counts nothing.
func generalSamples(c *resolver.GeneralCounts, emit metrics.Emit) {
	for i := range c.Files {
		zoneSamples(&c.Files[i], emit.With("directive", "file"))
	}
	for i := range c.Folders {
		f := &c.Folders[i]
		of := emit.With("directory", f.Directory)
		of.Gauge("clusterdns_auto_files_left_out", "Zone files of a folder beyond the bound.", float64(f.Left))
		of.Counter("clusterdns_auto_failures_total", "Readings of zone files that have never been taken.", f.Failures)
		for j := range f.Zones {
			zoneSamples(&f.Zones[j], emit.With("directive", "auto"))
		}
	}
	for i := range c.Secondaries {
		z := &c.Secondaries[i]
		zoneSamples(z, emit.With("directive", "secondary"))
		t, of := z.Transfers, emit.With("zone", z.Zone)
		const transfers = "Zone transfers from primaries that were taken, AXFR whole and IXFR by changes."
		of.Counter("clusterdns_secondary_transfers_total", transfers, t.Whole, "kind", "AXFR")
		of.Counter("clusterdns_secondary_transfers_total", transfers, t.Changes, "kind", "IXFR")
		of.Counter("clusterdns_secondary_checks_total", "Questions to primaries for the serial of a zone.", t.Checks)
		const notifies = "NOTIFY messages for a zone, by who sent them."
		of.Counter("clusterdns_secondary_notifies_total", notifies, t.Notifies, "from", "primary")
		of.Counter("clusterdns_secondary_notifies_total", notifies, t.Foreign, "from", "other")
		of.Counter("clusterdns_secondary_expired_total", "Times that a zone was older than its SOA record lets it be.",
			t.Expired)
	}
}

func zoneSamples(c *feed.Counts, emit metrics.Emit) {
	of := emit.With("zone", c.Zone)
	of.Gauge("clusterdns_zone_serial", "Serial of a zone of file, auto or secondary; 0 without a zone.", float64(c.Serial))
	of.Gauge("clusterdns_zone_records", "Records of the zone.", float64(c.Records))
	of.Gauge("clusterdns_zone_bytes", "Octets of memory that the zone takes.", float64(c.Size))
	of.Gauge("clusterdns_zone_served", "1 while there is a zone to answer from, 0 while the answer is SERVFAIL.",
		truth(c.Served))
	of.Counter("clusterdns_zone_failures_total", "Zone files that were not taken, and failed transfers of the zone.",
		c.Failures)
}

// hostsSamples emits the entries of each hosts file, and when the newest of all of them was changed: that metric has no
// label, as in CoreDNS.
func hostsSamples(all [][]resolver.BlockCounts, emit metrics.Emit) {
	newest, found := 0.0, false
	for _, blocks := range all {
		for _, b := range blocks {
			c := b.Hosts
			if c == nil {
				continue
			}
			found = true
			emit.Gauge("coredns_hosts_entries", "The combined number of entries in hosts and Corefile.",
				float64(c.Entries), "hostsfile", c.File)
			if !c.Reloaded.IsZero() {
				newest = max(newest, float64(c.Reloaded.UnixNano())/1e9)
			}
		}
	}
	if found {
		emit.Gauge("coredns_hosts_reload_timestamp_seconds", "The timestamp of the last reload of hosts file.", newest)
	}
}

// etcdSamples emits what each etcd directive holds.
func etcdSamples(all [][]resolver.BlockCounts, emit metrics.Emit) {
	for _, blocks := range all {
		for _, b := range blocks {
			for _, c := range b.Etcd {
				of := emit.With("path", c.Path)
				of.Gauge("clusterdns_etcd_keys", "Keys of etcd that are held.", float64(c.Keys))
				of.Gauge("clusterdns_etcd_bytes", "Octets that the keys of etcd take.", float64(c.Octets))
				of.Counter("clusterdns_etcd_problems_total", "Values of keys that are no records, and keys that were left out.",
					c.Problems)
				connected := 0.0
				if c.Connected {
					connected = 1
				}
				of.Gauge("clusterdns_etcd_connected", "1 while the keys are watched.", connected)
			}
		}
	}
}

// halves are the labels of the two halves of a cache.
var halves = [2]string{"success", "denial"}

func cacheSamples(c *resolver.CacheCounts, emit metrics.Emit) {
	for i, half := range halves {
		of := emit.With("type", half)
		of.Gauge("coredns_cache_entries", "The number of elements in the cache.", float64(c.Entries[i]))
		of.Gauge("clusterdns_cache_bytes", "Octets that the cache holds.", float64(c.Size[i]))
		of.Counter("coredns_cache_hits_total", "The count of cache hits.", c.Hits[i])
		of.Counter("coredns_cache_evictions_total", "The count of cache evictions.", c.Evictions[i])
	}
	emit.Counter("coredns_cache_requests_total", "The count of cache requests.", c.Requests)
	emit.Counter("coredns_cache_misses_total", "The count of cache misses.", c.Misses)
	emit.Counter("coredns_cache_prefetch_total", "The number of times the cache has prefetched a cached item.",
		c.Prefetches)
	emit.Counter("coredns_cache_drops_total", "The number of responses that are not cached.", c.Drops)
	emit.Counter("coredns_cache_served_stale_total", "The number of requests served from stale cache entries.",
		c.ServedStale)
}

func forwardSamples(c *resolver.ForwardCounts, emit metrics.Emit) {
	emit.Counter("coredns_forward_max_concurrent_rejects_total",
		"Counter of the number of queries rejected because the concurrent queries were at maximum.", c.Rejected)
	emit.Counter("coredns_forward_healthcheck_broken_total",
		"Counter of the number of complete failures of the healthchecks.", c.Broken)
	emit.Counter("clusterdns_forward_coalesced_total",
		"Queries that waited for the answer to an equal one under way.", c.Coalesced)
	emit.Gauge("clusterdns_forward_waiting", "Questions that upstream is asked.", float64(c.Waiting))
	emit.Counter("clusterdns_forward_refused_total",
		"Questions that got no place among those that upstream is asked, or lost theirs.", c.Refused)
	emit.Counter("clusterdns_forward_silent_total",
		"Questions that failed at once because nothing comes back for names below their domain.", c.Silent)
	emit.Counter("clusterdns_forward_lookups_failed_total",
		"Lookups of the names of upstreams that found no address.", c.Unfound)
	emit.Gauge("clusterdns_forward_reply_bytes", "Octets of replies that are coming over TCP.", float64(c.Octets))
	emit.Panics(c.Panics)
	for i := range c.Upstreams {
		u := &c.Upstreams[i]
		upstreamSamples(u, emit.With("to", u.To), emit.With("proxy_name", "forward", "to", u.To))
	}
}

// upstreamSamples emits the metrics of one upstream: to proxy those that have the names of today, and to emit the older
// ones that many dashboards still query, and ours.
func upstreamSamples(u *resolver.UpstreamCounts, emit, proxy metrics.Emit) {
	requests := uint64(0)
	for _, l := range u.Latencies {
		n := latencySamples(l, emit.With("rcode", l.Rcode), proxy.With("rcode", l.Rcode))
		requests += n
		emit.Counter("coredns_forward_responses_total", "Counter of responses received per upstream.", n,
			"rcode", l.Rcode)
	}
	emit.Counter("coredns_forward_requests_total", "Counter of requests made per upstream.", requests+u.Failed)
	const failed = "Counter of the number of failed healthchecks."
	emit.Counter("coredns_forward_healthcheck_failures_total", failed, u.ChecksFailed)
	proxy.Counter("coredns_proxy_healthcheck_failures_total", failed, u.ChecksFailed)
	for _, conns := range u.Conns {
		of := proxy.With("proto", conns.Proto)
		of.Counter("coredns_proxy_conn_cache_hits_total",
			"Counter of connection cache hits per upstream and protocol.", conns.Reused)
		of.Counter("coredns_proxy_conn_cache_misses_total",
			"Counter of connection cache misses per upstream and protocol.", conns.Connected)
	}
	emit.Counter("clusterdns_upstream_failures_total", "Queries to an upstream without a usable reply.", u.Failed)
	emit.Counter("clusterdns_upstream_mismatches_total",
		"Replies that answer another question than the one asked; ignored.", u.Mismatches)
	emit.Gauge("clusterdns_upstream_sockets", "Sockets over which an upstream is asked over UDP.", float64(u.Sockets))
	emit.Gauge("clusterdns_upstream_connections",
		"Connections over TCP and TLS on which an upstream has several queries at a time.", float64(u.Streams.Conns))
	emit.Gauge("clusterdns_upstream_connection_queries", "Queries under way on those connections.", float64(u.Streams.Queries))
	emit.Gauge("clusterdns_upstream_one_at_a_time",
		"1 while an upstream is asked one query at a time on a connection, since it was seen to take no more.",
		truth(u.Streams.Alone))
	emit.Gauge("clusterdns_upstream_down", "1 while an upstream is taken to be down.", truth(u.Down))
	emit.Gauge("clusterdns_upstream_without_edns",
		"1 while an upstream is asked without EDNS, since it takes no other queries.", truth(u.WithoutEDNS))
	emit.Gauge("clusterdns_upstream_looping", "1 while an upstream asks us what we ask it.", truth(u.Looping))
}

// latencySamples emits one histogram under both names and returns how many observations it has.
func latencySamples(l resolver.Latencies, emit, proxy metrics.Emit) (total uint64) {
	const help = "Histogram of the time each request took."
	emit.Histogram("coredns_forward_request_duration_seconds", help, &l.Histogram, resolver.LatencyBounds,
		float64(time.Second))
	proxy.Histogram("coredns_proxy_request_duration_seconds", help, &l.Histogram, resolver.LatencyBounds,
		float64(time.Second))
	return l.Total()
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
