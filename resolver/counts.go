package resolver

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/observe/dnstap"
	"github.com/clusterdns/clusterdns/observe/shadow"
	"github.com/clusterdns/clusterdns/observe/tracing"
	"github.com/clusterdns/clusterdns/resolver/stream"
	"github.com/clusterdns/clusterdns/zones/skydns"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// BlockCounts are the counters of one server block. Parts that several blocks share are counted only in the first of
// these blocks.
type BlockCounts struct {
	View       string        // its name; "" without view
	ViewFailed *uint64       // expressions of the view that failed, or gave neither true nor false; nil without view
	Cancelled  *uint64       // questions that had no answer within the time of cancel; nil without it
	Dnssec     *DnssecCounts // nil without dnssec
	Hosts      *HostsCounts  // nil without hosts
	Etcd       []skydns.Counts
	Cache      *CacheCounts // nil without a cache
	ACL        *ACLCounts   // nil without acl
	Templates  []TemplateCounts
	Localhost  *uint64 // questions for names that are localhost with other labels; nil without local
	Generals   GeneralCounts
	Hidden     *uint64       // names that were kept from clients by visibility; nil without it
	Translated *uint64       // questions for which dns64 asked for A records; nil without it
	Completed  *uint64       // questions that autopath has answered with a name of another domain; nil without it
	Search     *SearchCounts // nil without search
	Forwards   []ForwardCounts
	Dnstaps    []dnstap.Counts
	Shadow     *shadow.Counts  // nil without shadow
	Trace      *tracing.Counts // nil without trace
	Panics     uint64          // recovered from, besides those of Forwards
}

// Counts are the counters of resolvers' server blocks, in the order of their Options.Blocks. Any goroutine may call it.
func Counts(resolvers []*Resolver) [][]BlockCounts {
	counted := map[any]bool{}
	var all [][]BlockCounts
	for _, r := range resolvers {
		var blocks []BlockCounts
		for _, b := range r.blocks {
			blocks = append(blocks, b.count(counted))
		}
		all = append(all, blocks)
	}
	return all
}

// count is the counters of b, except those of parts in counted, to which it adds b's parts.
func (b *block) count(counted map[any]bool) BlockCounts {
	first := func(part any) bool {
		seen := counted[part]
		counted[part] = true
		return !seen
	}
	counts := BlockCounts{View: b.options.ViewName(), Panics: b.notifyPanics.Total()}
	if b.view != nil && first(b.view) {
		n := b.view.failures.Load()
		counts.ViewFailed = &n
	}
	if b.cancel != nil && first(b.cancel) {
		n := b.cancel.cancelled.Load()
		counts.Cancelled = &n
	}
	if b.dnssec != nil && first(b.dnssec) {
		c := b.dnssec.count()
		counts.Dnssec = &c
	}
	if b.hosts != nil && first(b.hosts) {
		c := b.hosts.count()
		counts.Hosts = &c
	}
	for _, e := range b.etcds {
		if first(e.place) {
			counts.Etcd = append(counts.Etcd, e.source.Counts())
		}
	}
	if b.cache != nil && first(b.cache) {
		c := b.cache.count()
		counts.Cache = &c
	}
	if b.acls != nil && first(b.acls.allowed) {
		counts.ACL = &ACLCounts{Allowed: b.acls.allowed.Load()}
		for _, list := range b.acls.lists {
			if first(list) {
				counts.ACL.Zones = append(counts.ACL.Zones, list.count()...)
			}
		}
	}
	if b.templates != nil && first(b.templates) {
		counts.Templates = b.templates.count()
	}
	if b.local != nil && first(b.local) {
		n := b.local.count.Load()
		counts.Localhost = &n
	}
	if b.generals != nil {
		counts.Generals = b.generals.count(first)
	}
	for _, a := range b.authorities {
		if a.visibility != nil && first(a.visibility) {
			n := a.visibility.hidden.Load()
			if counts.Hidden != nil {
				n += *counts.Hidden
			}
			counts.Hidden = &n
		}
	}
	if b.dns64 != nil && first(b.dns64) {
		n := b.dns64.translated.Load()
		counts.Translated = &n
	}
	if b.autopath != nil && first(b.autopath) {
		n := b.autopath.completed.Load()
		counts.Completed = &n
	}
	if b.search != nil && first(b.search) {
		c := b.search.count()
		counts.Search = &c
	}
	if b.taps != nil {
		for _, t := range *b.taps {
			if first(t.sink) {
				counts.Dnstaps = append(counts.Dnstaps, t.sink.Counts())
			}
		}
	}
	if b.tracer != nil && first(b.tracer.exporter) {
		c := b.tracer.exporter.Counts()
		counts.Trace = &c
	}
	if b.shadow != nil && first(b.shadow) {
		c := b.shadow.Counts()
		counts.Shadow = &c
	}
	for _, f := range b.forwarders {
		if first(f.engine) {
			counts.Panics += f.engine.Panics.Total()
		}
		if first(f) {
			counts.Forwards = append(counts.Forwards, f.count())
		}
	}
	return counts
}

