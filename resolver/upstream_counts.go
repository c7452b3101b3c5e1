package resolver

import (
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// transport is how an upstream is asked.
type transport uint8

const (
	viaUDP transport = iota
	viaTCP
	viaTLS
	upstreamTransports
)

// Latencies are counted by rcode; those above REFUSED as one.
const (
	countedRcodes  = 7
	latencyBuckets = 16
	firstBucket    = 250 * time.Microsecond // each next one is twice as wide, as CoreDNS has them: up to 8 s
)

// latencies is a histogram.
type latencies struct {
	buckets [latencyBuckets + 1]atomic.Uint64 // the last one is above all bounds
	sum     atomic.Int64                      // nanoseconds
}

func (l *latencies) observe(took time.Duration) {
	at, bound := 0, firstBucket
	for at < latencyBuckets && took > bound {
		at, bound = at+1, bound*2
	}
	l.buckets[at].Add(1)
	l.sum.Add(int64(took))
}

type upstreamCounts struct {
	latencies     [countedRcodes]latencies
	reused        [upstreamTransports]atomic.Uint64
	connected     [upstreamTransports]atomic.Uint64
	checksFailed  atomic.Uint64
	queriesFailed atomic.Uint64
	mismatches    atomic.Uint64
}

func (c *upstreamCounts) observe(rcode wire.Rcode, took time.Duration) {
	c.latencies[min(int(rcode), countedRcodes-1)].observe(took)
}

func (c *upstreamCounts) dialled(t transport, reused bool) {
	if reused {
		c.reused[t].Add(1)
	} else {
		c.connected[t].Add(1)
	}
}

// ForwardCounts is what one `forward` has done, as coredns_forward_* metrics have it.
type ForwardCounts struct {
	Rejected  uint64 // queries above max_concurrent
	Broken    uint64 // queries for which all upstreams were down
	Coalesced uint64 // queries that waited for another one's answer
	Waiting   int64  // queries under way
	Upstreams []UpstreamCounts
}

// UpstreamCounts is what one upstream has done, as coredns_proxy_* metrics have it.
type UpstreamCounts struct {
	To           string // "10.0.0.1:53"
	Latencies    []Latencies
	Conns        []ConnCounts
	ChecksFailed uint64
	Failed       uint64 // queries without a usable reply
	Mismatches   uint64 // replies to other questions, ignored
	Down         bool
	Looping      bool
}

// Latencies is a histogram of the replies with one rcode. Bounds are in seconds; Counts has one more, for what is above all bounds, and
// is not cumulative.
type Latencies struct {
	Rcode  string // "NOERROR"; "OTHER" for all above REFUSED
	Bounds []float64
	Counts []uint64
	Sum    float64 // seconds
}

// ConnCounts is how often a connection was there to be used again.
type ConnCounts struct {
	Proto     string // "udp", "tcp" or "tcp-tls"
	Reused    uint64
	Connected uint64
}

// count is what u has done so far.
func (u *upstream) count(maxFails int) UpstreamCounts {
	c := &u.counts
	sum := UpstreamCounts{
		To: u.address.String(), ChecksFailed: c.checksFailed.Load(), Failed: c.queriesFailed.Load(),
		Mismatches: c.mismatches.Load(), Down: u.down(maxFails), Looping: u.looping.Load(),
	}
	names := [countedRcodes]string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "OTHER"}
	for i := range c.latencies {
		if l := c.latencies[i].count(names[i]); l.Sum > 0 {
			sum.Latencies = append(sum.Latencies, l)
		}
	}
	for i, proto := range [upstreamTransports]string{"udp", "tcp", "tcp-tls"} {
		if conns := (ConnCounts{proto, c.reused[i].Load(), c.connected[i].Load()}); conns.Reused+conns.Connected > 0 {
			sum.Conns = append(sum.Conns, conns)
		}
	}
	return sum
}

func (l *latencies) count(rcode string) Latencies {
	sum := Latencies{Rcode: rcode, Sum: time.Duration(l.sum.Load()).Seconds()}
	bound := firstBucket
	for i := range l.buckets {
		sum.Counts = append(sum.Counts, l.buckets[i].Load())
		if i < latencyBuckets {
			sum.Bounds = append(sum.Bounds, bound.Seconds())
		}
		bound *= 2
	}
	return sum
}
