package resolver

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/observe"
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

// LatencyBounds are the bounds of the buckets of latencies, in nanoseconds. They are CoreDNS's: 0.25 ms, doubled from one to the next, up to 8 s.
var LatencyBounds = observe.Doubling(int64(250*time.Microsecond), 16)

// countedRcodes is how many rcodes have latencies of their own; those above REFUSED are counted as one.
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

// Latencies is how long the replies with one rcode took, by LatencyBounds.
type Latencies struct {
	Rcode string // "NOERROR"; "OTHER" for all above REFUSED
	observe.Histogram
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
	c.mu.Lock()
	latencies := c.latencies
	c.mu.Unlock()
	for i := range latencies {
		if latencies[i].Sum > 0 {
			sum.Latencies = append(sum.Latencies, Latencies{names[i], latencies[i]})
		}
	}
	for i, proto := range [upstreamTransports]string{"udp", "tcp", "tcp-tls"} {
		if conns := (ConnCounts{proto, c.reused[i].Load(), c.connected[i].Load()}); conns.Reused+conns.Connected > 0 {
			sum.Conns = append(sum.Conns, conns)
		}
	}
	return sum
}