// SearchCounts counts the questions that search has seen denied, by what became of them.
type SearchCounts struct {
	Completed uint64 // answered with an alias of a name in the list
	Absent    uint64 // denied: no name of the list exists
	Failed    uint64 // a name of the list could not be looked up
	Unknown   uint64 // denied: the namespace of the client's address is not known, or not sure
	Foreign   uint64 // denied: the client is of another namespace than the name
}

func (s *search) count() SearchCounts {
	return SearchCounts{s.completed.Load(), s.absent.Load(), s.failed.Load(), s.unknown.Load(), s.foreign.Load()}
}

// ACLCounts are the counters of acl, for coredns_acl_* metrics.
type ACLCounts struct {
	Allowed uint64
	Zones   []ACLZoneCounts // zones in which a question was not allowed
}

// ACLZoneCounts counts the questions in one zone that were not allowed.
type ACLZoneCounts struct {
	Zone                       string
	Blocked, Filtered, Dropped uint64
}

func (a *acl) count() (all []ACLZoneCounts) {
	for i, zone := range a.names {
		n := &a.zone[i]
		c := ACLZoneCounts{zone, n[ACLBlock].Load(), n[ACLFilter].Load(), n[ACLDrop].Load()}
		if c.Blocked+c.Filtered+c.Dropped > 0 {
			all = append(all, c)
		}
	}
	return all
}

// HostsCounts are the state of hosts, for coredns_hosts_* metrics.
type HostsCounts struct {
	File     string
	Entries  int
	Reloaded time.Time // modification time of the file in use; zero without a file
}

func (h *hosts) count() HostsCounts {
	counts := HostsCounts{File: h.options.File, Entries: h.table.Load().entries}
	if changed := h.reloaded.Load(); changed != nil {
		counts.Reloaded = *changed
	}
	return counts
}

// CacheCounts are the counters of a cache, for coredns_cache_* metrics. Pairs are success and denial.
type CacheCounts struct {
	Zones       string // that it caches, joined by commas
	Entries     [2]int
	Size        [2]int // octets
	Hits        [2]uint64
	Evictions   [2]uint64
	Requests    uint64
	Misses      uint64
	Prefetches  uint64
	Drops       uint64
	ServedStale uint64
}

// count adds up the shards.
func (c *cache) count() CacheCounts {
	sum := CacheCounts{Zones: strings.Join(c.options.Zones, ","), ServedStale: c.servedStale.Load()}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		counts := s.counts
		for k := range s.halves {
			sum.Entries[k] += s.halves[k].entries.count
			sum.Size[k] += s.halves[k].size()
		}
		s.mu.Unlock()
		for k := range sum.Hits {
			sum.Hits[k] += counts.Hits[k]
			sum.Evictions[k] += counts.Evictions[k]
		}
		sum.Requests += counts.Requests
		sum.Misses += counts.Misses
		sum.Prefetches += counts.Prefetches
		sum.Drops += counts.Drops
	}
	return sum
}

// ForwardCounts are the counters of one `forward`, for coredns_forward_* metrics.
type ForwardCounts struct {
	Rejected  uint64 // questions beyond max_concurrent
	Refused   uint64 // questions without a place, those beyond max_concurrent included
	Silent    uint64 // questions that failed at once because their domain is silent
	Broken    uint64 // questions for which all upstreams were down
	Coalesced uint64 // queries that shared the answer to an equal one
	Panics    uint64
	Waiting   int    // questions under way
	Octets    int    // of long replies that are coming
	Unfound   uint64 // lookups of the names of upstreams that failed
	Upstreams []UpstreamCounts
}

// UpstreamCounts are the counters of one upstream, for coredns_proxy_* metrics.
type UpstreamCounts struct {
	To           string // "10.0.0.1:53"
	Latencies    []Latencies
	Conns        []ConnCounts
	ChecksFailed uint64
	Failed       uint64 // queries without a usable reply
	Mismatches   uint64 // replies to other questions, ignored
	Sockets      int    // open, over UDP
	Streams      stream.Counts
	Down         bool
	Looping      bool
	WithoutEDNS  bool // it is asked without EDNS, because it was seen to take no other queries
}

// Latencies counts the times that replies with one rcode took, by LatencyBounds.
type Latencies struct {
	Rcode string // "NOERROR"; "OTHER" for all above REFUSED
	observe.Histogram
}

// ConnCounts counts the connections that were reused and those that were new.
type ConnCounts struct {
	Proto     string // "udp", "tcp", "tcp-tls", "quic", "https" or "grpc"
	Reused    uint64
	Connected uint64
}

// count is the counters of u so far.
func (u *upstream) count(maxFails int) UpstreamCounts {
	c := &u.counts
	sum := UpstreamCounts{
		To: u.address.String(), ChecksFailed: c.checksFailed.Load(), Failed: c.queriesFailed.Load(),
		Mismatches: c.mismatches.Load() + u.peer.Mismatches.Load() + u.streams.Mismatches.Load(),
		Down:       u.down(maxFails), Looping: u.loops.Load() > 0, WithoutEDNS: u.edns.paused(time.Now()),
	}
	names := [countedRcodes]string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "OTHER"}
	c.mu.Lock()
	latencies := c.latencies
	c.mu.Unlock()
	for i := range latencies {
		if latencies[i].Sum > 0 {
			sum.Latencies = append(sum.Latencies, Latencies{names[i], latencies[i]})
		}
	}
	for i, proto := range [upstreamTransports]string{"udp", "tcp", "tcp-tls", "quic", "https", "grpc"} {
		if conns := (ConnCounts{proto, c.reused[i].Load(), c.connected[i].Load()}); conns.Reused+conns.Connected > 0 {
			sum.Conns = append(sum.Conns, conns)
		}
	}
	return sum
}

// count is the counters of f so far.
func (f *forwarder) count() ForwardCounts {
	counts := ForwardCounts{
		Broken: f.allDown.Load(), Coalesced: f.coalesced.Load(), Panics: f.panics.Total(),
		Unfound: f.lookupsFailed.Load(),
	}
	f.mu.Lock()
	a := &f.places
	counts.Rejected, counts.Refused, counts.Silent = a.rejected, a.refused, f.silent
	counts.Waiting, counts.Octets = a.all.used, a.all.octets
	f.mu.Unlock()
	for _, u := range f.upstreams() {
		one := u.count(f.options.MaxFails)
		one.Sockets = f.engine.Open(&u.peer)
		one.Streams = f.streams.Count(&u.streams, time.Now())
		counts.Upstreams = append(counts.Upstreams, one)
	}
	return counts
}

// transport is how an upstream is asked.
type transport uint8

const (
	viaUDP transport = iota
	viaTCP
	viaTLS
	viaQUIC
	viaHTTPS
	viaGRPC
	upstreamTransports
)

// LatencyBounds are the bounds of latency buckets in nanoseconds. They are those of CoreDNS: from 0.25 ms to
// 8.192 s, each twice the one before.
var LatencyBounds = observe.Doubling(int64(250*time.Microsecond), 16)

// countedRcodes is how many rcodes have latencies of their own. Those above REFUSED share the last.
const countedRcodes = 7

type upstreamCounts struct {
	mu        sync.Mutex // guards latencies
	latencies [countedRcodes]observe.Histogram

	reused        [upstreamTransports]atomic.Uint64
	connected     [upstreamTransports]atomic.Uint64
	checksFailed  atomic.Uint64
	queriesFailed atomic.Uint64
	mismatches    atomic.Uint64
}

func (c *upstreamCounts) observe(rcode wire.Rcode, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latencies[min(int(rcode), countedRcodes-1)].Observe(LatencyBounds, int64(took))
}

func (c *upstreamCounts) dialled(t transport, reused bool) {
	if reused {
		c.reused[t].Add(1)
	} else {
		c.connected[t].Add(1)
	}
}
